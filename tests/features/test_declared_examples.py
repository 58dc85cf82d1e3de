"""``examples/declared/`` and ``examples/port/``: applications, and requests with their answers."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import re
import runpy
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref import simple_server

import falcon
import mongomock
import pytest
import waitress
from falcon import testing
from pymongo import MongoClient

from falcorest.auth import create_user
from tests.declared import DeclaredApi
from tests.examples import EXAMPLES, note, runs
from tests.support import clean_environment, falcorest, free_port, running

DECLARED = EXAMPLES / "declared"

#: Modules with a ``create_app(db)``, and a session whose output stands beside it.
MODULES = (
    *("blog", "described", "hooks", "kinds", "nested", "operators", "permissions", "relations"),
    "schemas",
)
for _name in MODULES:
    note(*(f"declared/{_name}.{suffix}" for suffix in ("py", "sh", "out")))

Load = Callable[[Path], dict[str, Any]]


@pytest.fixture
def load() -> Load:
    """Run an example file, and return its names."""
    return lambda path: runpy.run_path(str(path), run_name=path.stem)


class QuietHandler(simple_server.WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class ThreadingServer(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Closing it waits for the requests under way."""


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application from threads; yield its address."""
    options = {"server_class": ThreadingServer, "handler_class": QuietHandler}
    with simple_server.make_server("127.0.0.1", 0, app, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def session(script: Path, directory: Path, **environment: str) -> str:
    """Run a shell script as a reader would, and return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", script],
        cwd=directory,
        env=clean_environment(PATH=path, PYTHONDONTWRITEBYTECODE="1", **environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def comparable(text: str) -> str:
    """Number the ObjectIds of a text in the order in which they come, and blank times."""
    ids = {found: index for index, found in enumerate(dict.fromkeys(_OID.findall(text)))}
    text = _OID.sub(lambda found: f"<id {ids[found[0]]}>", text)
    return _NOW.sub("<now>", text)


_OID = re.compile(r"\b[0-9a-f]{24}\b")
_NOW = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.?\d*(?:\+00:00)?")


def assert_shown(out: Path, printed: str) -> None:
    assert comparable(printed) == comparable(out.read_text(encoding="utf-8"))


class Caller(DeclaredApi):
    """Calls an application that is there already."""

    def __init__(self, app: falcon.App[Any, Any]) -> None:
        self.app = app
        self.client = testing.TestClient(app)


@pytest.mark.live
@pytest.mark.parametrize("kind", ["mongod", "mongomock"])
@pytest.mark.parametrize("name", MODULES)
def test_a_session_gives_what_is_shown(
    name: str, kind: str, load: Load, make_database: Callable[..., Any], tmp_path: Path
) -> None:
    app = load(DECLARED / f"{name}.py")["create_app"](make_database(kind))
    with served(app) as address:
        printed = session(DECLARED / f"{name}.sh", tmp_path, API=address)
    assert_shown(DECLARED / f"{name}.out", printed)


@runs("declared/run.py")
def test_an_example_is_served(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    served: dict[str, Any] = {}
    monkeypatch.setattr("pymongo.MongoClient", mongomock.MongoClient)
    monkeypatch.setattr(waitress, "serve", lambda app, **options: served.update(options, app=app))
    monkeypatch.setattr(sys, "argv", ["run.py", "kinds"])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(DECLARED))
    runpy.run_path(str(files[0]))
    sys.modules.pop("kinds")
    assert served.pop("listen") == "127.0.0.1:8000"
    assert Caller(served["app"]).get("/media").json == {"data": [], "has_more": False}


@runs("declared/authentication.py")
def test_authentication(files: list[Path], load: Load) -> None:
    db = mongomock.MongoClient()["blog"]
    create_user(db.users, "ada", "correct: horse")
    token = "token-of-ada"
    db.tokens.insert_one({"_id": hashlib.sha256(token.encode()).hexdigest(), "user": "ada"})
    api = Caller(load(files[0])["create_app"](db))

    def status(**headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return api.post("/posts", {"title": "Hello"}, headers=sent).status_code

    def basic(credentials: str) -> str:
        return f"Basic {base64.b64encode(credentials.encode()).decode()}"

    assert api.get("/posts").json["data"] == []
    assert status() == 401
    assert status(Authorization=basic("ada:correct: horse")) == 201
    assert status(Authorization=basic("ada:battery staple")) == 401
    assert status(X_Proxy_Secret="a secret between the proxy and us", X_User="ada") == 201
    assert status(X_Proxy_Secret="a guess", X_User="ada") == 401
    assert status(Authorization=f"Token {token}") == 201
    assert status(X_API_Key=token) == 201
    assert status(X_API_Key="another") == 401
    challenges = api.post("/posts", {}).headers["www-authenticate"]
    assert [one in challenges for one in ("Basic", "Token", "ApiKey", "Proxy")] == [True] * 4


@contextmanager
def under_gunicorn(
    path: Path, directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a module's ``app`` as the docs say; yield the address and the settings."""
    (directory / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", f"{path.stem}:app"]
    settings = {**environment, "HOME": str(directory)}
    with running(command, port, directory, clean_environment(**settings)) as server:
        yield server.url, settings


@pytest.fixture
def database_name(mongo_uri: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Return the URI of the server, whose databases of some names are dropped before and after."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        names: list[str] = []

        def use(name: str) -> str:
            client.drop_database(name)
            names.append(name)
            return mongo_uri

        yield use
        for name in names:
            client.drop_database(name)


@pytest.mark.live
@runs("port/app.py", "port/requests.sh", "port/requests.out")
def test_port(files: list[Path], tmp_path: Path, database_name: Callable[[str], str]) -> None:
    app, script, out = files
    uri = database_name("mongorest_example_app")
    with under_gunicorn(app, tmp_path, {"MONGODB_URI": uri}) as (address, settings):
        printed = session(script, tmp_path, API=address, **settings)
    assert_shown(out, printed)


def test_port_in_process(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymongo.MongoClient", mongomock.MongoClient)
    module = load(EXAMPLES / "port" / "app.py")
    api, db = Caller(module["app"]), module["db"]

    key = {"Authorization": f"Basic {base64.b64encode(b'a key:').decode()}"}
    assert api.get("/users/").status_code == 401
    assert api.get("/users/", headers=key).status_code == 401
    db.api_keys.insert_one({"_id": module["digest"]("a key"), "user": "ada"})
    assert api.get("/users/", headers=key).json["data"] == []
    cookie = {"Cookie": "session=session-of-ada"}
    assert api.get("/users/", headers=cookie).status_code == 401
    db.sessions.insert_one({"_id": module["digest"]("session-of-ada"), "user": "ada"})
    user = api.post("/users/", {"email": "ada@example.com"}, headers=cookie)
    assert user.status_code == 201
    again = api.post("/users/", {"email": "ada@example.com"}, headers=cookie)
    assert (again.status_code, again.json["code"]) == (409, "document.duplicate")

    sent = {
        "title": "First post!",
        "author_id": user.json["id"],
        "content": {"text": "this is our test post content"},
    }
    post = api.create("/posts/", sent)
    assert post == {"id": post["id"], **sent}
    assert api.get(f"/posts/{post['id']}/").json == post
    for url in ("/posts/", "/posts/?title=First+post!", "/posts/?title__startswith=First"):
        assert api.listed(url) == [post]
    assert api.listed("/posts/?title__startswith=Second") == []
    assert api.listed(f"/posts/?author_id={user.json['id']}") == [post]
    changed = api.put(f"/posts/{post['id']}/", {"title": "Second post!"})
    assert (changed.status_code, changed.json) == (200, {**post, "title": "Second post!"})
    refused = api.delete(f"/posts/{post['id']}/")
    assert (refused.status_code, "DELETE" in refused.headers["allow"]) == (405, False)


@pytest.mark.live
@runs("scaffold/api.py")
def test_scaffold(
    files: list[Path], tmp_path: Path, database_name: Callable[[str], str], load: Load
) -> None:
    uri = database_name("shop")
    with MongoClient[dict[str, Any]](uri) as client:
        shop = client["shop"]
        shop.customers.create_index("email", unique=True)
        for name in ("Ada", "Bob"):
            customer: dict[str, Any] = {"name": name, "email": f"{name.lower()}@example.com"}
            shop.customers.insert_one(customer)
            order = {
                "customer": customer["_id"],
                "placed": dt.datetime(2024, 5, 1, 9, 30),
                "lines": [{"product": "ink", "pieces": 2}],
            }
            shop.orders.insert_one(order if name == "Ada" else {**order, "note": "Ring twice."})
        environment = clean_environment(MONGODB_URI=uri, DATABASE="shop")
        done = falcorest(tmp_path, "scaffold", "customers", "orders", environment=environment)
        assert done.returncode == 0, done.stderr
        assert_shown(files[0], done.stdout)
        api = Caller(load(files[0])["create_app"](shop))
        [order] = api.listed("/orders/?note__startswith=Ring")
        assert api.get(f"/customers/{order['customer']}").json["name"] == "Bob"


@pytest.mark.live
@runs(
    *("declared/books.py", "declared/books-write.sh", "declared/books-write.out"),
    *("declared/books-read.sh", "declared/books-read.out"),
)
def test_tutorial(files: list[Path], tmp_path: Path, database_name: Callable[[str], str]) -> None:
    app, *sessions = files
    uri = database_name("library")
    with under_gunicorn(app, tmp_path, {"MONGODB_URI": uri}) as (address, _):
        for script, out in zip(sessions[::2], sessions[1::2], strict=True):
            assert_shown(out, session(script, tmp_path, API=address))
