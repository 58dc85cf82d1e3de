"""The documentation leaves nothing out, and shows nothing that no test runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import falcon
import mongomock
import pytest
from falcon import testing
from marshmallow import fields as ma

import falcorest
from falcorest import (
    FalcoRest,
    Resource,
    ResourceView,
    Schema,
    auth,
    bson_json,
    errors,
    fields,
    operators,
)
from falcorest.attributes import ATTRIBUTES
from falcorest.cli import main
from falcorest.dialects.suffix import CONTROLS
from falcorest.errors import CODES
from falcorest.hints import HINTS, LIST
from falcorest.indexes.index import OPTIONS
from falcorest.limits import LIMITS
from falcorest.methods import ALL
from falcorest.operators import BSON_TYPES, DECLARED, OPERATORS
from falcorest.policy import RULES
from falcorest.resource import HOOKS
from falcorest.settings import SETTINGS, ResourceSettings
from falcorest.updates import UPDATE_OPERATORS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.rst") if "_build" not in path.parts)
IDS = [page.relative_to(DOCS).as_posix() for page in PAGES]

OWN_FIELDS = [
    name
    for name, kind in vars(fields).items()
    if isinstance(kind, type) and kind.__module__ == fields.__name__
]

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
        ("limits", "limits", [f"- ``{one.attribute}``\n     - :confval:" for one in LIMITS]),
        ("limits", "limits", [one.help for one in LIMITS]),
        ("operators", "query-language", [f"- ``{op}``" for op in OPERATORS]),
        ("operators", "query-language", [one.meaning for one in OPERATORS.values()]),
        ("hints", "query-language", [f"- ``{name}``" for name in HINTS]),
        ("hints", "query-language", [f"``{LIST}{h.name}``" for h in HINTS.values() if h.in_lists]),
        ("bson-types", "query-language", [f"``{name}``" for name in BSON_TYPES]),
        ("grammar", "query-language", ["filter ", "typed ", "group ", "member ", "element "]),
        ("codes", "errors", [f"- ``{code}``\n     - {CODES[code][0]}\n" for code in CODES]),
        ("attributes", "resources", [f"- ``{name}``" for name in ATTRIBUTES]),
        ("hooks", "resources", [f"- ``{name}(self" for name in HOOKS]),
        ("steps", "resources", ["``has_read_permission``, ``get_objects``"]),
        ("methods", "declared-requests", [f"- ``methods.{one.__name__}``" for one in ALL]),
        ("suffixes", "filters", [f"- ``ops.{one.__name__}``" for one in DECLARED]),
        ("suffixes", "filters", [f"``field__{one.op}=" for one in DECLARED]),
        ("suffixes", "filters", [one.meaning for one in DECLARED]),
        ("suffix-grammar", "filters", ["filter ", "path ", *CONTROLS]),
        ("fields", "schemas", [f"- ``fields.{name}``" for name in OWN_FIELDS]),
        ("stored", "schemas", ["``Date``", "``Decimal``", "``UUID``", "Decimal128"]),
        ("updates", "update-operators", [f"- ``{name}``" for name in UPDATE_OPERATORS]),
        ("rules", "policy", [f"- ``{name}``" for name in RULES]),
        ("index-options", "indexes", [f"- ``{name}``" for name in OPTIONS]),
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
    assert [k for k in bson_json.WRAPPER_KEYS if f'"{k}"' not in extended_json] == []
    toml = page("reference/falcorest-toml")
    keys = {*ResourceSettings.__dataclass_fields__, *RULES} - {"rules"}
    assert [key for key in keys if f"* - ``{key}``" not in toml] == []
    api = page("reference/python-api")
    assert [name for name in auth.__all__ if f":: falcorest.auth.{name}\n" not in api] == []
    assert f".. automodule:: {errors.__name__}" in api
    public = [name for name in falcorest.__all__ if not hasattr(errors, name)]
    assert [name for name in public if not re.search(rf"\.{name}\b", api)] == []


def test_hooks_run_in_the_order_that_is_shown(drawn: ModuleType) -> None:
    ran: list[str] = []

    def noting(name: str) -> Any:
        def hook(self: Resource, *given: Any) -> Any:
            ran.append(name)
            if name == "get_optional_fields":
                return ["fails"]
            return getattr(Resource, name)(self, *given)

        return hook

    class PostSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        title = ma.String()

    def fail(self: Resource, document: Any) -> None:
        raise LookupError

    said = {"collection": "posts", "schema": PostSchema, "filters": {"title": [operators.Exact]}}
    hooks = {name: noting(name) for name in HOOKS}
    hooks["handle_serialization_error"] = lambda self, error, document: ran.append(
        "handle_serialization_error"
    )

    class PostView(ResourceView):
        resource = type("PostResource", (Resource,), {**said, **hooks, "fails": fail})
        methods = ALL

    app = falcon.App()
    FalcoRest(app, mongomock.MongoClient()["blog"]).register(name="posts", url="/posts")(PostView)
    client = testing.TestClient(app)

    def steps(method: str, url: str, **more: Any) -> tuple[str, ...]:
        ran.clear()
        result = client.simulate_request(method, f"/posts{url}", **more)
        assert result.status_code < 300 or "handle_serialization_error" in ran
        return tuple(name for name in dict.fromkeys(ran) if name not in drawn.UNORDERED)

    shown = drawn.STEPS
    body = {"json": {"title": "a"}}
    assert steps("POST", "", **body) == shown["Create, BulkCreate"]
    assert steps("POST", "", json=[body["json"]]) == shown["Create, BulkCreate"]
    post = f"/{client.simulate_get('/posts').json['data'][0]['id']}"
    everything = {"query_string": "_fields=_all"}
    assert steps("GET", "", **everything) == shown["List"]
    assert steps("GET", post, **everything) == shown["Fetch"]
    for method in ("PATCH", "PUT"):
        assert steps(method, post, **body) == shown["Update, Replace"]
    assert steps("PATCH", "", query_string="title=a", **body) == shown["BulkUpdate"]
    assert steps("DELETE", post) == shown["Delete"]
    assert steps("DELETE", "", query_string="title=a") == shown["BulkDelete"]


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
