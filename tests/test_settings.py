"""Settings: where they are read, what wins, and one clear line for each that is wrong."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from marshmallow import ValidationError

from falcorest.concerns import Concerns
from falcorest.errors import ConfigurationError
from falcorest.limits import LIMITS, Limits
from falcorest.settings import (
    EMBEDDED,
    EXTERNAL,
    IN_MEMORY,
    SETTINGS,
    ResourceSettings,
    Settings,
    is_resource_name,
    load_settings,
    parse_collections,
)

SECRET = "0123456789abcdef0123456789abcdef"

GOOD_ORIGINS = [
    *("https://app.example.com", "http://localhost:3000", "http://127.0.0.1:8080", "http://a_b"),
    *("http://[::1]:5173", "https://app.example.com:8443", "capacitor://localhost"),
    "https://xn--bcher-kva.example",
]
BAD_ORIGINS = [
    *("null", "app.example.com", "https://", "https://app.example.com/", "https://a.example/path"),
    *("https://a.example,", "*,https://a.example", "https://*.example.com", "https://a.example?x"),
    *("https://user@a.example", "HTTPS://a.example", "https://A.example", "https://bücher.example"),
    *("https://a.example:443", "http://a.example:80", "https://a.example:", "https://a.example:0"),
    *("https://a.example:123456", "//a.example", "https:a.example", "https://a example", "**"),
    *("https://.example", "https://a..example", "https://a.example.", "https://a.example#x"),
]

#: For each setting, its default, and some values in the environment with what they mean.
TABLE: dict[str, tuple[str, Any, list[tuple[str, Any]]]] = {
    "MONGODB_URI": (
        "mongodb_uri",
        None,
        [
            (uri, uri)
            for uri in ("mongodb://a,b/c?w=1", "mongodb+srv://cluster.example", "mongomock://")
        ],
    ),
    "DATABASE": ("database", None, [("rockets", "rockets")]),
    "COLLECTIONS": ("collections_text", None, [("*", "*"), ("a:b,c:d", "a:b,c:d")]),
    "JWT_SECRET_KEY": ("jwt_secret_key", None, [(SECRET, SECRET), ("ä" * 16, "ä" * 16)]),
    "MANGO_USER_COLLECTION": ("user_collection", "mangorest_users", [("people", "people")]),
    "FALCOREST_PREFIX": ("prefix", "/api", [("/v1", "/v1"), ("/a/b-c", "/a/b-c")]),
    "FALCOREST_DATA_DIR": (
        "data_dir",
        Path("falcorest-data"),
        [("/srv/data", Path("/srv/data")), ("a b", Path("a b"))],
    ),
    "FALCOREST_MONGOD": ("mongod", None, [("/opt/mongod", Path("/opt/mongod"))]),
    "FALCOREST_PUBLIC_METHODS": (
        "public_methods",
        ["GET"],
        [
            ("", []),
            ("GET", ["GET"]),
            ("GET,POST,PUT,PATCH,DELETE", [*("GET", "POST", "PUT"), "PATCH", "DELETE"]),
        ],
    ),
    "FALCOREST_DOCS": ("docs", "on", [("off", "off"), ("on", "on")]),
    "FALCOREST_REGISTRATION": ("registration", "closed", [("open", "open"), ("closed", "closed")]),
    "FALCOREST_AUTHENTICATION": (
        "authentication",
        ["bearer"],
        [("api-key", ["api-key"]), ("basic, bearer", ["basic", "bearer"])],
    ),
    "FALCOREST_JWT_OLD_SECRET_KEY": ("jwt_old_secret_key", None, [(SECRET, SECRET)]),
    "FALCOREST_JWT_AUDIENCE": ("jwt_audience", None, [("notes", "notes")]),
    "FALCOREST_JWT_ISSUER": ("jwt_issuer", None, [("https://a.b/c", "https://a.b/c")]),
    "FALCOREST_LOGIN_FAILURES": ("login_failures", 20, [("1", 1), ("5", 5)]),
    "FALCOREST_TRUSTED_PROXIES": (
        "trusted_proxies",
        [],
        [("", []), ("10.0.0.0/8, ::1", ["10.0.0.0/8", "::1"])],
    ),
    "FALCOREST_TOKEN_SECONDS": ("token_seconds", 3600, [("1", 1), ("86400", 86400)]),
    "FALCOREST_REGEX": (
        "regex",
        False,
        [("true", True), ("false", False), ("1", True), ("0", False)],
    ),
    "FALCOREST_MAX_LIMIT": ("max_limit", None, [("1", 1), ("500", 500)]),
    "FALCOREST_MAX_AFFECTED": ("max_affected", 1000, [("1", 1), ("50", 50)]),
    **{
        one.setting: (one.attribute, one.default, [("1", 1), (str(one.most), one.most)])
        for one in LIMITS
    },
    "FALCOREST_REQUIRE_INDEX": ("require_index", False, [("true", True), ("false", False)]),
    "FALCOREST_REQUIRE_IF_MATCH": ("require_if_match", False, [("true", True), ("false", False)]),
    "FALCOREST_CACHE_CONTROL": (
        "cache_control",
        "no-cache",
        [("", ""), ("private, max-age=60", "private, max-age=60")],
    ),
    "FALCOREST_JSON": ("json", "extended", [("plain", "plain"), ("extended", "extended")]),
    "FALCOREST_COMPRESSION": ("compression", True, [("true", True), ("false", False)]),
    "FALCOREST_CORS_ORIGINS": (
        "cors_origins",
        [],
        [
            ("", []),
            ("*", ["*"]),
            *((origin, [origin]) for origin in GOOD_ORIGINS),
            ("https://a.example, https://b.example", ["https://a.example", "https://b.example"]),
        ],
    ),
    "FALCOREST_CORS_CREDENTIALS": (
        "cors_credentials",
        False,
        [("true", True), ("false", False)],
    ),
    "FALCOREST_TIMEOUT_MS": ("timeout_ms", 5000, [("1", 1), ("250", 250)]),
    "FALCOREST_MAX_IN_FLIGHT": ("max_in_flight", None, [("1", 1), ("64", 64)]),
    "FALCOREST_MAX_WAITING": ("max_waiting", 100, [("0", 0), ("1", 1)]),
    "FALCOREST_WAIT_MS": ("wait_ms", 1000, [("1", 1), ("250", 250)]),
    "FALCOREST_WRITE_CONCERN": (
        "write_concern",
        "majority",
        [("majority", "majority"), ("1", "1"), ("50", "50"), ("two-sites", "two-sites")],
    ),
    "FALCOREST_READ_CONCERN": (
        "read_concern",
        None,
        [(one, one) for one in ("local", "available", "majority", "linearizable")],
    ),
    "FALCOREST_READ_PREFERENCE": (
        "read_preference",
        "primary",
        [(one, one) for one in ("primary", "secondaryPreferred", "nearest")],
    ),
    "FALCOREST_RETRIES": ("retries", True, [("true", True), ("off", False)]),
    "FALCOREST_POOL_SIZE": ("pool_size", None, [("1", 1), ("20", 20)]),
    "FALCOREST_LOG": ("log", "auto", [("json", "json"), ("human", "human"), ("auto", "auto")]),
    "FALCOREST_ACCESS_LOG": ("access_log", True, [("true", True), ("off", False)]),
    "FALCOREST_SLOW_MS": ("slow_ms", 500, [("0", 0), ("2000", 2000)]),
    "FALCOREST_METRICS": ("metrics", True, [("true", True), ("off", False)]),
}
NUMBERS = [
    *("FALCOREST_TOKEN_SECONDS", "FALCOREST_MAX_LIMIT", "FALCOREST_MAX_AFFECTED"),
    *("FALCOREST_TIMEOUT_MS", "FALCOREST_LOGIN_FAILURES", "FALCOREST_POOL_SIZE"),
    *("FALCOREST_MAX_IN_FLIGHT", "FALCOREST_WAIT_MS"),
    *(one.setting for one in LIMITS),
]

MALFORMED: list[tuple[str, str]] = [
    *(
        ("MONGODB_URI", value)
        for value in ("", "localhost:27017", "http://x", "mongodb:/x", "mongo")
    ),
    ("DATABASE", ""),
    *(
        ("COLLECTIONS", value)
        for value in ("", " ", "rockets", "a:", ":b", "a:b,", "a:b,,c:d", "*,a:b")
    ),
    *(
        ("COLLECTIONS", value)
        for value in ("a/b:c", "a b:c", "{id}:c", "..:c", "a?:c", "a%:c", "a:b,a:c")
    ),
    *(
        (name, value)
        for name in ("JWT_SECRET_KEY", "FALCOREST_JWT_OLD_SECRET_KEY")
        for value in ("", "short", "x" * 31)
    ),
    ("FALCOREST_JWT_AUDIENCE", ""),
    ("FALCOREST_JWT_ISSUER", ""),
    *(
        ("FALCOREST_AUTHENTICATION", value)
        for value in ("", "Bearer", "jwt", "bearer,", "bearer basic", "none", "api_key")
    ),
    *(
        ("FALCOREST_TRUSTED_PROXIES", value)
        for value in ("localhost", "10.0.0.1/8", "10.0.0.0/33", "::1,", "1.2.3", "*")
    ),
    ("MANGO_USER_COLLECTION", ""),
    *(
        ("FALCOREST_PREFIX", value)
        for value in ("", "/", "api", "/api/", "//", "/a b", "/{id}", "/a?b")
    ),
    ("FALCOREST_DATA_DIR", ""),
    ("FALCOREST_MONGOD", ""),
    *(("FALCOREST_PUBLIC_METHODS", value) for value in ("get", "FETCH", "GET,", "GET;POST", "*")),
    *(("FALCOREST_DOCS", value) for value in ("", "On", "true", "no")),
    *(("FALCOREST_REGISTRATION", value) for value in ("", "Open", "true", "yes")),
    *(
        (name, value)
        for name in (
            *("FALCOREST_REGEX", "FALCOREST_REQUIRE_INDEX", "FALCOREST_CORS_CREDENTIALS"),
            *("FALCOREST_REQUIRE_IF_MATCH", "FALCOREST_COMPRESSION"),
            *("FALCOREST_ACCESS_LOG", "FALCOREST_METRICS", "FALCOREST_RETRIES"),
        )
        for value in ("", "perhaps", "2")
    ),
    *(("FALCOREST_CACHE_CONTROL", value) for value in ("a\r\nb: c", "é", "\x7f")),
    *(("FALCOREST_JSON", value) for value in ("", "relaxed", "Plain")),
    *(("FALCOREST_CORS_ORIGINS", value) for value in BAD_ORIGINS),
    *((one.setting, str(one.most + 1)) for one in LIMITS),
    *(("FALCOREST_MAX_WAITING", value) for value in ("", "-1", "1.5", "many")),
    *(("FALCOREST_SLOW_MS", value) for value in ("", "-1", "1.5", "many")),
    *(("FALCOREST_LOG", value) for value in ("", "JSON", "off", "text")),
    *(("FALCOREST_WRITE_CONCERN", value) for value in ("", "0", "-1", "51", "1.5", "a b", "²")),
    *(("FALCOREST_READ_CONCERN", value) for value in ("", "Majority", "snapshot", "1")),
    *(("FALCOREST_READ_PREFERENCE", value) for value in ("", "Primary", "secondary_preferred")),
    *((name, value) for name in NUMBERS for value in ("", "0", "-1", "1.5", "many", "1e3", "0x10")),
]


def problems(directory: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(directory)
    return caught.value.problems


# ------------------------------------------------------------------------------- the tables


def test_every_setting_has_its_row() -> None:
    rows = {setting.name: (setting.attribute, setting.default) for setting in SETTINGS}
    assert rows == {name: (attribute, default) for name, (attribute, default, _) in TABLE.items()}
    assert len(rows) == len(SETTINGS)


def test_settings_made_in_code_have_the_defaults_of_the_table() -> None:
    own = dataclasses.asdict(Settings())
    for setting in SETTINGS:
        assert own.pop(setting.attribute) == setting.default, setting.name
    assert own == {"embedded_uri": None, "resources": {}}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_says_what_it_does(setting: Any) -> None:
    assert setting.help.endswith(".")
    if setting.default is None:
        assert setting.shown


# ------------------------------------------------------------------------- the environment


def test_nothing_needs_to_be_set() -> None:
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, text, value) for name, (_, _, values) in TABLE.items() for text, value in values],
)
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(name, text)
    assert load_settings() == Settings(**{TABLE[name][0]: value})


@pytest.mark.parametrize(("name", "text"), MALFORMED)
def test_a_malformed_value_is_one_clear_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    (line,) = problems()
    assert re.fullmatch(rf"{name}: [^\n]+\.( [^\n]+)?", line)


@pytest.mark.parametrize(
    ("wrong", "blamed"),
    [
        (
            {"FALCOREST_CORS_ORIGINS": "*", "FALCOREST_CORS_CREDENTIALS": "true"},
            "FALCOREST_CORS_CREDENTIALS",
        ),
        (
            {"MONGODB_URI": "mongomock://", "FALCOREST_REQUIRE_INDEX": "true"},
            "FALCOREST_REQUIRE_INDEX",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], blamed: str
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    (line,) = problems()
    assert re.fullmatch(rf"{blamed}: [^\n]+\.", line)


def test_credentials_go_with_origins_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALCOREST_CORS_ORIGINS", "https://a.example")
    monkeypatch.setenv("FALCOREST_CORS_CREDENTIALS", "true")
    assert load_settings().cors_credentials


def test_limits_are_settings() -> None:
    assert Settings(max_skip=5).limits == Limits(max_skip=5)
    with pytest.raises(ConfigurationError, match="max_skip"):
        Settings(max_skip=0)


def test_every_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONGODB_URI", "FALCOREST_MAX_LIMIT", "FALCOREST_REGEX", "FALCOREST_NONSENSE"):
        monkeypatch.setenv(name, "wrong")
    names = {line.partition(":")[0] for line in problems()}
    assert names == {"MONGODB_URI", "FALCOREST_MAX_LIMIT", "FALCOREST_REGEX", "FALCOREST_NONSENSE"}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("FALCOREST_MAXLIMIT", "FALCOREST_MAX_LIMIT"),
        ("FALCOREST_MAX_LIMITS", "FALCOREST_MAX_LIMIT"),
        ("FALCOREST_REGEXP", "FALCOREST_REGEX"),
        ("FALCOREST_TIMEOUT", "FALCOREST_TIMEOUT_MS"),
        ("FALCOREST_DATADIR", "FALCOREST_DATA_DIR"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, suggestion: str
) -> None:
    (tmp_path / ".env").write_text(f"{name}=5\n")
    (line,) = problems()
    assert line.startswith(f"{name}: ")
    assert line.endswith(f"{suggestion}?")
    (tmp_path / ".env").unlink()
    monkeypatch.setenv(name, "5")
    assert problems() == (line,)


def test_names_of_others_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FALCO", "MY_FALCOREST_REGEX", "MANGO_OTHER", "PORT", "DATABASE_URL"):
        monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()


# ------------------------------------------------------------------------------------- .env


def test_settings_are_read_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# a comment\n"
        'DATABASE="rockets"\n'
        f"export JWT_SECRET_KEY={SECRET}\n"
        "FALCOREST_MAX_LIMIT=50 # at the most\n\n"
    )
    expected = Settings(database="rockets", jwt_secret_key=SECRET, max_limit=50)
    assert load_settings() == load_settings(tmp_path) == expected


def test_the_environment_wins_over_the_dotenv_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE=of_the_file\nFALCOREST_MAX_LIMIT=5\n")
    monkeypatch.setenv("DATABASE", "of_the_environment")
    assert load_settings() == Settings(database="of_the_environment", max_limit=5)


def test_the_dotenv_file_of_another_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE=of_the_parent\n")
    (tmp_path / "inner").mkdir()
    assert load_settings(tmp_path / "inner") == Settings()


def test_reading_settings_leaves_no_trace_for_the_next_reader(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / ".env").write_text("DATABASE=one\n")
    assert load_settings(tmp_path / "one").database == "one"
    assert load_settings(tmp_path / "two").database is None


def test_a_malformed_value_in_the_dotenv_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FALCOREST_TIMEOUT_MS=soon\n")
    (line,) = problems()
    assert line.startswith("FALCOREST_TIMEOUT_MS: ")


@pytest.mark.parametrize("name", [".env", "falcorest.toml"])
def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"DATABASE=\xff\n")
    (line,) = problems()
    assert line.startswith(f"{name}: ")
    assert "\n" not in line


# --------------------------------------------------------------------------- falcorest.toml


def test_a_policy_stands_in_the_toml_file(tmp_path: Path) -> None:
    (tmp_path / "falcorest.toml").write_text(
        """
        [resources.rockets]
        collection = "rocket_engines"
        hidden = ["cost", "supplier.contact"]
        readonly = ["approved"]
        read = ["public"]
        write = []
        rows.editor = { country = { "$in" = ["USA", "FR"] } }
        owner = "created_by"
        unrestricted = ["admin"]
        """
    )
    rockets = load_settings(tmp_path).resources["rockets"]
    assert rockets.collection == "rocket_engines"
    assert rockets.rules == {
        "hidden": ["cost", "supplier.contact"],
        "readonly": ["approved"],
        "read": ["public"],
        "write": [],
        "rows": {"editor": {"country": {"$in": ["USA", "FR"]}}},
        "owner": "created_by",
        "unrestricted": ["admin"],
    }


def test_what_is_said_of_one_resource_stands_in_the_toml_file(tmp_path: Path) -> None:
    (tmp_path / "falcorest.toml").write_text(
        "[resources.rockets]\n"
        'collection = "rocket_engines"\n'
        "max_limit = 5\n"
        "max_affected = 10\n"
        'read_preference = "nearest"\n'
        'read_concern = "majority"\n'
        "write_concern = 2\n"
        "timeout_ms = 30000\n"
        '[resources."launch-vehicles"]\n'
    )
    settings = load_settings()
    concerns = {
        "read_preference": "nearest",
        "read_concern": "majority",
        "write_concern": 2,
        "timeout_ms": 30_000,
    }
    assert settings.resources == {
        "rockets": ResourceSettings("rocket_engines", max_limit=5, max_affected=10, **concerns),
        "launch-vehicles": ResourceSettings(),
    }
    assert settings.resources["rockets"].concerns == Concerns(**concerns)
    assert settings.collections() == {"rockets": "rocket_engines"}


@pytest.mark.parametrize(
    ("flat", "expected"),
    [
        (None, {"a": "of_the_file"}),
        ("a:flat,b:other", {"a": "of_the_file", "b": "other"}),
        ("b:other", {"a": "of_the_file", "b": "other"}),
        ("*", None),
    ],
)
def test_the_file_wins_over_the_flat_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flat: str | None, expected: Any
) -> None:
    (tmp_path / "falcorest.toml").write_text('[resources.a]\ncollection = "of_the_file"\n')
    if flat is not None:
        monkeypatch.setenv("COLLECTIONS", flat)
    settings = load_settings()
    assert settings.collections() == expected
    assert settings.named_in_file() == {"a": "of_the_file"}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("[resources", "falcorest.toml: "),
        ("x = 1", "falcorest.toml: x: "),
        ("[resource.a]", "falcorest.toml: resource: "),
        ("resources = 5", "falcorest.toml: resources: "),
        ("[resources]\na = 5", "falcorest.toml: resources.a: "),
        *(
            (f"[resources.a]\n{name} = {value}", f"falcorest.toml: resources.a.{name}: ")
            for name, value in (
                *(("read_preference", one) for one in ('""', '"Nearest"', "5", "true", "[]")),
                *(("read_concern", one) for one in ('""', '"snapshot"', "1")),
                *(("write_concern", one) for one in ('""', "0", "-1", "51", "true", "1.0", '"2"')),
                *(("timeout_ms", one) for one in ("0", '"5"', "1.5", "false", "2147483648")),
            )
        ),
        ("[resources.a]\nlimit = 5", "falcorest.toml: resources.a.limit: "),
        ("[resources.a]\nmax_limit = 0", "falcorest.toml: resources.a.max_limit: "),
        ('[resources.a]\nmax_limit = "5"', "falcorest.toml: resources.a.max_limit: "),
        ("[resources.a]\nmax_limit = true", "falcorest.toml: resources.a.max_limit: "),
        ("[resources.a]\nmax_affected = 1.5", "falcorest.toml: resources.a.max_affected: "),
        ('[resources.a]\ncollection = ""', "falcorest.toml: resources.a.collection: "),
        ("[resources.a]\ncollection = 5", "falcorest.toml: resources.a.collection: "),
        ('[resources."a/b"]', "falcorest.toml: resources.a/b: "),
        ('[resources.a]\nhidden = "x"', "falcorest.toml: resources.a.hidden: "),
        ('[resources.a]\nhidden = ["a..b"]', "falcorest.toml: resources.a.hidden: 'a..b'"),
        ('[resources.a]\nhidden = ["$a"]', "falcorest.toml: resources.a.hidden: "),
        ('[resources.a]\nhidden = ["_id"]', "falcorest.toml: resources.a.hidden: the _id"),
        ("[resources.a]\nreadonly = [5]", "falcorest.toml: resources.a.readonly: 5"),
        ('[resources.a]\nread = "public"', "falcorest.toml: resources.a.read: "),
        ('[resources.a]\nwrite = [""]', "falcorest.toml: resources.a.write: "),
        ('[resources.a]\nunrestricted = "x"', "falcorest.toml: resources.a.unrestricted: "),
        ('[resources.a]\nowner = "a.b"', "falcorest.toml: resources.a.owner: "),
        ('[resources.a]\nowner = "_id"', "falcorest.toml: resources.a.owner: "),
        ('[resources.a]\nowner = ""', "falcorest.toml: resources.a.owner: "),
        ('[resources.a]\nrows = ["x"]', "falcorest.toml: resources.a.rows: "),
        ("[resources.a]\nrows.x = 5", "falcorest.toml: resources.a.rows.x: a filter"),
        ("[resources.a]\nrows.x = {}", "falcorest.toml: resources.a.rows.x: a filter"),
        (
            '[resources.a]\nrows.x = { "$where" = "1" }',
            "falcorest.toml: resources.a.rows.x: '$where' is neither",
        ),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path: Path, text: str, start: str) -> None:
    (tmp_path / "falcorest.toml").write_text(text)
    (line,) = problems()
    assert line.startswith(start)
    assert "\n" not in line


# ------------------------------------------------------------------------------ COLLECTIONS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", None),
        (" * ", None),
        ("rockets:rocket_engines", {"rockets": "rocket_engines"}),
        ("a:b,c:d", {"a": "b", "c": "d"}),
        (" a : b , c : d ", {"a": "b", "c": "d"}),
        ("a:b,c:b", {"a": "b", "c": "b"}),
        ("a:b:c", {"a": "b:c"}),
        ("a:fs.files", {"a": "fs.files"}),
        ("größe:b", {"größe": "b"}),
    ],
)
def test_collections_are_pairs_of_resource_and_collection(text: str, expected: Any) -> None:
    assert parse_collections(text) == expected
    assert Settings(collections_text=text).collections() == expected


@pytest.mark.parametrize("text", [value for name, value in MALFORMED if name == "COLLECTIONS"])
def test_anything_else_is_no_list_of_collections(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_collections(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("a", "a-b", "a.b", "ä", "A_1", "a:b", "...")),
        *((name, False) for name in ("", ".", "..", "a/b", "a b", "a{b", "a}b", "a?b", "a#b")),
        *((name, False) for name in ("a%b", "a\n", "\0", "a\x7f", "\t")),
        *((name, False) for name in ("a'b", 'a"b', "a\\b", "a\\", "'+print(1)+'")),
    ],
)
def test_the_name_of_a_resource_is_one_segment_of_a_route(name: str, expected: bool) -> None:
    assert is_resource_name(name) is expected


# --------------------------------------------------------------------- what follows from them


@pytest.mark.parametrize(
    ("uri", "engine"),
    [
        (None, EMBEDDED),
        ("mongomock://", IN_MEMORY),
        ("mongodb://localhost", EXTERNAL),
        ("mongodb+srv://cluster.example", EXTERNAL),
    ],
)
def test_the_uri_says_where_the_data_is(uri: str | None, engine: str) -> None:
    assert Settings(mongodb_uri=uri).engine == engine


@pytest.mark.parametrize(
    ("collection", "never"),
    [
        *((name, True) for name in ("people", "system.views", "system.users", "falcorest_state")),
        *(
            (name, False)
            for name in ("rockets", "systems", "falcorest", "mangorest_users", "people2")
        ),
    ],
)
def test_the_users_and_what_belongs_to_the_system_are_never_served(
    collection: str, never: bool
) -> None:
    assert Settings(user_collection="people").never_served(collection) is never


def test_settings_are_frozen_and_replaced() -> None:
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.regex = True  # type: ignore[misc]
    assert settings.replace(regex=True) == Settings(regex=True)
    assert settings == Settings()


def test_no_secret_is_in_the_repr() -> None:
    settings = Settings(
        jwt_secret_key=SECRET,
        jwt_old_secret_key=SECRET,
        mongodb_uri="mongodb://admin:hunter2@db.example/rockets",
    )
    assert SECRET not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_no_secret_is_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "hunter2")
    monkeypatch.setenv("FALCOREST_JWT_OLD_SECRET_KEY", "hunter2")
    monkeypatch.setenv("MONGODB_URI", "mongo://admin:hunter2@db.example/rockets")
    assert "hunter2" not in "".join(problems())
