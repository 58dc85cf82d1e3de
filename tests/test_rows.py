"""Rows: how rules are read, and what they let a caller leave behind."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from falcorest.errors import ConfigurationError, Forbidden
from falcorest.rows import Rows, read_rule

OID = "6195b0eb829a2784b4459a01"


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ({"country": "FR"}, {"country": "FR"}),
        ({"a.b": {"$in": [1, 2]}}, {"a.b": {"$in": [1, 2]}}),
        ({"$or": [{"a": 1}, {"b": {"$not": {"$gt": 5}}}]}, ...),
        ({"$and": [{"a": 1}], "$nor": [{"$and": [{"b": 2}]}]}, ...),
        ({"a": {"$exists": True, "$ne": None}}, ...),
        ({"a": {"$size": 2}}, ...),
        ({"a": {"$type": "string"}}, ...),
        ({"a": {"$regex": "^ab c"}}, ...),
        ({"a": {"$regex": r"\.org$"}}, ...),
        ({"a": {"$not": {"$regex": "é-_/@"}}}, ...),
        ({"team": {"$oid": OID}}, {"team": ObjectId(OID)}),
        ({"team": {"$in": [{"$oid": OID}]}}, {"team": {"$in": [ObjectId(OID)]}}),
        ({"price": {"$lt": {"$numberDecimal": "1.5"}}}, {"price": {"$lt": Decimal128("1.5")}}),
        ({"at": {"$gte": date(2026, 1, 2)}}, {"at": {"$gte": datetime(2026, 1, 2)}}),
        ({"at": datetime(2026, 1, 2, 3)}, {"at": datetime(2026, 1, 2, 3)}),
        ({"at": time(3, 4)}, {"at": "03:04:00"}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": []}, {"a": []}),
    ],
)
def test_a_rule_is_read(rule: Any, read: Any) -> None:
    assert read_rule(rule) == (rule if read is ... else read)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({}, "a filter is needed"),
        (5, "a filter is needed"),
        ([], "a filter is needed"),
        ({"$where": "true"}, r"'\$where' is neither"),
        ({"$expr": {"$eq": ["$a", 1]}}, r"'\$expr' is neither"),
        ({"$text": {"$search": "x"}}, r"'\$text' is neither"),
        ({"$comment": "x"}, r"'\$comment' is neither"),
        ({"": 1}, "'' is neither"),
        ({"a..b": 1}, "'a..b' is neither"),
        ({"a": {"$mod": [2, 0]}}, r"\$mod"),
        ({"a": {"$eq": 1, "$elemMatch": {}}}, r"'\$elemMatch' is none of"),
        ({"a": {"$gt": 1, "b": 2}}, "'b' is none of"),
        ({"a": {"$in": 5}}, r"\$in takes a list"),
        ({"a": {"$not": 5}}, r"\$not takes an object"),
        ({"$or": {"a": 1}}, r"\$or takes a list"),
        ({"$or": []}, r"\$or takes a list"),
        ({"$or": [{}]}, "a filter is needed"),
        *(
            ({"a": {"$regex": pattern}}, r"a: in a rule, \$regex takes a text")
            for pattern in (
                *("(", "^a|b", ".*", "a+", r"\d", r"\w", r"\Z", "[a]", "a{2}", "^^", "a$b", "x$$"),
                *("(?i)a", "a\n", "a\0", "\\", 5, None, ["a"]),
            )
        ),
        ({"a": {"$type": "nothing"}}, r"a: \$type can't take"),
        ({"a": {"$size": -1}}, r"a: \$size can't take"),
        ({"a": {"$oid": "x"}}, "a: "),
        ({"a": {"$elemMatch": {}}}, r"\$elemMatch.* Operators are \$eq"),
        ({"a": 2**70}, "it can't be read"),
    ],
)
def test_what_is_no_rule_is_refused(rule: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read_rule(rule)


@pytest.mark.parametrize(
    ("update", "touched"),
    [
        ({"$set": {"country": "x"}}, True),
        ({"$set": {"team": {}}}, True),
        ({"$unset": {"team.name": ""}}, True),
        ({"$rename": {"a": "country"}}, True),
        ({"$rename": {"country": "a"}}, True),
        ({"$inc": {"n": 1}, "$push": {"team.x": 1}}, True),
        ({"$set": {"n": 1, "countries": 2}}, False),
        ({}, False),
    ],
)
def test_which_updates_may_lead_out_of_the_rows(update: Any, touched: bool) -> None:
    rows = Rows({"country": "FR", "$or": [{"team.name": "a"}, {"team.boss": "b"}]})
    assert rows.touched_by(update) is touched
    assert not Rows({}).touched_by(update)


def test_what_is_left_behind_follows_the_rule() -> None:
    rows = Rows({"n": {"$gt": 1}})
    rows.require({"n": 2})
    for wrong in ({"n": 1}, {}, {"n": "2"}):
        with pytest.raises(Forbidden) as caught:
            rows.require(wrong)
        assert caught.value.code == "policy.row"
    Rows({}).require({})


def test_an_owner_is_one_name() -> None:
    rows = Rows({"by": "ada"}, "by", "ada")
    assert rows.stamp({"n": 1}) == {"n": 1, "by": "ada"}
    assert rows.stamp({"by": "bob"}) == {"by": "bob"}
    rows.require({"by": "ada"})
    for wrong in ({"by": ["ada"]}, {"by": "bob"}, {"by": None}, {}):
        with pytest.raises(Forbidden):
            rows.require(wrong)


def test_who_may_not_see_finds_nothing_and_may_still_leave_something() -> None:
    rows = Rows({"n": 1}, seen=False)
    assert rows.condition == {"_id": {"$in": []}}
    rows.require({"n": 1})
