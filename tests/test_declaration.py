"""Declarations: what a Resource class and a view may say, and what is an error at once."""

from __future__ import annotations

import functools
from typing import Any

import falcon
import marshmallow
import mongomock
import pytest
from falcon import testing
from marshmallow import fields as ma

from falcorest import ConfigurationError, FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.declaration import declaration_of


class InnerSchema(Schema):
    text = ma.String(attribute="t")
    count = ma.Integer(data_key="n")
    hidden = ma.String(load_only=True)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    friend = fields.Reference("users")


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    slug = ma.String(data_key="short")
    author = fields.Reference("users")
    editors = ma.List(fields.Reference("users"))
    content = ma.Nested(InnerSchema)
    parts = ma.List(ma.Nested(InnerSchema))
    password = ma.String(load_only=True)
    secrets = ma.List(ma.String(), load_only=True)
    vault = ma.Nested(InnerSchema, load_only=True)
    anything = ma.Dict()
    guess = ma.Method("guessed")
    kind = ma.String()

    def guessed(self, document: Any) -> str:
        return "guessed"


class InnerResource(Resource):
    schema = InnerSchema


class UserResource(Resource):
    collection = "users"
    schema = UserSchema


class PageResource(Resource):
    collection = "pages"
    schema = UserSchema


class BareResource(Resource):
    collection = "users"


class RuledInner(Resource):
    schema = InnerSchema

    def has_read_permission(self, req: falcon.Request, query: Any) -> Any:
        return query


class NeedsArguments:
    def __init__(self, argument: Any) -> None:
        self.argument = argument


class Nameless(ops.Operator):
    """Has no op."""


def declared(name: str = "PostResource", **attributes: Any) -> Any:
    """Make a resource class of posts, as a class statement does."""
    return type(name, (Resource,), {"collection": "posts", "schema": PostSchema, **attributes})


def served(resource: type[Resource], **attributes: Any) -> testing.TestClient:
    """Serve a resource from memory."""
    members = {"resource": resource, "methods": methods.ALL, **attributes}
    view = type("PostView", (ResourceView,), members)
    app = falcon.App()
    FalcoRest(app, mongomock.MongoClient().db).register(name="posts", url="/posts")(view)
    return testing.TestClient(app)


# ------------------------------------------------------------------------------------ errors

HINTS = "related_resources_hints"
CHILDREN = "child_document_resources"

#: What a class may not say: attributes, which of them is named, and a part of the message.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    # names that there aren't
    ({"filterz": {}}, "filterz", "Is filters meant?"),
    ({"default_limits": 5}, "default_limits", "Is default_limit meant?"),
    ({"related_resource": {}}, "related_resource", "Is related_resources meant?"),
    ({"allow_ordering": []}, "allow_ordering", "Is allowed_ordering meant?"),
    ({"document": UserSchema}, "document", "no such attribute"),
    ({"flavour": "sweet"}, "flavour", "no such attribute"),
    ({"Meta": type("Meta", (), {})}, "Meta", "no such attribute"),
    # other types than expected
    ({"collection": 5}, "collection", "a string"),
    ({"schema": PostSchema()}, "schema", "Schema"),
    ({"schema": int}, "schema", "Schema"),
    ({"schema": "PostSchema"}, "schema", "Schema"),
    ({"fields": "title"}, "fields", "a list of names"),
    ({"fields": [5]}, "fields", "a list of names"),
    ({"rename_fields": ["title"]}, "rename_fields", "a dict"),
    ({"filters": [ops.Exact]}, "filters", "a dict"),
    ({"filters": "title"}, "filters", "a dict"),
    ({"allowed_ordering": "title"}, "allowed_ordering", "a list of names"),
    ({"allowed_ordering": [("title", 1)]}, "allowed_ordering", "a list of names"),
    ({"paginate": 0}, "paginate", "true or false"),
    ({"default_limit": "100"}, "default_limit", "a whole number"),
    ({"default_limit": 1.5}, "default_limit", "a whole number"),
    ({"default_limit": True}, "default_limit", "a whole number"),
    ({"default_limit": -1}, "default_limit", "a whole number"),
    ({"max_limit": -1}, "max_limit", "a whole number"),
    ({"bulk_update_limit": None}, "bulk_update_limit", "a whole number"),
    ({"bulk_update_limit": -1}, "bulk_update_limit", "a whole number"),
    ({"max_depth": "deep"}, "max_depth", "a whole number"),
    ({"related_resources": [UserResource]}, "related_resources", "a dict"),
    ({"related_resources_hints": ["posts"]}, "related_resources_hints", "a dict"),
    ({"save_related_fields": "author"}, "save_related_fields", "a list of names"),
    ({"child_document_resources": []}, "child_document_resources", "a dict"),
    ({"default_child_resource_document": 5}, "default_child_resource_document", "a string"),
    ({"type_field": 5}, "type_field", "a string"),
    ({"uri_prefix": 5}, "uri_prefix", "a string"),
    ({"transactional": 1}, "transactional", "true or false"),
    # names of what is shown
    ({"fields": ["nope"]}, "fields", "'nope'"),
    ({"fields": ["_own"], "_own": lambda self, document: 1}, "fields", "'_own'"),
    ({"fields": ["serialize"]}, "fields", "'serialize'"),
    ({"fields": ["filters"]}, "fields", "'filters'"),
    ({"fields": ["collection"]}, "fields", "'collection'"),
    # renaming
    ({"rename_fields": {"nope": "x"}}, "rename_fields", "'nope'"),
    ({"rename_fields": {"short": "x"}}, "rename_fields", "'short'"),
    ({"rename_fields": {"title": "content"}}, "rename_fields", "'content'"),
    ({"rename_fields": {"title": "short"}}, "rename_fields", "'short'"),
    ({"rename_fields": {"title": "x", "slug": "x"}}, "rename_fields", "'x'"),
    ({"rename_fields": {"title": ""}}, "rename_fields", "'title'"),
    ({"rename_fields": {"title": 5}}, "rename_fields", "'title'"),
    ({"rename_fields": {"title": None}}, "rename_fields", "'title'"),
    # filters
    ({"filters": {"nope": [ops.Exact]}}, "filters", "'nope'"),
    ({"filters": {"slug": [ops.Exact]}}, "filters", "'slug'"),
    ({"filters": {"title__text": [ops.Exact]}}, "filters", "'title__text'"),
    ({"filters": {"content__nope": [ops.Exact]}}, "filters", "'content__nope'"),
    ({"filters": {"content__count": [ops.Exact]}}, "filters", "'content__count'"),
    ({"filters": {"anything__key": [ops.Exact]}}, "filters", "'anything__key'"),
    ({"filters": {"guess": [ops.Exact]}}, "filters", "'guess'"),
    ({"filters": {"": [ops.Exact]}}, "filters", "''"),
    ({"filters": {5: [ops.Exact]}}, "filters", "5"),
    ({"filters": {"password": [ops.Exact]}}, "filters", "'password'"),
    ({"filters": {"password": [ops.Startswith]}}, "filters", "'password'"),
    ({"filters": {"secrets": [ops.Exact]}}, "filters", "'secrets'"),
    ({"filters": {"vault__text": [ops.Exact]}}, "filters", "'vault__text'"),
    ({"filters": {"vault": [ops.Exists]}}, "filters", "'vault'"),
    ({"filters": {"content__hidden": [ops.Exact]}}, "filters", "'content__hidden'"),
    ({"filters": {"title": ops.Exact}}, "filters", "a list of operators"),
    ({"filters": {"title": ops.Exact()}}, "filters", "a list of operators"),
    ({"filters": {"title": "exact"}}, "filters", "a list of operators"),
    ({"filters": {"title": ["exact"]}}, "filters", "'exact'"),
    ({"filters": {"title": [str]}}, "filters", "str"),
    ({"filters": {"title": [None]}}, "filters", "None"),
    ({"filters": {"title": [NeedsArguments]}}, "filters", "NeedsArguments"),
    ({"filters": {"title": [ops.Operator]}}, "filters", "Operator"),
    ({"filters": {"title": [Nameless]}}, "filters", "Nameless"),
    ({"filters": {"content": [ops.Exact]}}, "filters", "'content'"),
    ({"filters": {"anything": [ops.Gt]}}, "filters", "'anything'"),
    (
        {
            "rename_fields": {"slug": "title__exact"},
            "filters": {"title": [ops.Exact], "title__exact": [ops.Exact]},
        },
        "filters", "'title__exact'",
    ),
    (
        {"rename_fields": {"title": "_limit"}, "filters": {"_limit": [ops.Exact]}},
        "filters", "'_limit'",
    ),
    # ordering
    ({"allowed_ordering": ["nope"]}, "allowed_ordering", "'nope'"),
    ({"allowed_ordering": ["-nope"]}, "allowed_ordering", "'-nope'"),
    ({"allowed_ordering": ["slug"]}, "allowed_ordering", "'slug'"),
    ({"allowed_ordering": ["title,nope"]}, "allowed_ordering", "'nope'"),
    ({"allowed_ordering": ["--title"]}, "allowed_ordering", "'--title'"),
    ({"allowed_ordering": [""]}, "allowed_ordering", "''"),
    ({"allowed_ordering": ["password"]}, "allowed_ordering", "'password'"),
    ({"allowed_ordering": ["vault__text"]}, "allowed_ordering", "'vault__text'"),
    ({"allowed_ordering": ["secrets"]}, "allowed_ordering", "'secrets'"),
    # relations
    ({"related_resources": {"nope": UserResource}}, "related_resources", "'nope'"),
    ({"related_resources": {"short": UserResource}}, "related_resources", "'short'"),
    ({"related_resources": {"title": UserResource}}, "related_resources", "'title'"),
    ({"related_resources": {"author": UserSchema}}, "related_resources", "UserSchema"),
    ({"related_resources": {"author": "UserResource"}}, "related_resources", "'UserResource'"),
    ({"related_resources": {"author": None}}, "related_resources", "None"),
    ({"related_resources": {"author": PageResource}}, "related_resources", "'users'"),
    ({"related_resources": {"editors": PageResource}}, "related_resources", "'users'"),
    ({"related_resources": {"author": InnerResource}}, "related_resources", "'users'"),
    ({"related_resources": {"author": BareResource}}, "related_resources", "no schema"),
    ({"related_resources": {"content": UserResource}}, "related_resources", "has a collection"),
    ({"related_resources": {"content": RuledInner}}, "related_resources", "permission"),
    (
        {"related_resources": {"us": UserResource}, "related_resources_hints": {"us": "nope"}},
        "related_resources_hints", "'nope'",
    ),
    (
        {"related_resources": {"us": InnerResource}, "related_resources_hints": {"us": "text"}},
        "related_resources_hints", "'text'",
    ),
    ({"related_resources_hints": {"comments": "friend"}}, "related_resources_hints", "'comments'"),
    (
        {"related_resources": {"title": UserResource}, HINTS: {"title": "friend"}},
        HINTS, "'title'",
    ),
    ({"save_related_fields": ["author"]}, "save_related_fields", "'author'"),
    ({"save_related_fields": ["nope"]}, "save_related_fields", "'nope'"),
    (
        {"related_resources": {"content": InnerResource}, "save_related_fields": ["content"]},
        "save_related_fields", "'content'",
    ),
    # kinds of documents
    ({"child_document_resources": {"a": declared("A")}}, "type_field", "child_document_resources"),
    *(
        ({CHILDREN: {"a": one}, "type_field": "kind"}, CHILDREN, "'a'")
        for one in (UserSchema, 5, PageResource, BareResource)
    ),
    (
        {
            "child_document_resources": {"a": declared("A")}, "type_field": "kind",
            "default_child_resource_document": "b",
        },
        "default_child_resource_document", "'b'",
    ),
    ({"default_child_resource_document": "b"}, "default_child_resource_document", "'b'"),
]  # fmt: skip


def _name_of(row: tuple[dict[str, Any], str, str]) -> str:
    return f"{row[1]}-{row[2]}"


@pytest.mark.parametrize("row", WRONG, ids=_name_of)
def test_what_is_wrong_is_an_error_that_names_the_class_and_the_attribute(
    row: tuple[dict[str, Any], str, str],
) -> None:
    attributes, attribute, part = row
    with pytest.raises(ConfigurationError) as caught:
        served(declared("Misspelt", **attributes))
    about = [one for one in caught.value.problems if one.startswith(f"Misspelt.{attribute}: ")]
    assert any(part in one for one in about), caught.value.problems
    assert all("\n" not in one for one in caught.value.problems)


@pytest.mark.parametrize(
    "row",
    [row for row in WRONG if not any(callable(one) for one in row[0].values())],
    ids=_name_of,
)
def test_and_it_is_one_when_the_class_is_made(row: tuple[dict[str, Any], str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"^Misspelt.{row[1]}: "):
        declared("Misspelt", **row[0])


def test_a_class_statement_is_refused_as_it_stands() -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.filtres: .* Is filters meant\?"):

        class Wrong(Resource):
            filtres = {"title": [ops.Exact]}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        declared(filterz={}, default_limit="x")
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigurationError) as caught:
        declared(filters={"nope": [ops.Exact], "no": [ops.Exact]}, allowed_ordering=["nay"])
    assert len(caught.value.problems) == 3


def test_two_fields_of_a_schema_with_one_name_are_an_error() -> None:
    class Twice(Schema):
        a = ma.String(data_key="x")
        x = ma.String()

    with pytest.raises(ConfigurationError, match=r"^R\.\w+: .*'x'"):
        declared("R", schema=Twice)


def test_a_method_that_computes_may_not_take_the_name_of_a_field() -> None:
    def shout(self: Any, document: Any) -> str:
        return "!"

    with pytest.raises(ConfigurationError, match=r"R\.rename_fields: .*'title'"):
        declared("R", fields=["title", "shout"], shout=shout, rename_fields={"shout": "title"})


@pytest.mark.parametrize("given", [lambda: PageResource, lambda: 5, lambda: nothing_of_that_name])  # noqa: F821
def test_what_a_function_returns_is_checked_when_the_view_is_registered_at_the_latest(
    given: Any,
) -> None:
    with pytest.raises(ConfigurationError, match=r"^Late\.related_resources: 'author'"):
        served(declared("Late", related_resources={"author": given}))


def test_what_is_there_later_is_checked_when_the_view_is_registered() -> None:
    there: dict[str, Any] = {}

    def author() -> Any:
        if not there:
            raise NameError("author")
        return there["author"]

    resource = declared("Late", related_resources={"author": author})
    there["author"] = PageResource
    with pytest.raises(ConfigurationError, match=r"^Late\.related_resources: 'author'"):
        served(resource)
    there["author"] = UserResource
    assert served(resource).simulate_get("/posts").status_code == 200


def test_a_related_resource_that_is_declared_wrongly_is_named_itself() -> None:
    def make() -> Any:
        class Pages(Resource):
            collection = "users"
            schema = UserSchema
            related_resources = {"friend": lambda: PageResource}

        return declared("Posts", related_resources={"author": Pages})

    with pytest.raises(ConfigurationError, match=r"^Pages\.related_resources"):
        served(make())


# -------------------------------------------------------------------------------- what is right


class Mixin:
    """Not a resource, and so its attributes are its own affair."""

    flavour = "sweet"

    def shout(self, document: dict[str, Any]) -> str:
        return f"{document['title']}!"


class Everything(Mixin, Resource):
    """Says all that can be said."""

    _private = {"anything": "goes"}
    __also = 5

    collection = "posts"
    schema = PostSchema
    fields = ["id", "title", "author", "content", "shout", "loud", "friends"]
    rename_fields = {"author": "author_id", "shout": "shouted"}
    filters = {
        "title": [ops.Exact, ops.In(allow_negation=True)],
        "short": (ops.Exact,),
        "author_id": [ops.Exact],
        "content__text": [ops.Exact],
        "content__n": [ops.Gt],
        "parts__text": [ops.Exact],
        "content": [ops.Exists],
        "anything": [ops.Exists],
        "editors": [ops.Exact],
    }
    allowed_ordering = ["title", "-title", "content__text", "title,-short"]
    paginate = True
    default_limit = 10
    max_limit = None
    bulk_update_limit = 0
    related_resources = {"author": UserResource, "content": InnerResource, "friends": UserResource}
    related_resources_hints = {"friends": "friend"}
    save_related_fields = ["author"]
    max_depth = 1
    uri_prefix = None
    transactional = False

    @property
    def lowered(self) -> str:
        return "lowered"

    @functools.cached_property
    def cached(self) -> str:
        return "cached"

    @staticmethod
    def helper() -> int:
        return 5

    @classmethod
    def maker(cls) -> Any:
        return cls

    def loud(self, document: dict[str, Any]) -> str:
        return str(document["title"]).upper()


class Inherits(Everything):
    fields = ["title", "loud", "shout"]


def test_a_resource_may_say_all_of_this_and_have_things_of_its_own() -> None:
    client = served(Everything)
    created = client.simulate_post("/posts", json={"title": "a"})
    assert created.status_code == 201
    shown = client.simulate_get(created.headers["location"]).json
    id = shown.pop("id")
    assert shown == {"title": "a", "shouted": "a!", "loud": "A", "friends": []}
    assert len(id) == 24


def test_a_resource_inherits_what_it_does_not_say() -> None:
    client = served(Inherits)
    client.simulate_post("/posts", json={"title": "a"})
    listed = client.simulate_get("/posts", query_string="short__exact=x").json
    assert listed == {"data": [], "has_more": False}
    assert client.simulate_get("/posts").json["data"] == [
        {"title": "a", "loud": "A", "shouted": "a!"}
    ]
    assert declaration_of(Inherits) is not declaration_of(Everything)
    assert set(declaration_of(Inherits).filters) == set(declaration_of(Everything).filters)


def test_a_computed_field_may_be_renamed_where_it_is_not_shown_by_default() -> None:
    class Narrow(Everything):
        fields = ["title"]

        def get_optional_fields(self) -> list[str]:
            return ["shout"]

    client = served(Narrow)
    client.simulate_post("/posts", json={"title": "a"})
    assert client.simulate_get("/posts").json["data"] == [{"title": "a"}]
    named = client.simulate_get("/posts", query_string="_fields=shouted")
    assert named.json["data"] == [{"shouted": "a!"}]


def test_the_names_of_filters_are_those_that_are_declared() -> None:
    assert {
        name: (one.stored, one.operator.op, one.negate)
        for name, one in declaration_of(Everything).filters.items()
    } == {
        "title": ("title", "exact", False),
        "title__exact": ("title", "exact", False),
        "title__in": ("title", "in", False),
        "title__not__in": ("title", "in", True),
        "short": ("slug", "exact", False),
        "short__exact": ("slug", "exact", False),
        "author_id": ("author", "exact", False),
        "author_id__exact": ("author", "exact", False),
        "content__text": ("content.t", "exact", False),
        "content__text__exact": ("content.t", "exact", False),
        "content__n__gt": ("content.count", "gt", False),
        "parts__text": ("parts.t", "exact", False),
        "parts__text__exact": ("parts.t", "exact", False),
        "content__exists": ("content", "exists", False),
        "anything__exists": ("anything", "exists", False),
        "editors": ("editors", "exact", False),
        "editors__exact": ("editors", "exact", False),
    }


def test_ordering_is_by_stored_names() -> None:
    assert declaration_of(Everything).ordering == {
        "title": (("title", 1),),
        "-title": (("title", -1),),
        "content__text": (("content.t", 1),),
        "title,-short": (("title", 1), ("slug", -1)),
    }


def test_names_are_resolved_by_the_longest_that_fits() -> None:
    class Overlapping(Schema):
        a = ma.Nested(Schema.from_dict({"b": ma.String(), "c": ma.Integer()}))
        a__b = ma.String(attribute="other")

    resource = declared(schema=Overlapping, filters={"a__b": [ops.Exact], "a__c": [ops.Exact]})
    filters = declaration_of(resource).filters
    assert filters["a__b"].stored == "other"
    assert filters["a__c"].stored == "a.c"


def test_the_names_of_two_fields_may_be_exchanged() -> None:
    class Swapped(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        a = ma.String(attribute="b", data_key="c")
        b = ma.String(attribute="c", data_key="a")
        c = ma.String(attribute="a", data_key="b")

    allowed = ["a", "b", "c"]
    resource = declared(
        schema=Swapped, filters={name: [ops.Exact] for name in allowed}, allowed_ordering=allowed
    )
    client = served(resource)
    body = {"c": "stored as b", "a": "stored as c", "b": "stored as a"}
    shown = client.simulate_post("/posts", json=body).json
    assert {name: shown[name] for name in body} == body
    for name, value in body.items():
        query = {name: value, "_fields": name, "_order_by": name}
        assert client.simulate_get("/posts", params=query).json["data"] == [{name: value}]


@pytest.mark.parametrize("last", ["a class", "a function"])
def test_relations_may_run_in_circles(last: str) -> None:
    class Person(Resource):
        collection = "users"
        schema = UserSchema
        related_resources = {"friend": lambda: Person, "posts": lambda: Written}
        related_resources_hints = {"posts": "author"}

    class Written(Resource):
        collection = "posts"
        schema = PostSchema
        related_resources = {"author": Person if last == "a class" else lambda: Person}

    for resource in (Person, Written):
        assert served(resource).simulate_get("/posts").json == {"data": [], "has_more": False}
    assert {name: one.resource for name, one in declaration_of(Person).relations.items()} == {
        "friend": Person,
        "posts": Written,
    }


class PlainInner(marshmallow.Schema):
    when = ma.Date()


class PlainSchema(marshmallow.Schema):
    """One of marshmallow's, with no trace of ours."""

    class Meta:
        ordered = True

    id = ma.String(dump_only=True, attribute="_id")
    day = ma.Date()
    key = ma.UUID(data_key="uuid")
    inner = ma.Nested(PlainInner)


def test_a_schema_may_be_one_of_marshmallows() -> None:
    client = served(declared(schema=PlainSchema, filters={"day": [ops.Gte]}))
    body = {
        "day": "2024-02-29",
        "uuid": "12345678-1234-5678-9234-567812345678",
        "inner": {"when": "2024-02-29"},
    }
    shown = client.simulate_post("/posts", json=body).json
    assert {name: shown[name] for name in body} == body
    assert client.simulate_get("/posts", query_string="day__gte=2024-02-29").json["data"] == [shown]
    assert client.simulate_get("/posts", query_string="day__gte=2024-03-01").json["data"] == []
    assert client.simulate_post("/posts", json={"nope": 1}).status_code == 400


def test_a_schema_is_not_changed_by_being_used() -> None:
    class Own(marshmallow.Schema):
        a = ma.String()
        b = ma.Nested(PlainInner)

    before = {name: vars(field).copy() for name, field in Own._declared_fields.items()}
    declared(schema=Own, rename_fields={"a": "x"}, related_resources={})
    served(declared(schema=Own))
    assert {name: vars(field) for name, field in Own._declared_fields.items()} == before
    assert Own().dump({"a": "y"}) == {"a": "y"}


def test_a_resource_without_anything_is_a_collection_as_it_stands() -> None:
    client = served(BareResource)
    assert client.simulate_post("/posts", json={"_id": "x", "any": {"thing": 1}}).status_code == 201
    assert client.simulate_get("/posts/x").json == {"_id": "x", "any": {"thing": 1}}


# --------------------------------------------------------------------------------------- views


@pytest.mark.parametrize(
    ("attributes", "attribute"),
    [
        ({"methods": ["Create"]}, "methods"),
        ({"methods": [methods.Create()]}, "methods"),
        ({"methods": [methods.Method]}, "methods"),
        ({"methods": [methods]}, "methods"),
        ({"methods": [None]}, "methods"),
        ({"methods": methods.Create}, "methods"),
        ({"methods": "Create"}, "methods"),
        ({"methods": None}, "methods"),
        ({"method": [methods.Create]}, "method"),
        ({"metods": [methods.Create]}, "metods"),
        ({"resources": UserResource}, "resources"),
        ({"authentication_method": []}, "authentication_method"),
        ({"authentification_methods": []}, "authentification_methods"),
        ({"authentication_methods": 5}, "authentication_methods"),
        ({"has_read_permissions": lambda self, req, query: query}, "has_read_permissions"),
        ({"has_add_permision": lambda self, req, document: True}, "has_add_permision"),
        ({"public_method": frozenset()}, "public_method"),
    ],
)
def test_a_view_that_says_something_wrong_is_an_error_that_names_it(
    attributes: dict[str, Any], attribute: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^PostView\.{attribute}: "):
        type("PostView", (ResourceView,), {"resource": UserResource, **attributes})


@pytest.mark.parametrize("resource", [None, 5, UserSchema, "UserResource", object()])
def test_a_view_needs_a_resource(resource: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^PostView\.resource: "):
        served(resource)


def test_a_view_needs_a_collection() -> None:
    with pytest.raises(ConfigurationError, match=r"^InnerResource\.collection: "):
        served(InnerResource)


@pytest.mark.parametrize("view", [UserResource, object, None, ResourceView.__init__])
def test_only_views_can_be_registered(view: Any) -> None:
    api = FalcoRest(falcon.App(), mongomock.MongoClient().db)
    with pytest.raises(ConfigurationError, match=r"^register: "):
        api.register(name="posts", url="/posts")(view)


def test_a_view_may_have_things_of_its_own() -> None:
    class OwnView(ResourceView):
        resource = UserResource
        methods = (methods.List,)
        flavour = "sweet"
        _private = 5

        def helper(self) -> str:
            return self.flavour

    app = falcon.App()
    FalcoRest(app, mongomock.MongoClient().db).register(name="users", url="/users")(OwnView)
    assert testing.TestClient(app).simulate_get("/users").status_code == 200
