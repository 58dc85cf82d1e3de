"""Collections in memory."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import mongomock
import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError, WriteError

from falcorest.memory import MemoryCollection, open_collection


@pytest.fixture
def database() -> Any:
    return mongomock.MongoClient()["test"]


@pytest.fixture
def numbers(database: Any) -> MemoryCollection:
    collection = MemoryCollection(database["numbers"])
    collection.insert_many([{"_id": n, "n": n} for n in range(6)])
    return collection


def ids(found: Any) -> list[Any]:
    return [document["_id"] for document in found]


def test_what_others_put_into_mongomock_is_seen_and_the_other_way_round(database: Any) -> None:
    database["c"].insert_one({"_id": "raw", "n": 1})
    collection = open_collection(database, "c")
    collection.insert_one({"_id": "own", "n": 2})
    assert ids(collection.find({})) == ids(database["c"].find()) == ["raw", "own"]
    assert collection.delete_one({"_id": "raw"}).deleted_count == 1
    assert database["c"].delete_one({"_id": "own"}).deleted_count == 1


def test_find(numbers: MemoryCollection) -> None:
    assert ids(numbers.find({"n": {"$gt": 2}}, sort=[("n", -1)])) == [5, 4, 3]
    assert ids(numbers.find({}, skip=2, limit=3)) == [2, 3, 4]
    assert ids(numbers.find({}, skip=2**63, limit=2**63)) == []
    assert numbers.find_one({"n": 4}, ["_id"]) == {"_id": 4}
    assert numbers.find_one({"_id": "x"}) is None
    assert numbers.count_documents({"n": {"$lt": 3}}) == 3
    assert numbers.count_documents({}, limit=2) == 2


def test_a_cursor_knows_whether_there_is_more(numbers: MemoryCollection) -> None:
    cursor = numbers.find({})
    assert [cursor.alive, len(list(cursor)), cursor.alive] == [True, 6, False]
    cursor = numbers.find({})
    cursor.close()
    assert list(cursor) == []


def test_documents_are_copies(numbers: MemoryCollection) -> None:
    document: dict[str, Any] = {"_id": "x", "list": [{}]}
    numbers.insert_one(document)
    document["list"][0]["more"] = 1
    found = numbers.find_one({"_id": "x"})
    assert found == {"_id": "x", "list": [{}]}
    found["list"].append(1)
    assert numbers.find_one({"_id": "x"}) == {"_id": "x", "list": [{}]}


def test_documents_are_as_bson_gives_them_back(numbers: MemoryCollection) -> None:
    numbers.insert_one({"_id": 2**40, "at": datetime(2021, 1, 1, 0, 0, 0, 1234), "t": (1, 2)})
    found = numbers.find_one({"_id": 2**40}) or {}
    assert isinstance(found["_id"], Int64)
    assert found["at"] == datetime(2021, 1, 1, 0, 0, 0, 1000)
    assert found["t"] == [1, 2]


@pytest.mark.parametrize(
    "identity", [1, 1.0, Decimal128("1"), True, None, {"a": 1}, float("nan"), b"x", "x", ObjectId()]
)
def test_an_id_is_there_once(database: Any, identity: Any) -> None:
    collection = open_collection(database, "c")
    others = [0, False, "", {"a": 2}, Decimal128("1.5")]
    collection.insert_many([{"_id": other} for other in others])
    collection.insert_one({"_id": identity})
    with pytest.raises(DuplicateKeyError) as caught:
        collection.insert_one({"_id": identity})
    assert (caught.value.details or {})["keyPattern"] == {"_id": 1}
    assert collection.delete_many({"_id": {"$eq": identity}}).deleted_count == 1
    assert len(ids(collection.find({}))) == len(others)


def test_true_is_not_one_and_decimals_are_numbers(database: Any) -> None:
    collection = open_collection(database, "c")
    collection.insert_many([{"_id": True}, {"_id": 1}, {"_id": Decimal128("NaN")}])
    for equal in (1.0, Decimal128("1.0"), float("nan")):
        with pytest.raises(DuplicateKeyError):
            collection.insert_one({"_id": equal})


def test_what_cannot_be_kept(numbers: MemoryCollection) -> None:
    with pytest.raises(WriteError):
        numbers.insert_one({"_id": [1]})
    with pytest.raises(OverflowError):
        numbers.insert_one({"_id": "x", "n": 2**64})
    with pytest.raises(DocumentTooLarge):
        numbers.insert_one({"_id": "x", "n": "x" * 2**24})
    numbers.insert_one({"_id": "x", "n": ["x" * 2**23]})
    with pytest.raises(WriteError) as caught:
        numbers.update_one({"_id": "x"}, {"$push": {"n": "x" * 2**23}})
    assert caught.value.code == 17419


def test_several_are_kept_up_to_the_first_that_is_refused(database: Any) -> None:
    collection = open_collection(database, "c")
    with pytest.raises(BulkWriteError) as caught:
        collection.insert_many([{"_id": "a"}, {"_id": "b"}, {"_id": "a"}, {"_id": "c"}])
    error = caught.value.details["writeErrors"][0]
    assert (error["index"], error["code"], error["keyPattern"]) == (2, 11000, {"_id": 1})
    assert ids(collection.find({})) == ["a", "b"]


def test_a_bulk_update_changes_all_or_nothing(numbers: MemoryCollection, database: Any) -> None:
    numbers.update_one({"_id": 3}, {"$set": {"n": "text"}})
    before = list(numbers.find({}))
    with pytest.raises(WriteError):
        numbers.update_many({}, {"$inc": {"n": 1}})
    assert list(numbers.find({})) == before
    database["numbers"].create_index("n", unique=True)
    with pytest.raises(DuplicateKeyError):
        numbers.update_many({}, {"$set": {"n": 7}})
    assert list(numbers.find({})) == before


def test_matched_and_modified(numbers: MemoryCollection) -> None:
    result = numbers.update_many({"_id": {"$lt": 3}}, {"$min": {"n": 1}})
    assert (result.matched_count, result.modified_count) == (3, 1)


def test_replacing(numbers: MemoryCollection) -> None:
    assert numbers.replace_one({"_id": 1}, {"_id": 1, "x": 1}).matched_count == 1
    assert numbers.replace_one({"_id": 9}, {"_id": 9}).matched_count == 0
    assert numbers.find_one({"_id": 9}) is None
    assert numbers.replace_one({"_id": 9}, {"_id": 9}, upsert=True).matched_count == 0
    assert ids(numbers.find({})) == [0, 1, 2, 3, 4, 5, 9]


def test_updates_in_several_threads(database: Any) -> None:
    database["c"].insert_one({"_id": "x", "n": 0})

    def work() -> None:
        collection = open_collection(database, "c")
        for _ in range(50):
            collection.update_one({"_id": "x"}, {"$inc": {"n": 1}})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database["c"].find_one()["n"] == 400
