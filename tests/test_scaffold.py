"""What scaffold makes of documents, validators, indexes and names; no database is asked."""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from falcorest import Resource, bson_json
from falcorest.scaffold.looking import Index, Seen
from falcorest.scaffold.names import attribute_names, class_name, literal
from falcorest.scaffold.shapes import MAX_KEYS, Shape
from falcorest.scaffold.writing import write

OID = ObjectId("6195b0eb829a2784b4459a7f")
DAY = dt.datetime(2021, 11, 1, 9, 30)
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
ROOT = Path(__file__).parent.parent

# ------------------------------------------------------------------------------------- helpers


def shape_of(documents: Iterable[Mapping[str, Any]], rule: Any = None) -> Shape:
    shape = Shape(bounded=False)
    for document in documents:
        shape.add(document)
    shape.settle()
    if rule is not None:
        shape.apply(rule)
    return shape


def seen(
    documents: Sequence[Mapping[str, Any]],
    name: str = "posts",
    *,
    rule: Any = None,
    indexes: Sequence[Index] = (),
    read_only: bool = False,
    total: int | None = ...,  # type: ignore[assignment]
) -> Seen:
    count = len(documents)
    total = count if total is ... else total
    shape = shape_of(documents, rule)
    return Seen(name, name, shape, count, total, read_only, tuple(indexes))


def module(
    *collections: Seen, database: str = "shop", address: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the source for what was seen, and the names in the module that it makes."""
    source = write(database, collections, address)
    names: dict[str, Any] = {"__name__": "scaffolded"}
    exec(compile(source, "scaffolded", "exec", dont_inherit=True), names)
    return source, names


def resources(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Resource classes of a module, by collection."""
    return {
        thing.collection: thing
        for thing in names.values()
        if isinstance(thing, type) and issubclass(thing, Resource) and thing is not Resource
    }


def line_of(source: str, attribute: str) -> str:
    """Return the statement that makes a field of a schema, on one line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == attribute:
            return ast.unparse(node.value).replace("'", '"')
    raise AssertionError(f"{attribute} is not in\n{source}")


def same(stored: Any, shown: Any) -> bool:
    """Tell whether a value from JSON says what is stored, as a field or as Extended JSON."""
    kind = type(stored)
    if isinstance(stored, Mapping):
        return (
            type(shown) is dict
            and list(stored) == list(shown)
            and all(same(stored[key], shown[key]) for key in stored)
        )
    if kind is list:
        return type(shown) is list and len(stored) == len(shown) and all(map(same, stored, shown))
    if kind is bool or stored is None or kind is str:
        return shown == stored and type(shown) is kind
    if kind in {int, Int64, float} and not (kind is float and not math.isfinite(stored)):
        return type(shown) in {int, float} and shown == stored
    if shown == json.loads(bson_json.dumps(stored)):
        return True
    as_text: dict[Any, Callable[[Any], Any]] = {
        ObjectId: str,
        Decimal128: str,
        dt.datetime: dt.datetime.isoformat,
        bytes: lambda value: json.loads(bson_json.dumps(value))["$binary"]["base64"],
        Binary: lambda value: str(uuid.UUID(bytes=bytes(value))),
    }
    return kind in as_text and shown == as_text[kind](stored)


def as_shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the names that it is shown under."""
    key = "_id" if "id" in document else "id"
    return {
        key if name == "_id" else name: value
        for name, value in document.items()
        if name and "." not in name and not name.startswith("$")
    }


def assert_dumps(resource: Any, documents: Iterable[Mapping[str, Any]]) -> None:
    """Hold what the schema of a resource makes of documents against them."""
    schema = resource.schema()
    names = {field.data_key or name for name, field in schema.fields.items()}
    for document in documents:
        shown = json.loads(bson_json.dumps(schema.dump(document)))
        expected = as_shown(document)
        if "_id" in names and "id" in expected and "_id" in document and "id" not in document:
            expected["_id"] = expected.pop("id")
        assert set(shown) == set(expected)
        for name, value in expected.items():
            # NOTE: in nested objects, the order is that of the schema.
            assert same(_sorted(value), _sorted(shown[name])), (name, value, shown[name])


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if type(value) is list else value


@pytest.fixture(scope="session")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Hold sources against the formatter and the linter, with its defaults and our settings."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff isn't installed")

    def check(*sources: str) -> None:
        folder = tmp_path_factory.mktemp("lint")
        for number, source in enumerate(sources):
            (folder / f"module_{number}.py").write_text(source, encoding="utf-8")
        ours = ["--config", str(ROOT / "pyproject.toml"), "--ignore", "D,S,T20"]
        for arguments in (
            ["format", "--isolated", "--diff"],
            ["check", "--isolated"],
            ["check", *ours],
        ):
            ended = subprocess.run(
                [ruff, *arguments, "--no-cache", "."], cwd=folder, capture_output=True, text=True
            )
            assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr

    return check


# --------------------------------------------------------------------------------------- types

#: Values of one field, one for each document (... leaves it out), and the field.
FIELDS: list[tuple[list[Any], str]] = [
    (["a", ""], "ma.String(required=True)"),
    ([1, Int64(2**40)], "ma.Integer(required=True)"),
    ([1.5], "ma.Float(required=True)"),
    ([1, 1.5], "ma.Float(required=True)"),
    ([2**53 + 1, 1.5], "ma.Raw(required=True)"),
    ([math.nan], "ma.Float(required=True, allow_nan=True)"),
    ([True], "ma.Boolean(required=True)"),
    ([True, 1], "ma.Raw(required=True)"),
    ([DAY], "ma.DateTime(required=True)"),
    ([DAY, DatetimeMS(2**60)], "ma.Raw(required=True)"),
    ([OID], "fields.ObjectId(required=True)"),
    ([Decimal128("1.5")], "fields.Decimal128(required=True)"),
    ([Decimal128("1.5"), 1], "ma.Raw(required=True)"),
    ([Binary(UUID.bytes, 4)], "ma.UUID(required=True)"),
    ([Binary(UUID.bytes, 3)], "ma.Raw(required=True)"),
    ([b"abc"], "fields.Binary(required=True)"),
    ([b"abc", Binary(UUID.bytes, 4)], "ma.Raw(required=True)"),
    ([Binary(b"abc", 128)], "ma.Raw(required=True)"),
    (["a", None], "ma.String(required=True, allow_none=True)"),
    (["a", ...], "ma.String()"),
    ([None, ...], "ma.Raw(allow_none=True)"),
    (["a", 1], "ma.Raw(required=True)"),
    ([Regex("a")], "ma.Raw(required=True)"),
    ([Code("x")], "ma.Raw(required=True)"),
    ([Timestamp(1, 2)], "ma.Raw(required=True)"),
    ([MinKey(), MaxKey()], "ma.Raw(required=True)"),
    ([DBRef("users", OID)], "ma.Raw(required=True)"),
    ([[]], "ma.List(ma.Raw(), required=True)"),
    ([["a"], []], "ma.List(ma.String(), required=True)"),
    ([["a"], [None]], "ma.List(ma.String(allow_none=True), required=True)"),
    ([[1], [1.5]], "ma.List(ma.Float(), required=True)"),
    ([[1, "a"]], "ma.List(ma.Raw(), required=True)"),
    ([[[1]], [[], [2]]], "ma.List(ma.List(ma.Integer()), required=True)"),
    ([["a"], "a"], "ma.Raw(required=True)"),
    ([{"a": 1}], "ma.Nested(PostFieldSchema, required=True)"),
    ([[{"a": 1}, {"a": 2}]], "ma.List(ma.Nested(PostFieldSchema), required=True)"),
    ([{}], "ma.Dict(required=True)"),
    ([{"a.b": 1}], "ma.Dict(values=ma.Integer(), required=True)"),
    ([{"$a": "x"}, {"b": None}], "ma.Dict(values=ma.String(allow_none=True), required=True)"),
    ([{"1": 1}, {"2": 1.5}], "ma.Dict(values=ma.Float(), required=True)"),
    ([{str(OID): {"a": 1}}], "ma.Dict(values=ma.Nested(PostFieldSchema), required=True)"),
    (
        [{f"k{n}": 1} for n in range(50)],
        "ma.Dict(values=ma.Integer(), required=True)",
    ),
    ([{f"k{n}": n for n in range(MAX_KEYS + 1)}], "ma.Dict(values=ma.Integer(), required=True)"),
    ([{f"k{n}": n for n in range(50)}], "ma.Nested(PostFieldSchema, required=True)"),
]


@pytest.mark.parametrize(("values", "expected"), FIELDS)
def test_a_field_is_of_the_type_that_was_seen(values: list[Any], expected: str) -> None:
    documents = [{"_id": OID, **({} if value is ... else {"field": value})} for value in values]
    source, names = module(seen(documents))
    assert line_of(source, "field") == expected
    assert_dumps(names["PostResource"], documents)


def test_every_type_of_the_table_passes_lint(lint: Callable[..., None]) -> None:
    lint(
        *(module(seen([{"_id": 1, "field": v} for v in vs if v is not ...]))[0] for vs, _ in FIELDS)
    )


#: Values of _id, and the field.
IDS: list[tuple[list[Any], str]] = [
    ([], 'fields.ObjectId(attribute="_id", dump_only=True)'),
    ([OID], 'fields.ObjectId(attribute="_id", dump_only=True)'),
    (["a"], 'ma.String(attribute="_id", required=True)'),
    ([1], 'ma.Integer(attribute="_id", required=True)'),
    ([Binary(UUID.bytes, 4)], 'ma.UUID(attribute="_id", required=True)'),
    ([1, "a"], 'ma.Raw(attribute="_id", required=True)'),
    ([OID, "a"], 'ma.Raw(attribute="_id")'),
    ([{"a": 1}], 'ma.Nested(PostIdSchema, attribute="_id", required=True)'),
]


@pytest.mark.parametrize(("values", "expected"), IDS)
def test_the_id_is_chosen_by_whoever_chooses_it_now(values: list[Any], expected: str) -> None:
    documents = [{"_id": value} for value in values]
    source, names = module(seen(documents))
    assert line_of(source, "id") == expected
    assert_dumps(names["PostResource"], documents)


def test_another_field_may_be_called_id() -> None:
    documents = [{"_id": OID, "id": 5, "id ": 6}]
    source, names = module(seen(documents))
    assert line_of(source, "_id") == "fields.ObjectId(dump_only=True)"
    assert line_of(source, "id") == "ma.Integer(required=True)"
    assert '"_id": [ops.Exact, ops.In]' in source
    assert_dumps(names["PostResource"], documents)


def test_names_that_no_query_can_say_are_left_out_and_named() -> None:
    documents = [{"_id": OID, "a.b": 1, "$c": 2, "": 3, "d": 4}]
    source, names = module(seen(documents))
    assert '# Left out, as no query can name it: "a.b", "$c", "".' in source
    assert_dumps(names["PostResource"], documents)


def test_what_is_very_deep_is_shown_as_it_is() -> None:
    deep: Any = {"x": 1}
    for _ in range(60):
        deep = {"x": deep, "y": [[deep]]} if _ > 57 else {"x": [deep]}
    documents = [{"_id": OID, "deep": deep}]
    _, names = module(seen(documents))
    assert_dumps(names["PostResource"], documents)


# ----------------------------------------------------------------------------------- validators

#: What a validator says of a field, the values, and the field.
RULES: list[tuple[dict[str, Any], list[Any], str]] = [
    ({"bsonType": "string"}, [], "ma.String()"),
    (
        {"bsonType": "string", "maxLength": 5},
        ["a"],
        "ma.String(required=True, validate=validate.Length(max=5))",
    ),
    ({"bsonType": ["string", "null"]}, ["a"], "ma.String(required=True, allow_none=True)"),
    ({"bsonType": "number"}, [1], "ma.Float(required=True)"),
    ({"bsonType": "number"}, [Decimal128("1")], "fields.Decimal128(required=True)"),
    ({"bsonType": "long", "minimum": Int64(3)}, [], "ma.Integer(validate=validate.Range(min=3))"),
    (
        {"bsonType": "double", "minimum": 0, "exclusiveMinimum": True, "maximum": 1.5},
        [],
        "ma.Float(validate=validate.Range(min=0, min_inclusive=False, max=1.5))",
    ),
    (
        {"enum": ["a", "b", None]},
        ["a"],
        'ma.String(required=True, allow_none=True, validate=validate.OneOf(["a", "b"]))',
    ),
    ({"enum": [1, 2]}, [], "ma.Integer(validate=validate.OneOf([1, 2]))"),
    ({"enum": [1, "a"]}, [], "ma.Raw()"),
    ({"bsonType": "binData"}, [Binary(UUID.bytes, 4)], "ma.UUID(required=True)"),
    ({"bsonType": "binData"}, [], "fields.Binary()"),
    (
        {"bsonType": "array", "minItems": 1, "items": {"bsonType": "date"}},
        [],
        "ma.List(ma.DateTime(), validate=validate.Length(min=1))",
    ),
    (
        {"bsonType": "object", "properties": {"a": {"bsonType": "bool"}}},
        [],
        "ma.Nested(PostFieldSchema)",
    ),
    ({"bsonType": "object"}, [], "ma.Dict()"),
    ({"bsonType": "regex"}, [], "ma.Raw()"),
    ({"type": "boolean"}, [], "ma.Boolean()"),
    ({"bsonType": "int"}, ["a"], "ma.Raw(required=True)"),
    ({"description": "anything"}, [], "ma.Raw()"),
]


@pytest.mark.parametrize(("rule", "values", "expected"), RULES)
def test_a_validator_wins(rule: dict[str, Any], values: list[Any], expected: str) -> None:
    documents = [{"_id": OID, "field": value} for value in values]
    whole = {"bsonType": "object", "properties": {"field": rule}}
    source, names = module(seen(documents, rule=whole))
    assert line_of(source, "field") == expected
    assert_dumps(names["PostResource"], documents)


def test_documents_that_break_the_validator_are_read_all_the_same() -> None:
    documents = [{"_id": OID, "field": "a"}]
    source, names = module(seen(documents, rule={"properties": {"field": {"bsonType": "int"}}}))
    assert "# Documents differ from the validator. Seen or allowed: int, string." in source
    assert_dumps(names["PostResource"], documents)


def test_what_a_validator_requires_is_required() -> None:
    rule = {
        "required": ["a", "o"],
        "properties": {
            "a": {"bsonType": "string"},
            "o": {
                "bsonType": "object",
                "required": ["b"],
                "properties": {"b": {"bsonType": "int"}, "c": {"bsonType": "int"}},
            },
        },
    }
    _, names = module(seen([{"_id": OID}], rule=rule))
    errors = names["PostSchema"]().validate({"o": {}})
    assert errors == {
        "a": ["Missing data for required field."],
        "o": {"b": ["Missing data for required field."]},
    }


@pytest.mark.parametrize(
    "rule",
    [
        [],
        {"properties": 5, "required": 5},
        {"properties": {"field": 5}},
        {"properties": {"field": {"bsonType": 5, "enum": 5, "minimum": "a", "items": [1]}}},
        {"properties": {"field": {"bsonType": 'x"\n', "enum": []}}},
        {"properties": {"field": {"bsonType": "string", "minLength": math.inf}}},
    ],
)
def test_a_validator_that_makes_no_sense_does_no_harm(rule: Any) -> None:
    documents = [{"_id": OID, "field": 1.5}]
    _, names = module(seen(documents, rule=rule))
    assert_dumps(names["PostResource"], documents)


# -------------------------------------------------------------------------------------- indexes


def index(*paths: Any, unique: bool = False, partial: bool = False) -> Index:
    keys = tuple((path, 1) if isinstance(path, str) else path for path in paths)
    return Index(keys, unique, partial)


def test_indexes_become_notes_filters_and_orderings(lint: Callable[..., None]) -> None:
    documents = [
        {
            "_id": OID,
            "email": "a@b",
            "age": 5,
            "ok": True,
            "born": DAY,
            "who": OID,
            "key": Binary(UUID.bytes, 4),
            "data": b"x",
            "tags": ["a"],
            "matrix": [[1]],
            "address": {"city": "x", "zip": "y"},
            "visits": [{"at": DAY}],
            "two__parts": 1,
            "first name": 1,
            "_own": 1,
        }
    ]
    indexes = [
        index("_id"),
        index("email", unique=True),
        index("address.city", ("age", -1)),
        index("visits.at"),
        index("tags", unique=True, partial=True),
        index("born", partial=True),
        index(("ok", "text")),
        index("two__parts", "nowhere.at.all", unique=True),
    ]
    source, names = module(seen(documents, indexes=indexes))
    posts = names["PostResource"]
    shown = {
        name: " ".join(operator.__name__ for operator in operators)
        for name, operators in posts.filters.items()
    }
    compared = "Exact Gt Gte Lt Lte"
    assert shown == {
        "id": "Exact In",
        "email": "Exact In Startswith",
        "age": compared,
        "ok": "Boolean",
        "born": compared,
        "who": "Exact In",
        "key": "Exact In",
        "tags": "Exact In Startswith",
        "address__city": "Exact In Startswith",
        "visits__at": compared,
    }
    assert posts.allowed_ordering == (
        *("id", "-id", "email", "-email", "address__city", "-address__city"),
    )
    assert '# Unique: "email"; "tags" (not in all documents); "two__parts" with' in source
    lint(source)


def test_references_are_ids_and_a_comment_says_how_to_embed(lint: Callable[..., None]) -> None:
    posts = seen([{"_id": OID, "class": OID, "editors": [OID], "other": OID}])
    posts.shape.fields["class"].refers = "users"
    editors = posts.shape.fields["editors"].items
    assert editors is not None
    editors.refers = "users"
    posts.shape.fields["other"].refers = "elsewhere"
    source, names = module(posts, seen([{"_id": OID}], "users"))
    assert line_of(source, "editors") == 'ma.List(fields.Reference("users"), required=True)'
    assert line_of(source, "other") == 'fields.Reference("elsewhere", required=True)'
    # The comment is a statement that works.
    (start,) = [n for n, line in enumerate(source.splitlines()) if "# related_res" in line]
    embedding = re.sub(r"(?m)^    # (related_resources|    |\})", r"    \1", source)
    assert embedding != source, source.splitlines()[start]
    names = {"__name__": "embedding"}
    exec(compile(embedding, "embedding", "exec", dont_inherit=True), names)
    related = names["PostResource"].related_resources  # type: ignore[attr-defined]
    assert {name: get() for name, get in related.items()} == {
        "class_": names["UserResource"],
        "editors": names["UserResource"],
    }
    lint(source)


# ---------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("collection", "expected"),
    [
        ("rocket_engines", "RocketEngine"),
        ("posts.comments", "PostsComment"),
        ("userEvents", "UserEvent"),
        ("HTTPLogs", "HTTPLog"),
        ("categories", "Category"),
        ("movies", "Movie"),
        ("addresses", "Address"),
        ("boxes", "Box"),
        ("statuses", "Status"),
        ("houses", "House"),
        ("news", "News"),
        ("analysis", "Analysis"),
        ("2020-data", "Collection2020Data"),
        ("class", "Class"),
        ("café", "Cafe"),
        ("🚀", "Collection"),
        ("用户", "Collection"),
        ("resource", "Resource2"),
        ('x"); import os', "XImportOs"),
        ("x" * 300, "X" + "x" * 35),
    ],
)
def test_names_of_classes(collection: str, expected: str) -> None:
    assert class_name(collection, set()) == expected


def test_names_of_classes_never_meet() -> None:
    collections = ["users", "user", "Users", "🚀", "collection", "user_addresses", "users2"]
    nested = [{"_id": OID, "address": {"a": 1}, "Address": {"a": 1}}]
    source, _ = module(*(seen(nested, name) for name in collections))
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(classes) == len(set(classes)) == 5 * len(collections)


#: Stored names that can't be, or had better not be, names of attributes.
ODD = [
    *("class", "None", "fields", "load", "dump", "validate", "opts", "Meta", "many", "only"),
    *("exclude", "get_attribute", "ma", "ops", "__class__", "__private", "l", "firstName"),
    *("First Name", "2x", "a-b", "ﬁ", "🚀", "PostSchema", "Any", "x" * 40, "x" * 300),
    *("first_name", "class_", "new\nline", "it's", 'say "hi"', "back\\slash", "\u202eabc"),
    *('x"); exec("import os', "'''", '"""', "\x07", "\u2028", "\x7f", "#"),
]


def test_odd_names_of_fields_are_kept_in_the_database_and_in_json(
    lint: Callable[..., None],
) -> None:
    documents = [{"_id": OID, **{name: n for n, name in enumerate(ODD)}}]
    source, names = module(seen(documents))
    assert_dumps(names["PostResource"], documents)
    declared = names["PostSchema"]._declared_fields
    stored = [field.attribute or name for name, field in declared.items()]
    assert stored == ["_id", *ODD]
    assert names["PostSchema"]().load({}, partial=True) == {}
    lint(source)


@pytest.mark.parametrize("name", ["title", "_own", "naïve", "用户", "is_2", "type", "list", "X"])
def test_good_names_of_fields_stay(name: str) -> None:
    assert attribute_names([name]) == {name: name}


# --------------------------------------------------------------------------------------- hostile

HOSTILE = [
    'x"); exec("import os")  #',
    "x'); exec('import os')  #",
    'x"); import os; os.system("touch pwned',
    "x'); import os; os.system('touch pwned",
    '"""\nimport os\n"""',
    "posts\n\nimport os",
    "posts\r\x0bimport os",
    "\\",
    '\\"',
    "\u202e\u2066posts\u2069",
    "\u2028import os",
    "__class__",
    "{0.__class__}",
    "%s%n",
    "x" * 250,
    "two words " * 20,
    "用" * 80,
    "a\x85b",
    "\ud7a3\u1160",
]


def statements(source: str) -> set[str]:
    """Return the kinds of statements and the calls in a source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Call):
            found.add(ast.unparse(node.func))
    return found


def test_a_hostile_database_gets_no_word_into_the_source(lint: Callable[..., None]) -> None:
    document = {
        "_id": "x",
        **dict.fromkeys(HOSTILE, 1),
        "nested": dict.fromkeys(HOSTILE, "x"),
        "ref": OID,
        "kind": "x",
    }
    rule = {
        "required": HOSTILE,
        "properties": {
            "kind": {"enum": HOSTILE},
            "other": {"bsonType": HOSTILE[0], "description": HOSTILE[0]},
            **{f"{name}2": {"bsonType": "string"} for name in HOSTILE},
        },
    }
    indexes = [index(name, f"nested.{name}", unique=True) for name in HOSTILE]
    collections = [
        seen([document], name, rule=rule, indexes=indexes, total=total, read_only=view)
        for name in HOSTILE
        for total, view in ((1, False), (5000, False), (None, True))
    ]
    # NOTE: a collection is there once only.
    collections = [
        Seen(f"{one.name}{n}", f"{one.name}{n}", *list(vars(one).values())[2:])
        for n, one in enumerate(collections)
    ]
    for one in collections:
        one.shape.fields["ref"].refers = HOSTILE[0] + "0"
    source, names = module(*collections, database=HOSTILE[0])
    harmless, _ = module(
        seen([{"_id": "x", "a": "y", "o": OID}], rule={"properties": {"a": {"enum": ["x"]}}})
    )
    extra = statements(source) - statements(harmless)
    assert {call for call in extra if not call.startswith(("ma.", "fields."))} == set()
    for line in source.splitlines():
        assert line.isprintable(), ascii(line)
        assert not re.search("[\u200b-\u200f\u2028-\u202e\u2066-\u2069]", line)
    for name, resource in resources(names).items():
        assert any(one.name == name for one in collections)
        assert_dumps(resource, [document])
    lint(source)


@given(st.text())
@example('"')
@example('\'""')
@example("\ud800")
@example(" " * 100)
def test_a_literal_is_what_it_says(text: str) -> None:
    source = literal(text)
    assert ast.literal_eval(source) == text
    assert source.isprintable()


@pytest.mark.parametrize("value", [None, True, 5, Int64(5), -1.5, 2**70])
def test_literals_of_other_kinds(value: Any) -> None:
    assert ast.literal_eval(literal(value)) == value


# -------------------------------------------------------------------------------- any documents

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)).map(
        lambda value: value.replace(microsecond=value.microsecond // 1000 * 1000)
    ),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.uuids().map(lambda value: Binary(value.bytes, 4)),
    st.sampled_from(
        [
            *(Regex("a"), Code("x"), Timestamp(1, 2), MinKey(), MaxKey(), DBRef("a", 1)),
            *(Decimal128("1.50"), Decimal128("NaN"), Int64(5), DatetimeMS(2**60)),
            *(Binary(b"x", 5), Binary(b"x", 4), 2**53 + 1),
        ]
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        ["a", "b", "id", "class", "fields", "a.b", "$x", "", "First Name", "mixedCase"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
IDENTITIES = st.one_of(st.integers(0, 99), st.binary(min_size=12, max_size=12).map(ObjectId))
DOCUMENTS = st.lists(
    st.builds(
        lambda identity, fields: {"_id": identity, **fields},
        IDENTITIES,
        st.dictionaries(KEYS, VALUES, max_size=5),
    ),
    max_size=5,
)


@given(DOCUMENTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_documents_are_dumped_whole(documents: list[dict[str, Any]]) -> None:
    _, names = module(seen(documents))
    assert_dumps(names["PostResource"], documents)


@given(DOCUMENTS)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_documents_give_the_same_text(documents: list[dict[str, Any]]) -> None:
    assert write("shop", [seen(documents)], None) == write("shop", [seen(documents)], None)


@given(st.lists(DOCUMENTS, min_size=5, max_size=5))
@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
def test_any_documents_give_formatted_source(
    lint: Callable[..., None], samples: list[list[dict[str, Any]]]
) -> None:
    lint(*(module(seen(documents))[0] for documents in samples))


# --------------------------------------------------------------------------------- the comments


def test_what_was_looked_at_is_said() -> None:
    documents = [{"_id": OID}]
    said = {
        kind: " ".join(re.findall(r"^# (.*)", write("shop", [one], None), re.M))
        for kind, one in {
            "all": seen(documents),
            "some": seen(documents, total=5000),
            "none": seen([]),
            "view": seen(documents, read_only=True, total=None),
        }.items()
    }
    assert said["all"] == 'The collection "posts": 1 document was looked at, all of them.'
    assert "1 document was looked at, of about 5000" in said["some"]
    assert "handle_serialization_error" in said["some"]
    assert said["none"] == 'The collection "posts": it is empty.'
    assert said["view"].startswith('The view "posts"')


def test_the_module_reads_only() -> None:
    _, names = module(seen([{"_id": OID}]), seen([], "empty", read_only=True))
    for view in (names["PostView"], names["EmptyView"]):
        assert [method.__name__ for method in view.methods] == ["List", "Fetch"]


def test_the_address_of_an_embedded_engine_is_the_only_one_that_is_told() -> None:
    source, names = module(seen([]), address="mongodb://127.0.0.1:5/?directConnection=true")
    assert names["DEFAULT_URI"] == "mongodb://127.0.0.1:5/shop?directConnection=true"
    assert "falcorest serve" in source
    _, names = module(seen([]), database="a b")
    assert names["DEFAULT_URI"] == "mongodb://localhost:27017/a%20b"
