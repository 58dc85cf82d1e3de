"""Routes: what is served where, and who may ask, on both doors."""

from __future__ import annotations

from typing import Any

import falcon
import mongomock
import pytest

from falcorest import FalcoRest, Resource, ResourceView, methods
from falcorest.auth import AuthenticationBase
from falcorest.caller import AUTHENTICATED, PUBLIC
from falcorest.catalog import Served
from falcorest.openapi.views import ASSETS
from falcorest.responding import View
from falcorest.routes import Route, route_table, routes_of
from falcorest.server import build_app, open_database
from falcorest.settings import ResourceSettings, Settings
from falcorest.targets import views_of
from tests.support import SECRET

SETTINGS = Settings(mongodb_uri="mongomock://", jwt_secret_key=SECRET)


def zero_code(settings: Settings, *served: Served) -> dict[str, dict[str, str]]:
    """Return who may what, by address and method."""
    app = build_app(settings, open_database(settings), list(served))
    return access(views_of(app))


def access(views: Any) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for route in routes_of(views):
        found.setdefault(route.path, {}).update(dict.fromkeys(route.methods, route.who))
    return found


def test_the_zero_code_server() -> None:
    found = zero_code(SETTINGS, Served("rockets", "rocket_engines"))
    reading = {"GET": "public", "HEAD": "public"}
    assert {path: {**methods} for path, methods in found.items()} == {
        "/api/rockets": {**reading, "POST": "login", "PATCH": "login", "DELETE": "login"},
        "/api/rockets/{id}": {**reading, "PUT": "login", "PATCH": "login", "DELETE": "login"},
        "/login": {"POST": "public"},
        "/me": {"GET": "login", "HEAD": "login"},
        "/health/live": reading,
        "/health/ready": reading,
        "/metrics": reading,
        "/openapi.json": reading,
        "/docs": reading,
        **{f"/docs/{name}": reading for name in ASSETS},
    }


def test_what_the_settings_change() -> None:
    settings = SETTINGS.replace(
        public_methods=["POST"], registration="open", authentication=["basic"], prefix="/v1"
    )
    found = zero_code(settings, Served("active", "active", read_only=True), Served("a", "b"))
    assert found["/v1/active"] == {"GET": "login", "HEAD": "login"}
    assert found["/v1/a"]["POST"] == "public"
    assert found["/v1/a"]["DELETE"] == "login"
    assert found["/register"] == {"POST": "public"}
    assert "/login" not in found


@pytest.mark.parametrize(
    ("rules", "reading", "changing", "creating"),
    [
        ({}, "public", "login", "login"),
        ({"read": ["public"]}, "public", "login", "login"),
        ({"read": [AUTHENTICATED]}, "login", "login", "login"),
        ({"write": [PUBLIC]}, "public", "public", "public"),
        ({"write": ["editor"]}, "public", "editor", "editor"),
        ({"read": ["b", "a"]}, "a or b", "a or b", "login"),
        ({"read": ["staff"], "write": ["editor"]}, "staff", "staff and editor", "editor"),
        ({"read": ["staff"], "write": ["staff"]}, "staff", "staff", "staff"),
        ({"read": [], "write": []}, "nobody", "nobody", "nobody"),
        ({"read": ["staff", "authenticated"]}, "login", "login", "login"),
        ({"owner": "by", "write": [PUBLIC]}, "public", "login", "login"),
    ],
)
def test_roles(rules: dict[str, Any], reading: str, changing: str, creating: str) -> None:
    settings = SETTINGS.replace(resources={"notes": ResourceSettings(rules=rules)})
    found = zero_code(settings, Served("notes", "notes"))
    assert found["/api/notes"]["GET"] == reading
    assert found["/api/notes/{id}"]["GET"] == reading
    assert found["/api/notes/{id}"]["PATCH"] == changing
    assert found["/api/notes/{id}"]["DELETE"] == changing
    assert found["/api/notes"]["POST"] == creating


class NoteResource(Resource):
    collection = "notes"


class Known(AuthenticationBase):
    def authorized(self, req: falcon.Request) -> Any:
        return None


def declared(*views: type[ResourceView], **options: Any) -> FalcoRest:
    api = FalcoRest(db=mongomock.MongoClient()["app"], **options)
    for view in views:
        api.register(name=view.__name__.lower(), url=f"/{view.__name__.lower()}/")(view)
    return api


def test_a_program() -> None:
    class Open(ResourceView):
        resource = NoteResource
        methods = (methods.List, methods.Create)

    class Closed(ResourceView):
        resource = NoteResource
        methods = (methods.Fetch, methods.Update)
        authentication_methods = (Known,)

    class Mine(ResourceView):
        resource = NoteResource
        methods = (methods.Fetch, methods.Update, methods.Delete, methods.BulkCreate)

        def has_change_permission(self, req: Any, document: Any) -> bool:
            return False

    class Rows(Resource):
        collection = "rows"

        def has_read_permission(self, req: Any, query: Any) -> Any:
            return query.none()

    class Seen(ResourceView):
        resource = Rows
        methods = methods.ALL

    assert access(declared(Open, Closed, Mine, Seen).views) == {
        "/open": {"GET": "public", "HEAD": "public", "POST": "public"},
        "/closed/{id}": dict.fromkeys(["GET", "HEAD", "PUT", "PATCH"], "login"),
        "/mine": {"POST": "public"},
        "/mine/{id}": {
            "GET": "public",
            "HEAD": "public",
            "DELETE": "public",
            "PUT": "public, if permitted",
            "PATCH": "public, if permitted",
        },
        "/seen": {
            **dict.fromkeys(["GET", "HEAD", "PUT", "PATCH", "DELETE"], "public, if permitted"),
            "POST": "public",
        },
        "/seen/{id}": dict.fromkeys(
            ["GET", "HEAD", "PUT", "PATCH", "DELETE"], "public, if permitted"
        ),
    }


def test_a_view_of_another_kind_shows_up_by_itself() -> None:
    class Health(View):
        def on_get(self, req: Any, resp: Any) -> None:
            """Answer."""

    class Secret(Health):
        who = "admin"

    api = declared()
    api.add_view(Health(), "/health/live")
    api.add_view(Secret(), "/metrics/")
    assert list(routes_of(api.views)) == [
        Route("/health/live", ("GET",), ""),
        Route("/metrics", ("GET",), "admin"),
    ]


def test_the_table_of_an_application_with_two_databases() -> None:
    class Notes(ResourceView):
        resource = NoteResource
        methods = (methods.Delete, methods.Fetch)
        authentication_methods = (Known,)
        public_methods = frozenset({"GET", "HEAD"})

    app = falcon.App()
    app.add_route("/own", Known())
    for name in ("one", "other"):
        api = FalcoRest(app, mongomock.MongoClient()[name])
        api.register(name=f"{name}\x9b31m", url=f"/{name}")(Notes)
    table = route_table(views_of(app) or {}).plain
    assert [line.rstrip() for line in table.splitlines() if line] == [
        "  Path          Methods     Who may   Resource       Collection",
        "  /one/{id}     GET, HEAD   public    one\\x9b31m     notes",
        "  /one/{id}     DELETE      login     one\\x9b31m     notes",
        "  /other/{id}   GET, HEAD   public    other\\x9b31m   notes",
        "  /other/{id}   DELETE      login     other\\x9b31m   notes",
    ]
    assert route_table({}).plain == "Nothing is served."
