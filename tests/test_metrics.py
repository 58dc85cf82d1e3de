"""Metrics: what is counted, under which labels; several workers are in tests/live."""

from __future__ import annotations

import os
from pathlib import Path

import falcon
import pytest
from falcon import testing
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from falcorest import metrics
from falcorest.metrics import FOLDER, Metrics, route_of, shared


def request(template: str | None, method: str = "GET") -> falcon.Request:
    req = testing.create_req(method=method)
    req.uri_template = template
    return req


@pytest.mark.parametrize(
    ("template", "route"),
    [
        ("/api/rockets", "/api/rockets"),
        ("/api/rockets/", "/api/rockets"),
        ("/api/rockets/{id:path}", "/api/rockets/{id}"),
        ("/posts/{id}/", "/posts/{id}"),
        ("/", "/"),
        (None, "unknown"),
    ],
)
def test_a_route_is_one_label(template: str | None, route: str) -> None:
    assert route_of(request(template)) == route


def samples(figures: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(figures.text().decode())
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_requests_are_counted_and_timed() -> None:
    figures = Metrics()
    for status in ("200 OK", 200, falcon.HTTP_404):
        figures.observe_request(request("/a/{id}"), status, 0.003)
    for method in ("BREW", "BREW", "COFFEE"):
        figures.observe_request(request("/a/", method), "405 Method Not Allowed", 20.0)
    assert samples(figures, "falcorest_requests_total") == {
        ("GET", "/a/{id}", "200"): 2,
        ("GET", "/a/{id}", "404"): 1,
        ("unknown", "/a", "405"): 3,
    }
    buckets = samples(figures, "falcorest_request_duration_seconds_bucket")
    assert buckets["0.0025", "GET", "/a/{id}"] == 0
    assert buckets["0.005", "GET", "/a/{id}"] == 3
    assert buckets["10.0", "unknown", "/a"] == 0
    assert buckets["+Inf", "unknown", "/a"] == 3
    assert samples(figures, "falcorest_request_duration_seconds_sum")["unknown", "/a"] == 60


def test_commands_and_connections_are_counted() -> None:
    figures = Metrics()
    figures.observe_command("find", 0.5, True)
    figures.observe_command("find", 0.5, False)
    for _ in range(3):
        figures.connection_created(None)
    figures.connection_closed(None)
    figures.connection_checked_out(None)
    figures.connection_checked_out(None)
    figures.connection_checked_in(None)
    figures.connection_check_out_failed(None)
    name = "falcorest_database_command"
    assert samples(figures, f"{name}_duration_seconds_count") == {("find",): 2}
    assert samples(figures, f"{name}_failures_total") == {("find",): 1}
    for name, value in (
        *(("connections", 2), ("connections_in_use", 1), ("connections_created_total", 3)),
        *(("connections_closed_total", 1), ("checkout_failures_total", 1)),
    ):
        assert samples(figures, f"falcorest_pool_{name}") == {(): value}


def test_the_process_is_measured() -> None:
    figures = Metrics()
    (pid,) = samples(figures, "process_resident_memory_bytes")
    assert pid == (str(os.getpid()),)
    assert not samples(figures, "falcorest_pool_connections_created_created")


def test_the_figures_fit_into_a_registry_of_ones_own() -> None:
    registry = CollectorRegistry()
    figures = Metrics()
    registry.register(figures)  # type: ignore[arg-type]
    figures.observe_request(request("/a"), 200, 0.003)
    labels = {"method": "GET", "route": "/a", "status": "200"}
    assert registry.get_sample_value("falcorest_requests_total", labels) == 1


def test_every_figure_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "metrics.rst").read_text()
    for metric in Metrics()._all:
        (family,) = metric.collect()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"* - ``{name}``" in page
        for label in metric._labelnames:
            assert f"``{label}``" in page


def test_the_gauges_of_the_dead_are_forgotten(tmp_path: Path) -> None:
    mine, dead = (tmp_path / f"gauge_livesum_{pid}.db" for pid in (os.getpid(), 2**22 + 1))
    for file in (mine, dead, tmp_path / f"counter_{2**22 + 1}.db"):
        file.touch()
    assert list(metrics._alive(tmp_path)) == [os.getpid()]
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"counter_{2**22 + 1}.db", mine.name]


def test_several_workers_share_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with shared(1):
        assert FOLDER not in os.environ
    with shared(2):
        folder = Path(os.environ[FOLDER])
        assert folder.parent == tmp_path
        (folder / "counter_1.db").touch()
    assert FOLDER not in os.environ
    assert not folder.exists()
    with shared(2):
        held = Path(os.environ.pop(FOLDER))
        monkeypatch.setattr(metrics, "_SETTLED_SECONDS", -1)
        left = tmp_path / "falcorest-metrics-left"
        left.mkdir()
        with shared(2):
            assert held.is_dir(), "it belongs to a server that runs"
            assert not left.exists()
        os.environ[FOLDER] = str(held)
    monkeypatch.setenv(FOLDER, "/of/the/operator")
    with shared(2):
        assert os.environ[FOLDER] == "/of/the/operator"
    assert os.environ[FOLDER] == "/of/the/operator"
