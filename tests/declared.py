"""Declared resources in tests: views in an application of their own, on a fresh database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import falcon
from falcon import testing

from falcorest import FalcoRest, ResourceView
from falcorest.database import in_memory


class DeclaredApi:
    """Views in an application, called in process; nobody is logged in.

    Args:
        database: Where the documents are.
        options: For :class:`FalcoRest`.
    """

    def __init__(self, database: Any, **options: Any) -> None:
        self.app = falcon.App()
        self.database = database
        self.falcorest = FalcoRest(self.app, database, **options)
        self.client = testing.TestClient(self.app)

    def register(self, **views: type[ResourceView]) -> DeclaredApi:
        """Serve views, ``posts=PostView`` at ``/posts/``."""
        for name, view in views.items():
            self.falcorest.register(name=name, url=f"/{name}/")(view)
        return self

    def __call__(
        self,
        method: str,
        url: str,
        body: Any = ...,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> testing.Result:
        """Send a request.

        Args:
            method: HTTP method.
            url: Path and query string; the query string as it goes over the wire.
            body: Sent as JSON; nothing is sent unless given.
            raw: Sent as it stands, as JSON unless a header says otherwise.
            headers: Further ones.
        """
        path, _, query_string = url.partition("?")
        if body is not ...:
            raw = json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if raw is not None else {}
        return self.client.simulate_request(
            method,
            path,
            query_string=query_string or None,
            body=raw,
            headers={**sent, **(headers or {})},
        )

    def get(self, url: str, **kwargs: Any) -> testing.Result:
        return self("GET", url, **kwargs)

    def post(self, url: str, body: Any = ..., **kwargs: Any) -> testing.Result:
        return self("POST", url, body, **kwargs)

    def patch(self, url: str, body: Any = ..., **kwargs: Any) -> testing.Result:
        return self("PATCH", url, body, **kwargs)

    def put(self, url: str, body: Any = ..., **kwargs: Any) -> testing.Result:
        return self("PUT", url, body, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> testing.Result:
        return self("DELETE", url, **kwargs)

    @property
    def in_memory(self) -> bool:
        """Whether the database is mongomock."""
        return in_memory(self.database)

    def create(self, url: str, body: Any) -> Any:
        """Post a body that is accepted; return what the answer shows."""
        result = self.post(url, body)
        assert result.status_code == 201, result.text
        return result.json

    def listed(self, url: str) -> list[Any]:
        """Return the documents of a list."""
        result = self.get(url)
        assert result.status_code == 200, result.text
        documents: list[Any] = result.json["data"]
        return documents


#: Makes an API of views: ``make_declared(posts=PostView)``; options of FalcoRest as ``options``,
#: another database as ``database``.
MakeDeclared = Callable[..., DeclaredApi]
