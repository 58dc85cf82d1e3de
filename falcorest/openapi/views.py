"""The views that describe an API: ``/openapi.json``, and the page that shows it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import falcon
import orjson

from falcorest.auth.views import LoginView
from falcorest.errors import ConfigurationError
from falcorest.responding import View, answer_tagged

#: The package whose files Swagger UI is. It is never imported.
SWAGGER_UI = "flask_swagger_ui"

#: What the page may load and do: nothing that isn't said here.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # NOTE: the icons in the style sheet of Swagger UI.
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

#: The files of the page: where they are, and what they are.
ASSETS: dict[str, tuple[str, str]] = {
    "swagger-ui-bundle.js": ("swagger-ui", "text/javascript"),
    "swagger-ui.css": ("swagger-ui", "text/css"),
    "page.js": ("own", "text/javascript"),
    "page.css": ("own", "text/css"),
}


class OpenApiView(View):
    """``GET /openapi.json``: what is served, described for the caller.

    Args:
        views: What is served, and where; it may grow.
        title: Of the API.
        version: Of the API.
    """

    who = "public"

    def __init__(self, views: Mapping[View, str], title: str, version: str) -> None:
        self._views = views
        self._title = title
        self._version = version

    @cached_property
    def _knowledge(self) -> Any:
        from falcorest.openapi.collections import Knowledge

        return Knowledge()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the description, or 304 if the caller has it already."""
        # PERF: apispec is loaded when it is needed.
        from falcorest.openapi.description import describe

        document, headers = describe(
            req, self._views, self._knowledge, title=self._title, version=self._version
        )
        resp.set_header("Cache-Control", "private, no-cache")
        resp.append_header("Vary", ", ".join(sorted({"Authorization", *headers})))
        _answer(req, resp, orjson.dumps(document, default=str), falcon.MEDIA_JSON)

    on_head = on_get


class DocsView(View):
    """``GET /docs``: a page with Swagger UI.

    Args:
        views: What is served, and where. Where a username and a password get a token, the page
            has a form for them.
        description: Where the description is.
        place: Where the page is; its files stand below.
        title: Of the page.
    """

    who = "public"

    def __init__(self, views: Mapping[View, str], description: str, place: str, title: str) -> None:
        self._views = views
        self._description = description
        self._place = place
        self._title = title

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the page."""
        root = quote(req.root_path.rstrip("/"))
        login = next((url for view, url in self._views.items() if type(view) is LoginView), None)
        page = (files(__package__) / "page" / "index.html").read_text(encoding="utf-8")
        for name, value in {
            "title": self._title,
            "place": root + quote(self._place),
            "description": root + quote(self._description),
            "login": "" if login is None else root + quote(login),
        }.items():
            page = page.replace(f"{{{name}}}", html.escape(value))
        resp.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        resp.set_header("Cache-Control", "no-cache")
        _protect(resp)
        _answer(req, resp, page.encode(), falcon.MEDIA_HTML)

    on_head = on_get


class AssetView(View):
    """A file of the page.

    Args:
        name: Of :data:`ASSETS`.
    """

    who = "public"

    def __init__(self, name: str) -> None:
        place, self._media_type = ASSETS[name]
        self._path = (swagger_ui() if place == "swagger-ui" else _OWN) / name

    @cached_property
    def _content(self) -> bytes:
        return self._path.read_bytes()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the file, or 304 if the caller has it already."""
        resp.set_header("Cache-Control", "public, max-age=3600")
        _protect(resp)
        _answer(req, resp, self._content, f"{self._media_type}; charset=utf-8")

    on_head = on_get


_OWN = Path(__file__).parent / "page"


def swagger_ui() -> Path:
    """Return the folder with the files of Swagger UI.

    Raises:
        ConfigurationError: It isn't there.
    """
    found = find_spec(SWAGGER_UI)
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        folder = Path(place) / "dist"
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        "The page of the API is made of Swagger UI, which isn't there: "
        "install flask-swagger-ui, or serve no page."
    )


def _protect(resp: falcon.Response) -> None:
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")


def _answer(req: falcon.Request, resp: falcon.Response, content: bytes, media_type: str) -> None:
    answer_tagged(req, resp, content, media_type)
