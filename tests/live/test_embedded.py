"""The embedded engine: a real database, started with the server, stopped with it, never left."""

from __future__ import annotations

import http.client
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from falcorest import embedded
from tests.live.processes import (
    Command,
    Running,
    all_over,
    assert_refused,
    create_user,
    eventually,
    nothing_left,
    plain_mongod,
    run,
    serving,
)
from tests.support import clean_environment, free_port, mongods_in

pytestmark = [pytest.mark.live, pytest.mark.long, pytest.mark.usefixtures("mongod")]

#: Servers and their numbers of workers.
SERVERS = {
    "granian-1": ["--server", "granian"],
    "granian-2": ["--server", "granian", "--workers", "2"],
    "gunicorn-1": ["--server", "gunicorn"],
    "gunicorn-2": ["--server", "gunicorn", "--workers", "2"],
    "waitress": ["--server", "waitress"],
}
#: Within what a server stops that has nothing to do; less than what it grants a busy worker.
SOON = 20.0
OPEN = clean_environment(FALCOREST_PUBLIC_METHODS="GET,POST,DELETE", COLLECTIONS="notes:notes")


def write_note(server: Running, name: str) -> None:
    assert server.request("POST", "/api/notes", {"_id": name}).status == 201


def notes(server: Running) -> list[str]:
    return [note["_id"] for note in server.get("/api/notes").json]


# ------------------------------------------------------------------------------ one that runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def server(mongod: Path, folder: Path) -> Iterator[Running]:
    with serving(folder, "--demo", "--workers", "2") as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[MongoClient[dict[str, Any]]]:
    """The database itself, past the server."""
    uri = f"mongodb://127.0.0.1:{_port(server)}/?directConnection=true"
    with MongoClient(uri) as client:
        yield client


def _port(server: Running) -> int:
    (port,) = {address.port for address in _listening(server)}
    return int(port)


def _listening(server: Running) -> list[Any]:
    connections = server.mongod().net_connections(kind="inet")
    return [one.laddr for one in connections if one.status == psutil.CONN_LISTEN]


def test_it_says_where_it_is_and_what_to_do_next(server: Running) -> None:
    banner = server.banner()
    for promised in (
        server.url,
        "/api/rocket_engines",
        "/api/launch_vehicles",
        "falcorest-data",
        "kept",
        "needs a login",
        "falcorest createuser",
    ):
        assert promised in banner
    assert "Traceback" not in banner


def test_it_listens_on_loopback_only(server: Running) -> None:
    assert {address.ip for address in _listening(server)} == {"127.0.0.1"}


def test_it_has_transactions(client: MongoClient[dict[str, Any]]) -> None:
    assert "setName" in client.admin.command("hello")
    scratch = client.scratch.one
    with client.start_session() as session:
        with session.start_transaction():
            scratch.insert_one({"_id": "undone"}, session=session)
            session.abort_transaction()
        with session.start_transaction():
            scratch.insert_one({"_id": "done"}, session=session)
    assert [found["_id"] for found in scratch.find()] == ["done"]


def test_it_runs_no_javascript(client: MongoClient[dict[str, Any]]) -> None:
    with pytest.raises(OperationFailure):
        client["x"]["y"].find_one({"$where": "true"})
    options = client.admin.command("getCmdLineOpts")["parsed"]
    assert options["security"]["javascriptEnabled"] is False


def test_it_has_change_streams(client: MongoClient[dict[str, Any]]) -> None:
    with client.scratch.watch(max_await_time_ms=1000) as changes:
        client.scratch.watched.insert_one({"_id": "seen"})
        change = eventually(changes.try_next)
    assert change["documentKey"] == {"_id": "seen"}


def test_the_demo_is_there(server: Running) -> None:
    engines = server.get("/api/rocket_engines").json
    assert engines
    assert {
        "name",
        "country",
        "manufacturer",
        "thrust_to_weight_ratio",
        "burn_time",
        "cycle",
        "propellant",
        "is_active",
    } <= set(engines[0])
    assert server.get("/api/launch_vehicles").json


def test_the_secret_can_be_read_by_its_owner_only(server: Running, folder: Path) -> None:
    secret = folder / "falcorest-data" / "jwt-secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_bytes().strip()) >= 32


def test_commands_beside_a_server_use_its_database(server: Running, folder: Path) -> None:
    database = server.mongod()

    def login(password: str) -> int:
        return server.request("POST", "/login", {"username": "ada", "password": password}).status

    create_user(folder, "ada", "first", "admin")
    assert login("first") == 200
    assert run(folder, "users").output == "ada  (admin)\n"
    assert run(folder, "passwd", "ada", "--password-stdin", input="second\n").code == 0
    assert (login("first"), login("second")) == (401, 200)
    checked = run(folder, "check")
    assert checked.code == 0
    assert "/api/rocket_engines" in checked.output
    assert run(folder, "deleteuser", "ada").code == 0
    assert login("second") == 401
    assert run(folder, "users").output == ""
    assert server.mongod() == database
    assert mongods_in(folder) == [database.pid]


def test_a_second_server_on_the_folder_uses_the_same_database(
    server: Running, folder: Path
) -> None:
    with serving(folder) as second:
        assert second.get("/api/launch_vehicles").json == server.get("/api/launch_vehicles").json
        assert len(mongods_in(folder)) == 1
        assert second.end() == 0
    assert server.get("/api/launch_vehicles?_limit=1").status == 200


# ----------------------------------------------------------------------- stopping and starting


# Each of these is played in a folder of its own; most of the time they wait, so a few are played
# at once, before a test asks how they went: SCENES, below.


def it_stops_cleanly_and_keeps_its_data(tmp_path: Path, options: list[str]) -> None:
    """On SIGTERM, though a client keeps its connection open, and on Ctrl-C; soon, both times."""
    with serving(tmp_path, *options, environment=OPEN) as server:
        write_note(server, "before")
        below = server.below()
        idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        idle.request("GET", "/api/notes")
        with idle.getresponse() as response:
            response.read()
        assert server.end(signal.SIGTERM, within=SOON) == 0
        idle.close()
        assert all_over(below)
        assert "Traceback" not in server.text
    assert nothing_left(tmp_path)

    with serving(tmp_path, *options, environment=OPEN) as server:
        assert notes(server) == ["before"]
        below = server.below()
        assert server.end(signal.SIGINT, group=True, within=SOON) == 0
        assert all_over(below)
        assert "Traceback" not in server.text
    assert nothing_left(tmp_path)


def an_interrupt_of_the_server_alone_stops_it_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        below = server.below()
        assert server.end(signal.SIGINT, within=SOON) == 0
        assert all_over(below)
    assert nothing_left(tmp_path)


def stopped_while_it_starts_it_leaves_nothing(tmp_path: Path, signum: int) -> None:
    command = Command(tmp_path, "serve", "--port", str(free_port()))
    assert eventually(lambda: mongods_in(tmp_path))
    command.process.send_signal(signum)
    ended = command.end()
    assert "Traceback" not in ended.errors
    assert nothing_left(tmp_path)


def demo_and_tokens_over_a_restart(tmp_path: Path) -> None:
    """The sample isn't put in again, and a token is good after a restart."""
    with serving(tmp_path, "--demo") as server:
        create_user(tmp_path, "ada", "secret")
        answer = server.request("POST", "/login", {"username": "ada", "password": "secret"})
        token = answer.json["access_token"]
        engines = server.get("/api/rocket_engines").json
        gone = engines[0]["_id"]["$oid"]
        assert server.request("DELETE", f"/api/rocket_engines/{gone}", token=token).status == 204
        server.end()
    with serving(tmp_path, "--demo") as server:
        assert len(server.get("/api/rocket_engines").json) == len(engines) - 1
        assert server.get("/me", token=token).json == {"username": "ada"}


# ------------------------------------------------------------------------------------ killing


def a_killed_server_leaves_nothing_and_starts_again(tmp_path: Path, options: list[str]) -> None:
    port = free_port()
    with serving(tmp_path, *options, port=port, environment=OPEN) as server:
        write_note(server, "before")
        below = server.below()
        server.end(signal.SIGKILL)
        assert all_over(below)
    assert mongods_in(tmp_path) == []
    with serving(tmp_path, *options, port=port, environment=OPEN) as server:
        assert notes(server) == ["before"]


def kill_everything(server: Running) -> None:
    server.process.send_signal(signal.SIGSTOP)  # so that it starts nothing in the meantime
    everything = [*server.below(), psutil.Process(server.process.pid)]
    for one in everything:
        one.kill()
    server.process.wait()
    assert all_over(everything)


def when_everything_is_killed_the_journal_has_the_data(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, "--workers", "2", port=port, environment=OPEN) as server:
        for number in range(20):
            write_note(server, f"note {number}")
        kill_everything(server)
    with serving(tmp_path, "--workers", "2", port=port, environment=OPEN) as server:
        assert len(notes(server)) == 20


def a_new_server_does_not_wait_for_the_old_one_to_be_gone(tmp_path: Path) -> None:
    """The database of a killed server may still be at its end when the next one starts."""
    with serving(tmp_path, environment=OPEN) as server:
        write_note(server, "before")
        server.end(signal.SIGKILL)
        with serving(tmp_path, environment=OPEN) as another:
            assert notes(another) == ["before"]
            assert len(mongods_in(tmp_path)) == 1


# ------------------------------------------------------------------- commands without a server


def both_at_once(folder: Path) -> None:
    """Make two users at the same moment."""
    commands = [
        Command(folder, "createuser", name, "--password-stdin", input="secret\n")
        for name in ("ada", "bob")
    ]
    ends = [command.end(20) for command in commands]
    assert [ended.code for ended in ends] == [0, 0], ends


def commands_start_the_database_for_the_moment(tmp_path: Path) -> None:
    both_at_once(tmp_path)
    assert mongods_in(tmp_path) == []
    listed = run(tmp_path, "users")
    assert (listed.code, listed.output) == (0, "ada\nbob\n")
    assert mongods_in(tmp_path) == []
    checked = run(tmp_path, "check")
    assert checked.code == 0, checked
    assert mongods_in(tmp_path) == []


def two_commands_at_once_after_everything_was_killed(tmp_path: Path) -> None:
    """What the killed server said of itself is not true any more."""
    with serving(tmp_path) as server:
        kill_everything(server)
    both_at_once(tmp_path)
    assert nothing_left(tmp_path)


def a_command_while_the_server_stops(tmp_path: Path) -> None:
    """It uses the database that is still there, or starts it again."""
    with serving(tmp_path) as server:
        server.process.terminate()
        ended = Command(tmp_path, "users").end(20)
        assert ended.code == 0, ended
        assert server.process.wait(20) == 0
    assert nothing_left(tmp_path)


def a_key_that_was_never_written_is_not_used(tmp_path: Path) -> None:
    """As after a full disk. A token that is signed with nothing must not be good."""
    (tmp_path / "falcorest-data").mkdir()
    (tmp_path / "falcorest-data" / "jwt-secret").touch(mode=0o600)
    command = Command(tmp_path, "check")
    ended = command.end()
    if ended.code == 0:
        assert len((tmp_path / "falcorest-data" / "jwt-secret").read_text()) >= 32
    else:
        assert_refused(ended, "jwt-secret")


# ---------------------------------------------------------------------------------- all of these

#: What is promised, how it is played, and with what.
SCENES: list[tuple[str, Callable[..., None], tuple[Any, ...]]] = [
    *(
        (
            f"it_stops_cleanly_and_keeps_its_data-{name}",
            it_stops_cleanly_and_keeps_its_data,
            (options,),
        )
        for name, options in SERVERS.items()
    ),
    *(
        (
            f"a_killed_server_leaves_nothing-{name}",
            a_killed_server_leaves_nothing_and_starts_again,
            (SERVERS[name],),
        )
        for name in ("granian-2", "gunicorn-2", "waitress")
    ),
    *(
        (f"stopped_while_it_starts-{signum}", stopped_while_it_starts_it_leaves_nothing, (signum,))
        for signum in (signal.SIGTERM, signal.SIGINT)
    ),
    (
        "an_interrupt_of_the_server_alone_stops_it_too",
        an_interrupt_of_the_server_alone_stops_it_too,
        (),
    ),
    ("demo_and_tokens_over_a_restart", demo_and_tokens_over_a_restart, ()),
    (
        "when_everything_is_killed_the_journal_has_the_data",
        when_everything_is_killed_the_journal_has_the_data,
        (),
    ),
    (
        "a_new_server_does_not_wait_for_the_old_one_to_be_gone",
        a_new_server_does_not_wait_for_the_old_one_to_be_gone,
        (),
    ),
    ("commands_start_the_database_for_the_moment", commands_start_the_database_for_the_moment, ()),
    (
        "two_commands_at_once_after_everything_was_killed",
        two_commands_at_once_after_everything_was_killed,
        (),
    ),
    ("a_command_while_the_server_stops", a_command_while_the_server_stops, ()),
    ("a_key_that_was_never_written_is_not_used", a_key_that_was_never_written_is_not_used, ()),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[None]]]:
    with ThreadPoolExecutor(4) as executor:
        yield [
            executor.submit(play, tmp_path_factory.mktemp("scene"), *arguments)
            for _, play, arguments in SCENES
        ]


@pytest.mark.parametrize("index", range(len(SCENES)), ids=[scene[0] for scene in SCENES])
def test_it_goes_as_promised(index: int, scenes: list[Future[None]]) -> None:
    scenes[index].result()


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("place", ["falcorest-data/db", "falcorest-data"])
def test_a_folder_that_another_mongod_holds_is_refused(
    place: str, mongod: Path, tmp_path: Path
) -> None:
    with plain_mongod(mongod, tmp_path / place) as other:
        for command in (["serve", "--port", str(free_port())], ["users"]):
            assert_refused(run(tmp_path, *command), "FALCOREST_DATA_DIR", "falcorest-data")
        assert mongods_in(tmp_path) == [other.pid]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = clean_environment(FALCOREST_DATA_DIR="file")
    assert_refused(run(tmp_path, "users", environment=environment), "FALCOREST_DATA_DIR")


@pytest.mark.parametrize("name", ["nothing", "not-a-program", "folder"])
def test_a_mongod_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "not-a-program").write_text("text")
    (tmp_path / "folder").mkdir()
    environment = clean_environment(FALCOREST_MONGOD=str(tmp_path / name))
    ended = run(tmp_path, "serve", "--port", str(free_port()), environment=environment)
    assert_refused(ended, "FALCOREST_MONGOD", name)


def test_a_mongod_that_does_not_start_is_told(tmp_path: Path) -> None:
    failing = tmp_path / "mongod"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    environment = clean_environment(FALCOREST_MONGOD=str(failing))
    assert_refused(run(tmp_path, "users", environment=environment), "mongod")


WITHOUT_THE_WHEEL = """
import importlib.metadata

def distribution(name):
    raise importlib.metadata.PackageNotFoundError(name)

importlib.metadata.distribution = distribution

from falcorest.cli import main

main(prog_name="falcorest")
"""


def test_where_there_is_no_mongod_it_names_the_ways_out(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        *("serve", "--port", str(free_port())),
        environment=clean_environment(PATH=str(tmp_path)),
        command=[sys.executable, "-c", WITHOUT_THE_WHEEL],
    )
    ways = ("falcorest[embedded]", "PATH", "FALCOREST_MONGOD", "MONGODB_URI")
    assert_refused(ended, *ways)


def test_a_mongod_on_the_path_is_used(mongod: Path, tmp_path: Path) -> None:
    (tmp_path / "mongod").symlink_to(mongod)
    ended = run(
        tmp_path,
        "users",
        environment=clean_environment(PATH=str(tmp_path)),
        command=[sys.executable, "-c", WITHOUT_THE_WHEEL],
    )
    assert (ended.code, ended.errors) == (0, "")


def test_a_folder_elsewhere(tmp_path: Path) -> None:
    environment = clean_environment(FALCOREST_DATA_DIR="deep/down/below", COLLECTIONS="a:b,c:d")
    checked = run(tmp_path, "check", environment=environment)
    assert checked.code == 0, checked
    assert "/api/a" in checked.output
    assert "/api/c" in checked.output
    assert (tmp_path / "deep/down/below").is_dir()
    assert not (tmp_path / "falcorest-data").exists()


def test_a_port_that_somebody_else_takes_meanwhile(
    tmp_path: Path, mongod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with (
            embedded.engine(tmp_path / "data", mongod, serving=True) as running,
            MongoClient(running.uri) as client,
        ):
            assert client.admin.command("hello")["isWritablePrimary"]
