"""The applications in ``examples/embedding/``: called in process, and under real servers."""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from pymongo import MongoClient

from tests.examples import EXAMPLES, runs
from tests.support import clean_environment, free_port, running

pytestmark = pytest.mark.live

FOLDER = EXAMPLES / "embedding"
OPEN = "The library is open."

#: Sends a request; returns status, headers with their names in lower case, and text or JSON.
Send = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def library_uri(mongo_uri: str) -> Iterator[str]:
    """The URI of a fresh database, which it names."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    address, _, options = mongo_uri.partition("/?")
    yield f"{address.rstrip('/')}/{name}?{options}"
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, library_uri: str) -> Iterator[Callable[[Path], Any]]:
    """Import an example as a server would, and forget it at the end."""
    monkeypatch.setenv("MONGODB_URI", library_uri)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    yield lambda path: importlib.import_module(path.stem)
    if "library" in sys.modules:
        sys.modules["library"].api.db.client.close()
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def in_process(app: Any) -> Send:
    """Call a WSGI application; it is held to PEP 3333 meanwhile."""
    client = testing.TestClient(app)

    def send(
        method: str, url: str, body: Any = ..., **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        path, _, query_string = url.partition("?")
        more: dict[str, Any] = {} if body is ... else {"json": body}
        more["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
        result = client.simulate_request(method, path, query_string=query_string, **more)
        is_json = result.headers.get("content-type", "").endswith("json")
        return result.status_code, dict(result.headers), result.json if is_json else result.text

    return send


def assert_serves(send: Send, prefix: str) -> None:
    """Use the API as a client would."""
    status, headers, author = send("POST", f"{prefix}/authors", {"name": "Ursula K. Le Guin"})
    assert status == 201
    assert headers["location"] == f"{prefix}/authors/{author['id']}"
    for title, year in (("The Dispossessed", 1974), ("The Lathe of Heaven", 1971)):
        book = {"title": title, "year": year, "author": author["id"]}
        status, headers, made = send("POST", f"{prefix}/books/", book)
        assert (status, made["author"]) == (201, author)
    assert send("GET", headers["location"])[2] == made

    status, headers, page = send("GET", f"{prefix}/books?_order_by=year&_limit=1")
    assert ([one["title"] for one in page["data"]], page["has_more"]) == ([made["title"]], True)
    following = headers["link"].partition(">")[0].lstrip("<")
    assert following.startswith(f"{prefix}/books?")
    status, headers, page = send("GET", following)
    assert ([one["year"] for one in page["data"]], page["has_more"]) == ([1974], False)
    assert 'rel="next"' not in headers["link"]

    status, headers, problem = send("GET", f"{prefix}/books?colour=red")
    assert (status, problem["code"]) == (400, "query.unknown_parameter")
    assert headers["content-type"] == "application/problem+json"
    assert send("GET", f"{prefix}/nowhere")[0] == 404
    assert send("DELETE", f"{prefix}/authors/{author['id']}")[0] == 204
    assert send("GET", f"{prefix}/books?year__lt=1972")[2]["data"][0]["author"] is None


@runs("embedding/library.py", "embedding/falcon_app.py")
def test_falcon(files: list[Path], load: Callable[[Path], Any]) -> None:
    send = in_process(load(files[1]).app)
    assert_serves(send, "")
    assert send("GET", "/health")[::2] == (200, {"healthy": True})


@runs("embedding/flask_app.py")
def test_flask(files: list[Path], load: Callable[[Path], Any]) -> None:
    module = load(files[0])
    send = in_process(module.app)
    assert_serves(send, "/api")
    assert send("GET", "/")[::2] == (200, OPEN)
    assert send("GET", "/books")[0] == 404
    assert module.app.test_client().get("/api/books?_limit=0").json == {
        "data": [],
        "has_more": True,
    }


@runs("embedding/django_wsgi.py")
def test_django(files: list[Path], load: Callable[[Path], Any]) -> None:
    # NOTE: settings can be configured once in a process, so no other test imports this.
    send = in_process(load(files[0]).application)
    assert_serves(send, "/api")
    assert send("GET", "/")[::2] == (200, OPEN)
    assert send("GET", "/books")[0] == 404


@runs("embedding/wsgi_app.py")
def test_plain_wsgi(files: list[Path], load: Callable[[Path], Any]) -> None:
    send = in_process(load(files[0]).app)
    assert_serves(send, "/api")
    for url in ("/", "/books", "/apis"):
        assert send("GET", url)[::2] == (200, OPEN)


@runs("embedding/two_databases.py")
def test_two_databases(
    files: list[Path], load: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_KEY", "sesame")
    module = load(files[0])
    send = in_process(module.app)
    try:
        assert_serves(send, "")
        url = "/archive/books"
        status, headers, problem = send("GET", url)
        assert (status, problem["code"]) == (401, "auth.required")
        assert headers["www-authenticate"].startswith("ApiKey ")
        assert send("GET", url, X_API_Key="wrong")[0] == 401
        page = {"data": [], "has_more": False}
        assert send("GET", url, X_API_Key="sesame")[::2] == (200, page)
        status, headers, book = send("POST", url, {"title": "Codex"}, X_API_Key="sesame")
        assert (status, headers["location"]) == (201, f"{url}/{book['id']}")
        assert send("GET", f"/books/{book['id']}")[0] == 404
    finally:
        module.archive.db.client.drop_database(module.archive.db.name)


@runs("embedding/own_errors.py")
def test_own_errors(files: list[Path], load: Callable[[Path], Any]) -> None:
    module = load(files[0])
    send = in_process(module.app)
    status, _, answer = send("POST", "/books", {"title": "x" * 201})
    assert (status, answer["error"]) == (400, "body.invalid")
    assert send("GET", "/books/none")[2]["error"] == "document.not_found"
    assert send("GET", "/nowhere")[2] == {"title": "404 Not Found"}

    class Broken:
        def on_get(self, req: Any, resp: Any) -> None:
            raise RuntimeError

    module.app.add_route("/broken", Broken())
    status, _, answer = send("GET", "/broken")
    assert (status, answer["error"]) == (500, "oops")


@pytest.mark.parametrize(
    ("server", "target", "prefix"),
    [
        ("granian", "falcon_app:app", ""),
        ("gunicorn", "flask_app:app", "/api"),
        ("waitress", "django_wsgi:application", "/api"),
        ("gunicorn", "wsgi_app:app", "/api"),
    ],
)
def test_under_a_server(
    server: str, target: str, prefix: str, library_uri: str, tmp_path: Path
) -> None:
    port = free_port()
    host = "127.0.0.1"
    options = {
        "gunicorn": ["--threads", "2", "--bind", f"{host}:{port}", target],
        "waitress": [f"--listen={host}:{port}", target],
        "granian": [
            *("--interface", "wsgi", "--host", host, "--port", str(port)),
            *("--workers-kill-timeout", "2", target),
        ],
    }[server]
    environment = clean_environment(
        MONGODB_URI=library_uri,
        PYTHONPATH=str(FOLDER),
        PYTHONDONTWRITEBYTECODE="1",
        HOME=str(tmp_path),
    )
    command = [sys.executable, "-m", server, *options]
    with running(command, port, tmp_path, environment) as process:

        def send(method: str, url: str, body: Any = ...) -> tuple[int, dict[str, str], Any]:
            answer = process.request(method, url, body)
            is_json = answer.headers.get("content-type", "").endswith("json")
            content = answer.json if is_json else answer.body.decode()
            return answer.status, answer.headers, content

        assert_serves(send, prefix)
        if prefix:
            assert send("GET", "/")[::2] == (200, OPEN)
