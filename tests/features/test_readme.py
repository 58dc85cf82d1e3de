"""README.rst: its session gives what it says, and its commands are the real ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support import Server, clean_environment, free_port, running, serve

ROOT = Path(__file__).parents[2]


def blocks(language: str = "bash") -> list[str]:
    """Return the blocks of the README in a language, in order."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    pattern = rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)"
    found = re.findall(pattern, text, re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE).strip() + "\n" for block in found]


@pytest.mark.live
def test_the_session_gives_what_it_says(tmp_path: Path) -> None:
    session, _ = sessions()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "falcorest").symlink_to(Path(sys.executable).parent / "falcorest")
    with serve(tmp_path, "--demo") as server:
        assert_gives_what_it_says(session, server, tmp_path)


@pytest.mark.live
def test_the_application_gives_what_it_says(tmp_path: Path, mongo_uri: str) -> None:
    [program] = blocks("python")
    _, session = sessions()
    database = f"test_{uuid.uuid4().hex[:12]}"
    address = '"mongodb://localhost:27017")["blog"]'
    assert address in program
    (tmp_path / "app.py").write_text(program.replace(address, f'"{mongo_uri}")["{database}"]'))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"]
    try:
        with running(command, port, tmp_path, clean_environment(HOME=str(tmp_path))) as server:
            assert_gives_what_it_says(session, server, tmp_path)
    finally:
        with MongoClient[dict[str, Any]](mongo_uri) as client:
            client.drop_database(database)


def sessions() -> list[str]:
    return [block for block in blocks() if "#>" in block]


def assert_gives_what_it_says(session: str, server: Server, directory: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", session.replace("http://127.0.0.1:8000", server.url)],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == re.findall(r"^#> (.*)$", session, re.MULTILINE)


def test_the_first_command_installs_and_serves() -> None:
    first, *_, last = blocks()
    assert first.splitlines() == [
        "python3 -m venv .venv && .venv/bin/pip install '.[embedded]' "
        "&& .venv/bin/falcorest serve --demo"
    ]
    assert last.splitlines() == [
        "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt && .venv/bin/pytest"
    ]


def test_ci_runs_the_second_command_as_it_stands_there() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.rst" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
