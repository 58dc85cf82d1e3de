"""``falcorest scaffold`` on a real database: what it prints runs and shows everything."""

from __future__ import annotations

import ast
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import falcon
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, ObjectId, Regex
from falcon import testing
from pymongo import MongoClient
from pymongo.database import Database

from falcorest import demo
from falcorest.database import connect
from falcorest.errors import ConfigurationError, Unavailable
from falcorest.scaffold import scaffold
from falcorest.settings import Settings
from tests.live.processes import Ended, assert_refused, program, run, running, serving
from tests.support import SECRET, clean_environment, free_port
from tests.test_scaffold import _sorted, as_shown, lint, same

__all__ = ["lint"]

pytestmark = [pytest.mark.live, pytest.mark.long]

AnyDatabase = Database[dict[str, Any]]

IDS = [ObjectId() for _ in range(6)]
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


@pytest.fixture(scope="module")
def make_database(mongo_uri: str) -> Iterator[Callable[[], AnyDatabase]]:
    made: list[AnyDatabase] = []

    def make() -> AnyDatabase:
        made.append(connect(mongo_uri, f"scaffold_{uuid.uuid4().hex[:8]}", timeout_ms=20000))
        return made[-1]

    yield make
    for database in made:
        database.client.drop_database(database.name)
        database.client.close()


@pytest.fixture(scope="module")
def sample(make_database: Callable[[], AnyDatabase]) -> AnyDatabase:
    """The demo database."""
    database = make_database()
    for name in demo.COLLECTIONS:
        database[name].insert_many(demo.documents(name))
    return database


@pytest.fixture(scope="module")
def rich(make_database: Callable[[], AnyDatabase]) -> AnyDatabase:
    """A database with something of everything."""
    database = make_database()
    database.create_collection(
        "users",
        validator={
            "$and": [
                {"age": {"$exists": True}},
                {
                    "$jsonSchema": {
                        "bsonType": "object",
                        "required": ["email"],
                        "properties": {
                            "email": {"bsonType": "string", "maxLength": 80},
                            "role": {"enum": ["admin", "author", None]},
                            "age": {"bsonType": ["int", "null"], "minimum": 0},
                        },
                    }
                },
            ]
        },
    )
    database.users.insert_many(
        [
            {"_id": IDS[0], "email": "ada@b.c", "role": "admin", "age": 36, "boss": None},
            {"_id": IDS[1], "email": "bob@b.c", "role": None, "age": None, "boss": IDS[0]},
        ]
    )
    database.users.create_index("email", unique=True)
    database.posts.insert_many(
        [
            {
                "_id": IDS[2],
                "title": "One",
                "author": IDS[0],
                "editors": [IDS[0], IDS[1]],
                "content": {"text": "…", "blocks": [{"kind": "p", "by": IDS[1]}, {"kind": "h"}]},
                "tags": ["a", "b"],
                "price": Decimal128("9.90"),
                "rating": 5,
                "token": Binary(UUID.bytes, 4),
                "picture": b"\x00\x01",
                "at": datetime(2021, 11, 1, 9, 30, 0, 123000),
                "views": Int64(2**60),
                "matrix": [[1, 2], [3.5]],
                "class": "x",
                "firstName": "Ada",
                "a.b": 1,
                "dangling": ObjectId(),
                "mixed": 1,
                "votes": {str(IDS[0]): 1, str(IDS[1]): -1},
                "pattern": Regex("^a", "i"),
            },
            {
                "_id": IDS[3],
                "title": "Two",
                "author": IDS[1],
                "editors": [],
                "content": {"text": None, "blocks": []},
                "tags": [],
                "price": None,
                "rating": 4.5,
                "at": datetime(1969, 1, 1),
                "mixed": ["x", {"y": IDS[1]}],
                "votes": {},
                "far": DatetimeMS(2**60),
                "code": Code("x", {"y": 1}),
            },
        ]
    )
    database.posts.create_index([("author", 1), ("at", -1)])
    database.posts.create_index([("title", "text")])
    database["2020-data"].insert_many([{"_id": f"key-{n}", "id": n} for n in range(3)])
    database.counters.insert_many([{"_id": n, "n": n} for n in range(3)])
    database.create_collection("titles", viewOn="posts", pipeline=[{"$project": {"title": 1}}])
    database.create_collection("empty")
    database.create_collection("falcorest_notes")
    database.mangorest_users.insert_one({"username": "ada", "password": b"secret"})
    database.create_collection("who", viewOn="mangorest_users", pipeline=[])
    database["my posts"].insert_one({"_id": IDS[4], "x": 1})
    return database


def settings_of(database: AnyDatabase, **changes: Any) -> Settings:
    host, port = next(iter(database.client.nodes or [database.client.address]))
    uri = f"mongodb://{host}:{port}/?directConnection=true"
    return Settings(mongodb_uri=uri, database=database.name, **changes)


def module_of(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "scaffolded"}
    exec(compile(source, "scaffolded", "exec", dont_inherit=True), names)
    return names


@contextmanager
def app_by_itself(names: dict[str, Any]) -> Iterator[falcon.App]:
    """Make the application of a module with the database that it finds by itself."""
    opened = []

    def open_and_keep(*arguments: Any, **options: Any) -> AnyDatabase:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    names["connect"] = open_and_keep
    try:
        yield names["create_app"]()
    finally:
        for database in opened:
            database.client.close()


def assert_shows_everything(app: falcon.App, database: AnyDatabase, *collections: str) -> None:
    """Read every document through an API, listed and one by one."""
    client = testing.TestClient(app)
    for name in collections:
        stored = {str(document["_id"]): document for document in database[name].find()}
        assert stored or name == "empty"
        key = "_id" if any("id" in document for document in stored.values()) else "id"
        listed: list[dict[str, Any]] = []
        while True:
            page = client.simulate_get(f"/{name}/", params={"_skip": len(listed), "_limit": 10})
            assert page.status_code == 200, page.text
            listed += page.json["data"]
            if not page.json["has_more"]:
                break
        assert len(listed) == len(stored)
        for shown in listed:
            document = stored[str(shown[key])]
            expected = as_shown(document)
            assert set(shown) == set(expected)
            for field, value in expected.items():
                assert same(_sorted(value), _sorted(shown[field])), (name, field, shown[field])
            one = client.simulate_get(f"/{name}/{quote(str(shown[key]), safe='')}/")
            assert one.status_code == 200, one.text
            assert one.json == shown


# ------------------------------------------------------------------------------ the demo database


def command(database: AnyDatabase, folder: Path, *arguments: str, **settings: str) -> Ended:
    configured = settings_of(database)
    environment = {"MONGODB_URI": configured.mongodb_uri, "DATABASE": database.name, **settings}
    environment = clean_environment(**environment)  # type: ignore[arg-type]
    return run(folder, "scaffold", *arguments, environment=environment)


def test_the_demo_database_is_served_by_what_is_printed(
    sample: AnyDatabase, tmp_path: Path, lint: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = command(sample, tmp_path)
    assert ended.code == 0, ended
    assert "rocket_engines" in ended.errors
    lint(ended.output)
    names = module_of(ended.output)
    assert_shows_everything(names["create_app"](sample), sample, *demo.COLLECTIONS)
    # The second time, it finds the database by itself.
    settings = settings_of(sample)
    monkeypatch.setenv("MONGODB_URI", str(settings.mongodb_uri))
    monkeypatch.setenv("DATABASE", sample.name)
    with app_by_itself(names) as app:
        assert_shows_everything(app, sample, *demo.COLLECTIONS)
    assert command(sample, tmp_path).output == ended.output


def test_references_of_the_demo_are_found(sample: AnyDatabase) -> None:
    source = scaffold(settings_of(sample), sample)
    assert 'engines = ma.List(fields.Reference("rocket_engines"), required=True)' in source
    assert '# related_resources: ClassVar = {"engines": lambda: RocketEngineResource}' in source


@pytest.mark.parametrize("server", ["gunicorn", "waitress", "granian"])
def test_what_is_printed_runs_under_a_server(
    server: str, sample: AnyDatabase, tmp_path: Path
) -> None:
    (tmp_path / "api.py").write_text(scaffold(settings_of(sample), sample), encoding="utf-8")
    port = free_port()
    commands = {
        "gunicorn": ["gunicorn", "-b", f"127.0.0.1:{port}", "api:create_app()"],
        "waitress": ["waitress-serve", f"--listen=127.0.0.1:{port}", "--call", "api:create_app"],
        "granian": [
            *("granian", "--interface", "wsgi", "--factory", "--port", str(port)),
            *("--workers-kill-timeout", "2"),
            "api:create_app",
        ],
    }
    name, *arguments = commands[server]
    environment = clean_environment(
        MONGODB_URI=str(settings_of(sample).mongodb_uri), DATABASE=sample.name, PYTHONPATH="."
    )
    with running([program(name), *arguments], tmp_path, environment, port) as process:
        answer = process.get("/rocket_engines/?_limit=1")
        assert answer.status == 200
        assert len(answer.json["data"]) == 1
        assert process.request("POST", "/rocket_engines/", {}).status == 405


def test_the_embedded_engine_is_looked_at_too(tmp_path: Path, mongod: Path) -> None:
    environment = clean_environment(FALCOREST_MONGOD=str(mongod), JWT_SECRET_KEY=SECRET)
    with serving(tmp_path, "--demo", environment=environment):
        ended = run(tmp_path, "scaffold", environment=environment)
        assert ended.code == 0, ended
        names = module_of(ended.output)
        with (
            MongoClient[dict[str, Any]](names["DEFAULT_URI"]) as client,
            app_by_itself(names) as app,
        ):
            assert_shows_everything(app, client.get_default_database(), *demo.COLLECTIONS)
    refused = run(tmp_path, "scaffold", "nowhere", environment=environment)
    assert_refused(refused, "nowhere")
    again = run(tmp_path, "scaffold", environment=environment)
    assert "RocketEngineResource" in again.output
    assert "nowhere" not in again.errors


# ------------------------------------------------------------------------------ a rich database


def test_a_rich_database_is_shown_whole(rich: AnyDatabase, lint: Callable[..., None]) -> None:
    said: list[str] = []
    source = scaffold(settings_of(rich), rich, say=said.append)
    lint(source)
    names = module_of(source)
    served = ["users", "posts", "2020-data", "counters", "titles", "empty"]
    assert_shows_everything(names["create_app"](rich), rich, *served)
    shown = ["2020-data", "counters", "empty", "posts", "titles", "users"]
    assert [line.partition(":")[0] for line in said if "looked at" in line] == list(
        map(repr, shown)
    )
    assert any("'my posts'" in line for line in said)
    assert "secret" not in source
    for line in (
        'author = fields.Reference("users", required=True)',
        'editors = ma.List(fields.Reference("users"), required=True)',
        'by = fields.Reference("users")',
        'boss = fields.Reference("users", required=True, allow_none=True)',
        "dangling = fields.ObjectId()",
        "votes = ma.Dict(values=ma.Integer(), required=True)",
        'class_ = ma.String(attribute="class", data_key="class")',
        'first_name = ma.String(attribute="firstName", data_key="firstName")',
        "rating = ma.Float(required=True)",
        "matrix = ma.List(ma.List(ma.Float()))",
        "email = ma.String(required=True, validate=validate.Length(max=80))",
        "validate=validate.OneOf(",
        '# Unique: "email".',
        'allowed_ordering = ("id", "-id", "author", "-author")',
        "class Collection2020DataSchema(Schema):",
        'id = ma.Integer(attribute="_id", required=True)',
        '# Left out, as no query can name it: "a.b".',
    ):
        assert line in source, line


def test_filters_and_orderings_work(rich: AnyDatabase) -> None:
    names = module_of(scaffold(settings_of(rich), rich))
    client = testing.TestClient(names["create_app"](rich))

    def ids(query: str) -> list[str]:
        answer = client.simulate_get("/posts/", query_string=query)
        assert answer.status_code == 200, answer.text
        return [document["id"] for document in answer.json["data"]]

    one, two = str(IDS[2]), str(IDS[3])
    assert ids(f"author={IDS[0]}") == [one]
    assert ids(f"editors__in={IDS[1]},{IDS[4]}") == [one]
    assert ids("title__startswith=T") == [two]
    assert ids("price__gt=9.8") == [one]
    assert ids("at__lt=2000-01-01T00:00:00") == [two]
    assert ids(f"token={UUID}") == [one]
    assert ids("_order_by=-id") == [two, one]
    assert client.simulate_get("/titles/").json["data"][0] == {"id": one, "title": "One"}


def test_collections_can_be_named(rich: AnyDatabase, tmp_path: Path) -> None:
    source = scaffold(settings_of(rich), rich, ["users", "my posts", "users"])
    assert 'api.register(name="my-posts", url="/my-posts/")(MyPostView)' in source
    assert "PostResource" not in source.replace("MyPost", "")
    # A reference points into a collection that isn't in the module.
    source = scaffold(settings_of(rich), rich, ["posts"])
    assert 'author = fields.Reference("users", required=True)' in source
    assert "related_resources" not in source
    module_of(source)


@pytest.mark.parametrize(
    "name", ["nowhere", "mangorest_users", "who", "falcorest_notes", "system.views", "", "a\nb"]
)
def test_some_collections_are_refused(name: str, rich: AnyDatabase) -> None:
    before = rich.list_collection_names()
    with pytest.raises(ConfigurationError) as caught:
        scaffold(settings_of(rich), rich, ["users", name])
    assert len(caught.value.problems) == 1
    assert ascii(name) in caught.value.problems[0]
    assert rich.list_collection_names() == before


def test_a_collection_of_ours_is_refused_with_exit_code_2(
    rich: AnyDatabase, tmp_path: Path
) -> None:
    assert_refused(command(rich, tmp_path, "mangorest_users", "nowhere"), "nowhere")


def test_other_user_collections_are_kept_back_too(rich: AnyDatabase) -> None:
    source = scaffold(settings_of(rich, user_collection="counters"), rich)
    assert "counters" not in source


def test_an_empty_database_and_one_in_memory_are_refused(
    make_database: Callable[[], AnyDatabase], tmp_path: Path
) -> None:
    empty = make_database()
    assert_refused(command(empty, tmp_path), empty.name)
    memory = run(tmp_path, "scaffold", environment=clean_environment(MONGODB_URI="mongomock://"))
    assert_refused(memory, "memory")


def test_no_password_is_printed(rich: AnyDatabase, tmp_path: Path) -> None:
    uri = str(settings_of(rich).mongodb_uri).replace("/?", f"/{rich.name}?")
    ended = command(rich, tmp_path, MONGODB_URI=uri + "&appname=hunter2", DATABASE=rich.name)
    assert ended.code == 0, ended
    assert "hunter2" not in ended.output + ended.errors
    assert f'DEFAULT_URI = "mongodb://localhost:27017/{rich.name}"' in ended.output


# ------------------------------------------------------------------------------------- the sample


def test_the_sample_is_taken_from_both_ends(make_database: Callable[[], AnyDatabase]) -> None:
    database = make_database()
    database.events.insert_many([{"_id": n, f"f{n}": n} for n in range(100)])

    def fields(sample: int) -> list[str]:
        source = scaffold(settings_of(database), database, sample=sample)
        schema = source.partition("class EventSchema")[2].partition("class")[0]
        return [
            node.targets[0].id  # type: ignore[attr-defined]
            for node in ast.parse("class X" + schema.strip(": \n").replace("(Schema)", ""))
            .body[0]
            .body  # type: ignore[attr-defined]
        ]

    assert fields(5) == ["id", "f0", "f1", "f2", "f99", "f98"]
    assert fields(1) == ["id", "f0"]
    assert fields(99) == [
        "id",
        *(f"f{n}" for n in range(50)),
        *(f"f{n}" for n in range(99, 50, -1)),
    ]
    assert len(fields(100)) == len(fields(1000)) == 101
    assert "of about 100;" in scaffold(settings_of(database), database, sample=5)
    assert "all of them" in scaffold(settings_of(database), database, sample=100)


def test_time_series_and_capped_collections(
    make_database: Callable[[], AnyDatabase], lint: Callable[..., None]
) -> None:
    database = make_database()
    database.create_collection("readings", timeseries={"timeField": "at"})
    database.readings.insert_many([{"at": datetime(2021, 11, 1, n), "n": n} for n in range(5)])
    database.create_collection("log", capped=True, size=4096)
    database.log.insert_one({"line": "x"})
    source = scaffold(settings_of(database), database)
    lint(source)
    assert_shows_everything(module_of(source)["create_app"](database), database, "log", "readings")


def test_the_database_is_not_written_to(rich: AnyDatabase) -> None:
    client = rich.client

    def state() -> Any:
        return client.admin.command("serverStatus")["opcounters"]

    before = state()
    scaffold(settings_of(rich), rich)
    after = state()
    assert [after[kind] - before[kind] for kind in ("insert", "update", "delete")] == [0, 0, 0]


def test_a_database_that_does_not_answer_in_time(
    make_database: Callable[[], AnyDatabase], mongo_uri: str
) -> None:
    database = make_database()
    database.things.insert_one({"_id": 1})
    many: list[dict[str, Any]] = [
        stage
        for _ in range(3)
        for stage in ({"$set": {"n": {"$range": [0, 1000]}}}, {"$unwind": "$n"})
    ]
    pipeline = [*many, {"$group": {"_id": None, "n": {"$sum": 1}}}]
    database.create_collection("slow", viewOn="things", pipeline=pipeline)
    impatient = connect(mongo_uri, database.name, timeout_ms=300)
    with closing(impatient.client), pytest.raises(Unavailable):
        scaffold(settings_of(database), impatient, ["slow"])


def test_hostile_names_from_a_real_database(
    make_database: Callable[[], AnyDatabase], lint: Callable[..., None]
) -> None:
    database = make_database()
    names = [
        'x"); exec("import os")  #',
        "x'); exec('import os')  #",
        '"""import os"""',
        "back\\slash",
        "\u202eabc\u2066",
        "__class__",
        "y" * 120,
        "new\nline",
    ]
    for name in names:
        database[name].insert_one(
            {"_id": IDS[0], **dict.fromkeys(names, 1), "o": dict.fromkeys(names, IDS[0])}
        )
        database[name].create_index(name, unique=True)
    source = scaffold(settings_of(database), database, names)
    lint(source)
    assert all(line.isprintable() for line in source.splitlines())
    app = module_of(source)["create_app"](database)
    client = testing.TestClient(app)
    for url in [line for line in source.splitlines() if "url=" in line]:
        path = ast.literal_eval(url.partition("url=")[2].rstrip(",").partition(")(")[0])
        assert len(client.simulate_get(path).json["data"]) == 1
