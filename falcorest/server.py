"""The zero-code server: settings become resources and views, and a server runs them."""

from __future__ import annotations

import functools
import random
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import falcon
from pymongo.errors import InvalidName

from falcorest.api import FalcoRest, write_problem
from falcorest.auth import (
    ApiKeyAuthentication,
    Attempts,
    AuthenticationBase,
    BasicAuthentication,
    JWTAuthentication,
    TokenIssuer,
    key_check,
    password_check,
)
from falcorest.auth.keys import COLLECTION as KEYS
from falcorest.auth.views import LoginView, MeView, RegisterView
from falcorest.catalog import Served, Unreachable, resolve_collections
from falcorest.compression import Compression
from falcorest.concerns import NAMES as CONCERNS
from falcorest.concerns import READ_PREFERENCES, Concerns
from falcorest.cors import CORS
from falcorest.database import MongoDatabase, connect, in_memory
from falcorest.dialects import TypedDialect
from falcorest.errors import ConfigurationError, problem_object
from falcorest.in_flight import InFlight
from falcorest.indexes.build import build_in_memory
from falcorest.late_start import LateStart, log_late
from falcorest.logs import AccessLog, configure, log_access
from falcorest.methods import ALL, READING
from falcorest.monitor import Monitor
from falcorest.probes import LiveView, MetricsView, ReadyView
from falcorest.resource import Resource
from falcorest.responding import log_failure
from falcorest.settings import (
    DEFAULT_DATABASE,
    EMBEDDED,
    EXTERNAL,
    ResourceSettings,
    Settings,
    load_settings,
)
from falcorest.views import ResourceView

#: Where the probes stand.
LIVE, READY, METRICS = PROBES = ("/health/live", "/health/ready", "/metrics")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings | None = None) -> falcon.App[Any, Any]:
    """Make the WSGI application of the zero-code server.

    It connects when the first request comes, so that it may be made before a server forks. A
    database that can't be reached yet is waited for: until it can, requests get 503.

    Args:
        settings: Read from the environment and the working directory unless given.

    Raises:
        ConfigurationError: The settings are wrong, or don't fit the database.
    """
    settings = settings or load_settings()
    if settings.engine == EMBEDDED:
        raise ConfigurationError(
            "MONGODB_URI: it isn't set. A server run by hand needs a database of its own; "
            "the embedded one runs under falcorest serve only."
        )
    settings = with_secret(settings)
    monitor = monitor_of(settings, configure(settings.log))
    database = open_database(settings, monitor)
    served: list[Served] | Unreachable
    try:
        served = resolve_collections(settings, database)
    except Unreachable as error:
        log_late(error)
        served = error
    finally:
        if settings.engine == EXTERNAL:
            database.client.close()
            database = open_database(settings, monitor)
    return build_app(settings, database, served, monitor)


def with_secret(settings: Settings) -> Settings:
    """Return settings that have a key for tokens: in memory, one is made up.

    Raises:
        ConfigurationError: There is none, and the database is kept.
    """
    if settings.jwt_secret_key is not None:
        return settings
    if settings.engine == EXTERNAL:
        raise ConfigurationError(
            "JWT_SECRET_KEY: it isn't set; it signs access tokens and has 32 bytes or more."
        )
    return settings.replace(jwt_secret_key=secrets.token_hex(32))


def monitor_of(settings: Settings, access_log: AccessLog = log_access) -> Monitor:
    """Return what sees the requests, as the settings want it.

    Args:
        settings: The settings.
        access_log: Writes the lines of requests, if there shall be any.
    """
    return Monitor(
        access_log=access_log if settings.access_log else None,
        metrics=settings.metrics,
        slow_ms=settings.slow_ms,
    )


def open_database(settings: Settings, monitor: Monitor | None = None) -> MongoDatabase:
    """Return the database that the settings name.

    Args:
        settings: The settings.
        monitor: Sees what is sent to it.
    """
    listeners = () if monitor is None else monitor.listeners
    uri = settings.mongodb_uri or settings.embedded_uri
    name = settings.database
    if settings.engine != EXTERNAL:
        name = name or DEFAULT_DATABASE
    assert uri is not None
    options = client_options(settings)
    database = connect(
        uri, name, timeout_ms=settings.timeout_ms, listeners=listeners, options=options
    )
    try:
        users = database[settings.user_collection]
    except InvalidName as error:
        raise ConfigurationError(f"MANGO_USER_COLLECTION: {error}.") from error
    _check_concerns(settings, users)
    return database


def client_options(settings: Settings) -> dict[str, Any]:
    """Return what the settings say of the driver's client, by the names that a URI has for it."""
    options: dict[str, Any] = {
        "w": settings.write_concern,
        "wTimeoutMS": settings.timeout_ms,
        "retryReads": settings.retries,
        "retryWrites": settings.retries,
        # NOTE: 0 is any number, and a request takes one at a time.
        "maxPoolSize": settings.pool_size or 0,
    }
    if settings.read_concern is not None:
        options["readConcernLevel"] = settings.read_concern
    if settings.read_preference != READ_PREFERENCES[0]:
        options["readPreference"] = settings.read_preference
    return options


def _check_concerns(settings: Settings, collection: Any) -> None:
    """Refuse what is said of reading, here and in the URI, where it can't be together."""
    place = "MONGODB_URI" if settings.read_concern is None else "FALCOREST_READ_CONCERN"
    said = {place: Concerns()} | {
        f"falcorest.toml: resources.{name}.read_concern": own.concerns
        for name, own in settings.resources.items()
    }
    for where, concerns in said.items():
        concerns.require_possible(where, collection)


def build_app(
    settings: Settings,
    database: MongoDatabase,
    served: list[Served] | Unreachable,
    monitor: Monitor | None = None,
) -> falcon.App[Any, Any]:
    """Make the application.

    Args:
        settings: The settings.
        database: Where they are.
        served: What is served, or why that isn't known yet.
        monitor: That with which the database was opened.
    """
    monitor = monitor or monitor_of(settings)
    # PERF: a monitor that has nothing to see is left out.
    seeing = [monitor] if monitor.listeners else []
    app: falcon.App[Any, Any] = falcon.App(middleware=[*seeing, RequestIds()])
    if settings.max_in_flight is not None:
        waiting = {"max_waiting": settings.max_waiting, "wait_ms": settings.wait_ms}
        app.add_middleware(InFlight(settings.max_in_flight, **waiting))
    if settings.cors_origins:
        app.add_middleware(CORS(settings.cors_origins, credentials=settings.cors_credentials))
    if settings.compression:
        app.add_middleware(Compression())
    app.add_error_handler(Exception, answer_exception)
    app.add_error_handler(falcon.HTTPError, answer_http_error)
    users = database[settings.user_collection]
    attempts = Attempts(settings.login_failures, trusted_proxies=settings.trusted_proxies)
    tokens = _tokens(settings)
    known = {
        "bearer": JWTAuthentication(tokens),
        "basic": BasicAuthentication(password_check(users), attempts=attempts),
        "api-key": ApiKeyAuthentication(key_check(database[KEYS])),
    }
    authentication = [known[name] for name in settings.authentication]
    api = FalcoRest(app, database, secret=settings.jwt_secret_key)
    if (settings.max_in_flight or 0) > 1 and _reads_elsewhere(settings, database):
        api.outage.bound((settings.max_in_flight or 0) - 1)

    def serve(served: list[Served]) -> None:
        for one in served:
            if in_memory(database) and (own := settings.resources.get(one.name)) is not None:
                place = f"falcorest.toml: resources.{one.name}.indexes"
                build_in_memory(database[one.collection], own.indexes, place)
            view = compile_view(one, settings, authentication)
            api.register(name=one.name, url=f"{settings.prefix}/{one.name}")(view)

    if isinstance(served, Unreachable):
        find = functools.partial(resolve_collections, settings, database)
        app.add_middleware(LateStart(find, serve, served))
    else:
        serve(served)
    if "bearer" in settings.authentication:
        login = LoginView(users, tokens, attempts, settings.max_body_bytes)
        api.add_view(login, "/login")
    api.add_view(MeView(users, authentication), "/me")
    if settings.registration == "open":
        api.add_view(RegisterView(users, settings.max_body_bytes), "/register")
    api.add_view(LiveView(), LIVE)
    api.add_view(ReadyView(database), READY)
    if settings.metrics:
        api.add_view(MetricsView(monitor), METRICS)
    if settings.docs == "on":
        api.describe()
    return app


def _reads_elsewhere(settings: Settings, database: MongoDatabase) -> bool:
    """Tell whether some of what is served needs no primary."""
    said = [own.concerns.read_preference for own in settings.resources.values()]
    elsewhere = {*said} - {None, READ_PREFERENCES[0]}
    return bool(elsewhere) or (not in_memory(database) and bool(database.read_preference.mode))


def _tokens(settings: Settings) -> TokenIssuer:
    assert settings.jwt_secret_key is not None
    return TokenIssuer(
        settings.jwt_secret_key,
        settings.token_seconds,
        old_secret=settings.jwt_old_secret_key,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )


def compile_view(
    served: Served, settings: Settings, authentication: Sequence[AuthenticationBase]
) -> type[ResourceView]:
    """Make the view class, and with it the Resource class, of a collection."""
    own = settings.resources.get(served.name, ResourceSettings())
    limit = _first(own.max_limit, settings.max_limit)
    affected = _first(own.max_affected, settings.max_affected)
    attributes: Mapping[str, Any] = {
        "collection": served.collection,
        "paginate": limit is not None,
        "max_limit": limit,
        "default_limit": None,
        "bulk_update_limit": affected,
        "transactional": served.transactional,
        "require_index": settings.require_index,
        "require_if_match": _first(own.require_if_match, settings.require_if_match),
        "cache_control": _first(own.cache_control, settings.cache_control) or None,
        "version_field": own.version_field,
        **{name: getattr(own, name) for name in CONCERNS},
        "indexes": own.indexes,
    }
    resource = type(f"{served.name}Resource", (Resource,), {**attributes, "policy": own.rules})
    return type(
        f"{served.name}View",
        (ResourceView,),
        {
            "resource": resource,
            "methods": READING if served.read_only else ALL,
            "authentication_methods": authentication,
            "public_methods": public_methods(settings),
            "dialect": TypedDialect(regex=settings.regex, limits=settings.limits),
            "limits": settings.limits,
            "plain_json": settings.json == "plain",
            # NOTE: here, a bulk update is a PATCH only.
            "on_put": None,
        },
    )


def _first(own: Any, general: Any) -> Any:
    """Return what a resource says for itself, else what is said for all of them."""
    return general if own is None else own


def public_methods(settings: Settings) -> frozenset[str]:
    """Return the HTTP methods that need no login; HEAD goes with GET."""
    methods = frozenset(settings.public_methods)
    return methods | {"HEAD"} if "GET" in methods else methods


class RequestIds:
    """Gives every request an id: its own, if it brought a harmless one, else a new one."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Set the id on the request's context and on the response."""
        given = req.env.get("HTTP_X_REQUEST_ID")
        if given is None or _REQUEST_ID.fullmatch(given) is None:
            # PERF: it is no secret, and this asks the system for nothing.
            given = f"{random.getrandbits(64):016x}"  # nosec B311
        req.context.request_id = given
        resp.set_header("X-Request-ID", given)


def answer_http_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    """Answer with a problem for an error of Falcon's."""
    status = falcon.http_status_to_code(error.status)
    code = {404: "route.not_found", 405: "method.not_allowed"}.get(status, "http.error")
    detail = {
        404: "Nothing is served at this address.",
        405: "The address doesn't serve this method.",
    }.get(status, error.description or error.title or "The request can't be served.")
    write_problem(resp, status, problem_object(status, code, detail))
    if error.headers:
        resp.set_headers(error.headers)


def answer_exception(
    req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]
) -> None:
    """Answer with a problem for what nobody foresaw; the log has the rest."""
    log_failure(req, error)
    detail = "Something broke in the server; its log says what, under this request id."
    write_problem(resp, 500, problem_object(500, "server.error", detail))
