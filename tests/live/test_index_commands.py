"""``falcorest indexes`` and ``falcorest routes`` on real databases."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.live.processes import Command, Terminal, assert_refused, eventually, run, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

Db = Database[dict[str, Any]]


@pytest.fixture(params=["mongo_uri", "standalone_uri"])
def any_database(request: pytest.FixtureRequest) -> Iterator[tuple[str, Db]]:
    """A fresh database with a collection, and the URI of its server."""
    uri = request.getfixturevalue(request.param)
    with MongoClient[dict[str, Any]](uri) as client:
        database = client[f"commands_{uuid.uuid4().hex[:8]}"]
        database.create_collection("engines")
        yield uri, database
        client.drop_database(database.name)


@pytest.fixture
def database(mongo_uri: str) -> Iterator[tuple[str, Db]]:
    """The same on a replica set."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client[f"commands_{uuid.uuid4().hex[:8]}"]
        database.create_collection("engines")
        yield mongo_uri, database
        client.drop_database(database.name)


def environment(database: tuple[str, Db], **settings: str) -> dict[str, str]:
    uri, own = database
    return clean_environment(
        MONGODB_URI=uri,
        DATABASE=own.name,
        COLLECTIONS="rockets:engines",
        JWT_SECRET_KEY=SECRET,
        **settings,
    )


def declare(folder: Path, indexes: str) -> None:
    (folder / "falcorest.toml").write_text(f"[resources.rockets]\nindexes = {indexes}\n")


def rows(output: str) -> list[list[str]]:
    """Return what a table says, without its heading."""
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    return [re.split(r" {3,}", line.strip()) for line in lines[1:]]


def test_what_is_missing_is_shown_and_built(any_database: tuple[str, Db], tmp_path: Path) -> None:
    settings = environment(any_database)
    engines = any_database[1].engines
    engines.create_index("old")
    engines.create_index("cycle")
    declare(tmp_path, '["name", "cycle", ["country", "-thrust"], {keys = "serial", unique = true}]')
    ended = run(tmp_path, "indexes", environment=settings)
    assert (ended.code, ended.errors) == (1, "")
    assert rows(ended.output) == [
        ["engines", "missing", "name"],
        ["engines", "present", "cycle"],
        ["engines", "missing", "country, -thrust"],
        ["engines", "missing", "serial", "unique"],
        ["engines", "extra", "old"],
    ]
    assert ended.output.endswith(
        "\n3 indexes are missing: falcorest indexes --apply builds them.\n"
    )

    ended = run(tmp_path, "indexes", "--apply", environment=settings)
    assert (ended.code, ended.errors) == (0, "")
    built = re.findall(r"^engines: (.*): built in \d+\.\d s$", ended.output, re.MULTILINE)
    assert built == ["name", "country, -thrust", "serial; unique"]
    assert ended.output.endswith("\nAll declared indexes are there.\n")
    assert [*engines.index_information()] == [
        *("_id_", "old_1", "cycle_1", "name_1", "country_1_thrust_-1", "serial_1"),
    ]
    ended = run(tmp_path, "indexes", environment=settings)
    assert (ended.code, "missing" in ended.output) == (0, False)


def test_what_cannot_be_built_does_not_stop_the_others(
    any_database: tuple[str, Db], tmp_path: Path
) -> None:
    settings = environment(any_database)
    engines = any_database[1].engines
    engines.insert_many([{"name": "RD-180\x1b[31m", "place": "here"} for _ in range(2)])
    engines.create_index("year", name="by_year", expireAfterSeconds=60)
    engines.create_index("cycle")
    declare(
        tmp_path,
        '[{keys = "name", unique = true}, "place:2dsphere", "year", '
        '{keys = "cycle", sparse = true}, "country"]',
    )
    ended = run(tmp_path, "indexes", "--apply", environment=settings)
    assert (ended.code, ended.errors) == (1, "")
    for line in (
        'engines: name; unique: not built: several documents have {"name":"RD-180\\u001b[31m"}.',
        "engines: place:2dsphere: not built: Can't extract geo keys",
        "engines: country: built in ",
        "    is different from year; expires after 60 s; name by_year, which is called by_year.",
        '    db.engines.dropIndex("by_year")',
        '    db.engines.dropIndex("cycle_1")',
        "2 indexes are missing still.",
        "2 indexes are different in the database: falcorest indexes says how.",
    ):
        assert f"\n{line}" in ended.output
    assert {"country_1", "by_year", "cycle_1"} < engines.index_information().keys()


def test_check_and_serve_say_what_is_missing(database: tuple[str, Db], tmp_path: Path) -> None:
    settings = environment(database)
    declare(tmp_path, '["name"]')
    said = "1 index is missing: falcorest indexes --apply builds it"
    ended = run(tmp_path, "check", environment=settings)
    assert (ended.code, ended.errors) == (1, f"falcorest: {said}.\n")
    assert "All is well" not in ended.output
    with serving(tmp_path, environment=settings) as server:
        assert re.search(rf"^  Indexes +{said}$", server.banner(), re.MULTILINE)
    assert run(tmp_path, "indexes", "--apply", environment=settings).code == 0
    ended = run(tmp_path, "check", environment=settings)
    assert (ended.code, ended.errors) == (0, "")
    assert "All is well" in ended.output


def test_the_embedded_engine_is_started_for_it(tmp_path: Path, mongod: Path) -> None:
    declare(tmp_path, '["name"]')
    settings = clean_environment(COLLECTIONS="rockets:engines", FALCOREST_MONGOD=str(mongod))
    assert run(tmp_path, "indexes", "--apply", environment=settings).code == 0
    assert run(tmp_path, "indexes", environment=settings).code == 0


PROGRAM = """
import os, falcon, pymongo
from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from marshmallow import fields as ma

client = pymongo.MongoClient(os.environ["URI"])
app = falcon.App()
api = FalcoRest(app, client[os.environ["NAME"]])
archive = FalcoRest(app, client[os.environ["NAME"] + "_archive"])

class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(attribute="t")
    author = fields.Reference("users")

class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    email = ma.String()

class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources = {"author": lambda: UserResource}
    indexes = ["author", "t:text"]

class UserResource(Resource):
    collection = "users"
    schema = UserSchema
    indexes = [{"keys": "email", "unique": True}]

@api.register(name="posts", url="/posts/")
class PostView(ResourceView):
    resource = PostResource
    methods = [methods.List]

archive.register(name="old", url="/old/")(PostView)
"""


def test_the_indexes_of_a_program(any_database: tuple[str, Db], tmp_path: Path) -> None:
    """Those of related resources are among them, and each database has its own."""
    uri, own = any_database
    (tmp_path / "program.py").write_text(PROGRAM)
    settings = clean_environment(URI=uri, NAME=own.name, PYTHONDONTWRITEBYTECODE="1")
    ended = run(tmp_path, "indexes", "program:api", environment=settings)
    assert (ended.code, ended.errors) == (1, "")
    assert rows(ended.output) == [
        ["posts", "missing", "author"],
        ["posts", "missing", "t:text"],
        ["users", "missing", "email", "unique"],
    ]
    assert "falcorest indexes program:api --apply builds them" in ended.output
    ended = run(tmp_path, "indexes", "program:app", "--apply", environment=settings)
    try:
        assert (ended.code, ended.errors) == (0, "")
        assert rows(ended.output)[0] == [f"{own.name}.posts", "missing", "author"]
        assert rows(ended.output)[3] == [f"{own.name}_archive.posts", "missing", "author"]
        for database in (own, own.client[f"{own.name}_archive"]):
            assert [*database.posts.index_information()] == ["_id_", "author_1", "t_text"]
            assert database.users.index_information()["email_1"]["unique"]
    finally:
        own.client.drop_database(f"{own.name}_archive")

    ended = run(tmp_path, "routes", "program:app", environment=settings)
    assert (ended.code, ended.errors) == (0, "")
    assert rows(ended.output) == [
        ["/posts", "GET, HEAD", "public", "posts", "posts"],
        ["/old", "GET, HEAD", "public", "old", "posts"],
    ]


def test_the_routes_of_the_settings(database: tuple[str, Db], tmp_path: Path) -> None:
    settings = environment(database, FALCOREST_REGISTRATION="open")
    ended = run(tmp_path, "routes", environment=settings)
    assert (ended.code, ended.errors) == (0, "")
    assert ["/api/rockets/{id}", "GET, HEAD", "public", "rockets", "engines"] in rows(ended.output)
    assert ["/register", "POST", "public"] in rows(ended.output)


REFUSED: list[tuple[list[str], dict[str, str], str, str]] = [
    (["indexes"], {"MONGODB_URI": "mongomock://"}, "[]", "MONGODB_URI"),
    (["indexes", "--apply"], {"MONGODB_URI": "mongomock://"}, "[]", "MONGODB_URI"),
    (["indexes"], {}, '["a:b"]', "falcorest.toml: resources.rockets.indexes[0]: 'a:b'"),
    (["check"], {}, '[{keys = "a", unik = 1}]', "resources.rockets.indexes[0]: 'unik'"),
    (["serve"], {}, '"a"', "resources.rockets.indexes: a list"),
    (["indexes", "nowhere:api"], {}, "[]", "There is no module nowhere"),
    (["routes", "falcorest:FalcoRest"], {}, "[]", "a FalcoRest or a Falcon application"),
    (["routes"], {"JWT_SECRET_KEY": "short"}, "[]", "JWT_SECRET_KEY"),
]


@pytest.mark.parametrize(("arguments", "changes", "indexes", "naming"), REFUSED)
def test_what_cannot_be_is_one_line(
    arguments: list[str],
    changes: dict[str, str],
    indexes: str,
    naming: str,
    database: tuple[str, Db],
    tmp_path: Path,
) -> None:
    declare(tmp_path, indexes)
    settings = {**environment(database), **changes}
    assert_refused(run(tmp_path, *arguments, environment=settings), naming)


def test_a_program_in_memory_and_one_whose_database_is_away(tmp_path: Path) -> None:
    (tmp_path / "away.py").write_text(
        PROGRAM.replace('os.environ["URI"]', '"mongodb://127.0.0.1:1", timeoutMS=300')
    )
    (tmp_path / "memory.py").write_text(PROGRAM.replace("pymongo", "mongomock"))
    settings = clean_environment(URI="", NAME="blog", PYTHONDONTWRITEBYTECODE="1")
    for arguments, naming in (
        (["indexes", "away:api"], "the database can't be reached"),
        (["indexes", "memory:api", "--apply"], "in memory"),
    ):
        assert_refused(run(tmp_path, *arguments, environment=settings), naming)


def test_indexes_of_a_view_are_refused(database: tuple[str, Db], tmp_path: Path) -> None:
    database[1].create_collection("active", viewOn="engines")
    declare(tmp_path, '["name"]')
    settings = {**environment(database), "COLLECTIONS": "rockets:active"}
    for command in ("indexes", "check", "routes"):
        ended = run(tmp_path, command, environment=settings)
        assert_refused(ended, "resources.rockets.indexes: active is a view")


def test_a_terminal_shows_how_far_a_build_is(database: tuple[str, Db], tmp_path: Path) -> None:
    engines = database[1].engines
    for start in range(0, 200_000, 20_000):
        engines.insert_many([{"name": f"{n * 7919 % 10007}"} for n in range(start, start + 20_000)])
    declare(tmp_path, '["name", ["name", "-_id"]]')
    settings = {**environment(database), "TERM": "xterm", "COLUMNS": "80"}
    terminal = Terminal(tmp_path, "indexes", "--apply", environment=settings)
    assert eventually(lambda: terminal._read() and "All declared" in terminal.text)
    assert terminal.end() == 0
    assert re.search(r"[\d,]+ of 200,000", terminal.text)
    assert "engines: name, -_id: built in" in terminal.text


def test_a_build_that_is_interrupted_goes_on(database: tuple[str, Db], tmp_path: Path) -> None:
    engines = database[1].engines
    for start in range(0, 200_000, 20_000):
        engines.insert_many([{"name": f"{n * 7919 % 10007}"} for n in range(start, start + 20_000)])
    declare(tmp_path, '["name"]')
    command = Command(tmp_path, "indexes", "--apply", environment=environment(database))
    assert eventually(lambda: "name_1" in engines.index_information())
    command.process.terminate()
    ended = command.end()
    assert ended.code == 143
    assert "engines: name: MongoDB may go on building it." in ended.output
    assert eventually(lambda: run(tmp_path, "indexes", environment=environment(database)).code == 0)
