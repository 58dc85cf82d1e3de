"""What a description tells a caller, and what it keeps to itself."""

from __future__ import annotations

import datetime as dt
import json
import runpy
import sys
from typing import Any

import falcon
import mongomock
import pytest
from bson import Decimal128
from falcon import testing
from marshmallow import fields as ma
from openapi_spec_validator import OpenAPIV31SpecValidator

from falcorest import FalcoRest, Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase, TokenIssuer
from falcorest.errors import Unauthorized
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.declared import MakeDeclared
from tests.described import VIEWS
from tests.examples import EXAMPLES
from tests.support import SECRET, Api, assert_problem

SCHEMAS = "#/components/schemas/"


def described(api: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the description, which is a valid one."""
    result = api.get("/openapi.json", **kwargs)
    assert result.status_code == 200, result.text
    document: dict[str, Any] = result.json
    errors = [
        f"{list(error.path)}: {error.message}"
        for error in OpenAPIV31SpecValidator(document).iter_errors()
    ]
    assert errors == []
    return document


def token(*roles: str) -> str:
    return TokenIssuer(SECRET).issue("ada", list(roles))


def served(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return the methods by path."""
    verbs = {"get", "post", "put", "patch", "delete"}
    return {path: verbs & set(one) for path, one in document["paths"].items()}


EVERYTHING = {
    "/api/rockets": {"get", "post", "patch", "delete"},
    "/api/rockets/{id}": {"get", "put", "patch", "delete"},
    "/login": {"post"},
    "/me": {"get"},
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/metrics": {"get"},
}


def test_what_is_served_is_described(any_api: Api) -> None:
    any_api.rockets.insert_one({"name": "Merlin", "fuel": {"name": "RP-1"}, "burn": [1, 2.5]})
    document = described(any_api)
    assert served(document) == EVERYTHING
    shown = document["components"]["schemas"]["Rockets"]
    assert shown["x-inferred"] is True
    assert shown["properties"] == {
        "_id": {"$ref": f"{SCHEMAS}ObjectId"},
        "name": {"type": "string"},
        "fuel": {"type": "object", "properties": {"name": {"type": "string"}}},
        "burn": {"type": "array", "items": {"type": "number"}},
    }
    names = [one["name"] for one in document["paths"]["/api/rockets"]["get"]["parameters"]]
    assert {"name", "fuel", "burn", "and", "_projection", "_sort", "_limit", "_skip"} <= set(names)
    ids = [
        operation["operationId"]
        for one in document["paths"].values()
        for verb, operation in one.items()
        if verb != "parameters"
    ]
    assert len(ids) == len(set(ids))
    assert {"listRockets", "fetchRockets", "createRockets", "updateManyRockets"} <= set(ids)


def test_an_empty_collection_is_described(any_api: Api) -> None:
    document = described(any_api)
    listed = document["paths"]["/api/rockets"]["get"]["responses"]["200"]
    items = listed["content"]["application/json"]["schema"]["items"]
    assert items == {"$ref": f"{SCHEMAS}Document"}


@pytest.mark.live
def test_a_validator_describes_a_collection(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    said = {
        "bsonType": "object",
        "required": ["name", "secret"],
        "properties": {
            "name": {"bsonType": "string", "maxLength": 5},
            "secret": {"bsonType": "string", "enum": ["a", "b"]},
        },
        "anyOf": [{"required": ["secret"]}, {"properties": {"secret": {"enum": ["c"]}}}],
        "not": {"required": ["secret", "other"]},
    }
    api.database.command("collMod", "rocket_engines", validator={"$jsonSchema": said})
    schemas = described(api)["components"]["schemas"]
    assert schemas["NewRockets"]["required"] == ["name", "secret"]
    assert schemas["NewRockets"]["properties"]["name"] == {"type": "string", "maxLength": 5}
    assert "required" not in schemas["Rockets"]
    assert "x-inferred" not in schemas["Rockets"]

    hiding = make_api(
        mongo_uri,
        database=api.database.name,
        resources={"rockets": ResourceSettings(rules={"hidden": ["secret"]})},
    )
    document = described(hiding)
    assert document["components"]["schemas"]["NewRockets"]["required"] == ["name"]
    assert "secret" not in json.dumps(document)


@pytest.mark.live
@pytest.mark.parametrize("changes", [{"validationAction": "warn"}, {"validationLevel": "off"}])
def test_a_validator_that_holds_for_some_writes_describes_nothing(
    make_api: MakeApi, mongo_uri: str, changes: dict[str, str]
) -> None:
    api = make_api(mongo_uri)
    said = {"$jsonSchema": {"required": ["name"]}}
    api.database.command("collMod", "rocket_engines", validator=said, **changes)
    assert "NewRockets" not in described(api)["components"]["schemas"]


# ------------------------------------------------------------------------------------- the policy


def with_rules(make_api: MakeApi, uri: str, **rules: Any) -> Api:
    return make_api(uri, resources={"rockets": ResourceSettings(rules=rules)})


def test_a_hidden_field_is_nowhere(make_api: MakeApi, any_uri: str) -> None:
    api = with_rules(make_api, any_uri, hidden=["margin", "engine.secret"], readonly=["price"])
    api.rockets.insert_one(
        {"name": "a", "margin": 1, "price": 2, "engine": {"secret": 3, "cycle": "x"}}
    )
    for caller in (None, token(), token("admin")):
        document = described(api, token=caller)
        text = json.dumps(document)
        assert "margin" not in text
        assert "secret" not in text
        assert "cycle" in text
        shown = document["components"]["schemas"]["Rockets"]["properties"]
        assert shown["price"]["readOnly"] is True
        assert "price" not in document["components"]["schemas"]["NewRockets"]["properties"]


@pytest.mark.parametrize(
    ("rules", "anonymous", "member", "admin"),
    [
        ({}, "all", "all", "all"),
        ({"read": ["admin"]}, "", "create", "all"),
        ({"read": ["admin"], "write": ["admin"]}, "", "", "all"),
        ({"read": ["authenticated"]}, "", "all", "all"),
        ({"write": ["admin"]}, "read", "read", "all"),
        ({"read": ["admin"], "write": ["public"]}, "create", "create", "all"),
        ({"read": ["public"], "write": ["authenticated"]}, "all", "all", "all"),
    ],
)
def test_a_caller_is_told_what_that_caller_may_do(
    make_api: MakeApi, rules: dict[str, Any], anonymous: str, member: str, admin: str
) -> None:
    api = with_rules(make_api, "mongomock://", **rules)
    api.rockets.insert_one({"name": "Merlin", "isp": 311})
    places = {
        "all": {path: EVERYTHING[path] for path in ("/api/rockets", "/api/rockets/{id}")},
        "read": {"/api/rockets": {"get"}, "/api/rockets/{id}": {"get"}},
        "create": {"/api/rockets": {"post"}},
        "": {},
    }
    for caller, told in ((None, anonymous), (token(), member), (token("admin"), admin)):
        document = described(api, token=caller)
        found = {p: v for p, v in served(document).items() if p.startswith("/api")}
        assert found == places[told], caller
        assert ("isp" in json.dumps(document)) == (told in {"all", "read"})
        assert ("rockets" in json.dumps(document)) == (told != "")


def test_closed_reading_tells_strangers_nothing(make_api: MakeApi) -> None:
    api = make_api("mongomock://", public_methods=[])
    assert set(served(described(api, token=None))) == EVERYTHING.keys() - {
        "/api/rockets",
        "/api/rockets/{id}",
    }
    assert served(described(api)) == EVERYTHING


def test_a_sample_is_made_of_rows_that_the_caller_sees(make_api: MakeApi, any_uri: str) -> None:
    api = with_rules(make_api, any_uri, owner="by", read=["authenticated"], unrestricted=["admin"])
    api.rockets.insert_many([{"by": "ada", "mine": 1}, {"by": "bob", "theirs": 1}])

    def told(caller: str) -> set[str]:
        return set(described(api, token=caller)["components"]["schemas"]["Rockets"]["properties"])

    for _ in range(2):
        assert told(token("admin")) == {"_id", "by", "mine", "theirs"}
        assert told(token()) == {"_id", "by", "mine"}
        bob = TokenIssuer(SECRET).issue("bob", [])
        assert told(bob) == {"_id", "by", "theirs"}


def test_wrong_credentials_are_refused(api: Api) -> None:
    assert_problem(api.get("/openapi.json", token="x"), 401, "auth.invalid")


def test_what_needs_a_login_says_so(api: Api) -> None:
    document = described(api, token=None)
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    operations = document["paths"]["/api/rockets"]
    assert operations["get"]["security"] == [{}, {"bearer": []}]
    assert operations["post"]["security"] == [{"bearer": []}]


def test_every_way_to_log_in_is_described(make_api: MakeApi) -> None:
    api = make_api("mongomock://", authentication=["bearer", "basic", "api-key"])
    result = api.get("/openapi.json")
    assert result.json["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    assert result.headers["vary"].startswith("Authorization, X-API-Key")
    without = make_api("mongomock://", authentication=["basic"])
    assert "/login" not in described(without, token=None)["paths"]


def test_it_is_sent_again_only_when_it_differs(api: Api) -> None:
    first = api.get("/openapi.json", token=None)
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    again = api.get("/openapi.json", token=None, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    weak = api.get("/openapi.json", token=None, headers={"If-None-Match": f'"x", W/{tag}'})
    assert weak.status_code == 304
    assert api.get("/openapi.json", headers={"If-None-Match": '"x"'}).status_code == 200
    assert_problem(api("POST", "/openapi.json"), 405, "method.not_allowed")


def test_it_can_be_switched_off(make_api: MakeApi) -> None:
    api = make_api("mongomock://", docs="off")
    for path in ("/openapi.json", "/docs", "/docs/page.js"):
        assert_problem(api.get(path), 404, "route.not_found")


def test_names_that_are_no_words_are_told_apart(make_api: MakeApi) -> None:
    api = make_api("mongomock://", "a-b:one,a.b:two,über:three,ключ:four")
    document = described(api)
    assert "/api/%C3%BCber" in document["paths"]
    ids = [one["get"]["operationId"] for path, one in document["paths"].items() if "get" in one]
    assert len(ids) == len(set(ids))


# ------------------------------------------------------------------------------ declared resources


def test_declared_resources_are_described(declared_api: MakeDeclared) -> None:
    api = declared_api(**VIEWS)
    api.falcorest.describe("/v1/openapi.json", docs=None, title="Blog", version="2")
    document = api.get("/v1/openapi.json").json
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["info"] == {"title": "Blog", "version": "2"}
    schemas = document["components"]["schemas"]
    post = schemas["Post"]["properties"]
    assert post["id"] == {"type": "string", "pattern": "^[0-9a-fA-F]{24}$", "readOnly": True}
    assert post["remark"] == {"type": "string", "description": "What else there is to say."}
    assert post["stars"] == {"type": "integer", "minimum": 0, "maximum": 5}
    assert post["shout"] == {"type": "string", "readOnly": True}
    assert post["colour"] == {"type": "string", "enum": ["RED", "BLUE"]}
    assert {"$ref": f"{SCHEMAS}User"} in post["readers"]["items"]["anyOf"]
    assert schemas["NewPost"]["required"] == ["title"]
    assert "required" not in schemas["PostChanges"]
    assert {"id", "shout"}.isdisjoint(schemas["NewPost"]["properties"])
    assert schemas["NewPost"]["additionalProperties"] is False
    assert "password" not in schemas["User"]["properties"]
    assert schemas["NewUser"]["properties"]["password"]["writeOnly"] is True
    assert schemas["User"]["properties"]["posts"]["readOnly"] is True
    assert schemas["Medium"]["discriminator"]["propertyName"] == "kind"
    assert schemas["NewMedium"]["discriminator"]["mapping"] == {
        "photo": f"{SCHEMAS}NewPhoto",
        "video": f"{SCHEMAS}NewVideo",
    }
    listed = {one["name"]: one for one in document["paths"]["/posts"]["get"]["parameters"]}
    assert set(listed) == {
        *("title", "title__exact", "title__startswith", "title__in", "title__not__in"),
        *("author_id", "author_id__exact", "stars__gte", "stars__lt", "stars__in"),
        *("stars__exists", "size__height__gt", "on__lte", "_fields", "_order_by"),
        *("_limit", "_skip", "_after", "_before", "_count"),
    }
    assert listed["stars__exists"]["schema"] == {"type": "boolean"}
    assert listed["_limit"]["schema"]["maximum"] == 100
    assert listed["on__lte"]["schema"] == {"type": "string", "format": "date"}


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String()
    inner = ma.String()
    owner = fields.Reference("people")


class PersonSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    salary = ma.Integer()


class PersonResource(Resource):
    collection = "people"
    schema = PersonSchema
    policy = {"read": ["admin"]}


class NoteResource(Resource):
    collection = "notes"
    schema = NoteSchema
    related_resources = {"owner": PersonResource}
    filters = {"text": [ops.Exact], "inner": [ops.Exact]}
    allowed_ordering = ["inner", "text"]

    def get_fields(self) -> list[str]:
        user = self.req.context.user
        return [*NoteSchema().fields] if user else ["id", "text", "owner"]


class HeaderAuthentication(AuthenticationBase):
    challenge = 'X-Who realm="us", note="a, b"'

    def authorized(self, req: falcon.Request) -> Any:
        who = req.get_header("X-Who")
        if who == "nobody":
            raise Unauthorized("auth.invalid", "There is no such caller.")
        return {"username": who, "roles": [who]} if who else None


class NoteView(ResourceView):
    resource = NoteResource
    methods = [methods.List, methods.Fetch, methods.Create]
    authentication_methods = [HeaderAuthentication]
    public_methods = frozenset({"GET"})


def test_fields_and_relations_are_those_that_the_caller_sees(make_declared: MakeDeclared) -> None:
    api = make_declared(notes=NoteView)
    api.falcorest.describe()
    stranger = described(api)
    assert set(stranger["components"]["schemas"]["Note"]["properties"]) == {"id", "text", "owner"}
    assert stranger["components"]["schemas"]["Note"]["properties"]["owner"] == {"type": "null"}
    assert "salary" not in json.dumps(stranger)
    of_list = stranger["paths"]["/notes"]["get"]
    assert not [one for one in of_list["parameters"] if "inner" in json.dumps(one)]
    assert of_list["security"] == [{}, {"x-who": []}]

    member = described(api, headers={"X-Who": "member"})
    assert "inner" in member["components"]["schemas"]["Note"]["properties"]
    assert "salary" not in json.dumps(member)
    assert "salary" in json.dumps(described(api, headers={"X-Who": "admin"}))
    assert api.get("/openapi.json", headers={"X-Who": "nobody"}).status_code == 401


class BlindResource(NoteResource):
    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query if req.context.user else query.none()

    def get_fields(self) -> list[str]:
        return [*NoteSchema().fields]


class BlindView(NoteView):
    resource = BlindResource


class OpenBlindView(BlindView):
    public_methods = frozenset({"GET", "POST"})


def test_who_may_read_nothing_is_told_nothing_of_it(make_declared: MakeDeclared) -> None:
    api = make_declared(notes=BlindView, letters=OpenBlindView)
    api.falcorest.describe()
    assert served(described(api)) == {"/letters": {"post"}}
    everything = {"/notes": {"get", "post"}, "/notes/{id}": {"get"}}
    everything |= {path.replace("notes", "letters"): verbs for path, verbs in everything.items()}
    assert served(described(api, headers={"X-Who": "member"})) == everything


def test_several_apis_in_one_application_describe_their_own(make_database: Any) -> None:
    app = falcon.App()
    first, second = (FalcoRest(app, mongomock.MongoClient()[name]) for name in ("one", "two"))
    first.register(name="users", url="/one/users")(VIEWS["users"])
    second.register(name="media", url="/two/media")(VIEWS["media"])
    first.describe("/one/openapi.json", docs="/one/docs")
    second.describe("/two/openapi.json", docs="/two/docs/")
    client = testing.TestClient(app)
    paths = client.simulate_get("/one/openapi.json").json["paths"]
    assert set(paths) == {"/one/users", "/one/users/{id}"}
    assert set(client.simulate_get("/two/openapi.json").json["paths"]) == {
        "/two/media",
        "/two/media/{id}",
    }
    page = client.simulate_get("/two/docs")
    assert 'data-description="/two/openapi.json"' in page.text
    assert 'src="/two/docs/page.js"' in page.text


def test_below_a_prefix_servers_are_right(make_declared: MakeDeclared) -> None:
    api = make_declared(**VIEWS)
    api.falcorest.describe()
    at_root = api.client.simulate_get("/openapi.json").json
    assert "servers" not in at_root
    mounted = api.client.simulate_get("/openapi.json", root_path="/below").json
    assert mounted["servers"] == [{"url": "/below"}]
    assert set(mounted["paths"]) == set(at_root["paths"])


def test_the_page_keeps_to_itself(make_api: MakeApi) -> None:
    api = make_api("mongomock://")
    page = api.client.simulate_get("/docs", root_path="/a<b")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert 'data-login="/a%3Cb/login"' in page.text
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert "//" not in page.text.replace("/a%3Cb", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"):
        asset = api.get(f"/docs/{name}", token=None)
        assert asset.status_code == 200
        assert "charset=utf-8" in asset.headers["content-type"]
        again = api.get(f"/docs/{name}", headers={"If-None-Match": asset.headers["etag"]})
        assert again.status_code == 304


MODULES = sorted(path.stem for path in (EXAMPLES / "declared").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "run"])
def test_every_example_is_described(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FalcoRest] = []
    init_app = FalcoRest.init_app

    def noting(self: FalcoRest, app: Any) -> None:
        made.append(self)
        init_app(self, app)

    monkeypatch.setattr(FalcoRest, "init_app", noting)
    monkeypatch.setattr("pymongo.MongoClient", mongomock.MongoClient)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded = runpy.run_path(str(EXAMPLES / "declared" / f"{name}.py"), run_name=name)
    make = loaded.get("create_app", lambda db: loaded["app"])
    app = make(mongomock.MongoClient()["example"])
    (api,) = made
    api.describe("/described.json", docs=None)
    document = testing.TestClient(app).simulate_get("/described.json").json
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["openapi"] == "3.1.0"


def test_a_strict_integer_is_filtered_by_and_is_an_id(make_declared: MakeDeclared) -> None:
    class CountSchema(Schema):
        id = ma.Integer(attribute="_id", strict=True)
        n = ma.Integer(strict=True)

    class CountResource(Resource):
        collection = "counts"
        schema = CountSchema
        filters = {"n": [ops.Exact, ops.In]}

    class CountView(ResourceView):
        resource = CountResource
        methods = methods.ALL

    api = make_declared(counts=CountView)
    api.create("/counts", {"id": 1, "n": 5})
    assert [one["id"] for one in api.listed("/counts?n=5&n__in=4,5")] == [1]
    assert api.get("/counts/1").json == {"id": 1, "n": 5}
    assert_problem(api.get("/counts?n=5.5"), 400, "query.invalid_value", parameter="n")
    assert_problem(api.post("/counts", {"n": "5"}), 400, "body.invalid")


# ------------------------------------------------------------------------- headers, bodies, pages


def operation(document: dict[str, Any], verb: str, path: str = "/api/rockets/{id}") -> Any:
    return document["paths"][path][verb]


def names_of(operation: Any, place: str) -> set[str]:
    return {one["name"] for one in operation["parameters"] if one["in"] == place}


def headers_of(operation: Any, status: str) -> set[str]:
    """Return the headers of an answer, but for what all of them have."""
    return set(operation["responses"][status].get("headers", ())) - {"X-Request-ID"}


def codes_of(document: dict[str, Any], operation: Any, status: int) -> list[str]:
    name = operation["responses"][str(status)]["$ref"].rpartition("/")[2]
    response = document["components"]["responses"][name]
    codes: list[str] = response["content"]["application/problem+json"]["schema"]["properties"][
        "code"
    ]["enum"]
    return codes


def test_preconditions_are_described(any_api: Api) -> None:
    document = described(any_api)
    for verb in ("get", "put", "patch", "delete"):
        one = operation(document, verb)
        assert {"If-Match", "If-None-Match"} <= names_of(one, "header"), verb
        assert codes_of(document, one, 412) == ["precondition.failed"]
        assert "428" not in one["responses"]
    fetch = operation(document, "get")
    assert headers_of(fetch, "304") == {"ETag", "Cache-Control", "Vary"}
    for status in ("200", "304"):
        said = fetch["responses"][status]["headers"]
        assert said["ETag"]["required"] is said["Cache-Control"]["required"] is True
    assert "content" not in fetch["responses"]["304"]


@pytest.mark.parametrize("door", ["setting", "rule"])
def test_a_required_precondition_is_described(make_api: MakeApi, door: str) -> None:
    own = {"rockets": ResourceSettings(require_if_match=True)}
    wanted: Any = {"require_if_match": True} if door == "setting" else {"resources": own}
    document = described(make_api("mongomock://", **wanted))
    needed = {
        verb: [
            one["name"] for one in operation(document, verb)["parameters"] if one.get("required")
        ]
        for verb in ("get", "put", "patch", "delete")
    }
    # NOTE: a PUT may say If-None-Match: * as well.
    assert needed == {"get": [], "put": [], "patch": ["If-Match"], "delete": ["If-Match"]}
    for verb in ("put", "patch", "delete"):
        assert codes_of(document, operation(document, verb), 428) == ["precondition.required"]
    assert "428" not in operation(document, "get")["responses"]


def test_how_answers_may_be_kept_is_described(make_api: MakeApi) -> None:
    without = described(make_api("mongomock://", cache_control=""))
    assert headers_of(operation(without, "get"), "200") == {"ETag", "Vary"}
    listed = operation(without, "get", "/api/rockets")
    assert headers_of(listed, "200") == {"Vary", "Link", "X-Total-Count", "X-Total-Count-Kind"}
    assert listed["responses"]["200"]["headers"]["Vary"]["required"] is True


def test_preferences_are_described(any_api: Api) -> None:
    document = described(any_api)
    create = operation(document, "post", "/api/rockets")
    for one in (create, operation(document, "put"), operation(document, "patch")):
        assert "Prefer" in names_of(one, "header")
        for status in {"200", "201", "204"} & one["responses"].keys():
            if one is not create or status != "200":
                assert "Preference-Applied" in headers_of(one, status)
    assert {"200", "201", "204"} <= operation(document, "put")["responses"].keys()
    assert {"200", "204"} <= operation(document, "patch")["responses"].keys()
    assert "ETag" in headers_of(operation(document, "patch"), "200")
    assert "Prefer" not in names_of(operation(document, "delete"), "header")
    assert "Prefer" not in names_of(operation(document, "patch", "/api/rockets"), "header")


def test_who_only_writes_is_not_told_what_is_shown(make_api: MakeApi) -> None:
    api = with_rules(make_api, "mongomock://", read=["admin"], write=["authenticated"])
    api.rockets.insert_one({"secret": 1})
    create = operation(described(api, token=token()), "post", "/api/rockets")
    made = create["responses"]["201"]["content"]["application/json"]["schema"]["anyOf"][0]
    assert made == {"type": "object", "required": ["_id"], "properties": {"_id": {}}}
    assert "Document" in json.dumps(operation(described(api, token=token("admin")), "get"))


def test_patches_are_described(any_api: Api) -> None:
    document = described(any_api)
    patch = operation(document, "patch")
    schemas = document["components"]["schemas"]
    assert set(patch["requestBody"]["content"]) == {
        *("application/json", "application/merge-patch+json", "application/json-patch+json")
    }
    operations = schemas["JSONPatch"]["items"]["oneOf"]
    assert {one["properties"]["op"]["const"]: one["required"] for one in operations} == {
        "add": ["op", "path", "value"],
        "remove": ["op", "path"],
        "replace": ["op", "path", "value"],
        "move": ["op", "from", "path"],
        "copy": ["op", "from", "path"],
        "test": ["op", "path", "value"],
    }
    assert schemas["JSONPatch"]["maxItems"] == 1000
    assert "patch.conflict" in codes_of(document, patch, 409)
    assert "body.invalid_patch" in codes_of(document, patch, 400)
    for other in (operation(document, "put"), operation(document, "patch", "/api/rockets")):
        assert set(other["requestBody"]["content"]) == {"application/json"}
        assert "patch.conflict" not in codes_of(document, other, 409)


def test_a_merge_patch_has_the_shape_of_the_resource(make_declared: MakeDeclared) -> None:
    api = make_declared(**VIEWS)
    api.falcorest.describe()
    document = described(api)
    schemas = document["components"]["schemas"]
    patch = schemas["PostMergePatch"]
    assert patch["properties"]["title"] == {"type": "string", "maxLength": 40}
    assert patch["properties"]["stars"]["anyOf"][1] == {"type": "null"}
    size = {"anyOf": [{"$ref": f"{SCHEMAS}SizeMergePatch"}, {"type": "null"}]}
    assert patch["properties"]["size"] == size
    assert "required" not in patch
    assert "required" not in schemas["SizeMergePatch"]
    assert "null" not in json.dumps(schemas["SizeMergePatch"]["properties"]["height"])
    assert {"200", "204"} <= operation(document, "patch", "/posts/{id}")["responses"].keys()
    created = operation(document, "post", "/posts")["responses"]["201"]
    assert {"ETag", "Location", "Preference-Applied"} <= set(created["headers"])


class InnerSchema(Schema):
    a = ma.String(required=True)
    b = ma.Integer()


class OuterSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    version = ma.Integer(dump_only=True)
    inner = ma.Nested(InnerSchema)
    several = ma.List(ma.Nested(InnerSchema))


class OuterResource(Resource):
    collection = "outer"
    schema = OuterSchema
    version_field = "version"
    paginate = False


class OuterView(ResourceView):
    resource = OuterResource
    methods = methods.ALL
    plain_json = True


def test_nested_schemas_are_merged_and_lists_are_not(make_declared: MakeDeclared) -> None:
    api = make_declared(outer=OuterView)
    api.falcorest.describe()
    schemas = described(api)["components"]["schemas"]
    patch = schemas["OuterMergePatch"]["properties"]
    assert patch["inner"]["anyOf"][0] == {"$ref": f"{SCHEMAS}InnerMergePatch"}
    assert "required" not in schemas["InnerMergePatch"]
    assert patch["several"]["anyOf"][0]["items"] == {"$ref": f"{SCHEMAS}NewInner"}
    assert schemas["NewInner"]["required"] == ["a"]
    assert schemas["Outer"]["properties"]["version"]["readOnly"] is True
    assert "version" not in patch


def test_a_version_is_read_only(make_api: MakeApi, any_uri: str) -> None:
    own = ResourceSettings(version_field="version")
    api = make_api(any_uri, resources={"rockets": own})
    api("POST", "/api/rockets", body={"name": "Merlin"})
    schemas = described(api)["components"]["schemas"]
    assert schemas["Rockets"]["properties"]["version"]["readOnly"] is True
    assert set(schemas["NewRockets"]["properties"]) == {"_id", "name"}


def test_pages_and_totals_are_described(any_api: Api, make_declared: MakeDeclared) -> None:
    listed = operation(described(any_api), "get", "/api/rockets")
    assert {"_after", "_before", "_count"} <= names_of(listed, "query")
    (count,) = (one for one in listed["parameters"] if one["name"] == "_count")
    assert count["schema"] == {"type": "string", "enum": ["exact", "estimated", "capped"]}
    fetch = operation(described(any_api), "get")
    assert names_of(fetch, "query") == {"_projection"}
    assert "query.invalid_cursor" in codes_of(described(any_api), listed, 400)
    assert "query.invalid_cursor" not in codes_of(described(any_api), fetch, 400)

    api = make_declared(**VIEWS, outer=OuterView)
    api.falcorest.describe()
    document = described(api)
    for path, required in (("/posts", ["data", "has_more"]), ("/outer", ["data"])):
        answer = operation(document, "get", path)["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"]
        assert schema["required"] == required
        assert schema["properties"]["total_count"] == {"type": "integer", "minimum": 0}


def test_formats_and_imports_are_described(any_api: Api) -> None:
    document = described(any_api)
    answer = operation(document, "get", "/api/rockets")["responses"]["200"]["content"]
    assert set(answer) == {"application/json", "application/x-ndjson", "text/csv"}
    assert (
        answer["application/x-ndjson"]["schema"]["items"]
        == answer["application/json"]["schema"]["items"]
    )
    assert set(operation(document, "get")["responses"]["200"]["content"]) == {"application/json"}
    create = operation(document, "post", "/api/rockets")
    assert set(create["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    done = create["responses"]["200"]["content"]["application/json"]["schema"]
    assert done == {"$ref": f"{SCHEMAS}Import"}
    assert "import.refused" in codes_of(document, create, 400)
    assert "import.refused" not in codes_of(document, operation(document, "put"), 400)


def test_keys_are_described_where_there_are_transactions(
    make_api: MakeApi, any_uri: str, make_declared: MakeDeclared
) -> None:
    api = make_api(any_uri)
    document = described(api)
    keyed = {
        (verb, path)
        for path, operations in document["paths"].items()
        for verb, one in operations.items()
        if verb != "parameters"
        and "Idempotency-Key" in names_of({"parameters": [], **one}, "header")
    }
    writes = {("post", "/api/rockets"), ("patch", "/api/rockets"), ("patch", "/api/rockets/{id}")}
    repeatable = api("POST", "/api/rockets", body={}, headers={"Idempotency-Key": "a"})
    assert keyed == (writes if repeatable.status_code == 201 else set())
    create = operation(document, "post", "/api/rockets")
    assert ("Idempotency-Replayed" in headers_of(create, "201")) == bool(keyed)
    assert ("idempotency.running" in codes_of(document, create, 409)) == bool(keyed)
    assert ("idempotency.mismatch" in codes_of(document, create, 422)) == bool(keyed)
    assert "database.unsupported" in codes_of(document, create, 501)


def test_plain_json_is_described(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, json="plain")
    api.rockets.insert_one(
        {"ratio": 0.5, "price": Decimal128("1.5"), "at": dt.datetime(2020, 1, 1)}
    )
    document = described(api)
    schemas = document["components"]["schemas"]
    assert schemas["Rockets"]["properties"] == {
        "_id": {"type": "string", "pattern": "^[0-9a-f]{24}$"},
        "ratio": {"type": ["number", "null"]},
        "price": {"type": "string"},
        "at": schemas["Rockets"]["properties"]["at"],
    }
    assert {"type": "string", "format": "date-time"} in schemas["Rockets"]["properties"]["at"][
        "anyOf"
    ]
    assert "Extended JSON" not in schemas["Document"]["description"]
    assert "$oid" in json.dumps(schemas)
    links = operation(document, "post", "/api/rockets")["responses"]["201"]["links"]
    assert links["fetchRockets"]["parameters"] == {"id": "$response.body#/_id"}


def test_probes_are_described(any_api: Api, make_api: MakeApi) -> None:
    document = described(any_api, token=None)
    for path in ("/health/live", "/health/ready", "/metrics"):
        one = operation(document, "get", path)
        assert one["tags"] == ["Operation"]
        assert one["security"] == []
        answer = one["responses"]["200"]
        assert answer["headers"]["Cache-Control"]["required"] is True
    assert set(operation(document, "get", "/metrics")["responses"]["200"]["content"]) == {
        "text/plain"
    }
    assert "503" not in operation(document, "get", "/health/live")["responses"]
    ready = operation(document, "get", "/health/ready")
    assert codes_of(document, ready, 503) == ["database.unavailable"]
    assert {"name": "Operation"} in document["tags"]
    assert "/metrics" not in described(make_api("mongomock://", metrics=False))["paths"]
