"""FalcoRest: puts views into a Falcon application."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import falcon
from falcon.routing import CompiledRouter

from falcorest.auth.methods import as_methods, challenge
from falcorest.database import MongoDatabase, Transactions, in_memory
from falcorest.errors import PROBLEM_JSON, ConfigurationError, Problem, problem_json
from falcorest.idempotency import Outcomes, make_repeatable
from falcorest.limits import SECRET_BYTES
from falcorest.middleware import Middleware
from falcorest.responding import View, log_failure
from falcorest.views import ResourceView

V = TypeVar("V", bound=ResourceView)

# APPSEC: Falcon writes routes into Python source that it compiles, quotes and all.
_PLACE = re.compile(r"(/[^\s/{}?#%'\"\\\x00-\x1f\x7f]+)+")


class FalcoRest:
    """Serves resources inside a Falcon application.

    It adds routes, one middleware that acts on its own views only, and an error handler for
    its own exceptions. Several of them, with different databases, can share an application.

    Args:
        app: The application; it may come later, see :meth:`init_app`.
        db: The database, of pymongo or mongomock.
        authentication_methods: Those of views that list none.
        secret: Signs the cursors in links from page to page, so that nobody else writes any; at
            least 32 bytes. Without one they are signed too, by what others can know, which does
            no harm to the data.

    Raises:
        ConfigurationError: There is no database, or the secret is too short.
    """

    def __init__(
        self,
        app: falcon.App[Any, Any] | None = None,
        db: Any = None,
        *,
        authentication_methods: Sequence[Any] = (),
        secret: str | None = None,
    ) -> None:
        if not hasattr(type(db), "list_collection_names"):
            raise ConfigurationError(
                f"FalcoRest(app, db): db is a database of pymongo or mongomock, not {db!r}."
            )
        if not in_memory(db) and not db.write_concern.acknowledged:
            raise ConfigurationError("FalcoRest(app, db): writes must be acknowledged; w is 0.")
        if secret is not None and not (isinstance(secret, str) and _size(secret) >= SECRET_BYTES):
            raise ConfigurationError(
                f"FalcoRest(app, db): secret is a text of at least {SECRET_BYTES} bytes."
            )
        self.db: MongoDatabase = db
        self._secret = secret
        self._transactions = Transactions(db)
        #: Knows whether there is a primary. See :meth:`Outage.bound` where requests are bounded.
        self.outage = self._transactions.outage
        self._outcomes = Outcomes(db, self._transactions)
        self._authentication_methods = as_methods(authentication_methods)
        self._views: dict[View, str] = {}
        self._apps: list[falcon.App[Any, Any]] = []
        if app is not None:
            self.init_app(app)

    @property
    def views(self) -> Mapping[View, str]:
        """The views, and where they stand."""
        return self._views

    def init_app(self, app: falcon.App[Any, Any]) -> None:
        """Put the views, those to come included, into an application.

        Raises:
            ConfigurationError: It is no WSGI application of Falcon's, or there is something else
                at the place of a view.
        """
        if not isinstance(app, falcon.App) or app._ASGI:
            raise ConfigurationError(
                f"FalcoRest needs a WSGI application of Falcon's, not {app!r}."
            )
        if app in self._apps:
            return
        for view, url in self._views.items():
            _route(app, view, url)
        app.add_middleware(Middleware(self._views))
        # NOTE: a host that wants to answer for our errors itself has said so already.
        if Problem not in app._error_handlers:
            app.add_error_handler(Problem, answer_problem)
        self._apps.append(app)

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
            view = view_class(name, url.rstrip("/"), self.db, self._transactions, self._secret)
            own = view_class.authentication_methods
            methods = self._authentication_methods if own is None else as_methods(own)
            view.authentication_methods = methods
            view.challenge = challenge(methods)
            make_repeatable(view, self._outcomes)
            self.add_view(view, url)
            return view_class

        return decorate

    def add_view(self, view: View, url: str) -> None:
        """Serve a view that is made already.

        Args:
            view: The view.
            url: Where it stands; with and without a slash at the end is the same place.

        Raises:
            ConfigurationError: The place is none, or there is something else.
        """
        place = url.rstrip("/")
        if _PLACE.fullmatch(place) is None:
            raise ConfigurationError(
                f"{type(view).__name__}: {url!r} is no place for a view; it starts with a slash, "
                "and its parts aren't empty and have no space, quote, backslash, {}?#% in them."
            )
        for app in self._apps:
            _route(app, view, place)
        self._views[view] = place

    def describe(
        self,
        url: str = "/openapi.json",
        *,
        docs: str | None = "/docs",
        title: str = "REST API",
        version: str = "1",
    ) -> None:
        """Serve an OpenAPI description of the views, and a page where a person tries them.

        Each caller is described what that caller may do. Views to come are described as well.

        Args:
            url: Where the description stands.
            docs: Where the page stands; None for no page.
            title: Of the API.
            version: Of the API.

        Raises:
            ConfigurationError: A place is none, or there is something else; or Swagger UI isn't
                there.
        """
        # PERF: most programs that declare resources describe none.
        from falcorest.openapi.views import ASSETS, AssetView, DocsView, OpenApiView

        self.add_view(OpenApiView(self._views, title, version), url)
        if docs is not None:
            place = docs.rstrip("/")
            self.add_view(DocsView(self._views, url.rstrip("/"), place, title), place)
            for name in ASSETS:
                self.add_view(AssetView(name), f"{place}/{name}")


def _size(secret: str) -> int:
    return len(secret.encode("utf-8", "surrogateescape"))


def _route(app: falcon.App[Any, Any], view: View, url: str) -> None:
    routes: list[tuple[str, dict[str, str]]] = []
    if view.allowed("_item"):
        assert isinstance(view, ResourceView)
        of_items = [f"{url}/{{id:path}}"]
        if not view.declaration.has_slashes:
            of_items = [f"{url}/{{id}}", f"{url}/{{id}}/"]
        routes += [(template, {"suffix": "item"}) for template in of_items]
    if view.allowed(""):
        routes += [(url, {}), (f"{url}/", {})]
    name = type(view).__name__
    for template, _ in routes:
        # NOTE: Falcon would put the one in the place of the other without a word.
        if _is_taken(app._router, template):
            raise ConfigurationError(f"{name}: there is something else at {template} already.")
    for template, suffix in routes:
        try:
            app.add_route(template, view, **suffix)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {template} can't be served: {error}") from error


def _is_taken(router: Any, template: str) -> bool:
    """Tell whether a router has a route of a template."""
    if not isinstance(router, CompiledRouter):
        found = router.find(template)
        return found is not None and found[-1] == template
    # PERF: to find something, it compiles all routes, and would so for each view.
    nodes, node = router._roots, None
    for segment in template[1:].split("/"):
        node = next((one for one in nodes if one.matches(segment)), None)
        if node is None:
            return False
        nodes = node.children
    return node is not None and node.resource is not None


def answer_problem(
    req: falcon.Request, resp: falcon.Response, problem: Problem, params: dict[str, Any]
) -> None:
    """Answer a request with a problem; a Falcon error handler.

    What isn't the client's doing is logged, with its cause.
    """
    if problem.status >= 500 and problem.code not in {"auth.busy", "database.unsupported"}:
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
