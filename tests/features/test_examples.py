"""Every file in ``examples/`` does what the documentation says of it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import ServerHandler

import pytest
from falcon import testing
from pymongo import MongoClient

from falcorest.auth import TokenIssuer
from falcorest.demo import documents
from falcorest.runner import prepare
from falcorest.server import build_app, monitor_of, open_database
from falcorest.settings import load_settings
from tests.attacks.__main__ import HEADER
from tests.examples import EXAMPLES, note, noted, runs
from tests.faults import __main__ as faults
from tests.faults import overload, soak
from tests.faults.strikes import FAULTS
from tests.features.test_declared_examples import served
from tests.support import (
    SECRET,
    Server,
    clean_environment,
    falcorest,
    free_port,
    read_banner,
    running,
    serve,
)

BESIDE_PYTHON = str(Path(sys.executable).parent)

#: Scripts whose output stands beside them as ``.out``, with the settings that they need.
SCRIPTS: dict[str, dict[str, str]] = {
    "bulk/bulk.sh": {},
    "cache/cache.sh": {"FALCOREST_CACHE_CONTROL": "max-age=60"},
    "cors/cors.sh": {"FALCOREST_CORS_ORIGINS": "https://app.example.com"},
    "editing/editing.sh": {},
    "errors/problem.sh": {},
    "idempotency/keys.sh": {},
    "formats/compression.sh": {},
    "formats/lists.sh": {},
    "formats/plain.sh": {"FALCOREST_JSON": "plain"},
    "import/import.sh": {},
    "openapi/describe.sh": {},
    "indexes/indexes.sh": {"FALCOREST_REQUIRE_INDEX": "true"},
    "operate/probes.sh": {},
    "paging/after.sh": {},
    "paging/count.sh": {},
    "paging/link.sh": {"FALCOREST_MAX_LIMIT": "3"},
    "paging/paging.sh": {},
    "patches/patches.sh": {},
    "queries/queries.sh": {"FALCOREST_REGEX": "true"},
    "registration/open.sh": {"FALCOREST_REGISTRATION": "open"},
    "updates/updates.sh": {},
}

for _script in SCRIPTS:
    note(_script, f"{_script.removesuffix('.sh')}.out")


@pytest.fixture
def environment(mongo_uri: str) -> Iterator[dict[str, str]]:
    """Settings for a fresh database, all of whose collections are served."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=name,
        COLLECTIONS="*",
        JWT_SECRET_KEY=SECRET,
        PATH=f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}",
    )
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)


def run_script(script: Path, directory: Path, environment: Mapping[str, str], **more: str) -> str:
    """Run a shell script as a reader would, and return what it prints."""
    done = subprocess.run(
        ["sh", script],
        cwd=directory,
        env={**environment, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_new_ids(text: str) -> str:
    """Blank the ObjectIds that are made anew each time; those of the sample data stay."""
    return re.sub(r'"\$oid": ?"(?!6195b0eb|61a30c07)[0-9a-f]{24}"', '"$oid":"…"', text)


def shown_and_printed(shown: Path, printed: str, *volatile: str) -> tuple[str, str]:
    """Return the text of a file and a printed one, both without what differs each time."""
    texts = (shown.read_text(encoding="utf-8"), printed)
    for pattern in volatile:
        texts = (re.sub(pattern, "…", texts[0]), re.sub(pattern, "…", texts[1]))
    return without_new_ids(texts[0]), without_new_ids(texts[1])


def test_every_example_is_run() -> None:
    there = {
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == noted()


@contextmanager
def demonstrated(
    directory: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve the sample data from this process, which takes less time; yield the address."""
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(ServerHandler, "http_version", "1.1")
        settings = load_settings(directory)
        monitor = monitor_of(settings)
        with closing(open_database(settings, monitor).client) as client:
            database = client[environment["DATABASE"]]
            names = prepare(settings, database, demo=True)
            with served(build_app(settings, database, names, monitor)) as url:
                yield url


@pytest.mark.live
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_what_is_shown(
    name: str, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = EXAMPLES / name
    token = TokenIssuer(SECRET).issue("ada")
    with demonstrated(tmp_path, {**environment, **SCRIPTS[name]}, monkeypatch) as url:
        printed = run_script(script, tmp_path, environment, API=url, TOKEN=token)
    shown, printed = shown_and_printed(script.with_suffix(".out"), printed)
    assert printed == shown


@pytest.mark.long
@pytest.mark.live
@runs(
    *("tutorial/serve.txt", "tutorial/read.sh", "tutorial/read.out", "tutorial/write.sh"),
    *("tutorial/write.out", "tutorial/.env", "tutorial/own.sh", "tutorial/own.out"),
)
def test_tutorial(files: list[Path], tmp_path: Path, mongod: Path) -> None:
    banner, read, read_out, write, write_out, env, own, own_out = files
    environment = clean_environment()
    with serve(tmp_path, "--demo") as server:
        shown, printed = shown_and_printed(
            banner, read_banner(server), r"127\.0\.0\.1:\d+", r"MongoDB \d\S+"
        )
        assert printed.strip() == shown.strip()
        assert run_script(read, tmp_path, environment, API=server.url) == read_out.read_text()

        made = falcorest(tmp_path, "createuser", "ada", "--password-stdin", input="correct horse\n")
        assert made.returncode == 0, made.stderr
        assert run_script(write, tmp_path, environment, API=server.url) == write_out.read_text()

    (tmp_path / ".env").write_text(env.read_text())
    with serve(tmp_path) as server:
        assert run_script(own, tmp_path, environment, API=server.url) == own_out.read_text()
        assert len(server.get("/api/engines").json) == 25
        assert server.get("/api/rocket_engines").status == 404


def store_samples(environment: Mapping[str, str], *names: str) -> None:
    with MongoClient[dict[str, Any]](environment["MONGODB_URI"]) as client:
        for name in names:
            client[environment["DATABASE"]][name].insert_many(documents(name))


@pytest.mark.live
@runs("existing/.env", "existing/check.txt")
def test_existing_database(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    env, check = files
    (tmp_path / ".env").write_text(env.read_text())
    store_samples(environment, "rocket_engines", "launch_vehicles")
    del environment["COLLECTIONS"]
    done = falcorest(tmp_path, "check", environment=environment)
    assert done.returncode == 0, done.stderr
    shown, printed = shown_and_printed(check, done.stdout, r"MongoDB \S+ at \S+, database \w+")
    assert printed == shown

    del environment["JWT_SECRET_KEY"]
    done = falcorest(tmp_path, "check", environment=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("falcorest: JWT_SECRET_KEY: At least 32 bytes are needed")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.live
@runs("toml/falcorest.toml")
def test_falcorest_toml(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "falcorest.toml").write_text(files[0].read_text())
    store_samples(environment, "rocket_engines", "launch_vehicles")
    environment["COLLECTIONS"] = "rockets:rocket_engines"
    token = TokenIssuer(SECRET).issue("ada")
    with serve(tmp_path, environment=environment) as server:
        page = server.get("/api/rockets")
        assert len(page.json) == 5
        assert 'rel="next"' in page.headers["link"]
        assert server.get("/api/rockets?_limit=6").json["code"] == "query.invalid_limit"
        assert len(server.get("/api/vehicles").json) == 13
        refused = server.request("DELETE", "/api/rockets?country=USA", token=token)
        assert refused.json["code"] == "bulk.too_many"
        deleted = server.request("DELETE", "/api/rockets?country=India", token=token)
        assert deleted.json == {"items_deleted": 2}


@pytest.mark.live
@runs(
    *("certainty/falcorest.toml", "certainty/refused.sh", "certainty/refused.out"),
    "certainty/app.py",
)
def test_certainty(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    toml, script, out, app = files
    store_samples(environment, "rocket_engines", "launch_vehicles")
    (tmp_path / "falcorest.toml").write_text(toml.read_text())
    printed = subprocess.run(
        ["sh", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stderr + printed.stdout == out.read_text()
    with serve(tmp_path, environment=environment) as server:
        for name in ("rocket_engines", "launch_vehicles"):
            assert len(server.get(f"/api/{name}").json) == len(documents(name))
    text = app.read_text()
    for shown, here in (("mongodb://localhost", "MONGODB_URI"), ("shop", "DATABASE")):
        assert text.count(f'"{shown}"') == 1
        text = text.replace(f'"{shown}"', repr(environment[here]))
    own: dict[str, Any] = {}
    exec(text, own)
    with own["client"]:
        client = testing.TestClient(own["app"])
        assert client.simulate_post("/bookings", json={"seat": 1}).status_code == 201
        assert [one["seat"] for one in client.simulate_get("/bookings").json] == [1]
        assert client.simulate_post("/clicks", json={"n": 1}).status_code == 201
        assert len(client.simulate_get("/engines").json) == len(documents("rocket_engines"))


@pytest.mark.live
@pytest.mark.parametrize("session", ["fields", "rows", "owner"])
@runs(
    *("policy/falcorest.toml", "policy/rocket_engines.json", "policy/fields.sh"),
    *("policy/fields.out", "policy/rows.sh", "policy/rows.out", "policy/owner.sh"),
    "policy/owner.out",
)
def test_policy(
    files: list[Path], session: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    toml, stored, *sessions = files
    script, out = (file for file in sessions if file.stem == session)
    (tmp_path / "falcorest.toml").write_text(toml.read_text())
    del environment["COLLECTIONS"]
    tokens = {
        name: TokenIssuer(SECRET).issue(name.lower(), roles)
        for name, roles in {"ADA": ["editor"], "BOB": [], "ROOT": ["admin"]}.items()
    }
    with MongoClient[dict[str, Any]](environment["MONGODB_URI"]) as client:
        database = client[environment["DATABASE"]]
        database.rocket_engines.insert_many(json.loads(stored.read_text()))
        database.create_collection("notes")
        with serve(tmp_path, environment=environment) as server:
            printed = run_script(script, tmp_path, environment, API=server.url, **tokens)
        assert printed == out.read_text()
        kept = {one["_id"]: one for one in json.loads(stored.read_text())}
        for engine in database.rocket_engines.find():
            for name in ("cost", "supplier", "approved"):
                assert engine[name] == kept[engine["_id"]][name]


@pytest.mark.long
@pytest.mark.live
@runs(
    *("indexes/falcorest.toml", "indexes/build.sh", "indexes/build.out"),
    *("indexes/app.py", "indexes/program.sh", "indexes/program.out"),
)
def test_indexes(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    toml, build, build_out, app, program, program_out = files
    (tmp_path / "falcorest.toml").write_text(toml.read_text())
    (tmp_path / "app.py").write_text(app.read_text().replace("blog", environment["DATABASE"]))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    store_samples(environment, "rocket_engines")
    volatile = (r"\d\.\d s\b", r"MongoDB \S+ at \S+, database \w+")
    for script, out in ((build, build_out), (program, program_out)):
        shown, printed = shown_and_printed(
            out, run_script(script, tmp_path, environment), *volatile
        )
        assert printed == shown


@pytest.mark.long
@pytest.mark.live
@runs("users/users.sh", "users/users.out")
def test_users(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    script, out = files
    assert run_script(script, tmp_path, environment) == out.read_text()
    with serve(tmp_path, environment=environment) as server:
        for password, status in (("another horse", 200), ("correct horse", 401)):
            answer = server.request("POST", "/login", {"username": "ada", "password": password})
            assert answer.status == status


@pytest.mark.long
@pytest.mark.live
@runs("keys/keys.sh", "keys/keys.out")
def test_keys(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    script, out = files
    environment["FALCOREST_AUTHENTICATION"] = "bearer,api-key"
    with serve(tmp_path, environment=environment) as server:
        printed = run_script(script, tmp_path, environment, API=server.url)
    shown, printed = shown_and_printed(out, printed, r"\b[0-9a-f]{12}\b", r"\d{4}-\d\d-\d\d")
    assert printed == shown


@pytest.mark.live
@runs("idempotency/once.py")
def test_a_client_that_repeats(
    files: list[Path],
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN", TokenIssuer(SECRET).issue("ada"))
    store_samples(environment, "rocket_engines")
    spec = importlib.util.spec_from_file_location("once", files[0])
    assert spec is not None
    assert spec.loader is not None
    with serve(tmp_path, environment=environment) as server:
        monkeypatch.setenv("API", server.url)
        once = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(once)
        urlopen, lost = urllib.request.urlopen, iter([True, True, False, True, False])

        def losing(*arguments: Any, **options: Any) -> Any:
            answer = urlopen(*arguments, **options)
            if next(lost):
                answer.close()
                raise ConnectionResetError
            return answer

        monkeypatch.setattr(urllib.request, "urlopen", losing)
        monkeypatch.setattr(once.time, "sleep", lambda seconds: None)
        made = once.send("POST", "/api/rocket_engines", {"name": "Archimedes"})
        change = {"$inc": {"tests": 1}}
        changed = once.send("PATCH", "/api/rocket_engines?name=Archimedes", change)
        assert changed == {"matched_items": 1, "modified_items": 1}
        monkeypatch.undo()
        found = server.get("/api/rocket_engines?name=Archimedes").json
        assert found == [{**made, "name": "Archimedes", "tests": 1}]


def assert_serves(server: Server) -> None:
    assert len(server.get("/api/rocket_engines").json) == 1
    assert server.get("/nowhere").json["code"] == "route.not_found"


@pytest.mark.live
@pytest.mark.parametrize("server", ["gunicorn", "waitress", "granian"])
@runs("deploy/gunicorn.conf.py", "deploy/waitress.sh", "deploy/granian.sh")
def test_deployments(
    server: str, files: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    config, waitress, granian = files
    port = free_port()
    environment |= {"PORT": str(port), "HOME": str(tmp_path)}
    with MongoClient[dict[str, Any]](environment["MONGODB_URI"]) as client:
        client[environment["DATABASE"]].rocket_engines.insert_one({"name": "Vinci"})
    (tmp_path / config.name).write_text(config.read_text())
    command = {
        "gunicorn": [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"],
        "waitress": ["sh", str(waitress)],
        "granian": ["sh", str(granian)],
    }[server]
    with running(command, port, tmp_path, environment) as process:
        assert_serves(process)
        counted = 'route="/api/rocket_engines",status="200"} 1.0'
        assert all(counted in process.get("/metrics").body.decode() for _ in range(5))
        if server == "granian":
            # NOTE: granian waits for a worker that is told to stop while it still starts.
            started = 0
            assert process.process.stdout is not None
            while started < 2:
                started += "Started worker" in process.process.stdout.readline()


@pytest.mark.live
@runs("registration/app.py", "registration/own.sh", "registration/own.out")
def test_registration_of_ones_own(
    files: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    app, script, out = files
    (tmp_path / "app.py").write_text(app.read_text())
    port = free_port()
    environment |= {"INVITATION": "open sesame", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"]
    with running(command, port, tmp_path, environment) as server:
        shown, printed = shown_and_printed(
            out, run_script(script, tmp_path, environment, API=server.url)
        )
        assert printed == shown
        credentials = {"username": "ada", "password": "correct horse"}
        assert server.request("POST", "/login", credentials).status == 200

        def refused(body: Any) -> tuple[int, str]:
            answer = server.request("POST", "/register", body)
            return answer.status, answer.json["code"]

        invited = {**credentials, "invitation": "open sesame"}
        assert refused(invited) == (409, "document.duplicate")
        assert refused({**invited, "password": None}) == (400, "body.invalid_value")
        assert refused([]) == (400, "http.error")
        assert refused({**invited, "invitation": "\ud800"}) == (403, "http.error")


@pytest.mark.long
@pytest.mark.live
@runs("client/client.py", "client/client.out")
def test_client(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    client, out = files
    environment |= {"FALCOREST_MAX_LIMIT": "5", "PASSWORD": "correct horse"}
    arguments = ["createuser", "ada", "--password-stdin"]
    falcorest(tmp_path, *arguments, input="correct horse\n", environment=environment)
    with serve(tmp_path, "--demo", environment=environment) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", client, server.url, "ada"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == out.read_text()


@pytest.mark.live
@runs("formats/lines.py", "formats/lines.out")
def test_lines(
    files: list[Path],
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, out = files
    with demonstrated(tmp_path, environment, monkeypatch) as url:
        done = subprocess.run(
            [sys.executable, "-W", "error", program, f"{url}/api/rocket_engines?_limit=3"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == out.read_text()


@pytest.mark.long
@pytest.mark.live
@runs("editing/editing.py", "editing/editing-py.out", "editing/falcorest.toml")
def test_editing(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    program, out, toml = files
    token = TokenIssuer(SECRET).issue("ada")
    with serve(tmp_path, "--demo", environment=environment) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", program, f"{server.url}/api/rocket_engines/demo"],
            env={**environment, "TOKEN": token},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == out.read_text()

    (tmp_path / "falcorest.toml").write_text(toml.read_text())
    environment.pop("COLLECTIONS")
    with serve(tmp_path, environment=environment) as server:
        body = {"name": "b"}
        refused = server.request("PATCH", "/api/engines/demo", body, token=token)
        assert (refused.status, refused.json["code"]) == (428, "precondition.required")
        for revision in (1, 2):
            match = {"If-Match": server.get("/api/engines/demo").headers["etag"]}
            changed = server.request("PATCH", "/api/engines/demo", body, token=token, headers=match)
            assert changed.status == 204
            assert server.get("/api/engines/demo").json["revision"] == revision


@pytest.mark.live
@runs("extended-json/document.json")
def test_extended_json(files: list[Path], tmp_path: Path, environment: dict[str, str]) -> None:
    document = json.loads(files[0].read_text())
    token = TokenIssuer(SECRET).issue("ada")
    with serve(tmp_path, "--demo", environment=environment) as server:
        created = server.request("POST", "/api/rocket_engines", document, token=token)
        assert created.status == 201
        back = server.get(created.headers["location"])
        assert back.json == document
        assert list(back.json) == list(document)


@runs("faults/figures.txt")
def test_the_figures_of_the_faults_are_whole(files: list[Path]) -> None:
    """They are what the script has printed, which a test can't repeat: it takes half an hour."""
    heading, *lines = files[0].read_text(encoding="utf-8").splitlines()
    assert heading == faults.HEADER
    rows = {line[: faults.WIDTH].strip(): line[faults.WIDTH :].split() for line in lines}
    assert list(rows) == [fault.name for fault in FAULTS]
    for name, (times, requests, acknowledged, *wrong) in rows.items():
        assert int(times) >= 5
        assert int(requests.replace(",", "")) > int(acknowledged.replace(",", "")) > 1000
        lost, others = int(wrong[0].replace(",", "")), wrong[1:6]
        if name.startswith("control"):
            assert lost > 0
        else:
            assert [lost, *map(int, others)] == [0] * 6


@runs("faults/soak.txt")
def test_the_figures_of_the_soak_run_are_flat(files: list[Path]) -> None:
    told, heading, *lines = files[0].read_text(encoding="utf-8").splitlines()
    assert told.startswith("30 minutes, ")
    assert heading == soak.HEADER
    assert {line.split()[-1] for line in lines} == {"yes"}


@runs("faults/overload.txt")
def test_the_figures_of_the_overload_are_whole(files: list[Path]) -> None:
    heading, *lines = files[0].read_text(encoding="utf-8").splitlines()
    assert heading == overload.HEADER
    assert lines


@runs("attacks/figures.txt")
def test_the_figures_of_the_attacks_are_whole(files: list[Path]) -> None:
    """They are what the script has printed, which a test can't repeat: it takes minutes."""
    heading, *lines = files[0].read_text(encoding="utf-8").splitlines()
    assert heading == HEADER
    figures = re.compile(r"(.{44}) +([0-9,]+) +(?:[0-9]+ %)? +[0-9]+ +0")
    found = [one for one in map(figures.fullmatch, lines) if one is not None]
    assert len(found) == len(lines), "nothing was wrong"
    tried = {one[1].strip(): int(one[2].replace(",", "")) for one in found}
    for door in ("zero-code", "declared"):
        assert tried[f"{door}, two databases on MongoDB"] >= 10_000
    assert len(tried) > 25
