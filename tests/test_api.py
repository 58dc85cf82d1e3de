"""FalcoRest in somebody's application: its own views are its own, the rest stays theirs."""

from __future__ import annotations

from typing import Any

import falcon
import mongomock
import pytest
from falcon import testing

from falcorest import ConfigurationError, FalcoRest, Resource, ResourceView
from falcorest.dialects import TypedDialect
from falcorest.methods import ALL, READING


class Posts(Resource):
    collection = "posts"
    paginate = False
    max_limit = None


class PostView(ResourceView):
    resource = Posts
    methods = ALL
    dialect = TypedDialect()


class ReadingView(PostView):
    methods = READING


class Hello:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = "hello"


class Seen:
    """A host's middleware that counts, and a resource that can't be hashed."""

    def __init__(self) -> None:
        self.resources: list[object] = []

    def process_resource(self, req: Any, resp: Any, resource: object, params: Any) -> None:
        self.resources.append(resource)


@pytest.fixture
def app() -> falcon.App:
    return falcon.App()


@pytest.fixture
def database() -> Any:
    return mongomock.MongoClient().db


def test_views_come_and_the_host_stays(app: falcon.App, database: Any) -> None:
    seen = Seen()
    app.add_middleware(seen)
    app.add_route("/hello", Hello())
    handlers = dict(app._error_handlers)
    api = FalcoRest(app, database)
    view = api.register(name="posts", url="/posts/")(PostView)
    client = testing.TestClient(app)
    assert client.simulate_get("/hello").text == "hello"
    assert client.simulate_post("/posts", json={"_id": "x"}).status_code == 201
    for path in ("/posts", "/posts/"):
        assert client.simulate_get(path).json == [{"_id": "x"}]
    for path in ("/posts/x", "/posts/x/"):
        assert client.simulate_get(path).json == {"_id": "x"}
    assert view is PostView
    assert any(isinstance(one, PostView) for one in seen.resources)
    assert {kind: app._error_handlers[kind] for kind in handlers} == handlers


def test_the_application_may_come_later(app: falcon.App, database: Any) -> None:
    api = FalcoRest(db=database)
    api.register(name="posts", url="/posts")(PostView)
    api.init_app(app)
    api.register(name="read", url="/read")(ReadingView)
    client = testing.TestClient(app)
    client.simulate_post("/posts", json={"_id": "x"})
    assert client.simulate_get("/read/x").json == {"_id": "x"}
    assert client.simulate_post("/read", json={"_id": "y"}).status_code == 405


def test_two_databases_in_one_application(app: falcon.App) -> None:
    for name in ("a", "b"):
        api = FalcoRest(app, mongomock.MongoClient()[name])
        api.register(name="posts", url=f"/{name}/posts")(PostView)
    client = testing.TestClient(app)
    client.simulate_post("/a/posts", json={"_id": "x"})
    assert len(client.simulate_get("/a/posts").json) == 1
    assert client.simulate_get("/b/posts").json == []


def test_without_a_database(app: falcon.App) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        FalcoRest(app)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        "posts",
        "//",
        "/a//b",
        *(f"/a{part}b" for part in " {}?#%\t\n\0\x7f"),
        *(f"/a{part}b" for part in ("'", '"', "\\", "\\'", "\\n")),
        "/a'or(print('x'))or'b",
        '/a"or(print("x"))or"b',
        "/posts/a\\",
    ],
)
def test_a_place_that_is_none_is_refused(
    app: falcon.App, database: Any, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    """Falcon makes Python of routes, which a quote or a backslash would take part in."""
    api = FalcoRest(app, database)
    with pytest.raises(ConfigurationError, match="no place for a view"):
        api.register(name="posts", url=url)(PostView)
    assert testing.TestClient(app).simulate_get("/a/b").status_code == 404
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("url", ["/posts", "/a/b.c/", "/ä-1", "/a:b", "/a,(b)=[c]+`d`;$e!*~@&|^<>"])
def test_any_other_place_is_served_as_it_stands(app: falcon.App, database: Any, url: str) -> None:
    FalcoRest(app, database).register(name="posts", url=url)(PostView)
    database.posts.insert_one({"_id": "x"})
    client = testing.TestClient(app)
    for path in (url, f"{url.rstrip('/')}/x"):
        assert client.simulate_get(path).status_code == 200
