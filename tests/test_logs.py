"""Logs: lines of JSON and lines for people, out of which nothing breaks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from falcorest import logs
from tests.attacks.hostile import LOG_BREAKERS

FIELDS = {"request_id": "5f", "user": "ada", "method": "GET", "status": 200, "bytes": None}


@contextmanager
def bare() -> Iterator[logging.Logger]:
    """Have a process that hasn't set up logging, with its root logger."""
    # NOTE: pytest sets it up anew for each phase of a test, so this is no fixture.
    root, ours = logging.getLogger(), logs.logger
    kept, level = root.handlers[:], ours.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = kept
        ours.setLevel(level)


@pytest.fixture(autouse=True)
def _moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "localtime", lambda when: (2026, 11, 22, 6, 30, 1, 0, 1, 0))


def test_a_line_of_json() -> None:
    line = logs.json_line(1795329001.0625, "info", "falcorest.access", "GET / 200", FIELDS)
    assert json.loads(line) == {
        "time": "2026-11-22T06:30:01.062Z",
        "level": "info",
        "logger": "falcorest.access",
        "message": "GET / 200",
        **FIELDS,
    }


def test_a_line_for_people() -> None:
    line = logs.human_line(1.0, "info", "falcorest.access", "GET / 200 (request 5f)", FIELDS)
    assert line == "06:30:01 INFO GET / 200 (request 5f) user=ada"


@pytest.mark.parametrize("line", [logs.json_line, logs.human_line])
@pytest.mark.parametrize("breaker", [*LOG_BREAKERS, "a\x7fb", "a b=c", 'a"b', "\ud800"], ids=ascii)
def test_nothing_leaves_its_line(line: Any, breaker: str) -> None:
    fields = {"user": breaker, "shape": breaker}
    text = line(1.0, "warning", "falcorest", f"slow {breaker}", fields)
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert text.encode()
    if line is logs.json_line:
        assert json.loads(text)["user"] == breaker
    else:
        assert text.count(" user=") == 1


def test_what_json_has_no_word_for_is_a_text() -> None:
    line = logs.json_line(1.0, "info", "a", "b", {"large": 1 << 70, "other": object})
    assert json.loads(line)["large"] == 1 << 70
    assert "object" in json.loads(line)["other"]


def error() -> Exception:
    try:
        try:
            raise LookupError("one\ntwo")
        except LookupError as inner:
            raise ValueError("three\r\x1b[1m") from inner
    except ValueError as outer:
        return outer


@pytest.mark.parametrize("style", ["json", "human"])
def test_records_are_formatted(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    with bare():
        logs.configure(style)
        logs.log_exception(logging.ERROR, "%s failed", "it", error=error())
        logging.getLogger("another").warning("this\nand that", exc_info=error())
        logging.getLogger("another").info("nobody wants to know")
    text = capsys.readouterr().err
    if style == "json":
        ours, theirs = map(json.loads, text.splitlines())
        assert (ours["level"], ours["logger"]) == ("error", "falcorest")
        assert ours["message"] == "it failed"
        assert (theirs["logger"], theirs["message"]) == ("another", "this\nand that")
        tracebacks = [ours["exception"], theirs["exception"]]
    else:
        assert text.startswith("06:30:01 ERROR it failed\n")
        assert "\n06:30:01 WARNING this\\nand that\n" in text
        tracebacks = [text]
    for one in tracebacks:
        assert "LookupError: one\\ntwo\n" in one
        assert "ValueError: three\\r\\x1b[1m" in one
        assert "That led to:" in one


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_lines_for_people(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with bare():
        write = logs.configure("auto")
        assert logs.configure("auto") == write
    write("GET / 200", {"user": "Åsa"})
    line = capfd.readouterr().err
    assert line.endswith("\n")
    assert line.startswith("06:30:01 INFO GET / 200 user=Åsa" if terminal else '{"time":"')


def test_where_nobody_reads_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise BrokenPipeError

    with bare():
        write = logs.configure("json")
    monkeypatch.setattr(os, "write", fail)
    write("GET / 200", {})


def test_logging_that_is_set_up_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    handlers = root.handlers[:]
    write = logs.configure("json")
    assert root.handlers == handlers
    write("GET / 200", {"user": "ada"})
    assert caplog.records == [], "the level is for whoever has set it up to say"
    with caplog.at_level(logging.INFO, "falcorest.access"):
        write("GET / 200", {"user": "ada"})
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("falcorest.access", "GET / 200")
    assert vars(record)["fields"] == {"user": "ada"}


def test_a_pipe_that_nobody_reads_stops_nothing() -> None:
    program = """
from falcorest.logs import configure
write = configure("json")
for number in range(5000):
    write("GET / 200", {"number": number})
print("written", flush=True)
input()
write("GET / 200", {"number": "last"})
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"written\n"
        written = [json.loads(process.stderr.readline()) for _ in range(100)]
        process.stdin.write(b"\n")
        process.stdin.close()
        written += map(json.loads, process.stderr)
    *before, last = written
    assert [line["number"] for line in before] == list(range(len(before)))
    assert last["number"] == "last"
    assert last["left_out_before"] == 5000 - len(before) > 0
