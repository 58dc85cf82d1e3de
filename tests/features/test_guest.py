"""Being a guest: what a host application has and does stays as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon
import mongomock
import pytest
from bson import SON
from bson.raw_bson import RawBSONDocument
from falcon import testing
from marshmallow import ValidationError
from marshmallow import fields as ma

from falcorest import (
    ConfigurationError,
    FalcoRest,
    Problem,
    Query,
    Resource,
    ResourceView,
    Schema,
    fields,
    methods,
)
from falcorest import operators as ops
from falcorest.auth import ApiKeyAuthentication, AuthenticationBase
from tests.support import assert_problem

# NOTE: of the validator that falcon puts between a client and an application.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")

# ---------------------------------------------------------------------------------- the guest


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    published = ma.Boolean()
    at = ma.DateTime()
    key = ma.UUID()
    meta = ma.Dict()


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    filters = {"title": [ops.Exact, ops.Startswith], "published": [ops.Boolean]}
    allowed_ordering = ["title", "-title"]
    default_limit = 2


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL


class ReadingView(ResourceView):
    resource = PostResource
    methods = methods.READING


def mount(app: falcon.App | None = None, **views: type[ResourceView]) -> FalcoRest:
    """Serve views, at ``/posts/`` unless told otherwise, from a database in memory."""
    api = FalcoRest(app, mongomock.MongoClient()["guest"])
    for name, view in (views or {"posts": PostView}).items():
        api.register(name=name, url=f"/{name}/")(view)
    return api


class Client(testing.TestClient):
    """Calls an application."""

    def __call__(
        self, method: str, url: str, body: Any = ..., *, prefix: str = "", **headers: str
    ) -> testing.Result:
        path, _, query_string = url.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = None
        if isinstance(body, bytes):
            raw = body
        elif body is not ...:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.simulate_request(
            method, path, query_string=query_string, body=raw, headers=sent, root_path=prefix
        )

    def create(self, url: str, **document: Any) -> Any:
        result = self("POST", url, document)
        assert result.status_code == 201, result.text
        return result.json

    def titles(self, url: str, **headers: str) -> list[str]:
        result = self("GET", url, **headers)
        assert result.status_code == 200, result.text
        return [one["title"] for one in result.json["data"]]


# ----------------------------------------------------------------------------------- the host


class HostError(Exception):
    pass


class HostContext:
    """A context that isn't falcon's own."""


class HostRequest(falcon.Request):
    context_type = HostContext


class HostResponse(falcon.Response):
    context_type = HostContext

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_header("X-Host-Response", "yes")


class Recorder:
    """Middleware that writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def process_request(self, req: Any, resp: Any) -> None:
        self.seen.append(("request", req.method, req.path))

    def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
        self.seen.append(("resource", type(resource).__name__, req.uri_template, dict(params)))

    def process_response(self, req: Any, resp: Any, resource: Any, succeeded: bool) -> None:
        self.seen.append(("response", type(resource).__name__, resp.status, succeeded))
        resp.set_header("X-Host-Middleware", str(succeeded))


class Hello:
    def on_get(self, req: Any, resp: Any, **params: Any) -> None:
        resp.text = f"hello {sorted(req.params.items())} {sorted(vars(req.context))}"

    def on_get_slash(self, req: Any, resp: Any) -> None:
        resp.text = "hello, slash"


class Echo:
    def on_post(self, req: Any, resp: Any, name: str) -> None:
        resp.media = {"name": name, "given": req.get_media()}


class Raising:
    def on_get(self, req: Any, resp: Any, kind: str) -> None:
        raise raised(kind)


def raised(kind: str) -> Exception:
    return {
        "host": HostError("mine"),
        "any": RuntimeError("unforeseen"),
        "http": falcon.HTTPConflict(title="No", description="so", headers={"X-Own": "1"}),
        "status": falcon.HTTPStatus(falcon.HTTP_202, text="later"),
        "validation": ValidationError({"field": ["wrong"]}),
    }[kind]


def answering(status: int, word: str) -> Callable[..., None]:
    def handle(req: Any, resp: Any, error: Any, params: Any) -> None:
        resp.status = getattr(error, "status", status)
        resp.content_type = "text/x-host"
        resp.text = f"{word}: {type(error).__name__} {error}"
        for name, value in dict(getattr(error, "headers", None) or {}).items():
            resp.set_header(name, value)

    return handle


def shouted(text: str) -> Any:
    return json.loads(text.upper())


class Host:
    """An application with its own of everything."""

    def __init__(self, folder: Path, *, strips_slashes: bool) -> None:
        self.recorder = Recorder()
        app: falcon.App = falcon.App(
            request_type=HostRequest,
            response_type=HostResponse,
            middleware=[self.recorder],
            media_type="application/x-host",
            cors_enable=True,
        )
        self.app = app
        app.req_options.strip_url_path_trailing_slash = strips_slashes
        app.req_options.keep_blank_qs_values = False
        app.req_options.auto_parse_qs_csv = True
        app.resp_options.secure_cookies_by_default = False
        handler = falcon.media.JSONHandler(
            loads=shouted, dumps=lambda media: f"HOST {json.dumps(media, sort_keys=True)}"
        )
        for options in (app.req_options, app.resp_options):
            options.media_handlers["application/json"] = handler
            options.media_handlers["application/x-host"] = handler
        app.add_error_handler(Exception, answering(500, "exception"))
        app.add_error_handler(falcon.HTTPError, answering(500, "http"))
        app.add_error_handler(HostError, answering(418, "host"))
        app.add_error_handler(ValidationError, answering(422, "validation"))
        app.add_route("/hello", Hello())
        if not strips_slashes:
            app.add_route("/hello/", Hello(), suffix="slash")
        app.add_route("/echo/{name}", Echo())
        app.add_route("/raise/{kind}", Raising())
        app.add_sink(self.sink, "/sink")
        (folder / "file.txt").write_text("a file")
        app.add_static_route("/static", str(folder))
        self.client = Client(app)

    def sink(self, req: Any, resp: Any, **params: Any) -> None:
        resp.text = f"sink {req.method} {req.path}"

    def shape(self) -> dict[str, Any]:
        """Return what can be seen of the application from within."""
        app = self.app
        return {
            "request": {name: getattr(app.req_options, name) for name in _slots(app.req_options)},
            "response": {
                name: getattr(app.resp_options, name) for name in _slots(app.resp_options)
            },
            "router": {
                name: getattr(app.router_options, name) for name in _slots(app.router_options)
            },
            "media": [
                sorted((name, id(handler)) for name, handler in options.media_handlers.items())
                for options in (app.req_options, app.resp_options)
            ],
            "handlers": {
                kind: handler
                for kind, handler in app._error_handlers.items()
                if kind is not Problem
            },
            "serializer": app._serialize_error,
            "sinks": list(app._sinks),
            "types": (app._request_type, app._response_type),
        }

    def behaviour(self) -> list[Any]:
        """Return all answers to a set of requests, to the byte, and what the middleware saw."""
        origin = {"Origin": "https://elsewhere.example"}
        preflight = {**origin, "Access-Control-Request-Method": "GET"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        text = {"Content-Type": "text/plain"}
        as_json = {"Content-Type": "application/json"}
        requests: list[tuple[str, str, Any, dict[str, str]]] = [
            *((verb, "/hello", ..., {}) for verb in ("GET", "HEAD", "OPTIONS", "DELETE", "BREW")),
            ("GET", "/hello?a=1,2&b=&c=%C3%BC", ..., {}),
            ("GET", "/hello/", ..., {}),
            ("GET", "/hello", ..., {"Accept": "image/png"}),
            ("GET", "/hello", ..., origin),
            ("OPTIONS", "/hello", ..., preflight),
            ("POST", "/echo/x", {"a": ["b", 1]}, {}),
            ("POST", "/echo/x", b"{broken", as_json),
            ("POST", "/echo/x", b"", as_json),
            ("POST", "/echo/x", b"a=1&b=2", form),
            ("POST", "/echo/x", b"text", text),
            *(
                ("GET", f"/raise/{kind}", ..., {})
                for kind in ("host", "any", "http", "status", "validation", "unknown")
            ),
            *((verb, "/sink/x", ..., {}) for verb in ("GET", "POST", "BREW")),
            ("GET", "/static/file.txt", ..., {}),
            ("GET", "/static/file.txt", ..., {"Range": "bytes=2-3"}),
            ("GET", "/static/missing.txt", ..., {}),
            ("GET", "/nowhere", ..., {}),
            ("GET", "/", ..., {}),
            ("GET", "/echo/x/posts", ..., {}),
            ("GET", "/hello/posts", ..., {}),
        ]
        answers = []
        self.recorder.seen.clear()
        for method, url, body, headers in requests:
            result = self.client(method, url, body, **headers)
            answers.append((method, url, result.status, sorted(result.headers.items())))
            answers.append((result.content, [str(cookie) for cookie in result.cookies]))
        return [*answers, list(self.recorder.seen)]


def _slots(options: Any) -> list[str]:
    names = [name for kind in type(options).__mro__ for name in getattr(kind, "__slots__", ())]
    return sorted(name for name in {*names, *getattr(options, "__dict__", {})} if name[0] != "_")


@pytest.fixture(params=[False, True], ids=["slashes", "stripped"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path, strips_slashes=request.param)


def test_the_requests_show_what_a_host_has(host: Host) -> None:
    shown = repr(host.behaviour())
    for one in ("HOST {", "host: HostError", "validation: ", "http: ", "exception: ", "a file"):
        assert one in shown
    for one in ("sink GET", "x-host-middleware", "access-control-allow-origin", '{"A"', "later"):
        assert one in shown


def test_a_host_behaves_as_before(host: Host) -> None:
    shape, behaviour = host.shape(), host.behaviour()
    mount(host.app)
    assert host.shape() == shape
    assert host.behaviour() == behaviour
    host.client.create("/posts", title="First")
    for url in ("/posts", "/posts/nothing", "/posts?unknown=1"):
        host.client("GET", url)
    assert host.behaviour() == behaviour


def test_a_host_behaves_as_before_with_several_guests(host: Host) -> None:
    shape, behaviour = host.shape(), host.behaviour()
    key = ApiKeyAuthentication(lambda key: key == "right")
    for name in ("a", "b", "c"):
        api = FalcoRest(db=mongomock.MongoClient()[name], authentication_methods=[key])
        api.register(name=name, url=f"/{name}/posts")(PostView)
        api.init_app(host.app)
        api.register(name="more", url=f"/{name}/more/")(ReadingView)
    assert host.client("GET", "/a/posts").status_code == 401
    assert host.client("GET", "/b/more", X_API_Key="right").status_code == 200
    assert host.shape() == shape
    assert host.behaviour() == behaviour


def test_what_a_host_adds_later_is_as_without_a_guest(tmp_path: Path) -> None:
    early, late = (Host(tmp_path, strips_slashes=False) for _ in range(2))
    mount(early.app)
    for host in (early, late):
        host.app.add_route("/later/{x}", Hello())
        host.app.add_error_handler(LookupError, answering(444, "lookup"))
        host.app.add_middleware(Recorder())
        host.app.req_options.keep_blank_qs_values = True
    mount(late.app)
    assert early.behaviour() == late.behaviour()
    assert early.client("GET", "/later/1").text.startswith("hello")


# -------------------------------------------------------------- falcorest's own answers there


def test_its_own_answers_are_its_own(host: Host) -> None:
    mount(host.app)
    client = host.client
    created = client("POST", "/posts/", {"title": "lower case", "meta": {"a": "b"}})
    # NOTE: the host's JSON handler would shout on the way in, and say HOST on the way out.
    assert created.status_code == 201
    assert created.headers["content-type"] == "application/json"
    post = json.loads(created.content)
    assert (post["title"], post["meta"]) == ("lower case", {"a": "b"})
    place = created.headers["location"]
    assert place == f"/posts/{post['id']}"
    for url in (place, f"{place}/"):
        assert json.loads(client("GET", url).content) == post
    for url in ("/posts", "/posts/", "/posts?title=lower+case", "/posts?title__startswith=lower"):
        listed = client("GET", url)
        assert listed.content == b'{"data":[' + created.content + b'],"has_more":false}'
    # NOTE: the host's options drop blank values and split at commas.
    assert client("GET", "/posts?title=").json == {"data": [], "has_more": False}
    assert client("GET", "/posts?title=a,b").json == {"data": [], "has_more": False}
    assert client("PATCH", f"{place}/", {"title": "new"}).json == {**post, "title": "new"}
    assert client("PATCH", "/posts/?title=new", {"title": "a"}).json == {"count": 1}
    for result in (client("DELETE", f"{place}/"), client("HEAD", "/posts")):
        assert result.content == b""
    assert client("GET", place).status_code == 404


def test_its_problems_are_its_own(host: Host) -> None:
    mount(host.app)
    client = host.client
    unknown = client("GET", "/posts?nope=1")
    assert_problem(unknown, 400, "query.unknown_parameter", naming="nope")
    assert_problem(client("GET", "/posts/x"), 404, "document.not_found")
    assert_problem(client("POST", "/posts", {"title": 5}), 400, "body.invalid", naming="title")
    assert_problem(client("POST", "/posts", {"no": 5}), 400, "body.invalid", naming="no")
    broken = client("POST", "/posts", b"{", Content_Type="application/json")
    assert_problem(broken, 400, "body.malformed")
    form = client("POST", "/posts", b"a=1", Content_Type="application/x-www-form-urlencoded")
    assert_problem(form, 415, "body.unsupported_type")
    assert_problem(client("GET", "/posts", Accept="image/png"), 406, "accept.unsupported")
    assert_problem(client("DELETE", "/posts"), 403, "bulk.unfiltered")


def test_the_host_sees_requests_to_a_guest(host: Host) -> None:
    mount(host.app)
    host.recorder.seen.clear()
    found = host.client("GET", "/posts", Origin="https://elsewhere.example")
    lost = host.client("GET", "/posts/x")
    assert host.recorder.seen == [
        ("request", "GET", "/posts"),
        ("resource", "PostView", "/posts", {}),
        ("response", "PostView", "200 OK", True),
        ("request", "GET", "/posts/x"),
        ("resource", "PostView", host.recorder.seen[4][2], {"id": "x"}),
        ("response", "PostView", host.recorder.seen[5][2], False),
    ]
    assert found.headers["access-control-allow-origin"] == "*"
    for result, succeeded in ((found, "True"), (lost, "False")):
        assert result.headers["x-host-response"] == "yes"
        assert result.headers["x-host-middleware"] == succeeded


def test_preflight_requests_of_cors(host: Host) -> None:
    mount(host.app)
    result = host.client(
        "OPTIONS",
        "/posts",
        Origin="https://elsewhere.example",
        Access_Control_Request_Method="PATCH",
    )
    assert result.status_code == 200
    allowed = result.headers["access-control-allow-methods"]
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(allowed.replace(",", " ").split())


@pytest.mark.parametrize("url", ["/posts", "/posts/", "/posts/x", "/posts/x/"])
@pytest.mark.parametrize("method", ["DELETE", "BREW"])
def test_a_method_that_is_not_served(host: Host, method: str, url: str) -> None:
    mount(host.app, posts=ReadingView)
    refused = host.client(method, url)
    assert_problem(refused, 405, "method.not_allowed")
    allowed = {name.strip() for name in refused.headers["allow"].split(",")}
    assert allowed == {"GET", "HEAD", "OPTIONS"}


class ListView(ResourceView):
    resource = PostResource
    methods = (methods.List, methods.Create)


class FetchView(ResourceView):
    resource = PostResource
    methods = (methods.Fetch, methods.Update)


@pytest.mark.parametrize(
    ("view", "served", "places"),
    [
        (ListView, "/posts", ["/posts/x", "/posts/x/", "/postsx", "/posts/x/y"]),
        (FetchView, "/posts/x", ["/posts", "/posts/", "/postsx"]),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_where_nothing_is_served_the_host_answers(
    host: Host, view: type[ResourceView], served: str, places: list[str], method: str
) -> None:
    absent = host.client(method, "/nowhere/at/all")
    mount(host.app, posts=view)
    assert host.client("DELETE", served).status_code == 405
    for url in places:
        result = host.client(method, url)
        assert (result.status, result.content) == (absent.status, absent.content)


# ----------------------------------------------------------------------------- error handlers


class FailingResource(PostResource):
    def get_objects(self, query: Query) -> Any:
        raise raised(self.req.get_header("X-Fail") or "any")

    def validate_request(self, data: Any, document: Any = None) -> Any:
        raise raised("validation")

    def has_delete_permission(self, req: Any, document: Any) -> bool:
        raise raised("host")


class FailingView(ResourceView):
    resource = FailingResource
    methods = methods.ALL


class FailingAuthentication(AuthenticationBase):
    def authorized(self, req: falcon.Request) -> Any:
        raise HostError("the users are gone")


class UnsafeView(PostView):
    authentication_methods = (FailingAuthentication,)


@pytest.mark.parametrize("kind", ["host", "any", "http", "status"])
def test_what_hooks_raise_goes_to_the_host(host: Host, kind: str) -> None:
    mount(host.app, posts=FailingView)
    own = host.client("GET", f"/raise/{kind}")
    result = host.client("GET", "/posts", X_Fail=kind)
    assert (result.status, result.headers, result.text) == (own.status, own.headers, own.text)


def test_what_permissions_and_authentication_raise_goes_to_the_host(host: Host) -> None:
    api = mount(host.app, posts=FailingView, unsafe=UnsafeView)
    inserted = api.db.posts.insert_one({"title": "x"})
    for method, url in (("DELETE", f"/posts/{inserted.inserted_id}"), ("GET", "/unsafe")):
        result = host.client(method, url)
        assert (result.status_code, result.text.split(":")[0]) == (418, "host")
    assert api.db.posts.count_documents({}) == 1


def test_a_validation_error_about_a_body_is_the_guests(host: Host) -> None:
    mount(host.app, posts=FailingView)
    result = host.client("POST", "/posts", {"title": "x"})
    problem = assert_problem(result, 400, "body.invalid")
    assert problem["field-errors"] == {"field": ["wrong"]}


def test_handlers_added_later(host: Host) -> None:
    mount(host.app, posts=FailingView)
    host.app.add_error_handler(Exception, answering(555, "late"))
    assert host.client("GET", "/posts", X_Fail="any").text.startswith("late: RuntimeError")
    assert_problem(host.client("GET", "/posts?nope=1"), 400, "query.unknown_parameter")
    # NOTE: a host that wants to word problems by itself can.
    host.app.add_error_handler(Problem, answering(400, "own"))
    assert host.client("GET", "/posts?nope=1").text.startswith("own: QueryError")


def test_a_handler_of_the_hosts_for_problems_stays(host: Host) -> None:
    host.app.add_error_handler(Problem, answering(400, "own"))
    mount(host.app)
    mount(host.app, more=PostView)
    for url in ("/posts?nope=1", "/more?nope=1"):
        assert host.client("GET", url).text.startswith("own: QueryError")


# ------------------------------------------------------------------------------ hooks, context


def test_hooks_of_falcon_on_a_view() -> None:
    def refuse(req: Any, resp: Any, resource: Any, params: Any) -> None:
        if req.get_header("X-Tired"):
            raise falcon.HTTPServiceUnavailable

    @falcon.before(refuse)
    class HookedView(PostView):
        pass

    app = falcon.App()
    mount(app, posts=HookedView)
    client = Client(app)
    post = client.create("/posts", title="a")
    for url in ("/posts", f"/posts/{post['id']}"):
        assert client("GET", url).status_code == 200
        assert client("GET", url, X_Tired="1").status_code == 503


def test_a_context_that_is_a_dict() -> None:
    class OwnRequest(falcon.Request):
        context_type = dict

    app = falcon.App(request_type=OwnRequest)
    mount(app)
    client = Client(app)
    client.create("/posts", title="a")
    assert client.titles("/posts?title=a") == ["a"]


class OwnersResource(PostResource):
    def has_read_permission(self, req: Any, query: Query) -> Query:
        return query.where({"title": req.context.user})


class OwnersView(ResourceView):
    resource = OwnersResource
    methods = methods.READING


def test_a_user_that_the_host_knows_is_the_user() -> None:
    class Login:
        def __init__(self) -> None:
            self.users: list[Any] = []

        def process_request(self, req: Any, resp: Any) -> None:
            req.context.user = req.get_header("X-User")

        def process_response(self, req: Any, resp: Any, resource: Any, succeeded: bool) -> None:
            self.users.append(req.context.user)

    login = Login()
    app = falcon.App(middleware=[login])
    api = mount(app, posts=OwnersView)
    api.db.posts.insert_many([{"title": "ada"}, {"title": "bob"}])
    assert Client(app).titles("/posts", X_User="ada") == ["ada"]
    assert login.users == ["ada"]


def test_a_host_that_has_a_word_for_every_view() -> None:
    class Tenants:
        def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
            req.context.query = req.context.work = params.pop("tenant", "nobody")

    app = falcon.App(middleware=[Tenants()])
    mount(app)
    client = Client(app)
    post = client.create("/posts", title="a")
    assert client("GET", f"/posts/{post['id']}").json == post
    assert client.titles("/posts") == ["a"]


def test_a_host_may_answer_in_the_guests_stead(host: Host) -> None:
    class Closed:
        def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
            resp.text, resp.complete = "closed", True

    host.app.add_middleware(Closed())
    api = mount(host.app)
    assert host.client("POST", "/posts", {"title": "x"}).text == "closed"
    assert api.db.posts.count_documents({}) == 0


# ------------------------------------------------------------------- databases and applications


def test_two_databases_share_nothing(host: Host) -> None:
    guests = {}
    for name in ("a", "b"):
        key = ApiKeyAuthentication(lambda given, name=name: given == name and name)
        guests[name] = FalcoRest(
            host.app, mongomock.MongoClient()[name], authentication_methods=[key]
        )
        guests[name].register(name="posts", url=f"/{name}/posts")(PostView)
    client = host.client
    made = {
        name: client("POST", f"/{name}/posts", {"title": name}, X_API_Key=name).json
        for name in guests
    }
    for name, api in guests.items():
        assert client.titles(f"/{name}/posts", X_API_Key=name) == [name]
        assert [one["title"] for one in api.db.posts.find()] == [name]
    assert client("GET", f"/b/posts/{made['a']['id']}", X_API_Key="b").status_code == 404
    assert client("GET", "/a/posts", X_API_Key="b").status_code == 401
    assert client("DELETE", "/a/posts?title=b", X_API_Key="a").json == {"count": 0}


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()


class AuthorResource(Resource):
    collection = "authors"
    schema = AuthorSchema


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    author = fields.Reference("authors")


class BookResource(Resource):
    collection = "books"
    schema = BookSchema
    related_resources = {"author": AuthorResource}
    save_related_fields = ["author"]


class BookView(ResourceView):
    resource = BookResource
    methods = methods.ALL


def test_relations_stay_in_their_database() -> None:
    app = falcon.App()
    databases = {}
    for name in ("a", "b"):
        api = FalcoRest(app, mongomock.MongoClient()[name])
        api.register(name="books", url=f"/{name}/books")(BookView)
        databases[name] = api.db
    client = Client(app)
    made = {
        name: client.create(f"/{name}/books", author={"name": f"of {name}"}) for name in databases
    }
    for name, database in databases.items():
        assert made[name]["author"]["name"] == f"of {name}"
        assert client("GET", f"/{name}/books").json["data"] == [made[name]]
        assert [one["name"] for one in database.authors.find()] == [f"of {name}"]
    author = made["a"]["author"]["id"]
    assert client.create("/b/books", author=author)["author"] is None


def test_the_application_comes_later(host: Host) -> None:
    api = mount(posts=PostView)
    early = falcon.App()
    assert Client(early)("GET", "/posts").status_code == 404
    api.init_app(host.app)
    api.register(name="late", url="/late")(ReadingView)
    host.client.create("/posts", title="a")
    assert host.client.titles("/late/") == ["a"]
    assert host.client("POST", "/late", {"title": "b"}).status_code == 405


def test_one_api_in_two_applications() -> None:
    first, second = falcon.App(), falcon.App()
    api = mount(posts=PostView)
    api.init_app(first)
    api.init_app(second)
    Client(first).create("/posts", title="a")
    assert Client(second).titles("/posts") == ["a"]
    api.register(name="late", url="/late")(ReadingView)
    for app in (first, second):
        assert Client(app).titles("/late") == ["a"]


def test_an_application_that_it_is_in_already() -> None:
    class Counting(AuthenticationBase):
        asked = 0

        def authorized(self, req: falcon.Request) -> Any:
            Counting.asked += 1
            return "somebody"

    app = falcon.App()
    api = FalcoRest(app, mongomock.MongoClient()["guest"], authentication_methods=[Counting])
    api.register(name="posts", url="/posts")(PostView)
    api.init_app(app)
    Client(app)("GET", "/posts")
    assert Counting.asked == 1


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mongod", {}),
        ("mongod", {"tz_aware": True}),
        ("mongod", {"uuidRepresentation": "standard"}),
        ("mongod", {"uuidRepresentation": "pythonLegacy"}),
        ("mongod", {"document_class": SON}),
        ("mongod", {"document_class": RawBSONDocument}),
        ("mongomock", {}),
        ("mongomock", {"tz_aware": True}),
    ],
    ids=str,
)
def test_a_database_with_the_hosts_options(
    make_database: Callable[..., Any], kind: str, options: dict[str, Any]
) -> None:
    app = falcon.App()
    api = FalcoRest(app, make_database(kind, **options))
    api.register(name="posts", url="/posts")(PostView)
    client = Client(app)
    sent = {
        "title": "a",
        "at": "2026-01-02T03:04:05.678000",
        "key": "0123abcd-89ab-cdef-0123-456789abcdef",
        "meta": {"a": {"b": [1, {"c": None}]}},
    }
    created = client.create("/posts", **sent)
    shown = client("GET", f"/posts/{created['id']}").json
    assert shown == created
    assert created == {"id": created["id"], **sent, "at": created["at"]}
    assert created["at"].removesuffix("+00:00") == sent["at"]
    changed = client("PATCH", f"/posts/{created['id']}", {"title": "b"})
    assert changed.json == {**created, "title": "b"}
    raw = api.db.get_collection("posts").find_one()
    assert raw["title"] == "b"


@pytest.mark.live
def test_a_database_that_acknowledges_nothing(make_database: Callable[..., Any]) -> None:
    database = make_database("mongod", w=0)
    with pytest.raises(ConfigurationError, match="acknowledged"):
        FalcoRest(falcon.App(), database)


def test_a_host_whose_sink_takes_everything() -> None:
    app = falcon.App(independent_middleware=False, middleware=[Recorder()])
    app.add_sink(lambda req, resp: setattr(resp, "text", f"sink {req.path}"), "/")
    mount(app, posts=ListView)
    client = Client(app)
    client.create("/posts", title="a")
    assert client.titles("/posts/") == ["a"]
    for url in ("/", "/posts/x", "/postsx", "/other"):
        assert client("GET", url).text == f"sink {url}"


# -------------------------------------------------------------------------- views of a resource


class PublicView(ResourceView):
    resource = PostResource
    methods = methods.READING

    def has_read_permission(self, req: Any, query: Query) -> Query:
        return query.where({"published": True})


class EditorsView(ResourceView):
    resource = PostResource
    methods = methods.ALL
    authentication_methods = (
        ApiKeyAuthentication(lambda key: {"eve": "Eve", "al": "Al"}.get(key)),
    )

    def has_delete_permission(self, req: Any, document: Any) -> bool:
        return bool(req.context.user == "Eve")


class OpenView(ReadingView):
    authentication_methods = ()


class DropView(ResourceView):
    resource = PostResource
    methods = (methods.Create,)

    def has_add_permission(self, req: Any, document: Any) -> bool:
        return not document.get("published")


def test_views_of_one_resource() -> None:
    app = falcon.App()
    mount(app, posts=PublicView, editors=EditorsView, drop=DropView)
    client = Client(app)
    assert client("POST", "/drop", {"title": "loud", "published": True}).status_code == 401
    post = client.create("/drop", title="quiet")
    assert client("GET", "/drop").status_code == 405

    place = f"/editors/{post['id']}"
    assert client("GET", place).status_code == 401
    assert client("GET", place, X_API_Key="mallory").status_code == 401
    assert client("GET", place, X_API_Key="al").json["title"] == "quiet"
    assert client("GET", f"/posts/{post['id']}").status_code == 404
    assert client.titles("/posts") == []

    published = client("PATCH", place, {"published": True}, X_API_Key="al")
    assert published.json["published"] is True
    assert client.titles("/posts") == ["quiet"]
    assert client("DELETE", f"/posts/{post['id']}").status_code == 405
    assert client("DELETE", place, X_API_Key="al").status_code == 403
    assert client("DELETE", "/editors?title=quiet", X_API_Key="al").status_code == 403
    assert client("DELETE", place, X_API_Key="eve").status_code == 204


def test_one_view_at_two_places() -> None:
    app = falcon.App()
    api = mount(app, posts=PostView)
    api.register(name="again", url="/deep/er/posts")(PostView)
    client = Client(app)
    for url in ("/posts", "/deep/er/posts"):
        for title in ("a", "b"):
            created = client("POST", url, {"title": title})
            assert created.headers["location"] == f"{url}/{created.json['id']}"
        listed = client("GET", f"{url}?_limit=1")
        assert listed.headers["link"].startswith(f"<{url}?")
    assert len(client.titles("/posts?_limit=4")) == 4


def test_a_place_below_another() -> None:
    app = falcon.App()
    api = mount(app, posts=PublicView)
    api.register(name="drafts", url="/posts/drafts/")(PostView)
    client = Client(app)
    post = client.create("/posts/drafts", title="a")
    for url in ("/posts/drafts", "/posts/drafts/"):
        assert client.titles(url) == ["a"]
    assert client("GET", f"/posts/drafts/{post['id']}").json == post
    assert client("GET", f"/posts/{post['id']}").status_code == 404


def test_authentication_for_all_views_but_those_with_their_own() -> None:
    app = falcon.App()
    for_all = ApiKeyAuthentication(lambda key: key == "all", header="X-All")
    api = FalcoRest(app, mongomock.MongoClient()["x"], authentication_methods=[for_all])
    api.register(name="posts", url="/posts")(PostView)
    api.register(name="editors", url="/editors")(EditorsView)
    api.register(name="open", url="/open")(OpenView)
    client = Client(app)
    refused = client("GET", "/posts")
    assert_problem(refused, 401, "auth.required")
    assert "X-All" in refused.headers["www-authenticate"]
    assert client.titles("/posts", X_All="all") == []
    assert client("GET", "/editors", X_All="all").status_code == 401
    assert client.titles("/editors", X_API_Key="eve") == []
    assert client.titles("/open") == []
    # NOTE: a class may be registered elsewhere too, and says nothing of this place.
    assert PostView.authentication_methods is ResourceView.authentication_methods


# ---------------------------------------------------------------------------- below a prefix


@pytest.mark.parametrize("prefix", ["", "/api", "/api/", "/a/b", "/my%20api", "/k\u00e4se", "/a b"])
@pytest.mark.parametrize("url", ["/posts", "/deep/posts/", "/b\u00fccher"])
def test_location_and_link_hold_the_prefix(prefix: str, url: str) -> None:
    app = falcon.App()
    api = FalcoRest(app, mongomock.MongoClient()["x"])
    api.register(name="posts", url=url)(PostView)
    client = Client(app)
    # NOTE: WSGI gives a path as UTF-8 in the clothes of Latin-1.
    mounted = prefix.encode().decode("latin-1")
    place = falcon.uri.encode(prefix.rstrip("/") + url.rstrip("/"))
    for title in ("a", "b", "c"):
        created = client("POST", url, {"title": title}, prefix=mounted)
        assert created.headers["location"] == f"{place}/{created.json['id']}"
    for query in ("", "?_order_by=-title", "?title__startswith="):
        link = client("GET", url + query, prefix=mounted).headers["link"]
        following, _, rel = link.partition(">; ")
        assert rel == 'rel="next"'
        assert following.startswith(f"<{place}?")
        rest = client("GET", f"{url}?{following.partition('?')[2]}", prefix=mounted)
        assert len(rest.json["data"]) == 1


# ----------------------------------------------------------------------- what can't be declared


@pytest.mark.parametrize("theirs", ["/posts", "/posts/", "/posts/{id:path}", "/posts/{id}"])
def test_a_route_of_the_hosts_is_not_taken(theirs: str) -> None:
    class Theirs:
        def on_get(self, req: Any, resp: Any, **params: Any) -> None:
            resp.text = "theirs"

    app = falcon.App()
    app.add_route(theirs, Theirs())
    with pytest.raises(ConfigurationError, match="/posts"):
        mount(app, posts=PostView)
    with pytest.raises(ConfigurationError, match="/posts"):
        mount(posts=PostView).init_app(app)
    url = theirs.replace("{id:path}", "x").replace("{id}", "x")
    assert Client(app)("GET", url).text == "theirs"


def test_a_place_is_given_once() -> None:
    app = falcon.App()
    api = mount(app, posts=PostView)
    with pytest.raises(ConfigurationError, match="/posts"):
        api.register(name="other", url="/posts")(ReadingView)
    other = FalcoRest(app, mongomock.MongoClient()["other"])
    with pytest.raises(ConfigurationError, match="/posts"):
        other.register(name="posts", url="/posts/")(PostView)
    assert Client(app).create("/posts", title="a")["title"] == "a"


def test_a_registration_that_fails_leaves_nothing_behind() -> None:
    app = falcon.App()
    app.add_route("/posts/{number}/pages", Hello())
    app.add_route("/{word}", Hello())
    app.add_route("/posts/{number}", Hello())
    api = mount(app, other=PostView)
    before = [Client(app)("GET", url).text for url in ("/posts", "/posts/", "/posts/1")]
    with pytest.raises(ConfigurationError, match="/posts"):
        api.register(name="posts", url="/posts")(PostView)
    with pytest.raises(ConfigurationError, match="/posts"):
        mount(posts=PostView).init_app(app)
    after = [Client(app)("GET", url).text for url in ("/posts", "/posts/", "/posts/1")]
    assert after == before
    assert Client(app).titles("/other") == []


@pytest.mark.parametrize("template", ["/{page}", "/{a}/{b}", "/posts/recent", "/posts/recent/{n}"])
@pytest.mark.parametrize("first", [False, True])
def test_routes_that_live_beside_a_guest(template: str, first: bool) -> None:
    class Theirs:
        def on_get(self, req: Any, resp: Any, **params: Any) -> None:
            resp.text = f"theirs {sorted(params.items())}"

    app = falcon.App()
    if first:
        app.add_route(template, Theirs())
    mount(app)
    if not first:
        app.add_route(template, Theirs())
    client = Client(app)
    url = template.replace("{page}", "p").replace("{a}", "x").replace("{b}", "y")
    assert client("GET", url.replace("{n}", "5")).text.startswith("theirs")
    post = client.create("/posts", title="a")
    assert client("GET", f"/posts/{post['id']}").json == post
    assert client.titles("/posts/") == ["a"]


class Cover:
    def on_get(self, req: Any, resp: Any, **params: Any) -> None:
        resp.text = f"cover of {params.popitem()[1]}"


@pytest.mark.parametrize("first", [False, True])
def test_a_route_below_a_document(first: bool) -> None:
    app = falcon.App()
    if first:
        app.add_route("/posts/{id}/cover", Cover())
    mount(app)
    if not first:
        app.add_route("/posts/{id}/cover", Cover())
    client = Client(app)
    post = client.create("/posts", title="a")
    assert client("GET", f"/posts/{post['id']}").json == post
    assert client("GET", "/posts/x/cover").text == "cover of x"


def test_a_route_below_a_document_by_another_name() -> None:
    # NOTE: Falcon wants one name for the field at one place.
    app = falcon.App()
    app.add_route("/posts/{post_id}/cover", Cover())
    with pytest.raises(ConfigurationError, match="/posts"):
        mount(app)
    assert Client(app)("GET", "/posts/x/cover").text == "cover of x"


@pytest.mark.parametrize("url", ["", "/", "posts", "/a b", "/x?y", "/{tenant}/posts"])
def test_places_that_are_none(url: str) -> None:
    api = FalcoRest(falcon.App(), mongomock.MongoClient()["x"])
    with pytest.raises(ConfigurationError):
        api.register(name="posts", url=url)(PostView)


def test_what_is_no_application_or_no_database() -> None:
    import falcon.asgi

    database = mongomock.MongoClient()["x"]
    app = falcon.App()
    for wrong in (falcon.asgi.App(), database, object()):
        with pytest.raises(ConfigurationError):
            FalcoRest(wrong, database)
        with pytest.raises(ConfigurationError):
            FalcoRest(db=database).init_app(wrong)
    for wrong in (app, "library", mongomock.MongoClient()):
        with pytest.raises(ConfigurationError):
            FalcoRest(app, wrong)
