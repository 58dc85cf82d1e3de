"""README.rst: its session gives what it says, and its commands are the real ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import clean_environment, serve

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    """Return the shell blocks of the README, in order."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: bash\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE).strip() + "\n" for block in found]


@pytest.mark.live
def test_the_session_gives_what_it_says(tmp_path: Path) -> None:
    [session] = [block for block in blocks() if "#>" in block]
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "falcorest").symlink_to(Path(sys.executable).parent / "falcorest")
    with serve(tmp_path, "--demo") as server:
        ran = subprocess.run(
            ["bash", "-c", session.replace("http://127.0.0.1:8000", server.url)],
            cwd=tmp_path,
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
