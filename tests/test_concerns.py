"""Concerns: what collections are read and written by, of all that is said of them."""

from __future__ import annotations

from typing import Any

import falcon
import mongomock
import pytest
from pymongo import MongoClient, ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest, Primary, SecondaryPreferred
from pymongo.write_concern import WriteConcern

from falcorest import ConfigurationError, FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest.concerns import Concerns, concerns_of, for_callers, for_writes
from falcorest.server import open_database
from falcorest.settings import ResourceSettings, Settings

URI = "mongodb://127.0.0.1:9/shop"


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Any:
    """Open a database that nobody asks anything, as the zero-code server does."""

    def opened(options: str = "", **settings: Any) -> Any:
        database = open_database(Settings(mongodb_uri=f"{URI}?{options}", **settings))
        request.addfinalizer(database.client.close)
        return database

    return opened


@pytest.fixture
def given(request: pytest.FixtureRequest) -> Any:
    """Open a database that nobody asks anything, as a host may do it."""

    def given(options: str = "", **more: Any) -> Any:
        client: MongoClient[Any] = MongoClient(f"{URI}?{options}", connect=False)
        request.addfinalizer(client.close)
        return client.get_default_database(**more)

    return given


# ------------------------------------------------------------------------------ the deployment


def test_without_a_word_writes_are_confirmed_by_the_majority(opened: Any) -> None:
    database = opened()
    assert database.write_concern == WriteConcern("majority", wtimeout=5000)
    assert database.read_preference == ReadPreference.PRIMARY
    assert database.read_concern == ReadConcern()
    options = database.client.options
    assert options.retry_reads
    assert options.retry_writes
    assert options.pool_options.max_pool_size == 0


def test_settings_say_how_the_database_is_used(opened: Any) -> None:
    database = opened(
        write_concern="2",
        timeout_ms=700,
        read_concern="majority",
        read_preference="secondaryPreferred",
        retries=False,
        pool_size=7,
    )
    assert database.write_concern == WriteConcern(2, wtimeout=700)
    assert database.read_preference == SecondaryPreferred()
    assert database.read_concern == ReadConcern("majority")
    options = database.client.options
    assert not options.retry_reads
    assert not options.retry_writes
    assert options.pool_options.max_pool_size == 7


def test_what_the_uri_says_wins(opened: Any) -> None:
    database = opened(
        "w=3&wTimeoutMS=9&readConcernLevel=available&readPreference=nearest"
        "&maxStalenessSeconds=120&retryReads=false&retryWrites=false&maxPoolSize=3"
        "&heartbeatFrequencyMS=5000",
        read_concern="majority",
        read_preference="secondary",
    )
    assert database.write_concern == WriteConcern(3, wtimeout=9)
    assert database.read_preference == Nearest(max_staleness=120)
    assert database.read_concern == ReadConcern("available")
    options = database.client.options
    assert not options.retry_reads
    assert not options.retry_writes
    assert options.pool_options.max_pool_size == 3


def test_how_old_it_may_be_what_is_read_is_for_the_uri_to_say(opened: Any) -> None:
    database = opened("maxStalenessSeconds=120", read_preference="nearest")
    assert database.read_preference == Nearest(max_staleness=120)
    bound = Concerns(read_preference="secondaryPreferred").of_answers(database["things"])
    assert bound.read_preference == SecondaryPreferred(max_staleness=120)


def test_tags_are_for_the_uri_to_say(opened: Any) -> None:
    database = opened("readPreference=nearest&readPreferenceTags=site:b&readPreferenceTags=")
    bound = Concerns(read_preference="secondaryPreferred").of_answers(database["things"])
    assert bound.read_preference == SecondaryPreferred(tag_sets=[{"site": "b"}, {}])
    bound = Concerns(read_preference="primary").of_answers(database["things"])
    assert bound.read_preference == Primary()


@pytest.mark.parametrize(
    ("options", "settings", "blamed"),
    [
        (
            "",
            {"read_concern": "linearizable", "read_preference": "nearest"},
            "FALCOREST_READ_CONCERN",
        ),
        ("readConcernLevel=linearizable&readPreference=secondary", {}, "MONGODB_URI"),
        ("readPreference=nearest", {"read_concern": "linearizable"}, "FALCOREST_READ_CONCERN"),
        (
            "readPreference=nearest",
            {"resources": {"a": ResourceSettings(read_concern="linearizable")}},
            "falcorest.toml: resources.a.read_concern",
        ),
        (
            "",
            {
                "read_concern": "linearizable",
                "resources": {"a": ResourceSettings(read_preference="nearest")},
            },
            "falcorest.toml: resources.a.read_concern",
        ),
        ("w=0", {}, "MONGODB_URI"),
        ("maxStalenessSeconds=120", {}, "MONGODB_URI"),
    ],
)
def test_what_can_not_be_together_is_one_clear_line(
    opened: Any, options: str, settings: dict[str, Any], blamed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        opened(options, **settings)
    (line,) = caught.value.problems
    assert line.startswith(f"{blamed}: ")


# -------------------------------------------------------------------------------- one resource


@pytest.mark.parametrize(
    ("options", "concerns", "expected"),
    [
        # Where the host has said nothing.
        ("", {}, {"w": "majority"}),
        ("journal=true", {}, {"w": "majority", "j": True}),
        ("socketTimeoutMS=800", {}, {"w": "majority", "wtimeout": 800}),
        ("timeoutMS=900", {"timeout_ms": 50}, {"w": "majority", "wtimeout": 50}),
        ("wTimeoutMS=70&timeoutMS=900", {}, {"w": "majority", "wtimeout": 70}),
        # Where it has.
        ("w=1", {}, {"w": 1}),
        ("w=1&timeoutMS=900", {}, {"w": 1}),
        ("w=sites", {}, {"w": "sites"}),
        # Where the resource says something.
        ("w=1", {"write_concern": "majority"}, {"w": "majority"}),
        ("timeoutMS=900", {"write_concern": 1}, {"w": 1, "wtimeout": 900}),
        ("w=1&wTimeoutMS=70", {"write_concern": "sites"}, {"w": "sites", "wtimeout": 70}),
    ],
)
def test_what_confirms_a_write(
    given: Any, options: str, concerns: dict[str, Any], expected: dict[str, Any]
) -> None:
    things = given(options)["things"]
    said = concerns_of({"timeout_ms": None, "other": 1, **concerns})
    assert said.of_writes(things).write_concern.document == expected
    assert said.of_answers(things).write_concern.document == expected


def test_writes_read_from_the_primary_whatever_is_said(given: Any) -> None:
    database = given("readPreference=secondary&readConcernLevel=available")
    things = database["things"]
    for said in (Concerns(), Concerns(read_preference="nearest", read_concern="majority")):
        bound = said.of_writes(things)
        assert bound.read_preference == Primary()
        assert bound.read_concern == ReadConcern()
    assert for_writes(things).read_preference == Primary()
    assert for_writes(things).write_concern == WriteConcern("majority")
    assert for_callers(things).read_preference == ReadPreference.PRIMARY_PREFERRED
    assert for_callers(things).read_concern == ReadConcern()


def test_answers_are_read_as_the_database_has_it_unless_the_resource_says_otherwise(
    given: Any,
) -> None:
    preference = Nearest(tag_sets=[{"a": "b"}])
    things = given(read_preference=preference, read_concern=ReadConcern("majority"))["things"]
    bound = Concerns().of_answers(things)
    assert (bound.read_preference, bound.read_concern.level) == (preference, "majority")
    bound = Concerns(read_preference="primary", read_concern="local").of_answers(things)
    assert (bound.read_preference, bound.read_concern.level) == (Primary(), "local")


def test_in_memory_there_is_one_copy(request: pytest.FixtureRequest) -> None:
    things = mongomock.MongoClient()["shop"]["things"]
    said = Concerns("secondary", "linearizable", 3, 100)
    assert said.of_writes(things) is said.of_answers(things) is things
    assert for_writes(things) is for_callers(things) is things
    assert said.limit(things.database) == 0.1


def test_every_wrong_word_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Concerns("first", "certain", 0, 0)
    names = [problem.partition(":")[0] for problem in caught.value.problems]
    assert names == ["read_preference", "read_concern", "write_concern", "timeout_ms"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("read_preference", value) for value in ("", "Primary", 1)),
        *(("read_concern", value) for value in ("", "snapshot", True)),
        *(("write_concern", value) for value in ("", "2", 0, -1, 51, True, 1.0)),
        *(("timeout_ms", value) for value in (0, -1, "5", True, 2**31)),
    ],
)
def test_a_resource_that_says_what_can_not_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Wrong\.{name}: [^\n]+\."):
        type("Wrong", (Resource,), {"collection": "things", name: value})


def test_a_view_that_could_not_be_read_from_is_refused(given: Any) -> None:
    class Things(Resource):
        collection = "things"
        read_concern = "linearizable"

    class View(ResourceView):
        resource = Things
        methods = [methods.List]

    api = FalcoRest(falcon.App(), given("readPreference=nearest"))
    with pytest.raises(ConfigurationError, match=r"Things\.read_concern: linearizable is read"):
        api.register(name="things", url="/things")(View)
    FalcoRest(falcon.App(), given()).register(name="things", url="/things")(View)


def test_a_related_resource_that_could_not_be_read_from_is_refused(given: Any) -> None:
    class ThingSchema(Schema):
        maker = fields.Reference("makers")

    class MakerSchema(Schema):
        id = fields.ObjectId(attribute="_id")

    class Makers(Resource):
        collection = "makers"
        schema = MakerSchema
        read_concern = "linearizable"

    class Things(Resource):
        collection = "things"
        schema = ThingSchema
        related_resources = {"maker": Makers}
        read_preference = "nearest"

    class View(ResourceView):
        resource = Things
        methods = [methods.List]

    api = FalcoRest(falcon.App(), given("readPreference=nearest"))
    with pytest.raises(ConfigurationError, match=r"Makers\.read_concern: linearizable is read"):
        api.register(name="things", url="/things")(View)
    FalcoRest(falcon.App(), given()).register(name="things", url="/things")(View)


def test_a_related_resource_is_read_by_what_it_says_itself(given: Any) -> None:
    class Things(Resource):
        collection = "things"
        timeout_ms = 40

    class Makers(Resource):
        collection = "makers"
        read_preference = "nearest"
        timeout_ms = 90

    class View(ResourceView):
        resource = Things
        methods = methods.ALL

    api = FalcoRest(falcon.App(), given())
    api.register(name="things", url="/things")(View)
    (view,) = api.views
    said = Makers.compiled_concerns()

    def maker(service: Any) -> Any:
        return service.sibling("makers", Makers.compiled_policy(), None, said)

    assert view.answering.collection.read_preference == Primary()
    assert maker(view.answering).collection.read_preference == Nearest()
    assert maker(view.service).collection.read_preference == Primary()
    # It is a part of what is asked for, and of its time.
    assert maker(view.answering).time_limit == view.service.time_limit == 0.04
