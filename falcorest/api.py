"""FalcoRest: puts views into a Falcon application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import falcon

from falcorest.auth import as_methods
from falcorest.database import MongoDatabase, Transactions
from falcorest.errors import ConfigurationError, Problem, problem_json
from falcorest.middleware import Middleware
from falcorest.views import ResourceView, View, log_failure

V = TypeVar("V", bound=ResourceView)

PROBLEM_JSON = "application/problem+json"


class FalcoRest:
    """Serves resources inside a Falcon application.

    It adds routes, one middleware that acts on its own views only, and an error handler for
    its own exceptions. Several of them, with different databases, can share an application.

    Args:
        app: The application; it may come later, see :meth:`init_app`.
        db: The database, of pymongo or mongomock.
        authentication_methods: Those of views that list none.

    Raises:
        ConfigurationError: There is no database.
    """

    def __init__(
        self,
        app: falcon.App[Any, Any] | None = None,
        db: Any = None,
        *,
        authentication_methods: Sequence[Any] = (),
    ) -> None:
        if db is None:
            raise ConfigurationError("FalcoRest needs a database: FalcoRest(app, db).")
        self.db: MongoDatabase = db
        self._transactions = Transactions(db)
        self._authentication_methods = as_methods(authentication_methods)
        self._views: dict[View, str] = {}
        self._app: falcon.App[Any, Any] | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: falcon.App[Any, Any]) -> None:
        """Put the views, those to come included, into an application."""
        self._app = app
        app.add_middleware(Middleware(self._views))
        app.add_error_handler(Problem, answer_problem)
        for view, url in self._views.items():
            self._route(view, url)

    def register(self, *, name: str, url: str) -> Callable[[type[V]], type[V]]:
        """Serve a view; a decorator of its class.

        ::

            @api.register(name="posts", url="/posts/")
            class PostView(ResourceView): ...

        Args:
            name: The name of the resource.
            url: Where it stands; with and without a slash at the end is the same place.

        Raises:
            ConfigurationError: The view, its resource or a related one is declared wrongly, or
                there is something else at that place.
        """

        def decorate(view_class: type[V]) -> type[V]:
            if not isinstance(view_class, type) or not issubclass(view_class, ResourceView):
                raise ConfigurationError(f"register: {view_class!r} is no ResourceView.")
            view = view_class(name, url.rstrip("/"), self.db, self._transactions)
            view.authentication_methods = (  # type: ignore[misc]
                as_methods(view_class.authentication_methods) or self._authentication_methods
            )
            self.add_view(view, url)
            return view_class

        return decorate

    def add_view(self, view: View, url: str) -> None:
        """Serve a view that is made already.

        Args:
            view: The view.
            url: Where it stands; with and without a slash at the end is the same place.
        """
        self._views[view] = url.rstrip("/")
        if self._app is not None:
            self._route(view, self._views[view])

    def _route(self, view: View, url: str) -> None:
        assert self._app is not None
        self._app.add_route(url, view)
        self._app.add_route(f"{url}/", view)
        if isinstance(view, ResourceView):
            # NOTE: the rest of the path, because an id may hold slashes.
            self._app.add_route(f"{url}/{{id:path}}", view, suffix="item")


def answer_problem(
    req: falcon.Request, resp: falcon.Response, problem: Problem, params: dict[str, Any]
) -> None:
    """Answer a request with a problem; a Falcon error handler.

    What isn't the client's doing is logged, with its cause.
    """
    if problem.status >= 500:
        log_failure(req, problem)
    write_problem(resp, problem.status, problem.to_dict())
    for name, value in problem.headers.items():
        resp.set_header(name, value)


def write_problem(resp: falcon.Response, status: int, problem: dict[str, Any]) -> None:
    """Write a problem object into a response."""
    resp.status = status
    resp.content_type = PROBLEM_JSON
    resp.stream = None
    resp.data = problem_json(problem)
