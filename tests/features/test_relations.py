"""Relations: embedded documents, references and reverse relations, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import Commands, snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database


def view_of(resource: type[Resource], **more: Any) -> type[ResourceView]:
    return type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL, **more})


def make_resource(_base: type[Resource] = Resource, **says: Any) -> type[Resource]:
    return type("Made", (_base,), says)


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def watched(make_database: Callable[..., Any], commands: Commands) -> MakeDeclared:
    """Serve views from a replica set whose commands are noted."""

    def make(**views: type[ResourceView]) -> DeclaredApi:
        database = make_database("mongod", event_listeners=[commands])
        return DeclaredApi(database).register(**views)

    return make


# ------------------------------------------------------------------------------ embedded documents


class CompanySchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    boss = fields.Reference("users", allow_none=True)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    company = fields.Reference("companies", attribute="c", allow_none=True)
    password = ma.String(load_only=True)


class Users(Resource):
    collection = "users"
    schema = UserSchema
    fields = ["id", "name"]


class ContentSchema(Schema):
    text = ma.String(required=True, attribute="t")
    words = ma.Integer()
    by = fields.Reference("users", allow_none=True)


class Content(Resource):
    schema = ContentSchema
    fields = ["text", "by", "shout"]
    rename_fields = {"text": "body"}
    related_resources = {"by": Users}

    def shout(self, document: Document) -> str:
        return str(document["t"]).upper()


class PlainContent(Resource):
    schema = ContentSchema
    fields = ["text", "words"]
    rename_fields = {"text": "body"}


class PageSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    content = ma.Nested(ContentSchema, allow_none=True)
    parts = ma.List(ma.Nested(ContentSchema))
    many = ma.Nested(ContentSchema, many=True)


class Pages(Resource):
    collection = "pages"
    schema = PageSchema
    related_resources = {"content": Content, "parts": Content, "many": Content}
    filters = {"content__body": [ops.Exact, ops.Startswith], "title": [ops.Exact]}
    allowed_ordering = ["content__body", "-content__body"]


class PlainPages(Pages):
    related_resources = {"content": PlainContent, "parts": PlainContent, "many": PlainContent}


def put_user(api: DeclaredApi, name: str, **values: Any) -> Document:
    user = {"_id": ObjectId(), "name": name, **values}
    api.database.users.insert_one(user)
    return user


def test_an_embedded_document_is_shown_through_its_resource(declared_api: MakeDeclared) -> None:
    api = declared_api(pages=view_of(Pages))
    ann = put_user(api, "Ann")
    part = {"t": "hello", "words": 1, "by": ann["_id"], "unknown": 1}
    shown = {"body": "hello", "by": {"id": str(ann["_id"]), "name": "Ann"}, "shout": "HELLO"}
    api.database.pages.insert_one({"content": part, "parts": [part, part], "many": [part]})
    [page] = api.listed("/pages/")
    page.pop("id")
    assert page == {"content": shown, "parts": [shown, shown], "many": [shown]}


def test_an_embedded_document_may_be_shown_in_part(declared_api: MakeDeclared) -> None:
    api = declared_api(pages=view_of(PlainPages))
    part = {"t": "hello", "words": 1, "by": ObjectId()}
    api.database.pages.insert_one({"content": part, "parts": [part], "many": []})
    [page] = api.listed("/pages/")
    page.pop("id")
    shown = {"body": "hello", "words": 1}
    assert page == {"content": shown, "parts": [shown], "many": []}


@pytest.mark.parametrize("resource", [Pages, PlainPages])
def test_embedded_documents_that_are_not_there(
    declared_api: MakeDeclared, resource: type[Resource]
) -> None:
    api = declared_api(pages=view_of(resource))
    api.database.pages.insert_many([{"title": "none"}, {"title": "null", "content": None}])
    shown = [{key: page[key] for key in page if key != "id"} for page in api.listed("/pages/")]
    assert shown == [{"title": "none"}, {"title": "null", "content": None}]


@pytest.mark.parametrize("resource", [Pages, PlainPages])
def test_an_embedded_document_is_written_by_its_own_names(
    declared_api: MakeDeclared, resource: type[Resource]
) -> None:
    api = declared_api(pages=view_of(resource))
    ann = put_user(api, "Ann")
    given = {"body": "x", "words": 2, "by": str(ann["_id"])}
    created = api.create("/pages/", {"content": given, "parts": [given], "many": [given]})
    stored = {"t": "x", "words": 2, "by": ann["_id"]}
    [page] = api.database.pages.find({}, {"_id": 0})
    assert page == {"content": stored, "parts": [stored], "many": [stored]}
    changed = api.patch(f"/pages/{created['id']}", {"content": {"body": "y"}})
    assert changed.json["content"]["body"] == "y"
    # A nested object replaces the stored one.
    assert api.database.pages.find_one()["content"] == {"t": "y"}


@pytest.mark.parametrize("resource", [Pages, PlainPages])
@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"content": {}}, {"content": ["body"]}),
        ({"content": {"text": "x"}}, {"content": ["text", "body"]}),
        ({"content": {"t": "x", "body": "y"}}, {"content": ["t"]}),
        ({"content": {"body": 5}}, {"content": ["body"]}),
        ({"parts": [{"body": "x"}, {"body": "x", "words": "a"}]}, {"parts": {"1": ["words"]}}),
        ({"many": [{"body": "x"}, {}]}, {"many": {"1": ["body"]}}),
        ({"content": {"body": "x", "nope": 1}}, {"content": ["nope"]}),
    ],
)
def test_an_embedded_document_is_validated_in_full(
    make_declared: MakeDeclared, resource: type[Resource], body: Document, errors: Any
) -> None:
    api = make_declared(pages=view_of(resource))
    page = {"_id": ObjectId(), "content": {"t": "old", "words": 1}}
    api.database.pages.insert_one(page)
    for result in (api.patch(f"/pages/{page['_id']}", body), api.post("/pages/", body)):
        found, expected = assert_problem(result, 400, "body.invalid")["field-errors"], errors
        while isinstance(expected, dict):
            assert list(found) == list(expected)
            [(key, expected)] = expected.items()
            found = found[key]
        assert sorted(found) == sorted(expected)
    assert snapshot(api.database) == {"pages": [page]}


def test_embedded_documents_that_were_read_can_be_sent_back(declared_api: MakeDeclared) -> None:
    api = declared_api(pages=view_of(PlainPages))
    part = {"t": "hello", "words": 1}
    page = {"_id": ObjectId(), "title": "t", "content": part, "parts": [part], "many": [part]}
    api.database.pages.insert_one(page)
    url = f"/pages/{page['_id']}"
    for method in ("PATCH", "PUT"):
        assert api(method, url, api.get(url).json).status_code == 200
        assert snapshot(api.database) == {"pages": [page]}


def test_references_in_embedded_documents_that_were_read_can_be_sent_back(
    declared_api: MakeDeclared,
) -> None:
    class WithoutShout(Content):
        fields = ["text", "words", "by"]

    api = declared_api(
        pages=view_of(make_resource(Pages, related_resources={"content": WithoutShout}))
    )
    ann = put_user(api, "Ann")
    page = {"_id": ObjectId(), "content": {"t": "x", "words": 1, "by": ann["_id"]}}
    api.database.pages.insert_one(page)
    url = f"/pages/{page['_id']}"
    read = api.get(url).json
    assert read["content"]["by"]["name"] == "Ann"
    for method in ("PATCH", "PUT"):
        assert api(method, url, read).status_code == 200
        assert api.database.pages.find_one() == page


def test_a_computed_field_of_an_embedded_document_that_was_read_can_be_sent_back(
    make_declared: MakeDeclared,
) -> None:
    """As one of the document itself can."""
    api = make_declared(pages=view_of(Pages))
    page = {"_id": ObjectId(), "title": "t", "content": {"t": "x"}}
    api.database.pages.insert_one(page)
    url = f"/pages/{page['_id']}"
    read = api.get(url).json
    assert read["content"]["shout"] == "X"
    result = api.patch(url, {**read, "title": "other"})
    assert result.status_code == 200, result.text
    assert api.database.pages.find_one() == {**page, "title": "other"}


def test_filters_and_ordering_go_into_embedded_documents(declared_api: MakeDeclared) -> None:
    api = declared_api(pages=view_of(Pages))
    api.database.pages.insert_many([{"title": t, "content": {"t": t}} for t in ("b", "a", "ab")])

    def titles(query: str) -> list[str]:
        return [one["title"] for one in api.listed(f"/pages/?{query}")]

    assert titles("content__body=a") == ["a"]
    assert titles("content__body__startswith=a&_order_by=-content__body") == ["ab", "a"]
    assert titles("content.body=b") == ["b"]
    assert titles("_order_by=content__body") == ["a", "ab", "b"]
    assert_problem(api.get("/pages/?content__text=a"), 400, "query.unknown_parameter")


def test_references_in_lists_of_embedded_documents_are_one_query(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(
        pages=view_of(
            make_resource(
                PlainPages, related_resources={**PlainPages.related_resources, "parts": Content}
            )
        )
    )
    users = [put_user(api, f"u{n}") for n in range(30)]
    api.database.pages.insert_many(
        [
            {"parts": [{"t": "x", "by": users[(p * 3 + n) % 30]["_id"]} for n in range(3)]}
            for p in range(20)
        ]
    )
    commands.take()
    pages = api.listed("/pages/")
    assert [part["by"]["name"] for part in pages[1]["parts"]] == ["u3", "u4", "u5"]
    assert commands.names() == ["find", "find"]


def test_an_embedded_document_in_an_embedded_document(declared_api: MakeDeclared) -> None:
    class InnerSchema(Schema):
        value = ma.Integer(attribute="v")
        by = fields.Reference("users")

    class OuterSchema(Schema):
        inner = ma.Nested(InnerSchema)

    class WholeSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        outer = ma.List(ma.Nested(OuterSchema))

    class Inner(Resource):
        schema = InnerSchema
        rename_fields = {"value": "number"}
        related_resources = {"by": Users}

    class Outer(Resource):
        schema = OuterSchema
        rename_fields = {"inner": "core"}
        related_resources = {"inner": Inner}

    whole = make_resource(
        collection="wholes",
        schema=WholeSchema,
        related_resources={"outer": Outer},
        filters={"outer__core__number": [ops.Exact, ops.Gte]},
    )
    api = declared_api(wholes=view_of(whole))
    ann = put_user(api, "Ann")
    body = {"outer": [{"core": {"number": n, "by": str(ann["_id"])}} for n in range(2)]}
    created = api.create("/wholes/", body)
    assert [one["core"]["number"] for one in created["outer"]] == [0, 1]
    assert created["outer"][1]["core"]["by"]["name"] == "Ann"
    assert api.database.wholes.find_one()["outer"][1] == {"inner": {"v": 1, "by": ann["_id"]}}
    assert len(api.listed("/wholes/?outer__core__number=1")) == 1
    assert api.listed("/wholes/?outer__core__number__gte=2") == []
    result = api.post("/wholes/", {"outer": [{"core": {"value": 1}}]})
    errors = assert_problem(result, 400, "body.invalid")["field-errors"]
    assert list(errors["outer"]["0"]["core"]) == ["value"]


def test_serialize_of_an_embedded_resource_shows_it(make_declared: MakeDeclared) -> None:
    class Shown(PlainContent):
        def serialize(self, document: Document) -> dict[str, Any]:
            return {**super().serialize(document), "more": document["words"] + 1}

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            return None

    related = {"content": Shown, "parts": Shown}
    api = make_declared(pages=view_of(make_resource(Pages, related_resources=related)))
    good, bad = {"t": "x", "words": 1}, {"t": "y", "words": "no number"}
    api.database.pages.insert_one({"content": bad, "parts": [bad, good, bad]})
    [page] = api.listed("/pages/")
    assert page["parts"] == [{"body": "x", "words": 1, "more": 2}]
    assert page["content"] is None


# ------------------------------------------------------------------------------------ references


class Companies(Resource):
    collection = "companies"
    schema = CompanySchema
    fields = ["id", "name"]


class UsersWithCompany(Resource):
    collection = "users"
    schema = UserSchema
    related_resources = {"company": Companies}


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    author = fields.Reference("users", attribute="by.author", allow_none=True)
    editors = ma.List(fields.Reference("users"))


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources = {"author": Users, "editors": Users}
    rename_fields = {"author": "writer"}
    filters = {"writer": [ops.Exact, ops.In], "title": [ops.Exact]}


def put_posts(api: DeclaredApi, count: int, users: list[Document]) -> list[Document]:
    """Store posts, each with one author and three editors, round robin."""
    posts = [
        {
            "_id": ObjectId(),
            "title": str(n),
            "by": {"author": users[n % len(users)]["_id"]},
            "editors": [users[(n * 3 + k) % len(users)]["_id"] for k in range(3)],
        }
        for n in range(count)
    ]
    api.database.posts.insert_many(posts)
    return posts


def put_users(api: DeclaredApi, count: int, **values: Any) -> list[Document]:
    users = [{"_id": ObjectId(), "name": f"u{n}", **values} for n in range(count)]
    api.database.users.insert_many(users)
    return users


def expected_post(post: Document, users: list[Document]) -> Document:
    shown = {user["_id"]: {"id": str(user["_id"]), "name": user["name"]} for user in users}
    return {
        "id": str(post["_id"]),
        "title": post["title"],
        "writer": shown[post["by"]["author"]],
        "editors": [shown[one] for one in post["editors"]],
    }


def test_references_are_shown_through_their_resource(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=view_of(Posts))
    users = put_users(api, 7)
    posts = put_posts(api, 5, users)
    expected = [expected_post(post, users) for post in posts]
    assert api.listed("/posts/") == expected
    assert api.get(f"/posts/{posts[3]['_id']}").json == expected[3]


def test_a_hundred_posts_are_three_queries(watched: MakeDeclared, commands: Commands) -> None:
    api = watched(posts=view_of(Posts))
    users = put_users(api, 200)
    posts = put_posts(api, 100, users)
    commands.take()
    assert api.listed("/posts/") == [expected_post(post, users) for post in posts]
    sent = commands.take()
    assert [(one["name"], one["find"]) for one in sent] == [
        ("find", "posts"),
        ("find", "users"),
        ("find", "users"),
    ]
    assert [len(one["filter"]["_id"]["$in"]) for one in sent[1:]] == [100, 200]
    # Only what is shown is read.
    assert set(sent[1]["projection"]) == {"_id", "name"}


@pytest.mark.parametrize(
    ("distinct", "chunks"), [(199, [199]), (200, [200]), (201, [200, 1]), (300, [200, 100])]
)
def test_ids_are_asked_for_in_chunks(
    watched: MakeDeclared, commands: Commands, distinct: int, chunks: list[int]
) -> None:
    api = watched(posts=view_of(make_resource(Posts, related_resources={"editors": Users})))
    users = put_users(api, distinct)
    put_posts(api, 100, users)
    api.database.posts.update_one({}, {"$set": {"editors": [one["_id"] for one in users]}})
    commands.take()
    [first, *_] = api.listed("/posts/")
    assert [one["name"] for one in first["editors"]] == [one["name"] for one in users]
    _, *related = commands.take()
    assert [len(one["filter"]["_id"]["$in"]) for one in related] == chunks


def test_two_levels_are_one_query_each(watched: MakeDeclared, commands: Commands) -> None:
    resource = make_resource(
        Posts, related_resources={"author": UsersWithCompany, "editors": UsersWithCompany}
    )
    api = watched(posts=view_of(resource))
    companies = [{"_id": ObjectId(), "name": f"c{n}"} for n in range(10)]
    api.database.companies.insert_many(companies)
    users = put_users(api, 50)
    for number, user in enumerate(users):
        api.database.users.update_one(
            {"_id": user["_id"]}, {"$set": {"c": companies[number % 10]["_id"]}}
        )
    put_posts(api, 100, users)
    commands.take()
    posts = api.listed("/posts/")
    assert posts[12]["writer"]["company"]["name"] == "c2"
    assert [one["company"]["name"] for one in posts[4]["editors"]] == ["c2", "c3", "c4"]
    assert commands.names() == ["find"] * 5


@pytest.mark.parametrize("path", ["fetch", "PATCH", "PUT"])
def test_one_document_has_one_query_for_each_relation(
    watched: MakeDeclared, commands: Commands, path: str
) -> None:
    api = watched(posts=view_of(Posts))
    [post] = put_posts(api, 1, put_users(api, 4))
    commands.take()
    url = f"/posts/{post['_id']}"
    if path == "fetch":
        assert api.get(url).status_code == 200
        assert commands.names() == ["find", "find", "find"]
    else:
        body = {"title": "x", "writer": str(post["by"]["author"])}
        assert api(path, url, body).json["writer"]["name"] == "u0"
        names = commands.names()
        assert names == ["findAndModify", *["find"] * (len(names) - 1)]
        assert len(names) <= 3


def test_what_was_created_in_bulk_is_shown_in_batches(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(posts=view_of(Posts))
    users = put_users(api, 50)
    commands.take()
    body = [{"title": "x", "writer": str(one["_id"]), "editors": []} for one in users]
    shown = api.create("/posts/", body)["data"]
    assert [one["writer"]["name"] for one in shown] == [one["name"] for one in users]
    assert commands.names().count("find") == 1


def test_a_stream_fetches_references_batch_by_batch(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(posts=view_of(make_resource(Posts, paginate=False)))
    users = put_users(api, 20)
    posts = put_posts(api, 1100, users)
    commands.take()
    assert api.listed("/posts/") == [expected_post(post, users) for post in posts]
    sent = [one for one in commands.take() if one.get("find") == "users"]
    assert len(sent) == 2 * 3


@pytest.mark.parametrize("who", ["the posts", "the users"])
def test_references_are_fetched_in_batches_though_serialize_is_overridden(
    watched: MakeDeclared, commands: Commands, who: str
) -> None:
    def serialize(self: Any, document: Document) -> dict[str, Any]:
        return {**Resource.serialize(self, document), "own": True}

    users_resource = UsersWithCompany
    posts_hooks: Document = {}
    if who == "the users":
        users_resource = make_resource(UsersWithCompany, serialize=serialize)
    else:
        posts_hooks = {"serialize": serialize}
    resource = make_resource(
        Posts,
        related_resources={"author": users_resource, "editors": users_resource},
        **posts_hooks,
    )
    api = watched(posts=view_of(resource))
    company = ObjectId()
    api.database.companies.insert_one({"_id": company, "name": "ACME"})
    put_posts(api, 60, put_users(api, 30, c=company))
    commands.take()
    posts = api.listed("/posts/")
    assert len(posts) == 60
    for post in posts:
        assert post["writer"]["company"]["name"] == "ACME"
        assert ("own" in post) is (who == "the posts")
        assert all(
            ("own" in one) is (who == "the users") for one in (post["writer"], *post["editors"])
        )
    assert commands.names() == ["find"] * 5


def test_a_failing_document_costs_no_query_for_each_document(
    watched: MakeDeclared, commands: Commands
) -> None:
    """One that can't be shown is handled by itself, and the rest stays a batch."""

    class NumberSchema(PostSchema):
        number = ma.Integer()

    class Lenient(Posts):
        schema = NumberSchema

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            return None

    api = watched(posts=view_of(Lenient))
    put_posts(api, 50, put_users(api, 10))
    api.database.posts.update_one({"title": "20"}, {"$set": {"number": "broken"}})
    commands.take()
    assert len(api.listed("/posts/")) == 49
    assert len(commands.names()) <= 10


def test_references_to_what_is_not_there(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=view_of(Posts))
    ann = put_user(api, "Ann")
    gone = ObjectId()
    api.database.posts.insert_many(
        [
            {"title": "gone", "by": {"author": gone}, "editors": [gone, ann["_id"], gone]},
            {"title": "null", "by": {"author": None}, "editors": []},
            {"title": "none"},
            {"title": "no reference", "by": {"author": "text"}, "editors": [None, 1, ann["_id"]]},
        ]
    )
    gone_, null, none, text = api.listed("/posts/")
    assert (gone_["writer"], [one["name"] for one in gone_["editors"]]) == (None, ["Ann"])
    assert (null["writer"], null["editors"]) == (None, [])
    assert "writer" not in none
    assert "editors" not in none
    assert (text["writer"], [one["name"] for one in text["editors"]]) == (None, ["Ann"])


def test_references_keep_their_order_and_their_doubles(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=view_of(Posts))
    users = put_users(api, 3)
    order = [2, 0, 0, 1, 2]
    api.database.posts.insert_one({"editors": [users[n]["_id"] for n in order]})
    [post] = api.listed("/posts/")
    assert [one["name"] for one in post["editors"]] == [f"u{n}" for n in order]


def test_without_a_related_resource_a_reference_is_its_id(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=view_of(make_resource(Posts, related_resources={})))
    gone = ObjectId()
    api.database.posts.insert_one({"by": {"author": gone}, "editors": [gone]})
    [post] = api.listed("/posts/")
    assert (post["writer"], post["editors"]) == (str(gone), [str(gone)])


BODIES: list[Callable[[str], Any]] = [
    lambda identity: identity,
    lambda identity: {"id": identity},
    lambda identity: {"id": identity, "name": "as it was read"},
]


@pytest.mark.parametrize("form", BODIES)
def test_a_reference_in_a_body_is_an_id_or_an_object_with_it(
    declared_api: MakeDeclared, form: Callable[[str], Any]
) -> None:
    api = declared_api(posts=view_of(Posts))
    ann = put_user(api, "Ann")
    given = form(str(ann["_id"]))
    created = api.create("/posts/", {"writer": given, "editors": [given, str(ann["_id"])]})
    assert created["writer"] == {"id": str(ann["_id"]), "name": "Ann"}
    assert len(created["editors"]) == 2
    [stored] = api.database.posts.find({}, {"_id": 0})
    assert stored == {"by": {"author": ann["_id"]}, "editors": [ann["_id"]] * 2}
    # What is in the object is no write to what it names.
    assert api.database.users.find_one() == ann
    assert api.patch(f"/posts/{created['id']}", {"writer": given}).status_code == 200
    assert api.listed(f"/posts/?writer={ann['_id']}") == api.listed("/posts/")


def test_posts_that_were_read_can_be_sent_back(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=view_of(Posts))
    users = put_users(api, 5)
    [post] = put_posts(api, 1, users)
    url = f"/posts/{post['_id']}"
    before = snapshot(api.database)
    for method in ("PATCH", "PUT"):
        result = api(method, url, api.get(url).json)
        assert result.status_code == 200, result.text
        assert snapshot(api.database) == before


@pytest.mark.parametrize("wrong", ["x", 5, {}, {"name": "x"}, {"id": "x"}, [], True, {"id": None}])
def test_what_is_no_reference_is_refused(make_declared: MakeDeclared, wrong: Any) -> None:
    api = make_declared(posts=view_of(Posts))
    result = api.post("/posts/", {"writer": wrong})
    assert list(assert_problem(result, 400, "body.invalid")["field-errors"]) == ["writer"]
    result = api.post("/posts/", {"editors": [str(ObjectId()), wrong]})
    assert list(assert_problem(result, 400, "body.invalid")["field-errors"]["editors"]) == ["1"]


def test_objects_that_are_sent_back_are_read_at_once(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(posts=view_of(make_resource(Posts, save_related_fields=["editors"])))
    users = put_users(api, 40)
    items = [{"id": str(user["_id"]), "name": user["name"]} for user in users]
    commands.take()
    created = api.create("/posts/", {"title": "t", "editors": items})
    assert created["editors"] == items
    assert len(commands.names()) <= 5


def test_a_body_has_no_more_objects_in_it_than_a_bulk_write_may_touch(
    make_declared: MakeDeclared,
) -> None:
    related = {"editors": make_resource(Users, bulk_update_limit=3)}
    says = {"related_resources": related, "rename_fields": {}, "filters": {}}
    api = make_declared(
        posts=view_of(make_resource(Posts, save_related_fields=["editors"], **says))
    )
    items = [{"name": str(number)} for number in range(4)]
    assert len(api.create("/posts/", {"editors": items[:3]})["editors"]) == 3
    before = snapshot(api.database)
    assert_problem(api.post("/posts/", {"editors": items}), 403, "bulk.too_many")
    assert snapshot(api.database) == before


# ---------------------------------------------------------------------------------- uri_prefix


@pytest.mark.parametrize("prefix", ["/users/", "/users", "https://example.org/api/users/"])
def test_references_may_be_shown_as_urls(declared_api: MakeDeclared, prefix: str) -> None:
    users_resource = make_resource(Users, uri_prefix=prefix)
    related = {"author": users_resource, "editors": users_resource}
    api = declared_api(posts=view_of(make_resource(Posts, related_resources=related)))
    users = put_users(api, 3)
    posts = put_posts(api, 2, users)
    base = prefix.rstrip("/")
    shown = api.listed("/posts/")
    assert shown[0]["writer"] == f"{base}/{users[0]['_id']}"
    assert shown[0]["editors"] == [f"{base}/{one['_id']}" for one in users]
    url = f"/posts/{posts[0]['_id']}"
    before = snapshot(api.database)
    for method in ("PATCH", "PUT"):
        result = api(method, url, shown[0])
        assert result.status_code == 200, result.text
        assert snapshot(api.database) == before
    # The id alone, an object with it, and the URL with a slash at the end will do as well.
    for given in (str(users[1]["_id"]), {"id": str(users[1]["_id"])}, f"{base}/{users[1]['_id']}/"):
        result = api.patch(url, {"writer": given})
        assert result.json["writer"] == f"{base}/{users[1]['_id']}", result.text
    for wrong in (f"/other/{users[1]['_id']}", base, f"{base}/x"):
        assert_problem(api.patch(url, {"writer": wrong}), 400, "body.invalid", naming="writer")


def test_a_url_is_shown_of_what_may_be_read_only(declared_api: MakeDeclared) -> None:
    class Ruled(Users):
        uri_prefix = "/users/"

        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.where({"name": {"$ne": "hidden"}})

    related = {"author": Ruled, "editors": Ruled}
    api = declared_api(posts=view_of(make_resource(Posts, related_resources=related)))
    ann, hidden, gone = put_user(api, "Ann"), put_user(api, "hidden"), ObjectId()
    api.database.posts.insert_one(
        {"by": {"author": hidden["_id"]}, "editors": [hidden["_id"], ann["_id"], gone]}
    )
    [post] = api.listed("/posts/")
    assert (post["writer"], post["editors"]) == (None, [f"/users/{ann['_id']}"])


def test_urls_are_batched_and_read_ids_only(watched: MakeDeclared, commands: Commands) -> None:
    users_resource = make_resource(UsersWithCompany, uri_prefix="/users/")
    related = {"author": users_resource, "editors": users_resource}
    api = watched(posts=view_of(make_resource(Posts, related_resources=related)))
    put_posts(api, 100, put_users(api, 40))
    commands.take()
    assert len(api.listed("/posts/")) == 100
    sent = commands.take()
    assert [one["name"] for one in sent] == ["find"] * 3
    assert set(sent[1]["projection"]) == {"_id"}


# ------------------------------------------------------------------------------ reverse relations


class PlainPosts(Resource):
    collection = "posts"
    schema = PostSchema
    fields = ["title"]


class Authors(Resource):
    collection = "users"
    schema = UserSchema
    fields = ["name", "posts"]
    rename_fields = {"posts": "articles"}
    related_resources = {"posts": PlainPosts}
    related_resources_hints = {"posts": "author"}


def test_a_reverse_relation_shows_what_refers_to_a_document(declared_api: MakeDeclared) -> None:
    api = declared_api(authors=view_of(Authors))
    users = put_users(api, 3)
    put_posts(api, 5, users[:2])
    shown = api.listed("/authors/")
    titles = [[post["title"] for post in one["articles"]] for one in shown]
    assert titles == [["0", "2", "4"], ["1", "3"], []]
    assert api.get(f"/authors/{users[1]['_id']}").json == shown[1]
    assert api.listed("/authors/?_fields=articles")[2] == {"articles": []}
    assert_problem(api.get("/authors/?_fields=posts"), 400, "query.unknown_field")


def test_a_reverse_relation_may_go_by_a_list_of_references(declared_api: MakeDeclared) -> None:
    hints = {"posts": "editors"}
    api = declared_api(users=view_of(make_resource(Authors, related_resources_hints=hints)))
    users = put_users(api, 4)
    put_posts(api, 4, users)
    shown = api.listed("/users/")
    # Post n is edited by 3n, 3n + 1 and 3n + 2, modulo 4.
    expected = [
        [str(n) for n in range(4) if user in {(3 * n + k) % 4 for k in range(3)}]
        for user in range(4)
    ]
    assert [[post["title"] for post in one["articles"]] for one in shown] == expected


def test_a_reverse_relation_is_one_aggregate(watched: MakeDeclared, commands: Commands) -> None:
    api = watched(authors=view_of(Authors))
    put_posts(api, 300, put_users(api, 100))
    commands.take()
    assert [len(one["articles"]) for one in api.listed("/authors/")] == [3] * 100
    assert commands.names() == ["find", "aggregate"]


def test_references_below_a_reverse_relation_are_one_query(
    watched: MakeDeclared, commands: Commands
) -> None:
    class FullPosts(Posts):
        fields = ["title", "editors"]

    resource = make_resource(Authors, related_resources={"posts": FullPosts})
    api = watched(authors=view_of(resource))
    put_posts(api, 60, put_users(api, 20))
    commands.take()
    shown = api.listed("/authors/")
    assert [one["name"] for one in shown[1]["articles"][0]["editors"]] == ["u3", "u4", "u5"]
    assert commands.names() == ["find", "aggregate", "find"]


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"default_limit": 2}, 2),
        ({"max_limit": 3}, 3),
        ({"default_limit": 4, "max_limit": 3}, 3),
        ({"default_limit": 3, "max_limit": 100}, 3),
        ({"default_limit": None, "max_limit": None}, 5),
        ({"default_limit": 0}, 0),
    ],
)
def test_a_reverse_relation_is_limited_for_each_document(
    declared_api: MakeDeclared, says: Document, expected: int
) -> None:
    posts_resource = make_resource(PlainPosts, **says)
    api = declared_api(
        authors=view_of(make_resource(Authors, related_resources={"posts": posts_resource}))
    )
    users = put_users(api, 2)
    put_posts(api, 10, users)
    for number, one in enumerate(api.listed("/authors/")):
        titles = [post["title"] for post in one["articles"]]
        assert titles == [str(2 * n + number) for n in range(expected)]


def test_a_limit_counts_what_may_be_read(declared_api: MakeDeclared) -> None:
    class Ruled(PlainPosts):
        default_limit = 2

        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.where({"title": {"$gte": "4"}})

    api = declared_api(authors=view_of(make_resource(Authors, related_resources={"posts": Ruled})))
    put_posts(api, 8, put_users(api, 1))
    [shown] = api.listed("/authors/")
    assert [post["title"] for post in shown["articles"]] == ["4", "5"]


def test_a_reverse_relation_is_read_only(make_declared: MakeDeclared) -> None:
    api = make_declared(authors=view_of(Authors))
    [user] = put_users(api, 1)
    put_posts(api, 1, [user])
    before = snapshot(api.database)
    url = f"/authors/{user['_id']}"
    for result in (
        api.post("/authors/", {"name": "x", "articles": []}),
        api.patch(url, {"articles": []}),
        api.put(url, {"name": "x", "articles": []}),
    ):
        assert_problem(result, 403, "policy.field", naming="articles")
    assert snapshot(api.database) == before
    # Sent back as it was read, it is left alone.
    read = api.get(url).json
    assert api.patch(url, {**read, "name": "other"}).status_code == 200
    assert api.database.posts.count_documents({}) == 1


def test_a_reverse_relation_may_be_urls(declared_api: MakeDeclared) -> None:
    posts_resource = make_resource(PlainPosts, uri_prefix="/posts/")
    api = declared_api(
        authors=view_of(make_resource(Authors, related_resources={"posts": posts_resource}))
    )
    users = put_users(api, 2)
    posts = put_posts(api, 3, users)
    assert [one["articles"] for one in api.listed("/authors/")] == [
        [f"/posts/{posts[0]['_id']}", f"/posts/{posts[2]['_id']}"],
        [f"/posts/{posts[1]['_id']}"],
    ]


def test_a_reverse_relation_that_is_optional_costs_nothing(
    watched: MakeDeclared, commands: Commands
) -> None:
    class Optional(Authors):
        fields = ["name"]

        def get_optional_fields(self) -> list[str]:
            return ["posts"]

    api = watched(authors=view_of(Optional))
    put_posts(api, 3, put_users(api, 1))
    commands.take()
    assert api.listed("/authors/") == [{"name": "u0"}]
    assert commands.names() == ["find"]
    assert len(api.listed("/authors/?_fields=articles")[0]["articles"]) == 3
    assert len(api.listed("/authors/?_fields=_all")[0]["articles"]) == 3


# ---------------------------------------------------------------------------------- cycles, depth


class NodeSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    next = fields.Reference("nodes", allow_none=True)


def nodes(**says: Any) -> type[Resource]:
    """Return a resource that refers to itself, by a function."""
    made: list[type[Resource]] = []
    related: Document = {"next": lambda: made[0]}
    if "related_resources_hints" in says:
        related["before"] = lambda: made[0]
    made.append(
        make_resource(
            **{"collection": "nodes", "schema": NodeSchema, "related_resources": related, **says}
        )
    )
    return made[0]


def chain(shown: Any) -> list[Any]:
    """Return the names along a chain, and the id at its end."""
    names = []
    while isinstance(shown, dict):
        names.append(shown["name"])
        shown = shown.get("next", ...)
    return [*names, shown]


@pytest.mark.parametrize(("says", "levels"), [({}, 3), *(({"max_depth": n}, n) for n in range(5))])
def test_a_cycle_ends_at_its_depth(declared_api: MakeDeclared, says: Document, levels: int) -> None:
    api = declared_api(nodes=view_of(nodes(**says)))
    a, b = ObjectId(), ObjectId()
    api.database.nodes.insert_many(
        [{"_id": a, "name": "a", "next": b}, {"_id": b, "name": "b", "next": a}]
    )
    first, second = api.listed("/nodes/")
    names = ["a", "b", "a", "b", "a", "b"]
    ends = [str(b), str(a), str(b), str(a), str(b)]
    assert chain(first) == [*names[: levels + 1], ends[levels]]
    assert chain(api.get(f"/nodes/{b}").json) == chain(second)


def ruled_nodes(**says: Any) -> type[Resource]:
    """Return such a resource that shows those that aren't hidden."""

    def rule(self: Any, req: falcon.Request, query: Query) -> Query:
        return query.where({"hidden": {"$ne": True}})

    return nodes(has_read_permission=rule, **says)


class NodesSchema(NodeSchema):
    others = ma.List(fields.Reference("nodes"))


@pytest.mark.parametrize("levels", range(3))
def test_what_may_not_be_read_does_not_show_at_the_end_of_the_depth(
    declared_api: MakeDeclared, levels: int
) -> None:
    """Nor does what isn't there, as anywhere else: of those that may be read, ids are shown."""
    related = {"next": lambda: made, "others": lambda: made}
    made = ruled_nodes(max_depth=levels, schema=NodesSchema, related_resources=related)
    api = declared_api(nodes=view_of(made))
    ids = [ObjectId() for _ in range(levels + 2)]
    hidden, gone = ids[-1], ObjectId()
    for number, one in enumerate(ids):
        node: Document = {"_id": one, "name": str(number)}
        if one == hidden:
            node["hidden"] = True
        else:
            node |= {"next": ids[number + 1], "others": [gone, hidden, ids[0]]}
        api.database.nodes.insert_one(node)
    shown = api.get(f"/nodes/{ids[0]}").json
    for _ in range(levels):
        shown = shown["next"]
    assert shown == {
        "id": str(ids[-2]),
        "name": str(levels),
        "next": None,
        "others": [str(ids[0])],
    }


def test_a_rule_costs_one_query_at_the_end_of_the_depth(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(nodes=view_of(ruled_nodes(max_depth=1)))
    ids = [ObjectId() for _ in range(20)]
    api.database.nodes.insert_many(
        [{"_id": one, "name": "n", "next": ids[n - 1]} for n, one in enumerate(ids)]
    )
    commands.take()
    assert len(api.listed("/nodes/")) == 20
    sent = commands.take()
    assert [one["name"] for one in sent] == ["find"] * 3
    assert set(sent[-1]["projection"]) == {"_id"}


@pytest.mark.parametrize("levels", range(4))
def test_a_cycle_is_one_query_for_each_level(
    watched: MakeDeclared, commands: Commands, levels: int
) -> None:
    api = watched(nodes=view_of(nodes(max_depth=levels)))
    ids = [ObjectId() for _ in range(50)]
    api.database.nodes.insert_many(
        [{"_id": one, "name": "n", "next": ids[n - 1]} for n, one in enumerate(ids)]
    )
    commands.take()
    assert len(api.listed("/nodes/")) == 50
    assert commands.names() == ["find"] * (levels + 1)


def test_reverse_relations_end_at_their_depth(declared_api: MakeDeclared) -> None:
    resource = nodes(
        max_depth=2, related_resources_hints={"before": "next"}, fields=["name", "before"]
    )
    api = declared_api(nodes=view_of(resource))
    a, b, c, d = (ObjectId() for _ in range(4))
    api.database.nodes.insert_many(
        [
            {"_id": a, "name": "a"},
            {"_id": b, "name": "b", "next": a},
            {"_id": c, "name": "c", "next": b},
            {"_id": d, "name": "d", "next": c},
        ]
    )
    shown = api.get(f"/nodes/{a}").json
    assert shown["before"][0]["before"][0].pop("before", []) == []
    assert shown == {"name": "a", "before": [{"name": "b", "before": [{"name": "c"}]}]}


def test_resources_that_refer_to_each_other(declared_api: MakeDeclared) -> None:
    companies = make_resource(
        Companies, fields=["name", "boss"], related_resources={"boss": lambda: users}
    )
    users = make_resource(
        collection="users",
        schema=UserSchema,
        fields=["name", "company"],
        related_resources={"company": lambda: companies},
        max_depth=2,
    )
    api = declared_api(users=view_of(users), companies=view_of(companies))
    company, boss = ObjectId(), ObjectId()
    api.database.companies.insert_one({"_id": company, "name": "ACME", "boss": boss})
    api.database.users.insert_one({"_id": boss, "name": "Ann", "c": company})
    assert api.listed("/users/") == [
        {
            "name": "Ann",
            "company": {"name": "ACME", "boss": {"name": "Ann", "company": str(company)}},
        }
    ]
    # The depth is that of the resource that is asked.
    [shown] = api.listed("/companies/")
    assert shown["boss"]["company"]["boss"]["company"] == str(company)


# ------------------------------------------------------------------------------------- _fields


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ("_fields=title", ["posts"]),
        ("_fields=title,writer", ["posts", "users"]),
        ("_fields=editors", ["posts", "users"]),
        ("_fields=writer,editors", ["posts", "users", "users"]),
        ("_limit=0", None),
        ("title=nope", ["posts"]),
    ],
)
def test_what_is_not_shown_is_not_fetched(
    watched: MakeDeclared, commands: Commands, query: str, finds: list[str] | None
) -> None:
    api = watched(posts=view_of(Posts))
    put_posts(api, 5, put_users(api, 5))
    commands.take()
    for post in api.listed(f"/posts/?{query}"):
        assert list(post) == query.partition("=")[2].split(",")
    sent = [one.get("find") for one in commands.take()]
    assert "users" not in sent if finds is None else sent == finds


def test_fields_of_the_resource_leave_relations_out(
    watched: MakeDeclared, commands: Commands
) -> None:
    api = watched(posts=view_of(make_resource(Posts, fields=["title", "editors"])))
    put_posts(api, 5, put_users(api, 5))
    commands.take()
    assert set(api.listed("/posts/")[0]) == {"title", "editors"}
    assert commands.names() == ["find", "find"]


# -------------------------------------------------------------------- kinds, hooks of the related


class MaleSchema(UserSchema):
    beard = ma.Boolean()


class Males(Resource):
    schema = MaleSchema
    fields = ["name", "beard", "company"]
    related_resources = {"company": Companies}


class Females(Resource):
    schema = UserSchema
    fields = ["name"]
    rename_fields = {"name": "nom"}


class People(Resource):
    collection = "users"
    child_document_resources = {"male": Males, "female": Females}
    type_field = "_cls"


def test_a_related_resource_may_have_kinds(declared_api: MakeDeclared) -> None:
    resource = make_resource(Posts, related_resources={"author": People, "editors": People})
    api = declared_api(posts=view_of(resource))
    company = ObjectId()
    api.database.companies.insert_one({"_id": company, "name": "ACME"})
    bob = put_user(api, "Bob", _cls="male", beard=True, c=company)
    ann = put_user(api, "Ann", _cls="female", beard=False)
    api.database.posts.insert_many(
        [
            {"by": {"author": bob["_id"]}, "editors": [ann["_id"], bob["_id"]]},
            {"by": {"author": ann["_id"]}, "editors": []},
        ]
    )
    shown_bob = {
        "name": "Bob",
        "beard": True,
        "company": {"id": str(company), "name": "ACME"},
    }
    first, second = api.listed("/posts/")
    assert first["writer"] == shown_bob
    assert first["editors"] == [{"nom": "Ann"}, shown_bob]
    assert second["writer"] == {"nom": "Ann"}


def test_kinds_have_relations_of_their_own(watched: MakeDeclared, commands: Commands) -> None:
    api = watched(people=view_of(People))
    company = ObjectId()
    api.database.companies.insert_one({"_id": company, "name": "ACME"})
    for number in range(20):
        put_user(api, str(number), _cls="male" if number % 2 else "female", c=company)
    commands.take()
    shown = api.listed("/people/")
    assert [one.get("company", {}).get("name") for one in shown] == [None, "ACME"] * 10
    assert commands.names() == ["find", "find"]


def test_an_embedded_resource_may_have_kinds(declared_api: MakeDeclared) -> None:
    class TextSchema(Schema):
        text = ma.String(required=True)

    class ImageSchema(Schema):
        source = ma.String(required=True)

    class AnySchema(Schema):
        kind = ma.String()
        text = ma.String()
        source = ma.String()

    class Text(Resource):
        schema = TextSchema

    class Image(Resource):
        schema = ImageSchema
        rename_fields = {"source": "src"}

    class Block(Resource):
        schema = AnySchema
        child_document_resources = {"text": Text, "image": Image}
        type_field = "kind"

    class DocSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        blocks = ma.List(ma.Nested(AnySchema))

    resource = make_resource(
        collection="docs", schema=DocSchema, related_resources={"blocks": Block}
    )
    api = declared_api(docs=view_of(resource))
    api.database.docs.insert_one(
        {"blocks": [{"kind": "text", "text": "x"}, {"kind": "image", "source": "y"}]}
    )
    [shown] = api.listed("/docs/")
    assert shown["blocks"] == [{"text": "x"}, {"src": "y"}]


def test_hooks_of_the_related_resource_run(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    class Hooked(Users):
        def get_fields(self) -> list[str]:
            return ["name", "initial"]

        def initial(self, document: Document) -> str:
            return str(document["name"])[0]

        def serialize(self, document: Document) -> dict[str, Any]:
            seen.append((self.req.method, self.view_method, self.service.policy))
            if document["name"] == "broken":
                raise RuntimeError
            return super().serialize(document)

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            return None

    related = {"author": Hooked, "editors": Hooked}
    api = declared_api(posts=view_of(make_resource(Posts, related_resources=related)))
    ann, broken = put_user(api, "Ann"), put_user(api, "broken")
    api.database.posts.insert_one(
        {"by": {"author": broken["_id"]}, "editors": [broken["_id"], ann["_id"]]}
    )
    [post] = api.listed("/posts/")
    assert post["editors"] == [{"name": "Ann", "initial": "A"}]
    assert post["writer"] is None
    assert {(method, running) for method, running, _ in seen} == {("GET", methods.List)}


def test_a_password_does_not_show_through_a_reference(declared_api: MakeDeclared) -> None:
    related = {"author": UsersWithCompany, "editors": UsersWithCompany}
    api = declared_api(posts=view_of(make_resource(Posts, related_resources=related)))
    ann = put_user(api, "Ann", password="secret")
    api.database.posts.insert_one({"by": {"author": ann["_id"]}, "editors": [ann["_id"]]})
    assert "secret" not in api.get("/posts/").text
    assert api.get("/posts/").json["data"][0]["writer"]["name"] == "Ann"


def test_two_relations_to_one_collection_through_different_resources(
    declared_api: MakeDeclared,
) -> None:
    names = make_resource(Users, fields=["name"])
    ids = make_resource(Users, fields=["id"])
    resource = make_resource(Posts, related_resources={"author": names, "editors": ids})
    api = declared_api(posts=view_of(resource))
    ann = put_user(api, "Ann")
    api.database.posts.insert_one({"by": {"author": ann["_id"]}, "editors": [ann["_id"]]})
    [post] = api.listed("/posts/")
    assert (post["writer"], post["editors"]) == ({"name": "Ann"}, [{"id": str(ann["_id"])}])
