"""Patches: JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902) on plain JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falcorest.errors import BodyError, Conflict
from falcorest.limits import Limits
from falcorest.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    changes,
    is_equal,
    is_object,
    is_same,
    merge,
    read_patch,
)

LIMITS = Limits()
OID = {"$oid": "6195b0eb829a2784b4459a7f"}


def merged(document: dict[str, Any], patch: dict[str, Any]) -> Any:
    return read_patch(MERGE_PATCH, patch, LIMITS).apply(document)


def patched(document: dict[str, Any], *operations: Any) -> Any:
    return read_patch(JSON_PATCH, list(operations), LIMITS).apply(document)


def op(name: str, path: str, *value: Any, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **({"value": value[0]} if value else {}), **more}


# --------------------------------------------------------------------------- JSON Merge Patch

#: RFC 7396, appendix A, all of it.
APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), APPENDIX_A)
def test_the_examples_of_rfc_7396(original: Any, patch: Any, result: Any) -> None:
    assert merge(original, patch) == result
    if type(original) is dict and type(patch) is dict:
        assert merged(original, patch) == result


def test_the_example_in_section_3_of_rfc_7396() -> None:
    document = {
        "title": "Goodbye!",
        "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"],
        "content": "This will be unchanged",
    }
    patch = {
        "title": "Hello!",
        "phoneNumber": "+01-123-456-7890",
        "author": {"familyName": None},
        "tags": ["example"],
    }
    assert merged(document, patch) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["example"],
        "content": "This will be unchanged",
        "phoneNumber": "+01-123-456-7890",
    }


def test_nulls_in_a_list_are_kept_and_values_of_extended_json_are_replaced() -> None:
    assert merged({}, {"a": [None, {"b": None}]}) == {"a": [None, {"b": None}]}
    assert merged({"a": OID}, {"a": {"$date": "x"}}) == {"a": {"$date": "x"}}
    assert merged({"a": OID}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    assert merged({"a": {"b": 1}}, {"a": OID}) == {"a": OID}
    assert merged({"$x": 1, "a": 1}, {"a": 2}) == {"$x": 1, "a": 2}


@pytest.mark.parametrize(
    ("patch", "flat"),
    [
        ({}, True),
        ({"a": 1, "b": None, "c": [{"d": 1}], "e": OID}, True),
        ({"a": {}}, False),
        ({"a": {"b": 1}}, False),
        ({"_id": 1}, False),
    ],
)
def test_what_depends_on_no_document(patch: Any, flat: bool) -> None:
    assert read_patch(MERGE_PATCH, patch, LIMITS).is_flat is flat  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [None, [], "a", 1, True, [{"op": "remove", "path": "/a"}]])
def test_a_merge_patch_of_a_document_is_an_object(body: Any) -> None:
    with pytest.raises(BodyError) as caught:
        read_patch(MERGE_PATCH, body, LIMITS)
    assert caught.value.code == "body.wrong_type"


# --------------------------------------------------------------------------------- JSON Patch

#: RFC 6902, appendix A, those that succeed.
SUCCEEDS: list[tuple[str, Any, list[Any], Any]] = [
    ("A.1", {"foo": "bar"}, [op("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
    (
        "A.2",
        {"foo": ["bar", "baz"]},
        [op("add", "/foo/1", "qux")],
        {"foo": ["bar", "qux", "baz"]},
    ),
    ("A.3", {"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"}),
    ("A.4", {"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
    (
        "A.5",
        {"baz": "qux", "foo": "bar"},
        [op("replace", "/baz", "boo")],
        {"baz": "boo", "foo": "bar"},
    ),
    (
        "A.6",
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [op("move", "/qux/thud", **{"from": "/foo/waldo"})],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        "A.7",
        {"foo": ["all", "grass", "cows", "eat"]},
        [op("move", "/foo/3", **{"from": "/foo/1"})],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    (
        "A.8",
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [op("test", "/baz", "qux"), op("test", "/foo/1", 2)],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    (
        "A.10",
        {"foo": "bar"},
        [op("add", "/child", {"grandchild": {}})],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    ("A.11", {"foo": "bar"}, [op("add", "/baz", "qux", xyz=123)], {"foo": "bar", "baz": "qux"}),
    ("A.14", {"/": 9, "~1": 10}, [op("test", "/~01", 10)], {"/": 9, "~1": 10}),
    (
        "A.16",
        {"foo": ["bar"]},
        [op("add", "/foo/-", ["abc", "def"])],
        {"foo": ["bar", ["abc", "def"]]},
    ),
    # RFC 6901, section 5, and what section 4 of RFC 6902 says in words.
    ("slash", {"a/b": 1, "m~n": 2}, [op("remove", "/a~1b"), op("remove", "/m~0n")], {}),
    ("empty key", {"": 1}, [op("replace", "/", 2)], {"": 2}),
    ("odd keys", {"c%d": 1, " ": 2, 'k"l': 3}, [op("test", "/ ", 2), op("test", '/k"l', 3)], ...),
    ("add replaces", {"a": 1}, [op("add", "/a", 2)], {"a": 2}),
    ("add at the end", {"a": [1]}, [op("add", "/a/1", 2)], {"a": [1, 2]}),
    ("add to an empty list", {"a": []}, [op("add", "/a/0", 1)], {"a": [1]}),
    ("null is a value", {"a": 1}, [op("replace", "/a", None)], {"a": None}),
    ("root", {"a": 1}, [op("replace", "", {"b": 2})], {"b": 2}),
    ("root, added", {"a": 1}, [op("add", "", {"b": 2}), op("add", "/c", 3)], {"b": 2, "c": 3}),
    ("root, tested", {"a": 1, "b": [2]}, [op("test", "", {"b": [2], "a": 1})], ...),
    ("root, copied", {"a": 1}, [op("copy", "/b", **{"from": ""})], {"a": 1, "b": {"a": 1}}),
    ("root, from a part", {"a": {"b": 1}}, [op("move", "", **{"from": "/a"})], {"b": 1}),
    ("root, gone and back", {"a": 1}, [op("remove", ""), op("add", "", {"c": 1})], {"c": 1}),
    ("moved to itself", {"a": [1, 2]}, [op("move", "/a/0", **{"from": "/a/0"})], ...),
    ("moved to a sibling", {"a": 1}, [op("move", "/ab", **{"from": "/a"})], {"ab": 1}),
    (
        "a copy is its own",
        {"a": {"x": 1}},
        [op("copy", "/b", **{"from": "/a"}), op("replace", "/b/x", 2)],
        {"a": {"x": 1}, "b": {"x": 2}},
    ),
    ("Extended JSON is a value", {"a": OID}, [op("test", "/a", OID), op("remove", "/a")], {}),
    ("nothing", {"a": 1}, [], {"a": 1}),
    ("a dollar sign", {"$x": 1, "a": 1}, [op("add", "/b", 2)], {"$x": 1, "a": 1, "b": 2}),
]


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [one[1:] for one in SUCCEEDS],
    ids=[s[0] for s in SUCCEEDS],
)
def test_what_a_json_patch_does(document: Any, operations: list[Any], result: Any) -> None:
    before, patch = deepcopy(document), read_patch(JSON_PATCH, operations, LIMITS)
    expected = document if result is ... else result
    found = patch.apply(document)
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert document == before
    # NOTE: it is done again where another write came in between.
    assert patch.apply(document) == expected


def test_what_it_writes_is_not_changed_by_what_follows() -> None:
    operations = [op("add", "/a", {"x": 1, "y": [1]}), op("remove", "/a/x"), op("add", "/a/y/-", 2)]
    patch = read_patch(JSON_PATCH, operations, LIMITS)
    for _ in range(2):
        assert patch.apply({}) == {"a": {"y": [1, 2]}}
    merge = read_patch(MERGE_PATCH, {"a": {"y": [1]}, "b": [1]}, LIMITS)
    for _ in range(2):
        found = merge.apply({"a": {}})
        assert found == {"a": {"y": [1]}, "b": [1]}
        found["a"]["y"].append(2)
        found["b"].clear()


DOCUMENT = {"a": {"b": [1, 2]}, "n": 5, "s": "text", "z": None, "id": OID, "t": True}


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (op("remove", "/x"), "there is no /x"),
        (op("replace", "/x", 1), "there is no /x"),
        (op("test", "/x", None), "there is no /x"),
        (op("add", "/x/y", 1), "there is no /x/y"),
        (op("move", "/c", **{"from": "/x"}), "there is no /x"),
        (op("copy", "/c", **{"from": "/x"}), "there is no /x"),
        (op("copy", "/x/y", **{"from": "/n"}), "there is no /x/y"),
        (op("add", "/a/b/3", 1), "there can't be a /a/b/3"),
        (op("add", "/a/b/999999999999999", 1), "there can't be a"),
        (op("remove", "/a/b/2"), "there is no"),
        (op("remove", "/a/b/-"), "there is no"),
        (op("test", "/a/b/-", 2), "there is no"),
        (op("copy", "/c", **{"from": "/a/b/-"}), "there is no"),
        (op("remove", "/a/b/00"), "there can't be"),
        (op("remove", "/a/b/01"), "there can't be"),
        (op("add", "/a/b/-1", 1), "there can't be"),
        (op("add", "/a/b/+1", 1), "there can't be"),
        (op("add", "/a/b/1.0", 1), "there can't be"),
        (op("add", "/a/b/1e0", 1), "there can't be"),
        (op("add", "/a/b/\u0661", 1), "there can't be"),
        (op("add", "/a/b/x", 1), "there can't be"),
        (op("add", "/a/b/", 1), "there can't be"),
        (op("add", "/a/b/-/c", 1), "there is no"),
        (op("add", "/n/x", 1), "there can't be"),
        (op("add", "/n/x/y", 1), "there is no"),
        (op("add", "/s/0", 1), "there can't be"),
        (op("remove", "/s/tex"), "there can't be"),
        (op("test", "/s/t/e", 1), "there is no"),
        (op("add", "/z/x", 1), "there can't be"),
        (op("add", "/t/x/y", 1), "there is no"),
        (op("replace", "/id/$oid", "x"), "there can't be a /id/$oid"),
        (op("add", "/id/x", "x"), "there can't be"),
        (op("test", "/id/$oid/x", "x"), "there is no"),
        (op("test", "/n", 6), "/n has another value"),
        (op("test", "/n", "5"), "has another value"),
        (op("test", "/t", 1), "has another value"),
        (op("test", "/z", False), "has another value"),
        (op("test", "/a/b", [2, 1]), "has another value"),
        (op("test", "", {}), "document has another value"),
        (op("test", "/a~1b", 1), "there is no /a~1b"),
    ],
)
def test_a_json_patch_that_does_not_fit(operation: Any, says: str) -> None:
    with pytest.raises(Conflict) as caught:
        patched(DOCUMENT, op("test", "/n", 5), operation)
    assert caught.value.code == "patch.conflict"
    assert says in caught.value.detail
    assert set(caught.value.field_errors or ()) == {"1"}


@pytest.mark.parametrize(
    "operation",
    [
        *(None, 1, "remove", [], {}, {"op": "remove"}, {"path": "/a"}),
        *({"op": "spam", "path": "/a"}, {"op": "Add", "path": "/a", "value": 1}),
        *({"op": ["add"], "path": "/a", "value": 1}, {"op": None, "path": "/a"}),
        *(op("add", "/a"), op("replace", "/a"), op("test", "/a")),
        *(op("move", "/a"), op("copy", "/a"), op("copy", "/a", **{"from": None})),
        *(op("add", "a", 1), op("remove", "a/b"), op("remove", "/a~"), op("remove", "/a~2")),
        *(op("remove", "/~~01"), {"op": "remove", "path": 1}, {"op": "remove", "path": ["a"]}),
        *(op("copy", "/a", **{"from": "b"}), op("move", "/a/b", **{"from": "/a"})),
        *(op("move", "/a", **{"from": ""}), op("move", "/a/b/c", **{"from": "/a/b"})),
        op("_put", "/a", 1),
    ],
)
def test_what_is_no_operation(operation: Any) -> None:
    with pytest.raises(BodyError) as caught:
        read_patch(JSON_PATCH, [op("test", "/n", 5), operation], LIMITS)
    assert caught.value.code == "body.invalid_patch"
    assert "index 1" in caught.value.detail


@pytest.mark.parametrize("body", [None, {}, "a", 1, {"op": "remove", "path": "/a"}])
def test_a_json_patch_is_a_list(body: Any) -> None:
    with pytest.raises(BodyError) as caught:
        read_patch(JSON_PATCH, body, LIMITS)
    assert caught.value.code == "body.wrong_type"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0.0, -0.0, True),
        (10**20, 1e20, True),
        (2**53 + 1, float(2**53), False),
        ("1", 1, False),
        ("é", "e\u0301", False),
        (None, None, True),
        (None, 0, False),
        ([], {}, False),
        ([1, [2.0]], [1.0, [2]], True),
        ([1, True], [1, 1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": None}, {}, False),
    ],
)
def test_what_is_equal(one: Any, other: Any, equal: bool) -> None:
    assert is_equal(one, other) is equal
    assert is_equal(other, one) is equal


# -------------------------------------------------------------------------------------- limits


def refusal(document: dict[str, Any], operations: list[Any]) -> str:
    with pytest.raises(BodyError) as caught:
        patched(document, *operations)
    return caught.value.code


def test_a_patch_names_a_thousand_fields_at_the_most() -> None:
    most = LIMITS.max_update_fields
    assert most == 1000
    assert patched({"a": 0}, *[op("test", "/a", 0)] * most) == {"a": 0}
    assert len(merged({}, {f"f{number}": 1 for number in range(most)})) == most
    for media_type, body in (
        (JSON_PATCH, [op("test", "/a", 0)] * (most + 1)),
        (MERGE_PATCH, {f"f{number}": 1 for number in range(most + 1)}),
        (MERGE_PATCH, {"a": {"b": {f"f{number}": 1 for number in range(most - 1)}}}),
    ):
        with pytest.raises(BodyError) as caught:
            read_patch(media_type, body, LIMITS)
        assert caught.value.code == "body.too_complex"


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_document_does_not_become_deeper_than_one_may_be() -> None:
    # NOTE: the document is a level of its own.
    assert patched({}, op("add", "/a", nested(99)))
    assert patched({}, op("add", "/a", nested(98)), op("add", "/a/0/-", 1))
    assert refusal({}, [op("add", "/a", nested(100))]) == "body.too_deep"
    assert refusal({"a": nested(99)}, [op("copy", "/b", **{"from": ""})]) == "body.too_deep"
    assert refusal({"a": nested(99), "b": {}}, [op("move", "/b/c", **{"from": "/a"})])
    doubling = [op("copy", "/a/a", **{"from": "/a"}) for _ in range(100)]
    assert refusal({"a": {}}, doubling) in {"body.too_deep", "body.too_complex"}


def test_copies_of_copies_are_bounded() -> None:
    doubling = [op("copy", "/a/-", **{"from": "/a"}) for _ in range(30)]
    assert refusal({"a": [1]}, doubling) == "body.too_complex"
    wide = [op("copy", f"/b{number}", **{"from": "/a"}) for number in range(1000)]
    assert refusal({"a": [0] * 1000}, wide) == "body.too_complex"
    assert refusal({"a": "x" * 100_000}, wide) == "body.too_complex"
    assert refusal({"a": {"x" * 100_000: 0}}, wide) == "body.too_complex"
    assert len(patched({"a": [0] * 90}, *wide)) == 1001


# ----------------------------------------------------------------------------- what it changes


@pytest.mark.parametrize(
    ("before", "after", "found", "gone"),
    [
        ({"a": 1}, {"a": 1}, {}, []),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}, []),
        ({"a": 1, "b": 2}, {"b": 2}, {}, ["a"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c": 3}, []),
        ({"a": {"b": 1}}, {"a": {}}, {}, ["a.b"]),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}, []),
        ({"a": {}}, {"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, []),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3]}, []),
        ({"a": OID}, {"a": {"$oid": "0" * 24}}, {"a": {"$oid": "0" * 24}}, []),
        ({"a": {"b": 1}}, {"a": OID}, {"a": OID}, []),
        ({"a": 1}, {"a": 1.0}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, {"a": True}, []),
        ({"a": 0.0}, {"a": -0.0}, {"a": -0.0}, []),
        ({"x.y": 1, "$z": 2, "a": 1}, {"x.y": 1, "$z": 2, "a": 2}, {"a": 2}, []),
    ],
)
def test_what_is_set_and_what_is_taken_away(
    before: Any, after: Any, found: Any, gone: list[str]
) -> None:
    changed, lost = changes(before, after)
    assert json.dumps(changed) == json.dumps(found)
    assert lost == gone


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a.b": 1}),
        ({"a.b": 1}, {}),
        ({"a.b": 1}, {"a.b": 2}),
        ({}, {"$a": 1}),
        ({"a": {}}, {"a": {"": 1}}),
        ({"": 1}, {}),
    ],
)
def test_a_name_that_no_path_can_have_is_refused(before: Any, after: Any) -> None:
    with pytest.raises(BodyError) as caught:
        changes(before, after)
    assert caught.value.code == "body.invalid_key"


def test_the_same_is_the_same_to_the_byte() -> None:
    assert is_same({"a": {"b": 1}}, "a", {"b": 1})
    assert not is_same({"a": {"b": 1, "c": 2}}, "a", {"c": 2, "b": 1})
    assert not is_same({}, "a", None)
    assert is_object({})
    assert not is_object(OID)
    assert not is_object([])


# ----------------------------------------------------------------------------------- anything

NAMES = st.sampled_from(["a", "b", "c", "0", "1", "", "~", "/", "$oid", "a.b", "-"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, -0.0, "", "a"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)
POINTERS = st.lists(NAMES, max_size=3).map(
    lambda parts: "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
)
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": POINTERS,
        "from": POINTERS,
        "value": VALUES,
    }
)


@settings(max_examples=300)
@given(DOCUMENTS, st.lists(st.one_of(OPERATIONS, VALUES), max_size=5))
def test_a_json_patch_changes_nothing_but_its_copy(
    document: dict[str, Any], operations: list[Any]
) -> None:
    before, given_operations = json.dumps(document), json.dumps(operations)
    with suppress(BodyError, Conflict):
        patch = read_patch(JSON_PATCH, operations, LIMITS)
        found = patch.apply(document)
        assert patch.apply(document) == found
        json.dumps(found)
    assert json.dumps(document) == before
    assert json.dumps(operations) == given_operations


@settings(max_examples=300)
@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_changes_nothing_but_its_copy(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    before, given_patch = json.dumps(document), json.dumps(patch)
    found = merged(document, patch)
    assert merged(found, patch) == found
    assert json.dumps(document) == before
    assert json.dumps(patch) == given_patch


def change(document: dict[str, Any], set_: dict[str, Any], unset: Sequence[str]) -> dict[str, Any]:
    """Set and take away by path, as MongoDB does with objects."""
    document = deepcopy(document)
    for path, value in [*set_.items(), *((path, ...) for path in unset)]:
        *parents, last = path.split(".")
        around = document
        for parent in parents:
            around = around[parent]
        if value is ...:
            del around[last]
        else:
            around[last] = value
    return document


@settings(max_examples=300)
@given(DOCUMENTS, DOCUMENTS)
def test_the_changes_make_of_a_document_the_other_one(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    try:
        found, gone = changes(before, after)
    except BodyError:
        return
    assert change(before, found, gone) == after
    paths = [*found, *gone]
    # NOTE: MongoDB refuses paths that lead to each other.
    assert not any(one != two and two.startswith(f"{one}.") for one in paths for two in paths)
