"""Places in the order of a list, the filters that continue from them, and cursors."""

from __future__ import annotations

import math
import random
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, DBRef, ObjectId, Regex
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from falcorest.errors import QueryError
from falcorest.keyset import (
    MAX_CURSOR,
    Cursors,
    Unplaceable,
    at,
    belongs,
    beyond,
    place_of,
    require_places,
    whole_order,
)
from falcorest.memory.matching import matches, sort_documents
from falcorest.paging import Index, serves_whole_order
from falcorest.query import Place
from tests.watching import unknown_operators

CURSORS = Cursors("a secret", "rockets")
BY_A = whole_order([("a", 1)])


# ------------------------------------------------------------------------------------ the order


@pytest.mark.parametrize(
    ("sort", "whole"),
    [
        ([], [("_id", 1)]),
        ([("a", 1)], [("a", 1), ("_id", 1)]),
        ([("a", -1)], [("a", -1), ("_id", -1)]),
        ([("a", -1), ("b", 1)], [("a", -1), ("b", 1), ("_id", 1)]),
        ([("_id", -1)], [("_id", -1)]),
        ([("a", 1), ("_id", -1), ("b", 1)], [("a", 1), ("_id", -1)]),
    ],
)
def test_the_id_decides_what_a_sort_leaves_open(sort: Any, whole: Any) -> None:
    assert whole_order(sort) == tuple(whole)


def test_a_place_belongs_to_its_sort() -> None:
    place = place_of({"_id": 1, "a": 2}, BY_A)
    assert place.values == (2, 1)
    assert belongs(place, BY_A)
    for other in ([], [("a", -1)], [("b", 1)], [("a", 1), ("b", 1)], [("a", 1), ("_id", -1)]):
        assert not belongs(place, whole_order(other))
    assert not belongs(Place(place.order, (1,)), BY_A)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({}, None),
        ({"a": None}, None),
        ({"a": 5}, None),
        ({"a": {"b": 5}}, 5),
        ({"a": {"b": {"c": [1]}}}, {"c": [1]}),
        ({"a": DBRef("x", 7, b=3)}, 3),
        ({"a": {"b": DBRef("x", 7)}}, DBRef("x", 7)),
    ],
)
def test_a_place_is_told_by_what_is_in_the_fields(document: Any, value: Any) -> None:
    found = place_of({"_id": 1, **document}, whole_order([("a.b", 1)]))
    assert found.values == (value, 1)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"_id": 1, "a": []}, "a list"),
        ({"_id": 1, "a": [{"b": 1}]}, "a list"),
        ({"_id": 1, "a": {"b": [1]}}, "a list"),
        ({"_id": 1, "a": {"b": Regex("x")}}, "a regular expression"),
        ({"_id": 1, "a": {"b": {"$where": "1"}}}, "an object with operators"),
        ({"_id": 1, "a": {"b": {"c": [{"d": {"$gt": 1}}]}}}, "an object with operators"),
        ({"_id": 1, "a": {"b": DBRef("x", {"$gt": 1})}}, "an object with operators"),
        ({"a": {"b": 1}}, "nothing"),
    ],
)
def test_some_documents_have_no_place(document: Any, what: str) -> None:
    with pytest.raises(Unplaceable) as caught:
        place_of(document, whole_order([("a.b", 1)]))
    assert caught.value.what == what


def test_a_list_anywhere_on_a_page_is_found() -> None:
    pages = [{"_id": 1, "a": 1}, {"_id": 2, "a": {"b": [1]}}, {"_id": 3}]
    require_places(pages, BY_A)
    with pytest.raises(Unplaceable):
        require_places(pages, whole_order([("a.b", 1)]))


def test_types_of_somebodys_own_become_those_of_bson() -> None:
    codec: Any = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
    place = place_of({"_id": UUID(int=5)}, whole_order([]), codec)
    assert place.values == (Binary(UUID(int=5).bytes, 4),)


# ------------------------------------------------------------------------------ before and after


def test_the_filters_for_what_comes_after_a_place() -> None:
    identity = ObjectId()
    after, later, equal, equal_later = beyond(place_of({"_id": identity, "a": 5}, BY_A), BY_A, 1)
    assert after == {"a": {"$gt": 5}}
    assert later["a"]["$type"][0] == "string"
    assert later["a"]["$type"][-1] == "maxKey"
    assert equal == {"a": {"$eq": 5}, "_id": {"$gt": identity}}
    assert equal_later["a"] == {"$eq": 5}
    assert equal_later["_id"]["$type"][0] == "bool"


def test_the_filters_for_what_comes_before_a_place() -> None:
    less, single, least, *_ = beyond(place_of({"_id": 1, "a": 5}, BY_A), BY_A, -1)
    assert less == {"a": {"$lt": 5}}
    assert single["a"]["$in"][:2] == [None, []]
    assert math.isnan(single["a"]["$in"][2])
    assert least == {"a": {"$type": ["minKey"]}}


_SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=2)
    | st.binary(max_size=2) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 2))
)  # fmt: skip


@given(
    st.lists(st.fixed_dictionaries({}, optional={"a": _SCALARS, "b": _SCALARS}), min_size=1),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([1, -1])), max_size=2,
             unique_by=lambda one: one[0]),
    st.data(),
)  # fmt: skip
def test_a_place_splits_a_list(documents: Any, asked: Any, data: st.DataObject) -> None:
    documents = [{"_id": number, **one} for number, one in enumerate(documents)]
    random.Random(0).shuffle(documents)
    sort = whole_order(asked)
    whole = [one["_id"] for one in sort_documents(documents, sort)]
    chosen = data.draw(st.sampled_from(documents))
    place = CURSORS.read(CURSORS.write(place_of(chosen, sort)) or "", "_after")
    index = whole.index(chosen["_id"])
    for filters, expected in (
        (beyond(place, sort, 1), whole[index + 1 :]),
        (beyond(place, sort, -1), whole[:index]),
        ([at(place, sort)], [chosen["_id"]]),
    ):
        found = [one["_id"] for one in documents if any(matches(one, filter) for filter in filters)]
        assert sorted(found) == sorted(expected)
        assert all(not unknown_operators({"filter": filter}) for filter in filters)


# ------------------------------------------------------------------------------------- cursors


def assert_refused(text: str, cursors: Cursors = CURSORS) -> None:
    with pytest.raises(QueryError) as caught:
        cursors.read(text, "_before")
    assert (caught.value.code, caught.value.parameter) == ("query.invalid_cursor", "_before")


def signed(data: bytes) -> str:
    """Return what somebody who knows the secret can write."""
    return urlsafe_b64encode(CURSORS._sign(data) + data).rstrip(b"=").decode()


def test_a_cursor_is_text_that_needs_no_escape() -> None:
    text = CURSORS.write(place_of({"_id": ObjectId(), "a": "ä"}, BY_A))
    assert text is not None
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    assert len(text) < 120
    assert CURSORS.read(text, "_after").values[0] == "ä"


def test_what_is_too_long_for_a_cursor_gets_none() -> None:
    assert CURSORS.write(place_of({"_id": "x" * 1300}, whole_order([]))) is not None
    assert CURSORS.write(place_of({"_id": "x" * MAX_CURSOR}, whole_order([]))) is None


def test_a_cursor_is_good_for_one_resource_and_one_secret() -> None:
    text = CURSORS.write(place_of({"_id": 1}, whole_order([])))
    assert text is not None
    assert Cursors("a secret", "rockets").read(text, "_after").values == (1,)
    for other in (Cursors("a secret", "pads"), Cursors("another", "rockets"), Cursors("", "")):
        assert_refused(text, other)


def test_a_cursor_that_is_not_as_it_was_given_out_is_refused() -> None:
    text = CURSORS.write(place_of({"_id": "some id"}, whole_order([])))
    assert text is not None
    for position in range(len(text)):
        assert_refused(text[:position])
        for character in "AB_-=+/ .\n":
            if character != text[position]:
                assert_refused(text[:position] + character + text[position + 1 :])
    for end in ("=", "==", " ", "\n", "A", "AAAA", "%"):
        assert_refused(text + end)


@given(st.text() | st.text("ABCDEFGHab0129-_", max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    assert_refused(text)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    assert_refused(urlsafe_b64encode(data).rstrip(b"=").decode())
    # NOTE: not even by somebody who knows the secret.
    assert_refused(signed(data))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"v": [1]},
        {"o": b"x"},
        {"o": "x", "v": [1]},
        {"o": b"x", "v": {"0": 1}},
        {"o": b"x", "v": 5},
        {"o": b"x", "v": [[1]]},
        {"o": b"x", "v": [Regex("x")]},
        {"o": b"x", "v": [{"$where": "1"}]},
        {"o": b"x", "v": [{"a": [{"$gt": 1}]}]},
        {"o": b"x", "v": [{"$ref": "c", "$where": "1"}]},
        {"o": b"x", "v": [{"$ref": "c", "$id": {"$ne": 1}}]},
    ],
)
def test_whoever_knows_the_secret_can_write_values_only(content: dict[str, Any]) -> None:
    assert_refused(signed(bson.encode(content)))


def test_a_cursor_is_not_read_beyond_its_length() -> None:
    data = bson.encode({"o": b"x", "v": ["x" * MAX_CURSOR]})
    assert_refused(signed(data))
    assert_refused("A" * 1_000_000)


# --------------------------------------------------------------- what a whole order costs


def index(*fields: str, **options: Any) -> Index:
    key = {name.lstrip("-"): -1 if name[0] == "-" else 1 for name in fields}
    found = Index.of({"key": key, "name": "_".join(fields), **options})
    assert found is not None
    return found


ID = index("_id")


@pytest.mark.parametrize(
    ("condition", "sort", "indexes", "free"),
    [
        ({}, "", [ID], True),
        ({}, "", [], False),
        ({}, "a", [ID], True),
        ({}, "a", [ID, index("a")], False),
        ({}, "-a", [ID, index("a")], False),
        ({}, "a", [ID, index("b")], True),
        ({}, "a", [ID, index("a", "_id")], True),
        ({}, "-a", [ID, index("a", "_id")], True),
        ({}, "a", [ID, index("a", "-_id")], False),
        ({}, "a", [ID, index("a"), index("a", "_id")], True),
        ({}, "a", [ID, index("a", "b", "_id")], False),
        ({}, "a,b", [ID, index("a", "b")], False),
        ({}, "a,b", [ID, index("a")], True),
        ({}, "a,b", [ID, index("a", "b", "_id")], True),
        ({}, "a,-b", [ID, index("a", "b", "_id")], True),
        ({"c": 1}, "a", [ID, index("c", "a")], False),
        ({"c": 1}, "a", [ID, index("c", "a", "_id")], True),
        ({"c": {"$eq": 1}}, "a", [ID, index("c", "a", "_id")], True),
        ({"c": {"$in": [1, 2]}}, "a", [ID, index("c", "a")], False),
        ({"c": {"$gt": 1}}, "a", [ID, index("c", "a")], True),
        ({"c": 1}, "a", [ID, index("c")], True),
        ({"c": 1}, "a", [ID, index("c", "a"), index("a", "_id")], False),
        ({"c": 1, "d": 2}, "a", [ID, index("d", "c", "a", "_id"), index("c", "a")], True),
        ({"c": 1}, "", [ID], True),
        ({"c": 1}, "", [ID, index("c")], False),
        ({"c": {"$gt": 1}}, "", [ID, index("c")], False),
        ({"c": {"$gt": 1}}, "", [ID, index("c", "_id")], False),
        ({"c": 1}, "", [ID, index("c", "_id")], True),
        ({"c": 1}, "", [ID, index("c"), index("c", "_id")], True),
        ({"$or": [{"c": 1}, {"d": 1}]}, "", [ID, index("d")], False),
        ({"$and": [{"c": 1}, {"c": {"$ne": 2}}]}, "", [ID, index("c", "_id")], True),
        ({"a": 1}, "a", [ID, index("a")], False),
        ({"a": 1}, "a", [ID, index("a", "_id")], True),
        ({"_id": {"$gt": 1}}, "", [ID], True),
        ({}, "a", [ID, index("a", "_id", sparse=True), index("a")], False),
        ({}, "a", [ID, index("a", "_id", partialFilterExpression={"x": 1}), index("a")], False),
        ({}, "a", [ID, index("a", "_id", collation={"locale": "de"}), index("a")], False),
        ({}, "a", [ID, index("a", sparse=True)], False),
        ({"c": 1}, "", [ID, Index("", (("c", "hashed"),), False)], False),
    ],
)  # fmt: skip
def test_a_whole_order_is_free_where_no_index_would_be_lost(
    condition: Any, sort: str, indexes: list[Index], free: bool
) -> None:
    asked = tuple(
        (name.lstrip("-"), -1 if name[0] == "-" else 1) for name in sort.split(",") if name
    )
    assert serves_whole_order(condition, asked, indexes) is free


def test_an_index_that_is_hidden_counts_for_nothing() -> None:
    assert Index.of({"key": {"a": 1}, "hidden": True}) is None
