"""connect(): what the URI says wins; transactions: where there are any."""

from __future__ import annotations

from typing import Any

import pytest

from falcorest.database import Transactions, connect, in_memory, time_limit
from falcorest.errors import ConfigurationError


@pytest.fixture
def opened() -> Any:
    databases: list[Any] = []

    def open_(uri: str, name: str | None = "shop") -> Any:
        databases.append(connect(uri, name, timeout_ms=1500))
        return databases[-1]

    yield open_
    for database in databases:
        database.client.close()


def test_waiting_is_bounded(opened: Any) -> None:
    options = opened("mongodb://127.0.0.1:1").client.options
    assert options.pool_options.connect_timeout == 1.5
    assert options.pool_options.socket_timeout == 1.5
    assert options.pool_options.wait_queue_timeout == 1.5
    assert options.server_selection_timeout == 1.5


def test_options_in_the_uri_win(opened: Any) -> None:
    uri = (
        "mongodb://127.0.0.1:1/?socketTimeoutMS=250&connecttimeoutms=300&maxPoolSize=7"
        "&w=1&readPreference=nearest&appName=mine"
    )
    database = opened(uri)
    options = database.client.options
    assert options.pool_options.socket_timeout == 0.25
    assert options.pool_options.connect_timeout == 0.3
    assert options.pool_options.max_pool_size == 7
    assert options.pool_options.appname == "mine"
    assert database.write_concern.document == {"w": 1}
    assert database.read_preference.mode == 4
    assert time_limit(database) == 0.25
    assert time_limit(opened("mongodb://127.0.0.1:1/?timeoutMS=700")) == 0.7


def test_how_values_look_in_python_is_not_the_uri_s_affair(opened: Any) -> None:
    uri = (
        "mongodb://127.0.0.1:1/?tz_aware=true&uuidRepresentation=standard"
        "&unicode_decode_error_handler=strict"
    )
    codec = opened(uri).codec_options
    assert not codec.tz_aware
    assert codec.uuid_representation == 0
    assert codec.unicode_decode_error_handler == "replace"


def test_the_database_is_named_by_the_setting_or_by_the_uri(opened: Any) -> None:
    assert opened("mongodb://127.0.0.1:1/other").name == "shop"
    assert opened("mongodb://127.0.0.1:1/other", None).name == "other"
    assert opened("mongomock://", None).name == "falcorest"
    with pytest.raises(ConfigurationError, match="DATABASE: it isn't set"):
        opened("mongodb://127.0.0.1:1", None)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://",
        "mongodb://a:b:c@host",
        "mongodb://127.0.0.1:99999",
        "mongodb://127.0.0.1/?w=0",
        "mongodb://127.0.0.1/?datetime_conversion=datetime",
    ],
)
def test_a_uri_that_can_not_be_used_is_one_line(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(uri, "shop", timeout_ms=100)
    [problem] = caught.value.problems
    assert problem.startswith("MONGODB_URI: ")
    assert "\n" not in problem


@pytest.mark.parametrize("name", ["a b", "a.b", "$", "a/b"])
def test_a_name_that_no_database_can_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE"):
        connect("mongodb://127.0.0.1", name, timeout_ms=100)


@pytest.mark.live
def test_where_there_are_transactions(mongo_uri: str, standalone_uri: str, opened: Any) -> None:
    assert Transactions(opened(mongo_uri)).supported
    assert not Transactions(opened(mongo_uri), wanted=False).supported
    assert not Transactions(opened(standalone_uri)).supported
    memory = opened("mongomock://")
    assert in_memory(memory)
    assert not Transactions(memory).supported


@pytest.mark.live
def test_an_exception_undoes_a_transaction(mongo_uri: str, opened: Any) -> None:
    database = opened(mongo_uri, "test_transactions")

    def work(session: Any) -> None:
        database.kept.insert_one({"_id": 1}, session=session)
        raise KeyError

    with pytest.raises(KeyError):
        Transactions(database).run(work)
    assert database.kept.count_documents({}) == 0
    database.client.drop_database(database.name)
