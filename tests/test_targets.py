"""Targets: what ``MODULE:NAME`` leads to, and one clear line where it leads to nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcorest import ConfigurationError
from falcorest.targets import load_views

PROGRAM = """
import falcon, mongomock
from falcorest import FalcoRest, Resource, ResourceView, methods

app = falcon.App()
api = FalcoRest(app, mongomock.MongoClient()["blog"])

class PostResource(Resource):
    collection = "posts"

@api.register(name="posts", url="/posts/")
class PostView(ResourceView):
    resource = PostResource
    methods = [methods.List]

def create_app():
    return app

def breaks():
    raise LookupError("out of\\nluck")

def misdeclares():
    type("Bad", (Resource,), {"indexes": [3]})

something = 3
"""


@pytest.fixture(autouse=True)
def _program(tmp_path: Path) -> Iterator[None]:
    path, modules = [*sys.path], {*sys.modules}
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("import falcon\n1 / 0\n")
    (tmp_path / "misspelt.py").write_text("import falcon_ish\n")
    (tmp_path / "nonsense.py").write_text("def\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "api.py").write_text("from program import api\n")
    yield
    sys.path[:] = path
    for name in {*sys.modules} - modules:
        del sys.modules[name]


@pytest.mark.parametrize(
    "target", ["program:api", "program:app", "program:create_app()", "inner.api:api"]
)
def test_an_api_is_found(target: str) -> None:
    assert [*load_views(target).values()] == ["/posts"]


@pytest.mark.parametrize(
    ("target", "naming"),
    [
        *((bad, "MODULE:API is needed") for bad in ("program", ":api", "program:", "program:a b")),
        ("program:api.db", "MODULE:API is needed"),
        ("program:create_app(1)", "MODULE:API is needed"),
        ("\x9bx", "'\\x9bx': MODULE:API"),
        ("nowhere:api", "There is no module nowhere"),
        ("program.nowhere:api", "There is no module program.nowhere"),
        (".program:api", "TypeError"),
        ("program:nothing", "program: there is no nothing in it"),
        ("program:something", "a FalcoRest or a Falcon application is needed, not <class 'int'>"),
        ("program:create_app", "Is program:create_app() meant?"),
        ("program:something()", "something(): it fails: TypeError: 'int' object is not callable"),
        ("program:breaks()", "breaks(): it fails: LookupError: out of luck (program.py, line 20)"),
        ("program:misdeclares()", "Bad.indexes[0]: "),
        ("broken:api", "broken: it fails: ZeroDivisionError: division by zero (broken.py, line 2)"),
        ("misspelt:api", "misspelt: it fails: ModuleNotFoundError: No module named 'falcon_ish'"),
        ("nonsense:api", "nonsense: it fails: SyntaxError"),
    ],
)
def test_what_is_no_api_is_one_line(target: str, naming: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_views(target)
    assert naming in str(raised.value)
    assert "\n" not in str(raised.value)
