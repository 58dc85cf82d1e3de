"""The in-memory mode against a real MongoDB: random requests must get the same answers.

What is known to differ is listed at the end, and in ``docs/explanation/in-memory.rst``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import pytest
from falcon.testing import Result

from falcorest.operators import BSON_TYPES
from tests.conftest import MakeApi
from tests.support import Api, assert_problem

pytestmark = [pytest.mark.live, pytest.mark.long]

OIDS = ("6195b0eb829a2784b4459a01", "6195b0eb829a2784b4459a02")
LITERALS = {
    "int": ["-1", "0", "1", "2", "4294967296"],
    "float": ["0.5", "1.0", "2.5"],
    "bool": ["true", "false"],
    "str": ["a", "b", "", "ab"],
    "date": ["2021-11-01"],
    "datetime": ["2020-01-01T10:00:00Z"],
    "oid": [OIDS[0]],
    "decimal": ["1", "2.5", "0.1"],
    "null": [""],
}
FIELDS = ["a", "b", "c", "a.x", "b.y", "a.x.y", "a.0", "a.1.x", "b.0.0", "_id", "zz"]
SORTS = ["a", "b", "c", "a.x", "b.y", "a.x.y", "a.0", "b.0.y"]
PROJECTIONS = ["a", "a.x", "a,b", "b.y,c", "c,a.x.y", "a.0", "_id", "zz", "b.x,b.y"]
PATHS = ["a", "b", "c", "a.x", "a.y", "b.y", "a.x.y", "a.0", "a.2", "b.1.x", "z"]
OPERATORS = {
    "$set": 6,
    "$unset": 3,
    "$inc": 3,
    "$mul": 3,
    "$min": 2,
    "$max": 2,
    "$rename": 3,
    "$push": 6,
    "$addToSet": 4,
    "$pull": 5,
    "$pullAll": 3,
    "$pop": 3,
}


class Dice:
    """Makes documents, queries and updates; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def several(self, make: Any, most: int) -> list[Any]:
        return [make() for _ in range(self.random.randrange(most + 1))]

    def value(self, depth: int = 0) -> Any:
        """Return a value in Extended JSON."""
        kind = self.random.randrange(20)
        if depth < 3 and kind < 4:
            return self.several(lambda: self.value(depth + 1), 3)
        if depth < 3 and kind < 7:
            names = self.several(lambda: self.random.choice(["x", "y", "0"]), 2)
            return {name: self.value(depth + 1) for name in names}
        return self.random.choice(
            [
                *(-1, 0, 1, 2, 3, 2147483647, 1.0, 0.5, 2.5, True, False, "a", "b", "", "ab", None),
                *({"$oid": oid} for oid in OIDS),
                *({"$date": f"{day}Z"} for day in ("2021-11-01T00:00:00", "2020-01-01T10:00:00")),
                *({"$numberDecimal": number} for number in ("1", "2.5", "0.1", "-0", "NaN")),
                *({"$numberLong": "1"}, {"$numberLong": "9223372036854775807"}),
                *({"$numberDouble": "NaN"}, {"$numberDouble": "Infinity"}),
                *({"$binary": {"base64": "AAE=", "subType": kind}} for kind in ("00", "80")),
                *({"$minKey": 1}, {"$maxKey": 1}, {"$timestamp": {"t": 1, "i": 2}}),
                *({"$code": "x"}, {"$code": "x", "$scope": {"a": 1}}),
                *({"$ref": "other", "$id": 1}, {"$date": {"$numberLong": "-62135596800001"}}),
                {"$regularExpression": {"pattern": "a", "options": "i"}},
            ]
        )

    def document(self, identity: Any) -> dict[str, Any]:
        return {"_id": identity, **{name: self.value() for name in "abc" if self.chance(0.8)}}

    def condition(self) -> tuple[str, str]:
        """Return a field, and what is asked of it: operator, hint and literal."""
        operator = self.random.choice(
            [
                *("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "all"),
                *("exists", "size", "type", "regex"),
            ]
        )
        hint = self.random.choice(list(LITERALS))
        literal = self.random.choice(LITERALS[hint])
        if operator in {"in", "nin", "all"}:
            hint = self.random.choice([name for name in LITERALS if name != "null"])
            texts = self.several(lambda: self.random.choice(LITERALS[hint]), 2)
            hint, literal = f"list-{hint}", f"[{','.join(texts)}]"
        elif operator == "exists":
            hint, literal = "bool", self.random.choice(["true", "false"])
        elif operator == "size":
            hint, literal = "int", self.random.choice("012")
        elif operator == "type":
            hint, literal = "str", self.random.choice(BSON_TYPES)
        elif operator == "regex":
            hint, literal = "str", self.random.choice(["^a", "b$", "a|b", "^$"])
        negation = "not." if self.chance(0.25) else ""
        return self.random.choice(FIELDS), f"{negation}{operator}[{hint}].{literal}"

    def filters(self) -> list[tuple[str, str]]:
        if self.chance(0.3):
            members = [".".join(condition) for condition in self.conditions(2)]
            return [(self.random.choice(["and", "or", "nor"]), f"({','.join(members)})")]
        return self.conditions(1)

    def conditions(self, most: int) -> list[tuple[str, str]]:
        return [self.condition(), *self.several(self.condition, most)]

    def query(self) -> str:
        parameters = self.filters() if self.chance(0.8) else []
        # NOTE: MongoDB promises no order of documents that sort alike, so the _id goes last.
        fields = self.several(lambda: self.random.choice(SORTS), 2)
        directions = {name: self.random.choice(["ascending", "descending"]) for name in fields}
        sort = {**directions, "_id": "ascending"}
        parameters.append(("_sort", ",".join(f"({name}:{way})" for name, way in sort.items())))
        if self.chance(0.3):
            parameters.append(("_projection", self.random.choice(PROJECTIONS)))
        if self.chance(0.2):
            parameters.append(("_skip", str(self.random.randrange(5))))
            parameters.append(("_limit", str(self.random.randrange(20))))
        return encoded(parameters)

    def update(self) -> dict[str, Any]:
        update: dict[str, Any] = {}
        for _ in range(self.random.choice([1, 1, 1, 1, 1, 2, 3])):
            operator = self.random.choices(list(OPERATORS), list(OPERATORS.values()))[0]
            update.setdefault(operator, {})[self.path()] = self.argument(operator)
        return update

    def path(self) -> str:
        return self.random.choice(["_id", "_id.x"] if self.chance(0.03) else PATHS)

    def argument(self, operator: str) -> Any:
        if operator in {"$inc", "$mul"}:
            numbers: list[Any] = [0, 1, 2, -1, 0.5, 1.0, {"$numberLong": "1"}, {"$numberLong": "3"}]
            numbers += [{"$numberDecimal": text} for text in ("1", "2.50", "-0.1")]
            return self.random.choice(numbers)
        if operator == "$rename":
            return self.path()
        if operator == "$pullAll":
            return self.several(self.value, 3)
        if operator == "$pop":
            return self.random.choice([1, -1])
        if operator == "$pull" and self.chance(0.4):
            return self.pulled()
        if operator in {"$push", "$addToSet"} and self.chance(0.5):
            each = {"$each": self.several(self.value, 3)}
            return each if operator == "$addToSet" else each | self.modifiers()
        return self.value()

    def pulled(self) -> Any:
        comparison = self.random.choice(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"])
        value = self.several(self.value, 2) if "in" in comparison else self.value()
        condition = {comparison: value}
        return {self.random.choice(["x", "y"]): condition} if self.chance(0.5) else condition

    def modifiers(self) -> dict[str, Any]:
        sorts: list[Any] = [1, -1, {"x": 1}, {"x.y": -1, "y": 1}]
        modifiers = {
            "$position": self.random.randrange(-3, 4),
            "$slice": self.random.randrange(-4, 5),
            "$sort": self.random.choice(sorts),
        }
        return {name: value for name, value in modifiers.items() if self.chance(0.5)}


def encoded(parameters: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters)


@dataclass
class Pair:
    """The same API on a replica set and in memory."""

    real: Api
    memory: Api

    def __call__(self, method: str, url: str, body: Any = ...) -> Result:
        """Send a request to both and hold their answers against each other."""
        expected = self.real(method, url, body)
        answer = self.memory(method, url, body)
        request = f"{method} {unquote(url)} {'' if body is ... else json.dumps(body)}"
        assert expected.status_code < 500, f"{request}: {expected.text}"
        assert (answer.status_code, answer.content) == (
            expected.status_code,
            expected.content,
        ), request
        return answer

    def fill(self, documents: list[dict[str, Any]]) -> None:
        for api in (self.real, self.memory):
            api.rockets.delete_many({})
        assert self("POST", "/api/rockets", documents).status_code == 201
        assert len(self("GET", "/api/rockets").json) == len(documents)


@pytest.fixture
def pair(make_api: MakeApi, mongo_uri: str) -> Pair:
    return Pair(make_api(mongo_uri, regex=True), make_api("mongomock://", regex=True))


@pytest.mark.parametrize("seed", range(2))
def test_queries(pair: Pair, seed: int) -> None:
    dice = Dice(seed)
    pair.fill([dice.document(number) for number in range(60)])
    refused = sum(
        pair("GET", f"/api/rockets?{dice.query()}").status_code != 200 for _ in range(500)
    )
    assert refused < 500, "most queries are to be such as have an answer"


def test_queries_of_documents_with_ids_of_all_types(pair: Pair) -> None:
    dice = Dice(3)
    identities: list[Any] = [
        *(1, 2.5, True, False, None, "a", "", {"x": 1}, {"x": 1.5}, {}, {"$oid": OIDS[0]}),
        *({"$numberDecimal": "1.5"}, {"$numberDecimal": "NaN"}, {"$numberLong": "4294967296"}),
        *({"$date": "2021-11-01T00:00:00Z"}, {"$binary": {"base64": "AAE=", "subType": "80"}}),
        *({"$minKey": 1}, {"$maxKey": 1}, {"$timestamp": {"t": 1, "i": 2}}, {"$code": "x"}),
        *({"x": [1]}, {"$date": {"$numberLong": "-62135596800001"}}),
    ]
    pair.fill([dice.document(identity) for identity in identities])
    for _ in range(300):
        pair("GET", f"/api/rockets?{dice.query()}")
    equal = [1.0, {"$numberDecimal": "1"}, {"$numberDecimal": "2.50"}, {"$numberDouble": "NaN"}]
    for identity in [*identities, *equal]:
        assert_problem(pair("POST", "/api/rockets", {"_id": identity}), 409, "document.duplicate")
    for identity in ([1], {"$regularExpression": {"pattern": "a", "options": ""}}):
        assert_problem(pair("POST", "/api/rockets", {"_id": identity}), 422, "write.refused")


@pytest.mark.parametrize("seed", range(2))
def test_updates_of_one_document(pair: Pair, seed: int) -> None:
    dice = Dice(seed)
    done = 0
    for turn in range(250):
        if turn % 30 == 0:
            pair.fill([dice.document(number) for number in range(20)])
        url = f"/api/rockets/[int].{dice.random.randrange(21)}"
        if dice.chance(0.1):
            path = dice.random.choice(PATHS)
            result = pair("PATCH", url, {path: dice.value(), "c": dice.value()})
        else:
            result = pair("PATCH", url, dice.update())
        pair("GET", url)
        done += result.status_code == 204
    assert done > 75


def test_updates_of_many_documents(pair: Pair) -> None:
    dice = Dice(5)
    done = 0
    for turn in range(120):
        if turn % 10 == 0:
            pair.fill([dice.document(number) for number in range(20)])
        result = pair("PATCH", f"/api/rockets?{encoded(dice.filters())}", dice.update())
        pair("GET", "/api/rockets")
        done += result.status_code == 200 and result.json["modified_items"] > 0
    assert done > 10


def test_replacing_and_deleting(pair: Pair) -> None:
    dice = Dice(6)
    pair.fill([dice.document(number) for number in range(20)])
    for _ in range(150):
        url = f"/api/rockets/[int].{dice.random.randrange(30)}"
        pair("PUT", url, {name: dice.value() for name in "cab"})
        pair("GET", url)
        pair("DELETE", f"/api/rockets/[int].{dice.random.randrange(30)}")
        pair("GET", "/api/rockets?_sort=(_id:ascending)")
    for _ in range(100):
        pair("DELETE", f"/api/rockets?{encoded(dice.filters())}")
        pair("POST", "/api/rockets", dice.document(dice.random.randrange(40)))
        pair("GET", "/api/rockets?_sort=(_id:ascending)")


@pytest.mark.parametrize("path", ["[null].", "[bool].true", "[decimal].1.5", "[float].1.5", "x"])
def test_replacing_what_is_not_there(pair: Pair, path: str) -> None:
    assert pair("PUT", f"/api/rockets/{path}", {"a": 1}).status_code == 201
    assert pair("PUT", f"/api/rockets/{path}", {"a": 2}).status_code == 204
    assert pair("GET", "/api/rockets").json[0]["a"] == 2


@pytest.mark.parametrize(
    "index",
    [
        {"keys": [("a", 1)], "unique": True},
        {"keys": [("a", 1), ("b", 1)], "unique": True},
        {"keys": [("a.x", 1)], "unique": True, "sparse": True},
        {
            "keys": [("b", 1)],
            "unique": True,
            "partialFilterExpression": {"b": {"$type": "number"}},
        },
    ],
    ids=str,
)
def test_unique_fields(pair: Pair, index: dict[str, Any]) -> None:
    dice = Dice(7)
    for api in (pair.real, pair.memory):
        options = {name: value for name, value in index.items() if name != "keys"}
        api.rockets.create_index(index["keys"], **options)
    refused = 0
    for number in range(80):
        values = [0, 1, 2, 1.0, None, "a", {"x": 1}, {"x": 2}, [], [1, 5], [{"x": 2}, {"x": 3}]]
        document = {name: dice.random.choice(values) for name in "ab" if dice.chance(0.8)}
        if isinstance(document.get("a"), list) and isinstance(document.get("b"), list):
            continue
        refused += pair("POST", "/api/rockets", {"_id": number, **document}).status_code == 409
        pair("PUT", f"/api/rockets/[int].{dice.random.randrange(90)}", document)
        pair("PATCH", "/api/rockets?_id=in[list-int].[1,2,3]", {"$set": {"a": 7 + number}})
    assert refused > 5
    pair("GET", "/api/rockets?_sort=(_id:ascending)")


def test_a_document_that_grows_beyond_16_mib(make_api: MakeApi, mongo_uri: str) -> None:
    limit = 64 * 1024 * 1024
    pair = Pair(
        make_api(mongo_uri, max_body_bytes=limit), make_api("mongomock://", max_body_bytes=limit)
    )
    half = "x" * (9 * 1024 * 1024)
    pair("POST", "/api/rockets", {"_id": 1, "a": [half]})
    too_large = pair("PATCH", "/api/rockets/[int].1", {"$push": {"a": half}})
    assert_problem(too_large, 413, "body.too_large")
    assert_problem(pair("POST", "/api/rockets", {"a": half + half}), 413, "body.too_large")


@pytest.mark.parametrize("index", ["0", "3", "01", "1500000", "1500001", "4294967296", "-1"])
def test_far_into_a_list(pair: Pair, index: str) -> None:
    pair.fill([{"_id": 1, "a": []}])
    pair("PATCH", "/api/rockets/[int].1", {f"a.{index}": 1})
    pair("GET", "/api/rockets?a=size[int].0&_projection=_id")


# --------------------------------------------------------------------------- what is different


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize(
    ("pattern", "status"),
    [("a(?i)", 400), ("\\Qa\\E", 400), ("[[:alpha:]]", 200), ("\\p{L}", 400), ("(?<n>a)", 400)],
)
def test_patterns_are_those_of_python(pair: Pair, pattern: str, status: int) -> None:
    pair.fill([{"_id": 1, "a": "a"}])
    url = f"/api/rockets?a=regex[str].{quote(pattern)}"
    real, memory = pair.real.get(url), pair.memory.get(url)
    assert (real.status_code, memory.status_code) == (200, status)
    assert memory.content != real.content


def test_an_array_of_documents_is_stored_up_to_the_first_that_is_refused(pair: Pair) -> None:
    for api, stored in ((pair.real, 0), (pair.memory, 1)):
        result = api("POST", "/api/rockets", [{"_id": 1}, {"_id": 1}])
        assert_problem(result, 409, "document.duplicate")
        assert len(api.get("/api/rockets").json) == stored


def test_an_empty_timestamp_is_not_filled_in(pair: Pair) -> None:
    empty = {"$timestamp": {"t": 0, "i": 0}}
    for api, kept in ((pair.real, False), (pair.memory, True)):
        api("POST", "/api/rockets", {"_id": 1, "t": empty})
        assert (api.get("/api/rockets/[int].1").json["t"] == empty) is kept
