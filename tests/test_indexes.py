"""Indexes as they are declared: what is read, and what is refused before MongoDB sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import ConfigurationError, Resource, Schema, fields
from falcorest.indexes import Index, merge, read_indexes
from falcorest.indexing import in_words
from falcorest.settings import load_settings

#: What is written, what MongoDB is sent, and what is shown.
GOOD: list[tuple[Any, dict[str, Any], str]] = [
    ("name", {"key": {"name": 1}, "name": "name_1"}, "name"),
    ("-rating", {"key": {"rating": -1}, "name": "rating_-1"}, "-rating"),
    ("engine.cycle", {"key": {"engine.cycle": 1}, "name": "engine.cycle_1"}, "engine.cycle"),
    ("a-b", {"key": {"a-b": 1}, "name": "a-b_1"}, "a-b"),
    (
        ["country", "-thrust"],
        {"key": {"country": 1, "thrust": -1}, "name": "country_1_thrust_-1"},
        "country, -thrust",
    ),
    (("a",), {"key": {"a": 1}, "name": "a_1"}, "a"),
    (
        "place:2dsphere",
        {"key": {"place": "2dsphere"}, "name": "place_2dsphere"},
        "place:2dsphere",
    ),
    ("_id:hashed", {"key": {"_id": "hashed"}, "name": "_id_hashed"}, "_id:hashed"),
    (
        ["title:text", "body:text"],
        {
            "key": {"title": "text", "body": "text"},
            "name": "title_text_body_text",
            "collation": {"locale": "simple"},
        },
        "title:text, body:text",
    ),
    ({"keys": "a"}, {"key": {"a": 1}, "name": "a_1"}, "a"),
    (
        {"keys": ["a", "b"], "unique": True, "name": "pair"},
        {"key": {"a": 1, "b": 1}, "name": "pair", "unique": True},
        "a, b; unique; name pair",
    ),
    (
        {"keys": "a", "unique": False, "sparse": True},
        {"key": {"a": 1}, "name": "a_1", "sparse": True},
        "a; sparse",
    ),
    (
        {"keys": "a", "expire_after_seconds": 0},
        {"key": {"a": 1}, "name": "a_1", "expireAfterSeconds": 0},
        "a; expires after 0 s",
    ),
    (
        {"keys": "a", "partial_filter": {"b": {"$oid": "0" * 24}, "c": {"$gt": 1}}},
        {
            "key": {"a": 1},
            "name": "a_1",
            "partialFilterExpression": {"b": ObjectId("0" * 24), "c": {"$gt": 1}},
        },
        'a; partial {"b":{"$oid":"000000000000000000000000"},"c":{"$gt":1}}',
    ),
    (
        {"keys": "a", "collation": {"locale": "en", "strength": 2}},
        {"key": {"a": 1}, "name": "a_1", "collation": {"locale": "en", "strength": 2}},
        "a; collation en, strength 2",
    ),
]


@pytest.mark.parametrize(("value", "spec", "words"), GOOD, ids=[repr(row[0]) for row in GOOD])
def test_what_is_written_is_what_mongodb_is_sent(
    value: Any, spec: dict[str, Any], words: str
) -> None:
    index = Index.of(value)
    assert index.spec() == spec
    assert [*index.spec()["key"]] == [*spec["key"]]
    assert in_words(index.spec()) == words
    assert Index.of(index) is index


#: What is written, and what the line about it names.
BAD: list[tuple[Any, str]] = [
    (3, "the name of a field"),
    (None, "the name of a field"),
    ([], "the name of a field"),
    ("", "'' is not the name"),
    ("-", "'-' is not the name"),
    ("$a", "'$a' is not the name"),
    ("a..b", "'a..b' is not the name"),
    ("a\0", "is not the name"),
    ("$**", "is not the name"),
    (["a", 3], "3 is not the name"),
    ([["a"]], "is not the name"),
    (["a", "-a"], "'a' stands in it twice"),
    ([f"k{n}" for n in range(33)], "32 fields"),
    ("a:2d", "'2d' is none of text, 2dsphere, hashed"),
    ("a:", "'' is none of"),
    ("-a:text", "text has no direction"),
    (":text", "is not the name"),
    ("_id", "always has its index"),
    ("-_id", "always has its index"),
    ({}, "keys: "),
    ({"unique": True}, "keys: "),
    ({"keys": "a", "uniq": True}, "'uniq' is none of keys, unique"),
    ({"keys": "a", "background": True}, "'background' is none of"),
    ({"keys": "a", "unique": 1}, "unique: true or false"),
    ({"keys": "a", "sparse": "yes"}, "sparse: true or false"),
    ({"keys": "a", "expire_after_seconds": -1}, "expire_after_seconds: a whole number"),
    ({"keys": "a", "expire_after_seconds": 2**31}, "expire_after_seconds: a whole number"),
    ({"keys": "a", "expire_after_seconds": True}, "expire_after_seconds: a whole number"),
    ({"keys": "a", "expire_after_seconds": 1.5}, "expire_after_seconds: a whole number"),
    ({"keys": ["a", "b"], "expire_after_seconds": 1}, "a single field"),
    ({"keys": "_id:hashed", "expire_after_seconds": 1}, "which isn't the _id"),
    ({"keys": "a", "partial_filter": {}}, "partial_filter: a filter is needed"),
    ({"keys": "a", "partial_filter": "b"}, "partial_filter: a filter is needed"),
    ({"keys": "a", "partial_filter": {"b": {"$ne": 1}}}, "partial_filter: $ne is none of"),
    ({"keys": "a", "partial_filter": {"b": {"$regex": "x"}}}, "$regex is none of"),
    ({"keys": "a", "partial_filter": {"b": {"$not": {"$gt": 1}}}}, "$not is none of"),
    ({"keys": "a", "partial_filter": {"$nor": [{"b": 1}]}}, "$nor is none of"),
    ({"keys": "a", "partial_filter": {"$or": [{"b": {"$nin": [1]}}]}}, "$nin is none of"),
    ({"keys": "a", "partial_filter": {"$where": "1"}}, "'$where'"),
    ({"keys": "a", "partial_filter": {"b": {"$exists": False}}}, "no $exists there but true"),
    ({"keys": "a", "partial_filter": {"b": {"$type": "colour"}}}, "partial_filter: b: $type"),
    ({"keys": "a", "partial_filter": {"b": 1}, "sparse": True}, "can't go with partial_filter"),
    ({"keys": "a", "collation": "en"}, "collation: a table with a locale"),
    ({"keys": "a", "collation": {"strength": 2}}, "collation: a table with a locale"),
    ({"keys": "a", "collation": {"locale": "en", "strength": 6}}, "from 1 to 5"),
    ({"keys": "a", "collation": {"locale": "en", "strength": True}}, "from 1 to 5"),
    ({"keys": "a", "collation": {"locale": "en", "numeric": True}}, "'numeric' is neither"),
    ({"keys": "a:text", "collation": {"locale": "en"}}, "a text index has none"),
    ({"keys": "a", "name": ""}, "name: '' can't be"),
    ({"keys": "a", "name": "*"}, "name: '*' can't be"),
    ({"keys": "a", "name": "_id_"}, "name: '_id_' can't be"),
    ({"keys": "a", "name": 3}, "name: 3 can't be"),
    ({"keys": "a:hashed", "unique": True}, "a hashed index can't be"),
    (["a:hashed", "b:hashed"], "one field can be hashed"),
    (["a:text", "b:2dsphere"], "2dsphere and text don't go together"),
    (["a:text", "b", "c:text"], "side by side"),
]


@pytest.mark.parametrize(("value", "naming"), BAD, ids=[repr(row[0])[:60] for row in BAD])
def test_what_is_no_index_is_refused(value: Any, naming: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Index.of(value)
    assert naming in " ".join(raised.value.problems)
    assert all("\n" not in problem for problem in raised.value.problems)


def test_every_problem_of_a_list_is_told_with_its_place() -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_indexes(["a", "b:c", {"keys": "d", "unique": 1, "sparse": 1}])
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["[1]", "[2]", "[2]"]


@pytest.mark.parametrize("values", ["a", {"keys": "a"}, None, 3])
def test_what_is_no_list_is_refused(values: Any) -> None:
    with pytest.raises(ConfigurationError, match="a list of indexes is needed"):
        read_indexes(values)


@pytest.mark.parametrize(
    ("one", "other", "naming"),
    [
        ("a", "a", "the same as another one"),
        ("a", {"keys": "a", "unique": True}, "the same keys"),
        ("a", {"keys": "a", "name": "other"}, "the same keys"),
        ("a", {"keys": "a", "name": "other", "expire_after_seconds": 5}, "the same keys"),
        ("a", {"keys": "b", "name": "a_1"}, "the name 'a_1'"),
        ("a:text", "b:text", "one text index"),
    ],
)
def test_two_indexes_that_cannot_both_be(one: Any, other: Any, naming: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_indexes([one, other])
    assert naming in str(raised.value)
    assert str(raised.value).startswith("[1]: ")


@pytest.mark.parametrize(
    "other",
    [
        "-a",
        {"keys": "a", "name": "unique a", "unique": True},
        {"keys": "a", "name": "some", "partial_filter": {"b": 1}},
        {"keys": "a", "name": "words", "collation": {"locale": "en"}},
    ],
)
def test_two_indexes_on_one_field(other: Any) -> None:
    assert len(read_indexes(["a", other])) == 2


def test_two_resources_may_declare_the_same_index() -> None:
    one, other = read_indexes(["a", "b"]), read_indexes(["b", "-c"])
    assert [index.paths for index in merge(one, other)] == [("a",), ("b",), ("c",)]
    with pytest.raises(ConfigurationError, match="the same keys"):
        merge(one, read_indexes([{"keys": "a", "sparse": True}]))


# -------------------------------------------------------------------------------- falcorest.toml


def settings(folder: Path, text: str) -> Any:
    (folder / "falcorest.toml").write_text(f"[resources.rockets]\n{text}\n")
    return load_settings(folder).resources["rockets"]


def test_indexes_in_the_file(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        'indexes = ["name", ["country", "-thrust"], '
        '{ keys = ["email"], unique = true, partial_filter = { since = 2020-01-01 } }]',
    )
    assert own.indexes[:2] == (Index.of("name"), Index.of(["country", "-thrust"]))
    assert own.indexes[2].unique
    assert own.indexes[2].partial_filter["since"].year == 2020
    assert settings(tmp_path, "").indexes == ()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('indexes = "name"', ["indexes: a list of indexes is needed."]),
        (
            'indexes = ["name", {keys = "a", unik = true}, 5]',
            ["indexes[1]: 'unik' is none of", "indexes[2]: the name of a field"],
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_a_line_each(
    text: str, lines: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings(tmp_path, text)
    assert len(raised.value.problems) == len(lines)
    for problem, line in zip(raised.value.problems, lines, strict=True):
        assert problem.startswith(f"falcorest.toml: resources.rockets.{line}")


# ------------------------------------------------------------------------------------- Resource


class AddressSchema(Schema):
    street = ma.String()
    zip = ma.String(attribute="postcode")


class PersonSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(attribute="full_name")
    age = ma.Integer(data_key="years")
    employer = fields.Reference("companies")
    addresses = ma.List(ma.Nested(AddressSchema))
    others = ma.Nested(AddressSchema, many=True)
    city = ma.String(attribute="home.city")
    extra = ma.Dict()
    anything = ma.Raw()
    password = ma.String(load_only=True)
    initials = ma.Function(lambda person: person["full_name"][:1])


def declare(**said: Any) -> type[Resource]:
    return type("PersonResource", (Resource,), {"collection": "people", **said})


@pytest.mark.parametrize(
    "path",
    [
        *("_id:hashed", "full_name", "age", "employer", "password", "home", "home.city"),
        *("addresses", "addresses.street", "addresses.0.street", "addresses.postcode"),
        *("others.1.postcode", "extra.colour", "anything.at.all", "home:2dsphere"),
    ],
)
def test_stored_names_are_known(path: str) -> None:
    resource = declare(schema=PersonSchema, indexes=[path])
    assert [index.paths for index in resource.compiled_indexes()] == [(path.partition(":")[0],)]


@pytest.mark.parametrize(
    ("path", "naming"),
    [
        ("nowhere", "'nowhere'"),
        ("name", "'name' is stored as 'full_name'"),
        ("years", "'years' is stored as 'age'"),
        ("years.x", "'years.x'"),
        ("age.x", "'age.x'"),
        ("addresses.zip", "'addresses.zip'"),
        ("addresses.x.street", "'addresses.x.street'"),
        ("home.street", "'home.street'"),
        ("initials", "'initials'"),
        ("full", "'full'"),
    ],
)
def test_what_the_schema_does_not_store_is_refused(path: str, naming: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        declare(schema=PersonSchema, indexes=["age", ["age", path]])
    (problem,) = raised.value.problems
    assert problem.startswith("PersonResource.indexes[1]: the schema stores nothing as ")
    assert naming in problem


def test_without_a_schema_anything_may_be_stored() -> None:
    assert len(declare(indexes=["a", "b.c"]).compiled_indexes()) == 2


@pytest.mark.parametrize("indexes", ["age", {"keys": "age"}, 3])
def test_an_attribute_that_is_no_list_is_refused(indexes: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"PersonResource\.indexes: a list of indexes"):
        declare(indexes=indexes)


def test_a_bad_index_names_class_and_place() -> None:
    with pytest.raises(ConfigurationError) as raised:
        declare(indexes=["a", {"keys": "b", "unique": "yes"}])
    assert (
        str(raised.value)
        == "PersonResource.indexes[1]: unique: true or false is needed, not 'yes'."
    )


def test_kinds_of_documents_are_indexed_by_what_any_of_them_stores() -> None:
    class DogSchema(Schema):
        barks = ma.Boolean()

    class CatSchema(Schema):
        lives = ma.Integer()

    class DogResource(Resource):
        schema = DogSchema

    class CatResource(Resource):
        schema = CatSchema

    kinds = {"dog": DogResource, "cat": CatResource}
    said = {"collection": "animals", "type_field": "_cls", "child_document_resources": kinds}
    type("AnimalResource", (Resource,), {**said, "indexes": ["_cls", "barks", "lives"]})
    with pytest.raises(ConfigurationError, match="'swims'"):
        type("AnimalResource", (Resource,), {**said, "indexes": ["swims"]})
    DogResource.indexes = ("barks",)
    with pytest.raises(ConfigurationError, match=r"DogResource\.indexes has no effect"):
        type("AnimalResource", (Resource,), said)


def test_what_is_embedded_has_no_indexes_of_its_own() -> None:
    class AddressResource(Resource):
        schema = AddressSchema
        indexes = ("street",)

    with pytest.raises(ConfigurationError, match="where indexes has no effect"):
        declare(schema=PersonSchema, related_resources={"addresses": AddressResource})
    AddressResource.indexes = ()
    related = {"addresses": AddressResource}
    declare(schema=PersonSchema, related_resources=related, indexes=["addresses.postcode"])
    with pytest.raises(ConfigurationError, match=r"addresses\.zip"):
        declare(schema=PersonSchema, related_resources=related, indexes=["addresses.zip"])
