"""The ``falcorest`` command: what it says, what it refuses, and with which exit code."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.live.processes import Ended, Terminal, assert_refused, create_user, run, serving
from tests.support import SECRET, clean_environment, free_port

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def ahead() -> Iterator[Executor]:
    """Runs commands before their tests ask how they ended, several at a time."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An external database with a collection, an index, a view, and names that aren't served."""
    with MongoClient(mongo_uri) as client:
        database = client[f"commands_{uuid.uuid4().hex[:8]}"]
        database.rocket_engines.insert_many([{"_id": n, "name": f"RD-{n}"} for n in range(1234)])
        database.rocket_engines.create_index("name", name="by_name")
        database.create_collection("active", viewOn="rocket_engines", pipeline=[])
        database.create_collection("falcorest_notes")
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module")
def external(mongo_uri: str, database: Database[dict[str, Any]]) -> dict[str, str]:
    """Settings that are all right."""
    return {
        "MONGODB_URI": mongo_uri,
        "DATABASE": database.name,
        "COLLECTIONS": "rockets:rocket_engines",
        "JWT_SECRET_KEY": SECRET,
    }


# -------------------------------------------------------------------------------- bad settings

MEMORY = {"MONGODB_URI": "mongomock://"}

#: What is wrong, the settings, and what the line must name.
MALFORMED: list[tuple[str, dict[str, str], list[str]]] = [
    (
        "unknown name",
        {"FALCOREST_MAX_LIMITS": "1"},
        ["FALCOREST_MAX_LIMITS", "FALCOREST_MAX_LIMIT"],
    ),
    ("URI of something else", {"MONGODB_URI": "http://localhost"}, ["MONGODB_URI"]),
    ("URI without host", {"MONGODB_URI": "mongodb://", "DATABASE": "a"}, ["MONGODB_URI"]),
    ("URI with a bad port", {"MONGODB_URI": "mongodb://h:port/a"}, ["MONGODB_URI"]),
    ("empty URI", {"MONGODB_URI": ""}, ["MONGODB_URI"]),
    ("no number", {"FALCOREST_MAX_LIMIT": "many"}, ["FALCOREST_MAX_LIMIT"]),
    ("zero", {"FALCOREST_MAX_AFFECTED": "0"}, ["FALCOREST_MAX_AFFECTED"]),
    ("negative", {"FALCOREST_TOKEN_SECONDS": "-5"}, ["FALCOREST_TOKEN_SECONDS"]),
    ("no method", {"FALCOREST_PUBLIC_METHODS": "GET,FETCH"}, ["FALCOREST_PUBLIC_METHODS", "FETCH"]),
    ("neither open nor closed", {"FALCOREST_REGISTRATION": "maybe"}, ["FALCOREST_REGISTRATION"]),
    ("neither true nor false", {"FALCOREST_REGEX": "perhaps"}, ["FALCOREST_REGEX"]),
    ("prefix without slash", {"FALCOREST_PREFIX": "api"}, ["FALCOREST_PREFIX"]),
    ("short key", {"JWT_SECRET_KEY": "short"}, ["JWT_SECRET_KEY", "32"]),
    ("no pair", {"COLLECTIONS": "rockets"}, ["COLLECTIONS", "rockets"]),
    ("a resource twice", {"COLLECTIONS": "a:b,a:c"}, ["COLLECTIONS", "a"]),
    ("a resource with a slash", {"COLLECTIONS": "a/b:c"}, ["COLLECTIONS", "a/b"]),
    ("a collection that can't be", {"COLLECTIONS": "a:$b"}, ["COLLECTIONS", "$b"]),
    ("the collection of the users", {"COLLECTIONS": "u:mangorest_users"}, ["mangorest_users"]),
    (
        "that collection by another name",
        {"COLLECTIONS": "p:people", "MANGO_USER_COLLECTION": "people"},
        ["people"],
    ),
    ("a system collection", {"COLLECTIONS": "s:system.views"}, ["system.views"]),
    ("one of our own", {"COLLECTIONS": "n:falcorest_notes"}, ["falcorest_notes"]),
]


@pytest.fixture(scope="module")
def malformed(ahead: Executor, tmp_path_factory: pytest.TempPathFactory) -> list[Future[Ended]]:
    """How ``falcorest check`` ends with each row of the table."""
    good = {**MEMORY, "COLLECTIONS": "a:b", "JWT_SECRET_KEY": SECRET}
    return [
        ahead.submit(
            run,
            tmp_path_factory.mktemp("malformed"),
            "check",
            environment=clean_environment(**{**good, **settings}),
        )
        for _, settings, _ in MALFORMED
    ]


@pytest.mark.parametrize("row", range(len(MALFORMED)), ids=[row[0] for row in MALFORMED])
def test_a_bad_setting_is_one_line(row: int, malformed: list[Future[Ended]]) -> None:
    assert_refused(malformed[row].result(), *MALFORMED[row][2])


#: The same for what doesn't fit an external database; None takes a setting away.
MISFITS: list[tuple[str, dict[str, str | None], list[str]]] = [
    ("no key", {"JWT_SECRET_KEY": None}, ["JWT_SECRET_KEY"]),
    ("no collections", {"COLLECTIONS": None}, ["COLLECTIONS"]),
    ("no database", {"DATABASE": None}, ["DATABASE"]),
    ("an impossible database", {"DATABASE": "a.b"}, ["DATABASE"]),
    ("a collection that isn't there", {"COLLECTIONS": "a:nowhere"}, ["COLLECTIONS", "nowhere"]),
    ("the users", {"COLLECTIONS": "u:mangorest_users"}, ["COLLECTIONS", "mangorest_users"]),
    ("system", {"COLLECTIONS": "s:system.views"}, ["COLLECTIONS", "system.views"]),
    ("ours", {"COLLECTIONS": "n:falcorest_notes"}, ["COLLECTIONS", "falcorest_notes"]),
    ("a user nobody knows", {"MONGODB_URI": "{stranger}"}, ["MONGODB_URI"]),
]


@pytest.fixture(scope="module")
def misfits(
    ahead: Executor, external: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> list[Future[Ended]]:
    """How ``falcorest serve`` ends with each row of the table."""
    started = []
    for _, changes, _ in MISFITS:
        stranger = external["MONGODB_URI"].replace("mongodb://", "mongodb://eve:secret@")
        settings = {
            name: value.format(stranger=stranger) if name == "MONGODB_URI" else value
            for name, value in {**external, **changes}.items()
            if value is not None
        }
        folder = tmp_path_factory.mktemp("misfits")
        environment = clean_environment(**settings)
        started.append(ahead.submit(run, folder, "serve", "--port", "0", environment=environment))
    return started


@pytest.mark.parametrize("row", range(len(MISFITS)), ids=[row[0] for row in MISFITS])
def test_what_does_not_fit_the_database_is_one_line(row: int, misfits: list[Future[Ended]]) -> None:
    assert_refused(misfits[row].result(), *MISFITS[row][2])


@pytest.mark.parametrize("row", range(3), ids=[row[0] for row in MISFITS[:3]])
def test_check_refuses_what_serve_refuses(
    row: int, external: dict[str, str], tmp_path: Path
) -> None:
    _, changes, naming = MISFITS[row]
    settings = {name: value for name, value in {**external, **changes}.items() if value}
    assert_refused(run(tmp_path, "check", environment=clean_environment(**settings)), *naming)


#: Content of a file, and what the line must name.
FILES = [
    (".env", "FALCOREST_COLOUR=red\n", "FALCOREST_COLOUR"),
    (".env", "FALCOREST_MAX_LIMIT=many\n", "FALCOREST_MAX_LIMIT"),
    ("falcorest.toml", "[resources\n", "falcorest.toml"),
    ("falcorest.toml", "[colours]\n", "colours"),
    ("falcorest.toml", "[resources.a]\ncolour = 1\n", "resources.a.colour"),
    ("falcorest.toml", "[resources.a]\nmax_limit = 0\n", "resources.a.max_limit"),
]


@pytest.mark.parametrize(("name", "content", "naming"), FILES)
def test_a_bad_file_is_one_line(name: str, content: str, naming: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert_refused(run(tmp_path, "check", environment=clean_environment(**MEMORY)), naming)


def test_several_things_that_are_wrong_are_a_line_each(tmp_path: Path) -> None:
    environment = clean_environment(FALCOREST_NO="1", FALCOREST_REGEX="x", COLLECTIONS="y")
    ended = run(tmp_path, "check", environment=environment)
    assert_refused(ended, "FALCOREST_NO", "FALCOREST_REGEX", "COLLECTIONS", lines=3)


#: Options of serve that can't be, and what the line must name.
OPTIONS = [
    ("waitress with two workers", ["--server", "waitress", "--workers", "2"], "--workers"),
    ("memory with two workers", ["--workers", "2"], "--workers"),
    ("an address of elsewhere", ["--host", "203.0.113.7"], "203.0.113.7"),
]


@pytest.mark.parametrize(
    ("options", "naming"), [row[1:] for row in OPTIONS], ids=[row[0] for row in OPTIONS]
)
def test_options_that_cannot_be(options: list[str], naming: str, tmp_path: Path) -> None:
    environment = clean_environment(**MEMORY)
    ended = run(tmp_path, "serve", "--port", "0", *options, environment=environment)
    assert_refused(ended, naming)


@pytest.mark.parametrize("server", ["granian", "gunicorn", "waitress"])
def test_a_port_that_is_taken(server: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = clean_environment(**MEMORY)
        ended = run(tmp_path, "serve", "--server", server, "--port", port, environment=environment)
    assert_refused(ended, port)


@pytest.mark.parametrize("command", ["createuser ada", "users"])
def test_a_database_in_memory_has_no_users_to_manage(command: str, tmp_path: Path) -> None:
    ended = run(tmp_path, *command.split(), environment=clean_environment(**MEMORY))
    assert_refused(ended, "memory")


def test_users_of_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    environment = clean_environment(
        MONGODB_URI="mongodb://127.0.0.1:1/a", FALCOREST_TIMEOUT_MS="300"
    )
    ended = run(tmp_path, "users", environment=environment)
    assert ended.code != 0
    assert len(ended.errors.splitlines()) == 1
    assert "database" in ended.errors


def test_help_and_version(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help")
    assert shown.code == 0
    for command in ("serve", "createuser", "passwd", "deleteuser", "users", "check"):
        assert f"  {command} " in shown.output
    assert run(tmp_path, "--version").output.startswith("falcorest")


# --------------------------------------------------------------------------------------- users


@pytest.fixture
def users(external: dict[str, str], database: Database[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Settings of a user collection of its own."""
    name = f"users_{uuid.uuid4().hex[:8]}"
    yield clean_environment(**external, MANGO_USER_COLLECTION=name)
    database.drop_collection(name)


def command(tmp_path: Path, environment: dict[str, str], line: str, input: str = "") -> Ended:
    return run(tmp_path, *line.split(), input=input, environment=environment)


@pytest.mark.long
def test_the_life_of_a_user(
    tmp_path: Path, users: dict[str, str], database: Database[dict[str, Any]]
) -> None:
    create_user(tmp_path, "ada", "one", "admin", "editor", environment=users)
    create_user(tmp_path, "bob", "one", environment=users)
    listed = command(tmp_path, users, "users")
    assert (listed.code, listed.output) == (0, "ada  (admin, editor)\nbob\n")

    kept = database[users["MANGO_USER_COLLECTION"]]
    before = kept.find_one({"username": "ada"})
    assert before is not None
    assert before["roles"] == ["admin", "editor"]
    assert isinstance(before["password"], bytes)
    assert before["password"].startswith(b"$argon2id$")

    assert command(tmp_path, users, "passwd ada --password-stdin", "two\n").code == 0
    after = kept.find_one({"username": "ada"})
    assert after is not None
    assert after["password"] != before["password"]
    assert {**after, "password": 0} == {**before, "password": 0}

    assert command(tmp_path, users, "deleteuser ada").code == 0
    assert command(tmp_path, users, "users").output == "bob\n"


#: What is asked for, what comes on standard input, and what the line must name.
REFUSED = [
    ("createuser ada --password-stdin", "secret\n", "ada"),
    ("createuser new --password-stdin", "\n", "password"),
    ("createuser new --password-stdin", "", "password"),
    ("createuser new --password-stdin", "x" * 1025 + "\n", "password"),
    ("passwd nobody --password-stdin", "secret\n", "nobody"),
    ("deleteuser nobody", "", "nobody"),
]


@pytest.mark.long
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, users: dict[str, str], ahead: Executor
) -> None:
    create_user(tmp_path, "ada", "one", environment=users)
    ends = [ahead.submit(command, tmp_path, users, line, input) for line, input, _ in REFUSED]
    for (line, _, naming), future in zip(REFUSED, ends, strict=True):
        ended = future.result()
        assert ended.code == 1, (line, ended)
        assert len(ended.errors.splitlines()) == 1, (line, ended)
        assert naming in ended.errors, (line, ended)
    assert command(tmp_path, users, "users").output == "ada\n"


def test_a_password_is_asked_for_twice(tmp_path: Path, users: dict[str, str]) -> None:
    terminal = Terminal(tmp_path, "createuser", "ada", environment=users)
    terminal.answer("Password", "correct horse")
    terminal.answer("again", "correct horse")
    assert terminal.end() == 0
    assert "correct horse" not in terminal.text, "it is echoed"
    assert command(tmp_path, users, "users").output == "ada\n"


@pytest.mark.long
@pytest.mark.parametrize("line", ["createuser new", "passwd ada"])
def test_passwords_that_differ_are_refused(
    line: str, tmp_path: Path, users: dict[str, str], database: Database[dict[str, Any]]
) -> None:
    create_user(tmp_path, "ada", "one", environment=users)
    kept = database[users["MANGO_USER_COLLECTION"]]
    before = list(kept.find())
    terminal = Terminal(tmp_path, *line.split(), environment=users)
    terminal.answer("Password", "correct horse")
    terminal.answer("again", "correct house")
    assert terminal.end() == 1
    assert "Traceback" not in terminal.text
    assert list(kept.find()) == before


# --------------------------------------------------------------------------------------- check


def test_check_lists_what_is_served(tmp_path: Path, external: dict[str, str]) -> None:
    environment = clean_environment(**{**external, "COLLECTIONS": "*"})
    checked = run(tmp_path, "check", environment=environment)
    assert (checked.code, checked.errors) == (0, "")
    lines = [line.split() for line in checked.output.splitlines()]
    assert ["/api/rocket_engines", "rocket_engines", "1,234", "_id_,", "by_name"] in lines
    (view,) = (line for line in checked.output.splitlines() if "/api/active" in line)
    assert "view" in view
    for hidden in ("falcorest_notes", "mangorest_users", "system.views"):
        assert hidden not in checked.output


def test_check_of_a_database_in_memory(tmp_path: Path) -> None:
    environment = clean_environment(**MEMORY, COLLECTIONS="rockets:rocket_engines")
    checked = run(tmp_path, "check", environment=environment)
    assert (checked.code, checked.errors) == (0, "")
    assert "/api/rockets" in checked.output


# --------------------------------------------------------------------------------------- serve


def test_serving_an_external_database(tmp_path: Path, external: dict[str, str]) -> None:
    with serving(tmp_path, environment=clean_environment(**external)) as server:
        banner = server.banner()
        host = external["MONGODB_URI"].removeprefix("mongodb://").partition("/")[0]
        promised = (
            server.url,
            "/api/rockets",
            host,
            external["DATABASE"],
            "needs a login",
            "falcorest createuser",
        )
        for text in promised:
            assert text in banner
        assert SECRET not in banner
        assert server.get("/api/rockets?name=RD-7").json == [{"_id": 7, "name": "RD-7"}]
        assert server.request("POST", "/api/rockets", {}).status == 401
        assert server.get("/api/rocket_engines").status == 404
        assert server.end() == 0
    assert not (tmp_path / "falcorest-data").exists()


def test_the_banner_tells_who_may_do_what(tmp_path: Path, external: dict[str, str]) -> None:
    environment = clean_environment(
        **external,
        FALCOREST_PUBLIC_METHODS="GET,POST,PUT,PATCH,DELETE",
        FALCOREST_REGISTRATION="open",
    )
    with serving(tmp_path, environment=environment) as server:
        banner = server.banner()
    assert "needs a login" not in banner
    assert f"{server.url}/register" in banner


def test_the_banner_knows_that_there_are_users(tmp_path: Path, users: dict[str, str]) -> None:
    create_user(tmp_path, "ada", "one", environment=users)
    with serving(tmp_path, environment=users) as server:
        assert "createuser" not in server.banner()


@pytest.mark.parametrize("name", ["granian", "gunicorn", "waitress"])
def test_serving_from_memory(name: str, tmp_path: Path) -> None:
    environment = clean_environment(**MEMORY)
    # NOTE: so many threads that granian would have something to say about it.
    options = ["--demo", "--server", name, "--threads", "64"]
    with serving(tmp_path, *options, environment=environment) as server:
        banner = server.banner()
        assert "warning" not in banner
        assert "in memory" in banner
        assert "nothing is kept" in banner
        assert "/api/rocket_engines" in banner
        assert len(server.get("/api/rocket_engines").json) > 10
        assert server.end() == 0
    assert not (tmp_path / "falcorest-data").exists()


def test_the_demo_fills_an_empty_database_only(
    tmp_path: Path, external: dict[str, str], database: Database[dict[str, Any]]
) -> None:
    name = f"demo_{uuid.uuid4().hex[:8]}"
    demo = database.client[name]
    environment = clean_environment(**{**external, "DATABASE": name, "COLLECTIONS": "*"})
    try:
        demo.mangorest_users.insert_one({"username": "ada"})
        with serving(tmp_path, "--demo", environment=environment) as server:
            assert len(server.get("/api/rocket_engines").json) > 10
        demo.rocket_engines.delete_many({})
        demo.launch_vehicles.delete_many({"name": {"$ne": "Saturn V"}})
        demo.launch_vehicles.insert_one({"name": "one of mine"})
        before = list(demo.launch_vehicles.find())
        with serving(tmp_path, "--demo", environment=environment) as server:
            assert server.get("/api/rocket_engines").json == []
        assert list(demo.launch_vehicles.find()) == before
    finally:
        database.client.drop_database(name)


def test_any_free_port_is_taken_on_request(tmp_path: Path) -> None:
    """The address that is printed is the one to ask."""
    environment = clean_environment(**MEMORY)
    with serving(tmp_path, port=free_port(), environment=environment) as server:
        assert f"http://127.0.0.1:{server.port}" in server.banner()
