"""What the command shows, on a database in memory and on stand-ins for the others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from falcorest.embedded import Engine
from falcorest.runner import Run
from falcorest.server import Served, open_database
from falcorest.settings import Settings
from falcorest.terminal import resources, show, welcome, where

IN_MEMORY = Settings(mongodb_uri="mongomock://", database="space")
RUN = Run("granian", "127.0.0.1", 8000, 1, 4)
ROCKETS = Served("rockets", "rocket_engines", read_only=False)
VEHICLES = Served("v", "launch_vehicles", read_only=True)


def shown(settings: Settings, served: list[Served], run: Run = RUN, users: int = 0) -> str:
    """Return what `falcorest serve` prints."""
    database = open_database(settings)
    database["rocket_engines"].insert_many([{} for _ in range(1234)])
    for number in range(users):
        database[settings.user_collection].insert_one({"username": str(number)})
    return "\n".join(part.plain for part in welcome(settings, None, run, served, database))


def test_the_welcome_names_address_resources_data_and_what_to_do_next() -> None:
    text = shown(IN_MEMORY, [ROCKETS])
    for expected in (
        "serves the database space",
        "http://127.0.0.1:8000",
        "granian, 1 worker, 4 threads",
        "/api/rockets",
        "rocket_engines",
        "1,234",
        "in memory; nothing is kept",
        "curl http://127.0.0.1:8000/api/rockets",
        "Ctrl-C",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("methods", "reading", "writing"),
    [
        (["GET"], "public", "needs a login"),
        ([], "needs a login", "needs a login"),
        (["GET", "POST"], "public", "public for POST"),
        (["POST", "PUT", "PATCH", "DELETE"], "needs a login", "public"),
        (["GET", "POST", "PUT", "PATCH", "DELETE"], "public", "public"),
    ],
)
def test_the_welcome_says_what_needs_a_login(
    methods: list[str], reading: str, writing: str
) -> None:
    lines = shown(IN_MEMORY.replace(public_methods=methods), [ROCKETS]).splitlines()
    assert sum(line.split()[:1] == ["Reading"] and reading in line for line in lines) == 1
    assert sum(line.split()[:1] == ["Writing"] and writing in line for line in lines) == 1


def test_where_anybody_may_register_the_first_user_is_made_over_http() -> None:
    text = shown(IN_MEMORY.replace(registration="open"), [ROCKETS])
    assert "POST http://127.0.0.1:8000/register" in text


def test_where_nothing_is_served_the_welcome_says_what_to_do() -> None:
    text = shown(IN_MEMORY, [])
    assert "COLLECTIONS" in text
    assert "--demo" in text


def test_several_workers_are_counted() -> None:
    assert "gunicorn, 3 workers, 2 threads" in shown(
        IN_MEMORY, [ROCKETS], Run("gunicorn", "127.0.0.1", 8000, 3, 2)
    )


def test_the_prefix_stands_before_the_resources() -> None:
    text = shown(IN_MEMORY.replace(prefix="/v1"), [ROCKETS])
    assert "/v1/rockets" in text
    assert "/api" not in text


def test_resources_are_a_table_with_columns_that_line_up() -> None:
    database = open_database(IN_MEMORY)
    database["rocket_engines"].insert_one({})
    database["rocket_engines"].create_index("name")
    table = resources(IN_MEMORY, [ROCKETS, VEHICLES], database, indexes=True).plain
    heading, rockets, vehicles = (line for line in table.splitlines() if line)
    assert heading.split() == ["Resource", "Collection", "Documents", "Indexes"]
    assert rockets.split() == ["/api/rockets", "rocket_engines", "1", "_id_,", "name_1"]
    assert vehicles.split(maxsplit=2) == ["/api/v", "launch_vehicles", "a view, read only"]
    assert heading.index("Collection") == rockets.index("rocket_") == vehicles.index("launch_")
    assert heading.index("Documents") == rockets.index(" 1 ") + 1 == vehicles.index("a view")


def test_indexes_are_shown_only_where_they_are_asked_for() -> None:
    table = resources(IN_MEMORY, [ROCKETS], open_database(IN_MEMORY)).plain
    assert "Indexes" not in table
    assert "_id_" not in table


@pytest.mark.parametrize(
    ("settings", "running", "expected"),
    [
        (IN_MEMORY, None, ["in memory", "nothing is kept"]),
        (
            Settings(mongodb_uri="mongodb://admin:hunter2@db.example/space"),
            None,
            ["MongoDB 6.0.5", "db.example:27017", "space"],
        ),
        (
            Settings(),
            Engine("mongodb://127.0.0.1:1", owner=1, attached=False, wait=print),
            ["embedded MongoDB 6.0.5", "falcorest-data", "kept"],
        ),
        (
            Settings(),
            Engine("mongodb://127.0.0.1:1", owner=4711, attached=True, wait=print),
            ["embedded", "falcorest-data", "process 4711"],
        ),
    ],
)
def test_where_the_data_is_fits_in_a_line(
    settings: Settings, running: Engine | None, expected: list[str]
) -> None:
    client = SimpleNamespace(
        server_info=lambda: {"version": "6.0.5"}, nodes={("db.example", 27017)}
    )
    database: Any = SimpleNamespace(client=client, name="space")
    line = where(settings, running, database)
    assert all(part in line for part in expected)
    assert "hunter2" not in line
    assert "\n" not in line


def test_long_lines_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://127.0.0.1:8000/" + "x" * 300
    show(address, "[bold]as it stands?[/bold]")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == address
