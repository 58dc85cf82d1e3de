"""The documentation leaves nothing out, and shows nothing that no test runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from falcorest import auth, bson_json, errors
from falcorest.cli import main
from falcorest.errors import CODES
from falcorest.hints import HINTS, LIST
from falcorest.operators import BSON_TYPES, OPERATORS
from falcorest.settings import SETTINGS, ResourceSettings
from falcorest.updates import UPDATE_OPERATORS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.rst") if "_build" not in path.parts)
IDS = [page.relative_to(DOCS).as_posix() for page in PAGES]

_BLOCK = re.compile(r"( *)\.\. (code-block|code|sourcecode|parsed-literal|prompt)::")
_INCLUDED = re.compile(r"\.\. literalinclude:: (\S+)")


@pytest.fixture(scope="module")
def drawn() -> ModuleType:
    """Return what draws the tables."""
    path = DOCS / "_ext" / "drawn.py"
    spec = importlib.util.spec_from_file_location("drawn", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def page(name: str) -> str:
    return (DOCS / f"{name}.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "on", "entries"),
    [
        ("settings", "settings", [f".. confval:: {one.name}" for one in SETTINGS]),
        ("operators", "query-language", [f"- ``{op}``" for op in OPERATORS]),
        ("operators", "query-language", [one.meaning for one in OPERATORS.values()]),
        ("hints", "query-language", [f"- ``{name}``" for name in HINTS]),
        ("hints", "query-language", [f"``{LIST}{h.name}``" for h in HINTS.values() if h.in_lists]),
        ("bson-types", "query-language", [f"``{name}``" for name in BSON_TYPES]),
        ("grammar", "query-language", ["filter ", "typed ", "group ", "member ", "element "]),
        ("codes", "errors", [f"- ``{code}``\n     - {CODES[code][0]}\n" for code in CODES]),
        ("updates", "update-operators", [f"- ``{name}``" for name in UPDATE_OPERATORS]),
        ("commands", "command-line", [f"``falcorest {name} [OPTIONS]" for name in main.commands]),
        (
            "commands",
            "command-line",
            [
                f".. option:: {parameter.opts[0]}"
                for command in main.commands.values()
                for parameter in command.params
                if parameter.param_type_name == "option"
            ],
        ),
    ],
)
def test_reference_is_drawn_from_the_code(
    drawn: ModuleType, table: str, on: str, entries: list[str]
) -> None:
    assert f".. falcorest-table:: {table}\n" in page(f"reference/{on}")
    text = drawn.TABLES[table]()
    assert entries
    assert [entry for entry in entries if entry not in text] == []


def test_every_table_is_shown(drawn: ModuleType) -> None:
    shown = {
        name
        for path in PAGES
        for name in re.findall(r"\.\. falcorest-table:: (\S+)", path.read_text(encoding="utf-8"))
    }
    assert shown == set(drawn.TABLES)


def test_what_has_no_table_in_the_code_is_complete() -> None:
    extended_json = page("reference/extended-json")
    assert [k for k in bson_json._WRAPPER_KEYS if f'"{k}"' not in extended_json] == []
    toml = page("reference/falcorest-toml")
    keys = ResourceSettings.__dataclass_fields__
    assert [key for key in keys if f"* - ``{key}``" not in toml] == []
    api = page("reference/python-api")
    assert [name for name in auth.__all__ if f":: falcorest.auth.{name}\n" not in api] == []
    assert f".. automodule:: {errors.__name__}" in api


def literal_blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the literal blocks of a page, but for those included: first line, and lines."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        block = _BLOCK.match(line)
        if block is None and not (line.endswith("::") and not line.lstrip().startswith("..")):
            continue
        indent = len(line) - len(line.lstrip())
        content: list[str] = []
        for following in lines[number + 1 :]:
            if following.strip() and len(following) - len(following.lstrip()) <= indent:
                break
            if following.strip() and not following.lstrip().startswith(":"):
                content.append(following)
        yield number + 1, content


def test_literal_blocks_are_found() -> None:
    text = "a\n\n.. code-block:: sh\n   :name: x\n\n   one\n\n   two\n\nb::\n\n  three\n\nc\n"
    assert list(literal_blocks(text)) == [(3, ["   one", "   two"]), (10, ["  three"])]


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_a_snippet_of_several_lines_is_a_file_that_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [number for number, lines in literal_blocks(text) if len(lines) > 1] == []
    for name in _INCLUDED.findall(text):
        included = (path.parent / name).resolve()
        assert included.is_file()
        assert included.is_relative_to(DOCS.parent / "examples")


def test_every_example_is_shown() -> None:
    shown = {
        (path.parent / name).resolve()
        for path in PAGES
        for name in _INCLUDED.findall(path.read_text(encoding="utf-8"))
    }
    there = {path for path in (DOCS.parent / "examples").rglob("*") if path.is_file()}
    assert {path for path in there if "__pycache__" not in path.parts} == shown


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_every_page_is_reached(path: Path) -> None:
    if path.name == "index.rst":
        return
    index = (path.parent / "index.rst").read_text(encoding="utf-8")
    assert re.search(rf"^   {re.escape(path.stem)}$", index, re.MULTILINE)
