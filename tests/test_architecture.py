"""The rules of the house that no single module can keep: imports, exports, docs, error codes."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import falcorest
from falcorest import errors
from falcorest.errors import CODES, Problem

ROOT = Path(falcorest.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

#: A module imports only from those before it.
ORDER = [
    *("errors", "preconditions", "preferences", "logs", "limits", "outage", "database"),
    *("concerns", "bson_json", "connections"),
    *("patches", "fields", "schema", "query", "memory", "keyset", "commands", "metrics"),
    *("operators", "hints", "updates", "methods", "caller", "paths", "protection", "rows"),
    *("policy", "indexes", "settings", "embedded", "permissions", "plain_json"),
    *("dialects", "links", "generator", "serializer", "loader", "attributes", "naming"),
    *("filtering", "selecting", "stored", "declaration", "bodies", "streams", "find_command"),
    *("finding", "paging", "service", "planning", "resource", "related", "reading", "nested"),
    *("returned", "references", "writing", "conditional", "tables", "formats", "lines"),
    *("imports", "responding", "views", "idempotency", "compression", "auth", "middleware"),
    *("openapi", "api", "monitor", "probes", "in_flight", "catalog", "late_start", "cors"),
    *("server", "demo", "granian_worker", "gunicorn_worker", "runner", "scaffold", "indexing"),
    *("terminal", "index_report", "routes", "targets", "cli"),
]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Return the part of a module's name that stands in ORDER; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


# ------------------------------------------------------------------------------------ imports


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each falcorest module that a source imports."""
    for node in ast.walk(parsed(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [str(node.module)]
            if node.module == "falcorest":
                names = [f"falcorest.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "falcorest":
                yield node.lineno, name


def rooms() -> set[str]:
    return {room_of(module_of(path)) for path in SOURCES} - {"", "__main__"}


def test_every_module_has_its_place() -> None:
    assert rooms() == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if room_of(module_of(path)) in ORDER], ids=module_of
)
def test_imports_point_upwards(path: Path) -> None:
    room = room_of(module_of(path))
    before = {*ORDER[: ORDER.index(room) + 1], "__version__"}
    wrong = [
        f"{path.name}:{line} imports {name}"
        for line, name in imports(path)
        if room_of(name) not in before
    ]
    assert not wrong


def test_the_package_exports_what_it_names() -> None:
    assert falcorest.__all__ == sorted(falcorest.__all__)
    assert len(falcorest.__all__) == len(set(falcorest.__all__))
    for name in falcorest.__all__:
        assert getattr(falcorest, name) is not None


def test_every_other_list_of_exports_is_sorted_and_true() -> None:
    for path in SOURCES:
        module = _import(path)
        names = getattr(module, "__all__", [])
        assert names == sorted(names), module
        assert all(hasattr(module, name) for name in names), module


def loaded_by(program: str) -> set[str]:
    """Return the modules that a program of its own has loaded at its end."""
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


#: What a program that declares resources doesn't need.
NOT_LOADED = {
    *("falcorest.server", "falcorest.cli", "falcorest.runner", "falcorest.terminal"),
    *("falcorest.settings", "falcorest.catalog", "falcorest.embedded", "falcorest.demo"),
    *("falcorest.openapi", "falcorest.scaffold", "falcorest.monitor", "falcorest.compression"),
    *("falcorest.auth.backends", "falcorest.auth.tokens", "falcorest.auth.users"),
    *("falcorest.indexes.build", "falcorest.indexes.comparison"),
    *("granian", "gunicorn", "waitress", "rich", "click", "mongomock"),
    *("apispec", "jsonschema", "openapi_spec_validator", "flask_swagger_ui", "html"),
    *("argon2", "jwt", "falcon_auth", "environs", "dotenv", "tomllib"),
}

DECLARING = """
import falcon, pymongo
from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from marshmallow import fields as ma

class Rocket(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()

class RocketResource(Resource):
    collection, schema = "rockets", Rocket

api = FalcoRest(falcon.App(), pymongo.MongoClient(connect=False)["rockets"])

@api.register(name="rockets", url="/rockets/")
class RocketView(ResourceView):
    resource = RocketResource
    methods = [methods.List, methods.Create]
"""


@pytest.mark.parametrize("program", ["import falcorest", DECLARING], ids=["import", "declare"])
def test_a_program_that_declares_resources_loads_nothing_else(program: str) -> None:
    loaded = loaded_by(program)
    assert "falcorest.views" in loaded
    assert not loaded & NOT_LOADED
    anyway = loaded_by("import falcon, pymongo, marshmallow, orjson")
    packages = {name.partition(".")[0] for name in loaded - anyway}
    assert packages - sys.stdlib_module_names == {"falcorest"}


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("falcorest.server", {"falcorest.cli", "falcorest.runner", "click", "rich", "granian"}),
        ("falcorest.cli", {"granian", "gunicorn", "waitress", "rich.progress"}),
    ],
)
def test_a_server_loads_what_serving_takes(module: str, others: set[str]) -> None:
    described = {"falcorest.openapi.description", "apispec", "jsonschema"}
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {*others, *described, "falcorest.scaffold", "mongomock"}


@pytest.mark.parametrize("package", ["falcorest", "falcorest.auth"])
def test_what_is_loaded_later_is_there_under_its_name(package: str) -> None:
    program = f"""
import {package} as package
assert set(package.__all__) <= set(dir(package))
from {package} import *
assert all(globals()[name] is getattr(package, name) for name in package.__all__)
"""
    loaded = loaded_by(program)
    assert loaded & NOT_LOADED
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_the_factory_is_imported_when_it_is_used() -> None:
    program = "from falcorest import create_app; print(create_app.__module__)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "falcorest.server"


def test_no_module_makes_a_client_or_reads_the_environment_when_it_is_imported() -> None:
    calls = {"MongoClient", "connect", "load_settings", "getenv", "read_env", "create_app"}
    for path in SOURCES:
        for node in parsed(path).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call):
                    name = getattr(inner.func, "id", getattr(inner.func, "attr", ""))
                    assert name not in calls, f"{path}:{inner.lineno}"


# --------------------------------------------------------------------------------- docstrings


def _import(path: Path) -> ModuleType:
    if path.name == "__main__.py":
        return falcorest
    return importlib.import_module(module_of(path))


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield what a module defines under names without an underscore, and what is in it."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            yield name, thing
            for inner, member in vars(thing).items():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if not inner.startswith("_") and inspect.isfunction(member):
                    yield f"{name}.{inner}", getattr(thing, inner)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    module = _import(path)
    assert module.__doc__
    # NOTE: what overrides a method is described where that is; a dataclass without a docstring
    # gets its signature for one.
    bare = [
        name
        for name, thing in public(module)
        if not (inspect.getdoc(thing) or "").strip()
        or (inspect.getdoc(thing) or "").startswith(f"{name}(")
    ]
    assert not bare


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_function_is_annotated(path: Path) -> None:
    bare = [
        f"{node.name} (line {node.lineno})"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and node.returns is None
    ]
    assert not bare


# -------------------------------------------------------------------------------- error codes

KINDS = {
    name: kind.status
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Problem)
}
#: Helpers that take a code and make a problem of this kind.
HELPERS = {"_unavailable": "Unavailable", "_Invalid": "BodyError", "count_parser": "QueryError"}
SLUG = re.compile(r"[a-z]+\.[a-z_]+")


def raised() -> Iterator[tuple[str, str, int]]:
    """Yield place, code and status of every problem that the code makes with a literal code."""
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            status = KINDS.get(HELPERS.get(name, name))
            literals = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if name == "problem_object" and literals and isinstance(literals[0], int):
                status = literals[0]
            if status is None:
                continue
            for literal in literals[:2]:
                if isinstance(literal, str) and SLUG.fullmatch(literal):
                    yield f"{path.name}:{node.lineno}", literal, status


def test_every_problem_has_a_code_that_is_listed_with_its_status() -> None:
    found = list(raised())
    assert len(found) > 50
    wrong = [
        f"{place}: {code} is raised with {status}"
        for place, code, status in found
        if code not in CODES or CODES[code][0] != status
    ]
    assert not wrong


def test_every_problem_starts_with_its_code() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in KINDS and isinstance(node, ast.Call):
                first = node.args[0] if node.args else None
                literal = isinstance(first, ast.Constant) and SLUG.fullmatch(str(first.value))
                passed_on = isinstance(first, (ast.Name, ast.Attribute))
                if not literal and not passed_on:
                    wrong.append(f"{path.name}:{node.lineno}")
    assert not wrong


def test_every_code_that_is_listed_is_used() -> None:
    texts = {
        node.value
        for path in SOURCES
        if path.name != "errors.py"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CODES) <= texts, sorted(set(CODES) - texts)


def test_the_tree_of_exceptions_is_drawn_whole() -> None:
    drawn = {
        (name, int(status)) for name, status in re.findall(r"(\w+) +(\d{3})\b", str(errors.__doc__))
    }
    for name, status in KINDS.items():
        assert name in str(errors.__doc__)
        parents = [base.__name__ for base in getattr(errors, name).__bases__]
        assert (name, status) in drawn or (parents[0], status) in drawn or name == "Problem"
