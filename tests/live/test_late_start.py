"""A server that is started before its database: it waits for it, and needs no restart."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from pymongo import MongoClient

from falcorest import ConfigurationError, create_app
from falcorest.settings import Settings
from tests.live.processes import SERVERS, eventually, plain_mongod, serving
from tests.support import SECRET, clean_environment, free_port

pytestmark = pytest.mark.live


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_waits_for_its_database(server: str, tmp_path: Path, mongod: Path) -> None:
    port = free_port()
    environment = clean_environment(
        MONGODB_URI=f"mongodb://127.0.0.1:{port}/late",
        COLLECTIONS="rockets:rocket_engines",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_TIMEOUT_MS="500",
    )
    with (
        serving(tmp_path, *SERVERS[server], environment=environment) as running,
        ExitStack() as stack,
    ):
        assert "falcorest waits for its database" in running.banner()
        assert running.get("/health/live").status == 200
        assert running.get("/metrics").status == 200
        for path in ("/api/rockets", "/health/ready", "/openapi.json", "/nowhere"):
            answer = running.get(path)
            assert (answer.status, answer.json["code"]) == (503, "database.unavailable")
            assert answer.headers["retry-after"] == "1"
            assert answer.json["since"]

        stack.enter_context(plain_mongod(mongod, tmp_path / "mongod", port=port))
        client: MongoClient[Any] = stack.enter_context(MongoClient("127.0.0.1", port))

        # The settings don't fit it yet.
        def misfit() -> bool:
            return "don't fit" in running.get("/health/ready").json.get("detail", "")

        assert eventually(misfit)
        assert "there is no collection rocket_engines" in running.text
        client["late"]["rocket_engines"].insert_one({"_id": "vinci"})
        assert eventually(lambda: running.get("/health/ready").status == 200)
        # NOTE: each worker finds out by itself.
        assert eventually(
            lambda: all(running.get("/api/rockets/vinci").status == 200 for _ in range(20))
        )
        assert "/api/rockets" in running.get("/openapi.json").json["paths"]
        assert "the database can be reached; served are: rockets" in running.text
        assert running.get("/nowhere").status == 404


@pytest.mark.long
@pytest.mark.usefixtures("closed_in_the_end")
def test_an_application_made_by_hand_waits_too(
    tmp_path: Path, mongod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("falcorest.late_start.PAUSE_SECONDS", 0.0)
    port = free_port()
    uri = f"mongodb://127.0.0.1:{port}/late"
    settings = Settings(
        mongodb_uri=uri, collections_text="*", jwt_secret_key=SECRET, timeout_ms=300
    )
    client = testing.TestClient(create_app(settings))
    assert client.simulate_get("/api/rockets").status_code == 503
    with plain_mongod(mongod, tmp_path / "mongod", port=port), MongoClient[Any](uri) as mongo:
        mongo["late"]["rockets"].insert_one({"_id": "vinci"})
        answers = [client.simulate_get("/api/rockets") for _ in range(20)]
        assert answers[-1].json == [{"_id": "vinci"}]
        stranger = uri.replace("mongodb://", "mongodb://eve:secret@")
        with pytest.raises(ConfigurationError, match="refuses"):
            create_app(settings.replace(mongodb_uri=stranger))
