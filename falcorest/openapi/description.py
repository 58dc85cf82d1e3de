"""Description: the OpenAPI document of an API, for one caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import falcon
from apispec import APISpec
from falcon import MEDIA_JSON

from falcorest import methods
from falcorest.auth.methods import AuthenticationBase
from falcorest.auth.passwords import MAX_PASSWORD_BYTES
from falcorest.auth.users import MAX_USERNAME_LENGTH
from falcorest.auth.views import LoginView, MeView, RegisterView
from falcorest.openapi.access import Callers, access_of
from falcorest.openapi.answers import Traits, content, errors, of_codes, success
from falcorest.openapi.collections import Documents, Knowledge
from falcorest.openapi.components import Components, Schema, title_of, unique
from falcorest.openapi.fields import Fields
from falcorest.openapi.headers import headers as headers_of
from falcorest.openapi.operations import Operations
from falcorest.openapi.security import Security
from falcorest.openapi.shapes import Shapes
from falcorest.responding import Said, View
from falcorest.views import ResourceView
from falcorest.writing import Writer

_TEXT: Schema = {"type": "string"}
_TAG = "Login"


def describe(
    req: falcon.Request,
    views: Mapping[View, str],
    knowledge: Knowledge,
    *,
    title: str,
    version: str,
) -> tuple[dict[str, Any], set[str]]:
    """Return the OpenAPI document of some views, and the headers by which callers are known.

    Args:
        req: Asks for it; it is described what its caller may do, and nothing else.
        views: What is served, and where.
        knowledge: What has been found out about collections.
        title: Of the API.
        version: Of the API.

    Raises:
        Unauthorized: The request has credentials, and they are wrong.
        Unavailable: The database can't be reached.
    """
    resources = [view for view in views if isinstance(view, ResourceView)]
    callers = Callers(req, resources)
    servers: dict[str, Any] = {"servers": [{"url": quote(req.root_path)}]} if req.root_path else {}
    spec = APISpec(title, version, "3.1.0", **servers)
    components, security = Components(), Security()
    fields = Fields(spec, components, sent=True)
    shapes = Shapes(spec, components)
    headers = _common_headers(req)
    titles: set[str] = set()
    tags: dict[str, None] = {}
    for view in views:
        if isinstance(view, ResourceView):
            # NOTE: all of them, so that what is said of caching doesn't depend on the caller.
            known = security.of(view.authentication_methods or ())
            callers.enter(view)
            work = Writer(view.resource(req, methods.List, view.answering), view)
            access = access_of(view, work)
            if not access.is_there:
                continue
            name = unique(title_of(view.name), titles)
            titles.add(name)
            documents = None
            if not view.declaration.has_schema:
                lister = work if access.lists else None
                documents = Documents(components, view, name, knowledge, lister)
            operations = Operations(
                components,
                view,
                name,
                work,
                access,
                shapes=shapes,
                documents=documents,
                fields=fields,
                security=known,
                headers=headers,
            )
            paths = operations.paths()
            tags[view.name] = None
        else:
            paths = _of_login(view, views[view], components, security, headers)
            if view.said is not None:
                name = unique(view.said.name, titles)
                titles.add(name)
                paths = _of_said(view.said, views[view], name, components, headers)
            for described in paths.values():
                tags |= {tag: None for one in described.values() for tag in one["tags"]}
        for path, described in paths.items():
            parameters = described.pop("parameters", None)
            spec.path(path, operations=described, parameters=parameters)
    for tag in tags:
        spec.tag({"name": tag})
    for name, scheme in security.schemes.items():
        spec.components.security_scheme(name, scheme)
    document: dict[str, Any] = spec.to_dict()
    document["components"] = {
        **document.get("components", {}),
        "schemas": components.schemas,
        "responses": components.responses,
    }
    return document, security.headers


def _common_headers(req: falcon.Request) -> Schema:
    """Return the headers of every answer."""
    if not hasattr(req.context, "request_id"):
        return {}
    return headers_of("X-Request-ID", always=True)


def _of_said(
    said: Said, url: str, name: str, components: Components, headers: Schema
) -> dict[str, dict[str, Any]]:
    answer = success(said.answer, None, {**headers, **headers_of(*said.headers, always=True)})
    operation = {
        "operationId": name,
        "tags": [said.tag],
        "summary": said.summary,
        "security": [],
        "responses": {
            "200": {**answer, "content": content({said.media_type: said.schema})},
            **of_codes(components, said.codes, headers),
        },
    }
    return {url: {"get": operation}}


# ------------------------------------------------------------------------------------- logging in


def _of_login(
    view: View, url: str, components: Components, security: Security, headers: Schema
) -> dict[str, dict[str, Any]]:
    found = next((one for kind, one in _LOGIN.items() if isinstance(view, kind)), None)
    if found is None:
        return {}
    verb, describe_one = found
    traits, operation = describe_one(view, security)
    text, schema = operation.pop("answer")
    status = operation.pop("status")
    operation["tags"] = [_TAG]
    operation["responses"] = {
        status: success(text, schema, headers),
        **errors(components, traits, headers),
    }
    return {url: {verb: operation}}


def _credentials(*, new: bool) -> Schema:
    username, password = dict(_TEXT), {**_TEXT, "maxLength": MAX_PASSWORD_BYTES}
    if new:
        username |= {"minLength": 1, "maxLength": MAX_USERNAME_LENGTH}
        password |= {"minLength": 1}
    schema = {
        "type": "object",
        "required": ["username", "password"],
        "properties": {"username": username, "password": {**password, "format": "password"}},
        "additionalProperties": False,
    }
    return {"required": True, "content": {MEDIA_JSON: {"schema": schema}}}


def _login(view: Any, security: Security) -> tuple[Traits, dict[str, Any]]:
    token = {
        "type": "object",
        "required": ["access_token"],
        "properties": {"access_token": _TEXT},
    }
    return Traits(body=True, login=True, password=True), {
        "operationId": "login",
        "summary": "Get an access token for a username and a password",
        "requestBody": _credentials(new=False),
        "security": [],
        "status": "200",
        "answer": ("The token, for `Authorization: Bearer …`.", token),
    }


def _me(view: MeView, security: Security) -> tuple[Traits, dict[str, Any]]:
    found: list[AuthenticationBase] = list(view.methods)
    password = any("Basic" in one.challenge for one in found)
    return Traits(login=True, password=password), {
        "operationId": "me",
        "summary": "Tell who is calling",
        "security": security.of(found),
        "status": "200",
        "answer": (
            "The caller.",
            {"type": "object", "required": ["username"], "properties": {"username": _TEXT}},
        ),
    }


def _register(view: Any, security: Security) -> tuple[Traits, dict[str, Any]]:
    user = {
        "type": "object",
        "required": ["username", "_id"],
        "properties": {"username": _TEXT, "_id": {}},
    }
    return Traits(body=True, writes=True), {
        "operationId": "register",
        "summary": "Make a user",
        "requestBody": _credentials(new=True),
        "security": [],
        "status": "201",
        "answer": ("The new user.", user),
    }


#: How the views of logging in are described: by which HTTP method, and what is said.
_LOGIN: dict[type[View], tuple[str, Callable[..., tuple[Traits, dict[str, Any]]]]] = {
    LoginView: ("post", _login),
    MeView: ("get", _me),
    RegisterView: ("post", _register),
}
