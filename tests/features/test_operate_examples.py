"""The files in ``examples/operate/``: what an operator sets up, and sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from falcon import testing
from pymongo import MongoClient

from falcorest import logs
from falcorest.auth import TokenIssuer
from falcorest.logs import logger
from falcorest.streams import BATCH
from tests.conftest import MakeApi
from tests.examples import EXAMPLES, runs
from tests.support import SECRET, clean_environment, free_port, running

pytestmark = pytest.mark.live

FOLDER = EXAMPLES / "operate"


@pytest.fixture
def environment(mongo_uri: str) -> Iterator[dict[str, str]]:
    """Settings for a fresh database of rockets, which the URI names."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    address, _, options = mongo_uri.partition("/?")
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client[name].rocket_engines.insert_one({"_id": "vinci", "name": "Vinci"})
        yield clean_environment(
            MONGODB_URI=f"{address.rstrip('/')}/{name}?{options}",
            COLLECTIONS="rockets:rocket_engines",
            JWT_SECRET_KEY=SECRET,
        )
        client.drop_database(name)


#: Makes the application of the example, sends a request that is a part of a trace, and prints
#: the spans.
TRACED = """
import json
from falcon import testing
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import tracing

exporter = InMemorySpanExporter()
client = testing.TestClient(tracing.create_app(exporter))
parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
result = client.simulate_get("/api/rockets/vinci", headers={"traceparent": parent})
assert result.status_code == 200, result.text
trace.get_tracer_provider().force_flush()
print(json.dumps([json.loads(span.to_json()) for span in exporter.get_finished_spans()]))
"""


@runs("operate/tracing.py")
def test_a_trace_leads_from_the_request_to_the_database(
    files: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRACED],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(files[0].parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trace_id = "0x0af7651916cd43dd8448eb211c80319c"
    spans = [one for one in json.loads(done.stdout) if one["context"]["trace_id"] == trace_id]
    command, request = spans
    assert request["name"] == "GET /api/rockets/{id:path}"
    assert request["kind"] == "SpanKind.SERVER"
    assert request["parent_id"] == "0xb7ad6b7169203331"
    assert request["attributes"]["http.status_code"] == 200
    assert command["kind"] == "SpanKind.CLIENT"
    assert command["parent_id"] == request["context"]["span_id"]
    assert command["attributes"]["db.statement"] == "find"


@runs("operate/app.py")
def test_an_application_of_ones_own(
    files: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    port = free_port()
    environment |= {"PYTHONPATH": str(FOLDER), "HOME": str(tmp_path)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"]
    with running(command, port, tmp_path, environment) as server:
        for probe in ("live", "ready"):
            assert server.get(f"/health/{probe}").json == {"status": "ok"}
        assert server.request("POST", "/notes", {"text": "hello"}).status == 201
        figures = server.get("/metrics").body.decode()
    assert 'falcorest_requests_total{method="POST",route="/notes",status="201"} 1.0' in figures
    assert 'falcorest_database_command_duration_seconds_count{command="insert"} 1.0' in figures


@runs("operate/kubernetes.yaml", "operate/prometheus.yml")
def test_what_asks_for_probes_asks_the_right_ones(files: list[Path], make_api: MakeApi) -> None:
    deployment, prometheus = (yaml.safe_load(one.read_text()) for one in files)
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    paths = [
        container["livenessProbe"]["httpGet"]["path"],
        container["readinessProbe"]["httpGet"]["path"],
        template["metadata"]["annotations"]["prometheus.io/path"],
        prometheus["scrape_configs"][0]["metrics_path"],
    ]
    assert paths == ["/health/live", "/health/ready", "/metrics", "/metrics"]
    api = make_api("mongomock://")
    assert [api.get(path, token=None).status_code for path in paths] == [200] * 4


@runs("operate/busy.json")
def test_what_is_too_much_is_refused_as_shown(files: list[Path], make_api: MakeApi) -> None:
    api = make_api("mongomock://", max_in_flight=1, max_waiting=0)
    api.rockets.insert_many({"_id": n} for n in range(2 * BATCH))
    stream = api.app(testing.create_environ("/api/rockets"), lambda *_: None)
    refused = api.get("/api/rockets")
    assert refused.status_code == 503
    assert refused.json == json.loads(files[0].read_text())
    stream.close()


def without_figures(line: str) -> str:
    line = re.sub(r"\d\d:\d\d:\d\d(\.\d+Z)?|\d{4}-\d\d-\d\d|[0-9a-f]{16}", "…", line)
    return re.sub(r'(_ms|bytes|documents)("?[:=])[\d.]+', r"\1\2…", line)


@runs("operate/log.jsonl", "operate/log.txt")
def test_the_log_is_as_shown(
    files: list[Path],
    make_api: MakeApi,
    mongo_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    access, slow, *human = "".join(one.read_text() for one in files).splitlines()
    caplog.set_level("INFO", "falcorest.access")
    api = make_api(mongo_uri, collections="rocket_engines:rocket_engines", public_methods=[])
    api.token = TokenIssuer(SECRET).issue("ada")
    monkeypatch.setattr("pymongo.monitoring._to_micros", lambda duration: 812_405)
    caplog.clear()
    api.get("/api/rocket_engines?country=USA&burn_time=gt[int].5&_sort=(name:ascending)")
    found = {one.name: one for one in caplog.records}
    for name, shown, line in (
        ("falcorest.access", access, logs.json_line),
        (logger.name, slow, logs.json_line),
        ("falcorest.access", human[0], logs.human_line),
    ):
        record = found[name]
        fields = vars(record)["fields"]
        level = record.levelname.lower()
        printed = line(record.created, level, name, record.getMessage(), fields)
        assert without_figures(printed) == without_figures(shown)
