"""Settings of the zero-code server: every one of them once, in :data:`SETTINGS`.

They are read from the environment, from a ``.env`` file and from ``falcorest.toml``, both in
the working directory. The environment wins over ``.env``. What is said of one resource in the
file (``[resources.NAME]``) wins over the flat settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from environs import Env, EnvValidationError
from marshmallow import ValidationError, validate

from falcorest.concerns import (
    MAJORITY,
    READ_CONCERNS,
    READ_PREFERENCES,
    Concerns,
    check_write_concern,
    concerns_of,
)
from falcorest.concerns import (
    NAMES as CONCERNS,
)
from falcorest.errors import ConfigurationError
from falcorest.indexes import Index, read_indexes
from falcorest.limits import LIMITS, MOST, SECRET_BYTES, Limit, Limits
from falcorest.logs import AUTO, STYLES
from falcorest.policy import RULES, Policy
from falcorest.query import is_path

PREFIX = "FALCOREST_"
EMBEDDED = "embedded"
IN_MEMORY = "mongomock"
EXTERNAL = "external"
DEFAULT_DATABASE = "falcorest"

_HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_AUTHENTICATION = ("bearer", "basic", "api-key")
# APPSEC: Falcon writes routes into Python source that it compiles, quotes and all.
_NAME = re.compile(r"[^\s/{}?#%'\"\\\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: Its name in the environment.
        attribute: Its name on :class:`Settings`.
        kind: The name of the environs method that reads it.
        default: Its value when it isn't set.
        help: What it does, one sentence; reStructuredText.
        shown: The default as the docs show it, where the value doesn't say it.
        checks: marshmallow validators of the value.
    """

    name: str
    attribute: str
    kind: str
    default: Any
    help: str
    shown: str = ""
    checks: tuple[Callable[[Any], Any], ...] = ()


def _collections(text: str) -> None:
    parse_collections(text)


def _methods(names: list[str]) -> None:
    for name in names:
        if name not in _HTTP_METHODS:
            raise ValidationError(f"{name!r} is none of {', '.join(_HTTP_METHODS)}.")


def _authentication(names: list[str]) -> None:
    for name in names or [""]:
        if name not in _AUTHENTICATION:
            raise ValidationError(f"{name!r} is none of {', '.join(_AUTHENTICATION)}.")


def _networks(texts: list[str]) -> None:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValidationError(f"{error}.") from error


def _secret(text: str) -> None:
    size = len(text.encode("utf-8", "surrogateescape"))
    if size < SECRET_BYTES:
        raise ValidationError(
            f"At least {SECRET_BYTES} bytes are needed, this one has {size}. "
            'Make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'
        )


def _uri(text: str) -> None:
    if not text.startswith(("mongodb://", "mongodb+srv://", "mongomock://")):
        raise ValidationError(
            "It must start with mongodb://, mongodb+srv:// or mongomock://; "
            "unset it for the embedded engine."
        )


def _write_concern(text: str) -> None:
    problem = check_write_concern(int(text) if text.isdecimal() else text)
    if problem:
        raise ValidationError(problem.capitalize())


def _one_of(names: tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(names, error=f"It is one of {', '.join(names)}.")


def _up_to(most: int) -> validate.Range:
    return validate.Range(min=1, max=most, error=f"A whole number from 1 to {most} is needed.")


# NOTE: without a path, a slash at the end or a standard port, as browsers write an origin.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)
_STANDARD_PORT = re.compile(r"http://.*:80|https://.*:443")


def _origins(names: list[str]) -> None:
    if "*" in names and len(names) > 1:
        raise ValidationError("* stands for every origin, so it stands alone.")
    for name in names:
        if name != "*" and (not _ORIGIN.fullmatch(name) or _STANDARD_PORT.fullmatch(name)):
            raise ValidationError(
                f"{name!r} is no origin as browsers send it, such as https://app.example.com: "
                "scheme and host in small letters, a port that isn't the usual one, and nothing "
                "behind it."
            )


_HEADER = re.compile(r"[\x20-\x7e]*")
_POSITIVE = _up_to(MOST)
_NOT_NEGATIVE = validate.Range(min=0, max=MOST, error=f"A whole number from 0 to {MOST} is needed.")
_NOT_EMPTY = validate.Length(min=1, error="It must not be empty.")


def _setting(limit: Limit) -> Setting:
    return Setting(
        limit.setting,
        limit.attribute,
        "int",
        limit.default,
        limit.help,
        checks=(_up_to(limit.most),),
    )


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MONGODB_URI",
        "mongodb_uri",
        "str",
        None,
        "Where the data is: ``mongodb://…``, ``mongodb+srv://…``, or ``mongomock://`` for a "
        "database in memory. Options in it win over falcorest's own.",
        "unset: the embedded engine",
        (_uri,),
    ),
    Setting(
        "DATABASE",
        "database",
        "str",
        None,
        "The database that is served.",
        "the one named in the URI; ``falcorest`` for the embedded engine and in memory",
        (_NOT_EMPTY,),
    ),
    Setting(
        "COLLECTIONS",
        "collections_text",
        "str",
        None,
        "What is served: ``resource:collection`` pairs with commas between them, or ``*`` for "
        "every collection under its own name, as found at start.",
        "``*`` for the embedded engine and in memory, else required",
        (_collections,),
    ),
    Setting(
        "JWT_SECRET_KEY",
        "jwt_secret_key",
        "str",
        None,
        "Signs access tokens; at least 32 bytes.",
        "made and kept by the embedded engine, made at each start in memory, else required",
        (_secret,),
    ),
    Setting(
        "MANGO_USER_COLLECTION",
        "user_collection",
        "str",
        "mangorest_users",
        "The collection that holds the users. It is never served.",
        checks=(_NOT_EMPTY,),
    ),
    Setting(
        "FALCOREST_PREFIX",
        "prefix",
        "str",
        "/api",
        "The path below which the resources stand.",
        checks=(
            validate.Regexp(
                r"(/(?!\.\.?(/|\Z))[A-Za-z0-9._~-]+)+\Z",
                error="It must look like /api: a slash before each part, none at the end.",
            ),
        ),
    ),
    Setting(
        "FALCOREST_DATA_DIR",
        "data_dir",
        "path",
        Path("falcorest-data"),
        "The folder in which the embedded engine keeps its files.",
        checks=(_NOT_EMPTY,),
    ),
    Setting(
        "FALCOREST_MONGOD",
        "mongod",
        "path",
        None,
        "The ``mongod`` program that the embedded engine runs.",
        "that of the ``embedded`` extra, else ``mongod`` on the PATH",
        (_NOT_EMPTY,),
    ),
    Setting(
        "FALCOREST_PUBLIC_METHODS",
        "public_methods",
        "list",
        ["GET"],
        "The HTTP methods that need no login; empty closes reading too.",
        "``GET``",
        (_methods,),
    ),
    Setting(
        "FALCOREST_AUTHENTICATION",
        "authentication",
        "list",
        ["bearer"],
        "How callers are known, in this order: ``bearer`` (a token of ``/login``), ``basic`` (a "
        "user's name and password), ``api-key`` (a key that ``falcorest createkey`` made, in "
        "``X-API-Key``). Without ``bearer`` there is no ``/login``.",
        "``bearer``",
        (_authentication,),
    ),
    Setting(
        "FALCOREST_REGISTRATION",
        "registration",
        "str",
        "closed",
        "``open`` lets anybody make a user with ``POST /register``.",
        checks=(validate.OneOf(["open", "closed"], error="It is either open or closed."),),
    ),
    Setting(
        "FALCOREST_DOCS",
        "docs",
        "str",
        "on",
        "``off`` serves neither ``/openapi.json`` nor the page ``/docs``, which describe the API.",
        checks=(validate.OneOf(["on", "off"], error="It is either on or off."),),
    ),
    Setting(
        "FALCOREST_TOKEN_SECONDS",
        "token_seconds",
        "int",
        3600,
        "How long an access token is good for, in seconds.",
        checks=(_POSITIVE,),
    ),
    Setting(
        "FALCOREST_JWT_OLD_SECRET_KEY",
        "jwt_old_secret_key",
        "str",
        None,
        "The ``JWT_SECRET_KEY`` before this one: access tokens that it has signed are still good.",
        checks=(_secret,),
        shown="unset",
    ),
    Setting(
        "FALCOREST_JWT_AUDIENCE",
        "jwt_audience",
        "str",
        None,
        "Who access tokens are for: their ``aud``, which is then required.",
        checks=(_NOT_EMPTY,),
        shown="unset",
    ),
    Setting(
        "FALCOREST_JWT_ISSUER",
        "jwt_issuer",
        "str",
        None,
        "Who makes access tokens: their ``iss``, which is then required.",
        checks=(_NOT_EMPTY,),
        shown="unset",
    ),
    Setting(
        "FALCOREST_LOGIN_FAILURES",
        "login_failures",
        "int",
        20,
        "How many logins with one username may fail within five minutes, in each process; from "
        "one address three times as many.",
        checks=(_POSITIVE,),
    ),
    Setting(
        "FALCOREST_TRUSTED_PROXIES",
        "trusted_proxies",
        "list",
        [],
        "The addresses and networks (``10.0.0.0/8``) of proxies in front, whose "
        "``X-Forwarded-For`` says where a login comes from.",
        "none",
        (_networks,),
    ),
    Setting(
        "FALCOREST_REGEX",
        "regex",
        "bool",
        False,
        "Lets clients filter with the ``regex`` operator.",
        "``false``",
    ),
    Setting(
        "FALCOREST_MAX_LIMIT",
        "max_limit",
        "int",
        None,
        "The most documents that one list gives: a larger ``_limit`` is refused, and without "
        "one a page of this size is sent, with a ``Link`` to the next.",
        "unset: no bound",
        (_POSITIVE,),
    ),
    Setting(
        "FALCOREST_MAX_AFFECTED",
        "max_affected",
        "int",
        1000,
        "The most documents that one bulk ``PATCH`` or ``DELETE`` may match.",
        checks=(_POSITIVE,),
    ),
    *(_setting(limit) for limit in LIMITS),
    Setting(
        "FALCOREST_REQUIRE_INDEX",
        "require_index",
        "bool",
        False,
        "Refuses a filter, and a sort, that no index of the database serves.",
        "``false``",
    ),
    Setting(
        "FALCOREST_REQUIRE_IF_MATCH",
        "require_if_match",
        "bool",
        False,
        "Refuses ``PUT``, ``PATCH`` and ``DELETE`` of a document that don't say by ``If-Match`` "
        "which version of it is meant.",
        "``false``",
    ),
    Setting(
        "FALCOREST_CACHE_CONTROL",
        "cache_control",
        "str",
        "no-cache",
        "The ``Cache-Control`` of documents and lists that are read; empty sends none.",
        checks=(validate.Regexp(rf"{_HEADER.pattern}\Z", error="A header can't hold it."),),
    ),
    Setting(
        "FALCOREST_JSON",
        "json",
        "str",
        "extended",
        "How BSON's types are written: ``extended`` is relaxed Extended JSON, which can be sent "
        "back as it is; ``plain`` is hexadecimal ids, ISO 8601 dates and the like.",
        checks=(validate.OneOf(["extended", "plain"], error="It is either extended or plain."),),
    ),
    Setting(
        "FALCOREST_COMPRESSION",
        "compression",
        "bool",
        True,
        "Compresses answers from 1 KiB for clients that take gzip. Where a proxy in front does "
        "it, turn it off.",
        "``true``",
    ),
    Setting(
        "FALCOREST_CORS_ORIGINS",
        "cors_origins",
        "list",
        [],
        "The origins, such as ``https://app.example.com``, whose pages may read the answers in a "
        "browser; or ``*`` for every one.",
        "empty: none but its own",
        (_origins,),
    ),
    Setting(
        "FALCOREST_CORS_CREDENTIALS",
        "cors_credentials",
        "bool",
        False,
        "Lets pages of these origins send what the browser keeps for falcorest, such as cookies. "
        "A bearer token needs no such thing.",
        "``false``",
    ),
    Setting(
        "FALCOREST_TIMEOUT_MS",
        "timeout_ms",
        "int",
        5000,
        "How long a request waits for the database, in milliseconds; then it is answered "
        "with 503. A stream waits as long for each of its batches.",
        checks=(_POSITIVE,),
    ),
    Setting(
        "FALCOREST_MAX_IN_FLIGHT",
        "max_in_flight",
        "int",
        None,
        "The most requests that a process serves at once. Others wait for their turn.",
        "``--threads`` of ``falcorest serve``; no bound under another server",
        (_POSITIVE,),
    ),
    Setting(
        "FALCOREST_MAX_WAITING",
        "max_waiting",
        "int",
        100,
        "The most requests that wait for their turn in a process. More are answered with 503.",
        checks=(_NOT_NEGATIVE,),
    ),
    Setting(
        "FALCOREST_WAIT_MS",
        "wait_ms",
        "int",
        1000,
        "How long a request waits for its turn, in milliseconds; then it is answered with 503.",
        checks=(_POSITIVE,),
    ),
    Setting(
        "FALCOREST_WRITE_CONCERN",
        "write_concern",
        "str",
        MAJORITY,
        "How many servers of a replica set have a write before it is confirmed: ``majority``, a "
        "number, or a name that the replica set has for some of them.",
        checks=(_write_concern,),
    ),
    Setting(
        "FALCOREST_READ_CONCERN",
        "read_concern",
        "str",
        None,
        "How certain it is what answers are read from: ``local``, ``available``, ``majority`` "
        "(no fail-over takes it back), or ``linearizable`` (and nothing newer has been confirmed).",
        "unset: as the database has it, ``local`` mostly",
        (_one_of(READ_CONCERNS),),
    ),
    Setting(
        "FALCOREST_READ_PREFERENCE",
        "read_preference",
        "str",
        READ_PREFERENCES[0],
        "Which servers of a replica set answers are read from: ``primary``, ``primaryPreferred``, "
        "``secondary``, ``secondaryPreferred`` or ``nearest``. What a write reads is read from "
        "the primary.",
        checks=(_one_of(READ_PREFERENCES),),
    ),
    Setting(
        "FALCOREST_RETRIES",
        "retries",
        "bool",
        True,
        "Sends what a fail-over, or a connection that broke, came in between of once more.",
        "``true``",
    ),
    Setting(
        "FALCOREST_POOL_SIZE",
        "pool_size",
        "int",
        None,
        "The most connections of each process to each server of the database. A request that "
        "finds none free waits for one, within its time.",
        "unset: as many as requests are served at once",
        (_POSITIVE,),
    ),
    Setting(
        "FALCOREST_GRACE_SECONDS",
        "grace_seconds",
        "int",
        30,
        "How long ``falcorest serve`` waits, when it is told to stop, for the requests in flight.",
        checks=(_POSITIVE,),
    ),
    Setting(
        "FALCOREST_LOG",
        "log",
        "str",
        AUTO,
        "How the log is written to standard error: ``json``, one object a line; ``human``; or "
        "``auto``, which is ``human`` on a terminal and ``json`` elsewhere.",
        checks=(_one_of(STYLES),),
    ),
    Setting(
        "FALCOREST_ACCESS_LOG",
        "access_log",
        "bool",
        True,
        "Gives each request a line in the log.",
        "``true``",
    ),
    Setting(
        "FALCOREST_SLOW_MS",
        "slow_ms",
        "int",
        500,
        "From how many milliseconds on a command of the database is logged as slow; 0 is never.",
        checks=(_NOT_NEGATIVE,),
    ),
    Setting(
        "FALCOREST_METRICS",
        "metrics",
        "bool",
        True,
        "Keeps figures, and serves them to everybody at ``/metrics``.",
        "``true``",
    ),
)


@dataclass(frozen=True)
class ResourceSettings:
    """What ``[resources.NAME]`` in ``falcorest.toml`` may say.

    Attributes:
        collection: The collection that stands behind the resource.
        max_limit: As ``FALCOREST_MAX_LIMIT``, for this resource.
        max_affected: As ``FALCOREST_MAX_AFFECTED``, for this resource.
        require_if_match: As ``FALCOREST_REQUIRE_IF_MATCH``, for this resource.
        cache_control: As ``FALCOREST_CACHE_CONTROL``, for this resource.
        version_field: The field that counts the changes of a document.
        read_preference: As ``FALCOREST_READ_PREFERENCE``, for this resource.
        read_concern: As ``FALCOREST_READ_CONCERN``, for this resource.
        write_concern: As ``FALCOREST_WRITE_CONCERN``, for this resource.
        timeout_ms: As ``FALCOREST_TIMEOUT_MS``, for this resource.
        rules: The rest, see :data:`falcorest.policy.RULES`.
        indexes: What ``falcorest indexes`` compares with the database.
    """

    collection: str | None = None
    max_limit: int | None = None
    max_affected: int | None = None
    require_if_match: bool | None = None
    cache_control: str | None = None
    version_field: str | None = None
    read_preference: str | None = None
    read_concern: str | None = None
    write_concern: int | str | None = None
    timeout_ms: int | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)
    indexes: Sequence[Index] = ()

    @property
    def concerns(self) -> Concerns:
        """How the collection is used."""
        return concerns_of(vars(self))


@dataclass(frozen=True)
class Settings(Limits):
    """The settings, read and checked. :data:`SETTINGS` says what each of them does.

    The limits are among them.

    Attributes:
        embedded_uri: Where the embedded engine listens, once it runs.
        resources: What ``falcorest.toml`` says, by resource.
    """

    mongodb_uri: str | None = field(default=None, repr=False)
    database: str | None = None
    collections_text: str | None = None
    jwt_secret_key: str | None = field(default=None, repr=False)
    user_collection: str = "mangorest_users"
    prefix: str = "/api"
    data_dir: Path = Path("falcorest-data")
    mongod: Path | None = None
    public_methods: list[str] = field(default_factory=lambda: ["GET"])
    registration: str = "closed"
    docs: str = "on"
    authentication: list[str] = field(default_factory=lambda: ["bearer"])
    token_seconds: int = 3600
    jwt_old_secret_key: str | None = field(default=None, repr=False)
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    login_failures: int = 20
    trusted_proxies: list[str] = field(default_factory=list)
    regex: bool = False
    max_limit: int | None = None
    max_affected: int = 1000
    timeout_ms: int = 5000
    max_in_flight: int | None = None
    max_waiting: int = 100
    wait_ms: int = 1000
    grace_seconds: int = 30
    write_concern: str = MAJORITY
    read_concern: str | None = None
    read_preference: str = READ_PREFERENCES[0]
    retries: bool = True
    pool_size: int | None = None
    require_index: bool = False
    require_if_match: bool = False
    cache_control: str = "no-cache"
    json: str = "extended"
    compression: bool = True
    cors_origins: list[str] = field(default_factory=list)
    cors_credentials: bool = False
    log: str = AUTO
    access_log: bool = True
    slow_ms: int = 500
    metrics: bool = True
    embedded_uri: str | None = None
    resources: Mapping[str, ResourceSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = []
        # APPSEC: every page that somebody opens could act as that somebody.
        if self.cors_credentials and "*" in self.cors_origins:
            problems.append(
                "FALCOREST_CORS_CREDENTIALS: it can't go with FALCOREST_CORS_ORIGINS=*; "
                "list the origins."
            )
        if self.require_index and self.engine == IN_MEMORY:
            problems.append(
                "FALCOREST_REQUIRE_INDEX: a database in memory plans no queries; it needs MongoDB."
            )
        if problems:
            raise ConfigurationError(*problems)

    @property
    def engine(self) -> str:
        """Which of the three places holds the data: EMBEDDED, IN_MEMORY or EXTERNAL."""
        if self.mongodb_uri is None:
            return EMBEDDED
        return IN_MEMORY if self.mongodb_uri.startswith("mongomock://") else EXTERNAL

    @property
    def limits(self) -> Limits:
        """What a request may cost."""
        return Limits(**{one.attribute: getattr(self, one.attribute) for one in LIMITS})

    @property
    def longest_wait_ms(self) -> int:
        """How long a request of any resource may wait for the database, in milliseconds."""
        own = (one.concerns.timeout_ms for one in self.resources.values())
        return max(self.timeout_ms, *filter(None, own), 0)

    def replace(self, **changes: Any) -> Settings:
        """Return these settings with some changed."""
        return dataclasses.replace(self, **changes)

    def named_in_file(self) -> dict[str, str]:
        """Return the collections that ``falcorest.toml`` names, by resource."""
        return {
            name: resource.collection
            for name, resource in self.resources.items()
            if resource.collection is not None
        }

    def collections(self) -> dict[str, str] | None:
        """Return the collection of each resource, or None for every collection there is."""
        named = self.named_in_file()
        if self.collections_text is None:
            return named or None
        parsed = parse_collections(self.collections_text)
        return None if parsed is None else parsed | named

    def never_served(self, collection: str) -> bool:
        """Tell whether a collection is kept from clients whatever the settings say."""
        return collection == self.user_collection or collection.startswith(
            ("system.", "falcorest_")
        )


def parse_collections(text: str) -> dict[str, str] | None:
    """Read ``resource:collection,…`` into a dict; ``*`` gives None.

    Raises:
        ValidationError: The text is something else, or names a resource twice.
    """
    if text.strip() == "*":
        return None
    pairs: dict[str, str] = {}
    for pair in text.split(","):
        resource, colon, collection = (part.strip() for part in pair.partition(":"))
        if not (resource and colon and collection):
            raise ValidationError(f"{pair.strip()!r} is not a resource:collection pair.")
        if not is_resource_name(resource):
            raise ValidationError(f"{resource!r} can't stand in a URL as the name of a resource.")
        if resource in pairs:
            raise ValidationError(f"The resource {resource!r} stands in it twice.")
        pairs[resource] = collection
    return pairs


def is_resource_name(name: str) -> bool:
    """Tell whether a text can be one segment of a route."""
    return _NAME.fullmatch(name) is not None and name not in {".", ".."}


def load_settings(directory: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        directory: Where ``.env`` and ``falcorest.toml`` are looked for; the working directory
            unless given.

    Raises:
        ConfigurationError: With one line for each setting that is wrong.
    """
    directory = directory or Path.cwd()
    env = Env(eager=False)
    dotenv = directory / ".env"
    try:
        if dotenv.is_file():
            env.read_env(dotenv, recurse=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{dotenv.name}: it can't be read: {error}") from error
    values = {setting.attribute: _read(env, setting) for setting in SETTINGS}
    problems = _unknown_names({*os.environ, *dotenv_values(dotenv)})
    try:
        env.seal()
    except EnvValidationError as error:
        if isinstance(error.error_messages, Mapping):
            for name, messages in error.error_messages.items():
                problems.extend(f"{name}: {message}" for message in messages)
    problems.extend(
        f"{setting.name}: it is not UTF-8."
        for setting in SETTINGS
        if not _is_utf8(values[setting.attribute])
    )
    resources, file_problems = _read_file(directory / "falcorest.toml")
    problems.extend(file_problems)
    if problems:
        raise ConfigurationError(*problems)
    return Settings(**values, resources=resources)


def _is_utf8(value: Any) -> bool:
    try:
        return not isinstance(value, str) or value.encode() is not None
    except UnicodeEncodeError:
        return False


def _read(env: Env, setting: Setting) -> Any:
    options = {"subcast": str.strip} if setting.kind == "list" else {}
    # NOTE: a path is read as a text first, because Path("") is the working directory.
    kind = "str" if setting.kind == "path" else setting.kind
    value = getattr(env, kind)(
        setting.name, setting.default, validate=list(setting.checks), **options
    )
    return Path(value) if setting.kind == "path" and value is not None else value


def _unknown_names(names: set[str]) -> list[str]:
    known = [setting.name for setting in SETTINGS]
    problems = []
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            problems.append(f"{name}: there is no such setting.{hint}")
    return problems


def _read_file(path: Path) -> tuple[dict[str, ResourceSettings], list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{path.name}: it can't be read: {error}"]
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{path.name}: {error}"]
    tables = data.pop("resources", {})
    problems = [f"{path.name}: {key}: there is no such table." for key in data]
    resources: dict[str, ResourceSettings] = {}
    if not isinstance(tables, dict):
        return {}, [*problems, f"{path.name}: resources: a table is needed."]
    for name, table in tables.items():
        where = f"{path.name}: resources.{name}"
        if not isinstance(table, dict):
            problems.append(f"{where}: a table is needed.")
            continue
        if not is_resource_name(name):
            problems.append(f"{where}: the name can't stand in a URL.")
        problems.extend(f"{where}.{message}" for message in _check_resource(table))
        if not problems:
            rules = {key: table.pop(key) for key in RULES if key in table}
            indexes = read_indexes(table.pop("indexes", []))
            resources[name] = ResourceSettings(**table, rules=rules, indexes=indexes)
    return resources, problems


def _check_resource(table: Mapping[str, Any]) -> list[str]:
    problems = []
    for key, value in table.items():
        if key == "collection":
            if not isinstance(value, str) or not value:
                problems.append("collection: the name of a collection is needed.")
        elif key in {"max_limit", "max_affected"}:
            try:
                _POSITIVE(value if type(value) is int else 0)
            except ValidationError as error:
                problems.append(f"{key}: {error.messages[0]}")
        elif key == "require_if_match":
            if not isinstance(value, bool):
                problems.append(f"{key}: true or false is needed.")
        elif key == "cache_control":
            if not isinstance(value, str) or _HEADER.fullmatch(value) is None:
                problems.append(f"{key}: the text of a header is needed.")
        elif key == "version_field":
            if not isinstance(value, str) or not is_path(value) or "." in value or value == "_id":
                problems.append(f"{key}: the name of a field at the top is needed.")
        elif key == "indexes":
            try:
                read_indexes(value)
            except ConfigurationError as error:
                problems.extend(f"indexes{problem}" for problem in error.problems)
        elif key in CONCERNS:
            try:
                concerns_of({key: value})
            except ConfigurationError as error:
                problems.extend(error.problems)
        elif key not in RULES:
            problems.append(f"{key}: there is no such setting.")
    try:
        Policy.of({key: value for key, value in table.items() if key in RULES})
    except ConfigurationError as error:
        problems.extend(error.problems)
    return problems
