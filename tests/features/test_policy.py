"""The policy of a resource, over HTTP on each kind of database: fields, callers and rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId

from falcorest.auth import TokenIssuer
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.support import SECRET, Api, assert_problem

pytestmark = pytest.mark.live

MakePolicyApi = Callable[..., Api]

HIDING = {
    "hidden": ["cost", "supplier.contact", "parts.price"],
    "readonly": ["approved", "meta.by"],
}
DOCUMENT = {
    "_id": "a",
    "name": "Merlin",
    "cost": 5,
    "supplier": {"name": "ACME", "contact": {"mail": "x@y.z"}, "city": "Paris"},
    "parts": [{"name": "nozzle", "price": 1}, {"name": "pump", "price": 2}],
    "approved": True,
    "meta": {"by": "ada", "note": "n"},
}
SHOWN = {
    "_id": "a",
    "name": "Merlin",
    "supplier": {"name": "ACME", "city": "Paris"},
    "parts": [{"name": "nozzle"}, {"name": "pump"}],
    "approved": True,
    "meta": {"by": "ada", "note": "n"},
}


@pytest.fixture
def policy_api(make_api: MakeApi, any_uri: str) -> MakePolicyApi:
    """Make an API of rockets with a policy, on each kind of database."""

    def make(**rules: Any) -> Api:
        return make_api(any_uri, resources={"rockets": ResourceSettings(rules=rules)})

    return make


@pytest.fixture
def hiding(policy_api: MakePolicyApi) -> Api:
    """Rockets with hidden and read-only fields, and one document."""
    api = policy_api(**HIDING)
    api.rockets.insert_one(json.loads(json.dumps(DOCUMENT)))
    return api


def token(username: str, *roles: str) -> str:
    return TokenIssuer(SECRET).issue(username, list(roles))


def stored(api: Api, identity: Any = "a") -> Any:
    return api.rockets.find_one({"_id": identity})


# ------------------------------------------------------------------------------ what is hidden


def test_hidden_fields_are_not_shown(hiding: Api) -> None:
    assert hiding.get("/api/rockets").json == [SHOWN]
    assert hiding.get("/api/rockets/a").json == SHOWN


@pytest.mark.parametrize(
    ("projection", "shown"),
    [
        ("name", {"_id": "a", "name": "Merlin"}),
        ("supplier", {"_id": "a", "supplier": {"name": "ACME", "city": "Paris"}}),
        ("supplier.name", {"_id": "a", "supplier": {"name": "ACME"}}),
        ("parts,name", {"_id": "a", "name": "Merlin", "parts": SHOWN["parts"]}),
        ("parts.name", {"_id": "a", "parts": SHOWN["parts"]}),
    ],
)
def test_a_projection_shows_parents_without_what_is_hidden(
    hiding: Api, projection: str, shown: Any
) -> None:
    assert hiding.get(f"/api/rockets/a?_projection={projection}").json == shown
    assert hiding.get(f"/api/rockets?_projection={projection}").json == [shown]


HIDDEN_PATHS = [
    *("cost", "cost.x", "cost.0", "supplier.contact", "supplier.contact.mail"),
    *("supplier.0.contact", "supplier.contact.0.mail", "parts.price", "parts.0.price"),
    *("parts.0.price.x", "parts.12.0.price"),
]
PARENTS = ["supplier", "supplier.0", "parts", "parts.0", "parts.1.0"]


@pytest.mark.parametrize(
    "query",
    [
        *("{}=5", "{}=[int].5", "{}=ne[int].5", "{}=not.exists[bool].true", "{}=size[int].2"),
        *("{}=in[list-int].[5]", "{}=type[str].int", "or=({}.eq[int].5)", "_sort=({}:ascending)"),
        "and=(name.eq[str].x,nor({}.not.gt[int].5,name.eq[str].x))",
        "_sort=(name:ascending),({}:descending)",
    ],
)
def test_nothing_is_filtered_or_sorted_by_a_hidden_field(hiding: Api, query: str) -> None:
    for path in (*HIDDEN_PATHS, *PARENTS):
        url = "/api/rockets?" + query.format(path)
        parameter = "_sort" if "_sort" in query else path
        assert_problem(hiding.get(url), 403, "policy.field", parameter=parameter, naming=path)
        if "_sort" not in query:
            body = {"$set": {"name": "x"}}
            for method, sent in (("PATCH", body), ("DELETE", ...)):
                result = hiding(method, url, sent)
                assert_problem(result, 403, "policy.field", naming=path)
    assert stored(hiding) == DOCUMENT


@pytest.mark.parametrize("path", HIDDEN_PATHS)
def test_a_hidden_field_is_not_projected(hiding: Api, path: str) -> None:
    for url in ("/api/rockets", "/api/rockets/a", "/api/rockets/nothing"):
        for projection in (path, f"name,{path}"):
            result = hiding.get(f"{url}?_projection={projection}")
            assert_problem(result, 403, "policy.field", parameter="_projection", naming=path)


def test_the_order_of_a_list_tells_nothing_of_a_hidden_field(hiding: Api) -> None:
    """Though an index that MongoDB reads has that field in it."""
    hiding.rockets.create_index([("n", 1), ("cost", 1)])
    hiding.rockets.insert_many([{"_id": f"b{n}", "n": 1, "cost": 9 - n} for n in range(10)])
    for query, first in (
        ("n=[int].1", "b0"),
        ("n=[int].1&_limit=5", "b0"),
        ("n=[int].1&_sort=(n:descending)", "b9"),
    ):
        found = [one["_id"] for one in hiding.get(f"/api/rockets?{query}").json]
        assert found == sorted(found, reverse=first == "b9")
        assert found[0] == first
    query = "n=[int].1&_sort=(_id:descending)"
    assert hiding.get(f"/api/rockets?{query}&_limit=1").json[0]["_id"] == "b9"


def test_hidden_and_other_fields_are_told_apart(hiding: Api) -> None:
    for path in ("costs", "supplier.contacts", "supplier.name", "parts.0.name", "contact", "price"):
        assert hiding.get(f"/api/rockets?{path}=x").status_code == 200
    assert hiding.get("/api/rockets?supplier.name=ACME").json == [SHOWN]


def test_rules_for_numbers_in_paths(policy_api: MakePolicyApi) -> None:
    api = policy_api(hidden=["scores.2021"])
    api.rockets.insert_one({"_id": "a", "scores": {"2021": 5, "2022": 6}})
    assert api.get("/api/rockets").json == [{"_id": "a", "scores": {"2022": 6}}]
    assert api.get("/api/rockets?_projection=scores.2022").json[0]["scores"] == {"2022": 6}
    # A number may be the place in a list, whose items may have what is hidden.
    for path in ("scores.2021", "scores.7.2021", "scores.7"):
        assert_problem(api.get(f"/api/rockets?{path}=[int].5"), 403, "policy.field")


# ------------------------------------------------------------------------------------- writes

REFUSED = [
    {"cost": 1},
    {"cost": None},
    {"cost": {}},
    {"cost.x": 1},
    {"supplier.contact": 1},
    {"supplier.contact.mail": 1},
    {"supplier": {"name": "x", "contact": 1}},
    {"supplier": 5},
    {"supplier": None},
    {"supplier": []},
    {"parts": []},
    {"parts": [{"name": "pump"}]},
    {"parts": [{"name": "nozzle"}, 5]},
    {"parts": [{"name": "nozzle", "price": 3}, {"name": "pump"}]},
    {"parts.0": 5},
    {"parts.0.price": 5},
    {"parts.5.price": 5},
    {"approved": False},
    {"approved": None},
    {"approved": 1},
    {"approved.x": 1},
    {"meta": {"by": "eve", "note": "n"}},
    {"meta": 5},
    {"meta.by": "eve"},
    {"$set": {"name": "x", "cost": 1}},
    {"$set": {"name": "x"}, "$unset": {"cost": 1}},
    {"$unset": {"supplier": 1}},
    {"$unset": {"supplier.contact": 1}},
    {"$unset": {"approved": 1}},
    {"$unset": {"meta": 1}},
    {"$unset": {"parts.0": 1}},
    {"$rename": {"cost": "price"}},
    {"$rename": {"name": "cost"}},
    {"$rename": {"name": "supplier.contact"}},
    {"$rename": {"name": "supplier"}},
    {"$rename": {"supplier": "name"}},
    {"$rename": {"name": "approved"}},
    {"$rename": {"approved": "name"}},
    {"$rename": {"meta": "other"}},
    {"$inc": {"cost": 1}},
    {"$mul": {"cost": 2}},
    {"$min": {"cost": 1}},
    {"$max": {"cost": 100}},
    {"$min": {"supplier": 1}},
    {"$max": {"meta": {"by": "zzz"}}},
    {"$currentDate": {"cost": True}},
    {"$currentDate": {"supplier": True}},
    {"$push": {"cost": 1}},
    {"$push": {"parts": {"name": "x", "price": 1}}},
    {"$push": {"parts": {"$each": [{"name": "x"}, {"price": 1}]}}},
    {"$push": {"parts": {"$each": [], "$slice": 1}}},
    {"$push": {"parts": {"$each": [], "$sort": {"price": 1}}}},
    {"$push": {"parts": {"$each": [], "$sort": 1}}},
    {"$pull": {"parts": {"price": {"$gt": 1}}}},
    {"$pull": {"parts": {"name": "pump"}}},
    {"$pullAll": {"parts": [{"name": "pump"}]}},
    {"$pop": {"parts": 1}},
    {"$addToSet": {"parts": {"name": "x"}}},
    {"$addToSet": {"cost": 1}},
]


@pytest.mark.parametrize("body", REFUSED, ids=str)
def test_an_update_does_not_touch_what_is_protected(hiding: Api, body: Any) -> None:
    problem = assert_problem(hiding("PATCH", "/api/rockets/a", body), 403, "policy.field")
    assert problem["field-errors"]
    operators = body if next(iter(body)).startswith("$") else {"$set": body}
    result = hiding("PATCH", "/api/rockets?name=Merlin", operators)
    assert_problem(result, 403, "policy.field")
    assert stored(hiding) == DOCUMENT


ACCEPTED: list[tuple[Any, dict[str, Any]]] = [
    ({"name": "x"}, {"name": "x"}),
    ({"supplier.name": "x"}, {"supplier": {**DOCUMENT["supplier"], "name": "x"}}),
    (
        {"supplier": {"name": "x"}},
        {"supplier": {"name": "x", "contact": {"mail": "x@y.z"}}},
    ),
    ({"supplier": {}}, {"supplier": {"contact": {"mail": "x@y.z"}}}),
    ({"meta": {"note": "m"}}, {"meta": {"note": "m", "by": "ada"}}),
    ({"parts.0": {"name": "x"}}, {"parts": [{"name": "x", "price": 1}, DOCUMENT["parts"][1]]}),
    (
        {"parts": [{"name": "pump"}, {"name": "nozzle"}, {"name": "new"}]},
        {"parts": [*reversed(DOCUMENT["parts"]), {"name": "new"}]},
    ),
    ({"parts.1.name": "x"}, {"parts": [DOCUMENT["parts"][0], {"name": "x", "price": 2}]}),
    ({"$push": {"parts": {"name": "x"}}}, {"parts": [*DOCUMENT["parts"], {"name": "x"}]}),
    (
        {"$push": {"parts": {"$each": [{"name": "x"}], "$position": 0}}},
        {"parts": [{"name": "x"}, *DOCUMENT["parts"]]},
    ),
    ({"$unset": {"meta.note": 1}}, {"meta": {"by": "ada"}}),
    ({"$rename": {"name": "title"}, "$set": {"x": 1}}, {"name": ..., "title": "Merlin", "x": 1}),
]


@pytest.mark.parametrize(("body", "changes"), ACCEPTED, ids=str)
def test_an_update_keeps_what_is_protected(hiding: Api, body: Any, changes: Any) -> None:
    expected = {k: v for k, v in {**DOCUMENT, **changes}.items() if v is not ...}
    result = hiding("PATCH", "/api/rockets/a", body)
    assert result.status_code == 204, result.text
    assert stored(hiding) == expected


@pytest.mark.parametrize(("body", "changes"), ACCEPTED, ids=str)
def test_a_bulk_update_keeps_what_is_protected(hiding: Api, body: Any, changes: Any) -> None:
    expected = {k: v for k, v in {**DOCUMENT, **changes}.items() if v is not ...}
    operators = body if next(iter(body)).startswith("$") else {"$set": body}
    result = hiding("PATCH", "/api/rockets?name=Merlin", operators)
    assert result.json == {"matched_items": 1, "modified_items": 1}
    assert stored(hiding) == expected


@pytest.mark.parametrize(
    "body",
    [
        SHOWN,
        {"$set": {"approved": True}},
        {"approved": True},
        {"meta.by": "ada"},
        {"meta": {"note": "n", "by": "ada"}, "supplier": SHOWN["supplier"]},
        {"parts": SHOWN["parts"]},
    ],
)
def test_what_was_read_can_be_sent_back(hiding: Api, body: Any) -> None:
    assert hiding("PATCH", "/api/rockets/a", body).status_code == 204
    assert stored(hiding) == {**DOCUMENT, "meta": stored(hiding)["meta"]}
    assert stored(hiding)["meta"] == DOCUMENT["meta"]


def test_nothing_is_sent_back_to_many_documents(hiding: Api) -> None:
    result = hiding("PATCH", "/api/rockets?name=Merlin", {"$set": {"approved": True}})
    assert_problem(result, 403, "policy.field", naming="approved")


def test_setting_the_same_again_counts_as_no_change(hiding: Api) -> None:
    body = {"$set": {"supplier": SHOWN["supplier"]}}
    result = hiding("PATCH", "/api/rockets?name=Merlin", body)
    assert result.json == {"matched_items": 1, "modified_items": 0}


@pytest.mark.parametrize(
    "body",
    [
        {"cost": 1},
        {"name": "x", "supplier": {"contact": 1}},
        {"parts": [{"name": "x"}, {"price": 1}]},
        {"parts": [[{"price": 1}]]},
        {"approved": True},
        {"approved": None},
        {"meta": {"by": "x"}},
    ],
)
def test_a_new_document_has_no_protected_field(hiding: Api, body: Any) -> None:
    assert_problem(hiding("POST", "/api/rockets", body), 403, "policy.field")
    problem = assert_problem(hiding("POST", "/api/rockets", [{"x": 1}, body]), 403, "policy.field")
    assert list(problem["field-errors"]) == ["1"]
    assert_problem(hiding("PUT", "/api/rockets/new", body), 403, "policy.field")
    assert hiding.rockets.count_documents({}) == 1


def test_a_new_document_may_have_the_rest(hiding: Api) -> None:
    body = {"_id": "b", "supplier": {"name": "x"}, "parts": [{"name": "y"}, 5], "meta": {"note": 1}}
    assert hiding("POST", "/api/rockets", body).status_code == 201
    assert stored(hiding, "b") == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (SHOWN, DOCUMENT),
        (
            {**SHOWN, "name": "x"},
            {**DOCUMENT, "name": "x"},
        ),
        (
            {k: v for k, v in SHOWN.items() if k not in {"approved", "name"}},
            {k: v for k, v in DOCUMENT.items() if k != "name"},
        ),
        (
            {**SHOWN, "supplier": {"city": "Rome"}, "parts": [{"name": "x"}, {"name": "pump"}]},
            {
                **DOCUMENT,
                "supplier": {"city": "Rome", "contact": {"mail": "x@y.z"}},
                "parts": [{"name": "x", "price": 1}, {"name": "pump", "price": 2}],
            },
        ),
    ],
)
def test_a_replacement_keeps_what_is_protected(hiding: Api, body: Any, expected: Any) -> None:
    result = hiding("PUT", "/api/rockets/a", body)
    assert result.status_code == 204, result.text
    assert stored(hiding) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"cost": 5},
        {"supplier": ...},
        {"supplier": 5},
        {"supplier": {"contact": {"mail": "x@y.z"}}},
        {"parts": ...},
        {"parts": [{"name": "nozzle"}]},
        {"approved": False},
        {"meta": ...},
        {"meta": {"by": "eve"}},
    ],
)
def test_a_replacement_does_not_touch_what_is_protected(hiding: Api, changes: Any) -> None:
    body = {k: v for k, v in {**SHOWN, **changes}.items() if v is not ...}
    assert_problem(hiding("PUT", "/api/rockets/a", body), 403, "policy.field")
    assert stored(hiding) == DOCUMENT


def test_a_document_that_never_had_them_is_replaced_as_it_is(hiding: Api) -> None:
    hiding.rockets.insert_one({"_id": "b", "supplier": "ACME", "parts": [1]})
    assert hiding("PUT", "/api/rockets/b", {"x": 1}).status_code == 204
    assert stored(hiding, "b") == {"_id": "b", "x": 1}


def test_a_conflict_does_not_name_a_hidden_field(hiding: Api) -> None:
    hiding.rockets.create_index("cost", unique=True)
    assert hiding("POST", "/api/rockets", {"name": "b"}).status_code == 201
    result = hiding("POST", "/api/rockets", {"name": "c"})
    problem = assert_problem(result, 409, "document.duplicate")
    assert "cost" not in json.dumps(problem)


def test_without_transactions_the_answer_says_how_far_a_kept_update_came(
    policy_api: MakePolicyApi,
) -> None:
    """Here documents are changed one by one anyway, as what is kept is in each of them."""
    api = policy_api(hidden=["a.secret"])
    shapes: list[Any] = [{}, {"secret": 1}, [{"secret": 1}], {}]
    api.rockets.insert_many([{"_id": str(n), "n": 1, "a": a} for n, a in enumerate(shapes)])
    result = api("PATCH", "/api/rockets?n=[int].1", {"$set": {"a": {"b": 1}}})
    problem = assert_problem(result, 403, "policy.field", naming="a")
    changed = problem.get("changed", 0)
    assert changed == len(list(api.rockets.find({"a.b": 1})))
    assert api.rockets.find_one({"_id": "2"})["a"] == [{"secret": 1}]


# ------------------------------------------------------------------------------------- callers

READS = ["/api/rockets", "/api/rockets/a", "/api/rockets?name=x"]
WRITES = [
    ("POST", "/api/rockets", {"x": 1}),
    ("POST", "/api/rockets", [{"x": 1}]),
    ("PUT", "/api/rockets/a", {"x": 1}),
    ("PATCH", "/api/rockets/a", {"x": 1}),
    ("PATCH", "/api/rockets?x=[int].1", {"$set": {"x": 2}}),
    ("DELETE", "/api/rockets?x=[int].1", ...),
    ("DELETE", "/api/rockets/a", ...),
]


def _reads(api: Api, caller: str | None) -> set[int]:
    return {api.get(url, token=caller).status_code for url in READS}


def _writes(api: Api, caller: str | None) -> set[int]:
    statuses = set()
    for method, url, body in WRITES:
        api.rockets.replace_one({"_id": "a"}, {"name": "x"}, upsert=True)
        result = api(method, url, body, token=caller)
        statuses.add(result.status_code)
        if result.status_code == 401:
            assert "www-authenticate" in result.headers
    return statuses


def test_who_may_read_and_write(policy_api: MakePolicyApi) -> None:
    api = policy_api(read=["reader", "editor"], write=["editor", "admin"])
    api.rockets.insert_one({"_id": "a"})
    assert _reads(api, None) == {401}
    assert _writes(api, None) == {401}
    assert _reads(api, token("eve")) == {403}
    assert _writes(api, token("eve", "reader")) == {403}
    assert _reads(api, token("eve", "reader")) == {200}
    assert _reads(api, token("ed", "editor")) == {200}
    assert _writes(api, token("ed", "editor")) == {200, 201, 204}


def test_who_may_write_but_not_read_adds_documents_only(policy_api: MakePolicyApi) -> None:
    api = policy_api(read=["admin"], write=["public"])
    assert api("POST", "/api/rockets", {"_id": "a"}, token=None).status_code == 201
    assert api.get("/api/rockets", token=None).status_code == 401
    assert api("DELETE", "/api/rockets/a", token=None).status_code == 401
    assert api("PATCH", "/api/rockets?x=1", {"$set": {"x": 2}}, token="").status_code == 200
    assert api("PUT", "/api/rockets/a", {}, token=token("eve")).status_code == 403


def test_the_file_wins_over_the_flat_settings(make_api: MakeApi, mongo_uri: str) -> None:
    rules = {"read": ["authenticated"], "write": ["public"]}
    api = make_api(
        mongo_uri,
        "rockets:rocket_engines,others:others",
        resources={"rockets": ResourceSettings(rules=rules)},
    )
    assert api.get("/api/rockets", token=None).status_code == 401
    assert api.get("/api/rockets", token=token("ada")).status_code == 200
    assert api("POST", "/api/rockets", {}, token=None).status_code == 201
    assert api.get("/api/others", token=None).status_code == 200
    assert api("POST", "/api/others", {}, token=None).status_code == 401


def test_writing_what_is_stored_needs_reading(make_api: MakeApi, mongo_uri: str) -> None:
    resources = {"rockets": ResourceSettings(rules={"write": ["public"]})}
    api = make_api(mongo_uri, public_methods=[], resources=resources)
    api.rockets.insert_one({"_id": "a", "x": 1})
    assert api.get("/api/rockets", token=None).status_code == 401
    for method, url, body in WRITES:
        creates = method == "POST"
        assert api(method, url, body, token=None).status_code == (201 if creates else 401)
    assert stored(api) == {"_id": "a", "x": 1}


def test_a_wrong_token_is_refused_where_everybody_may_read(policy_api: MakePolicyApi) -> None:
    api = policy_api(read=["public"])
    assert_problem(api.get("/api/rockets", token="wrong"), 401, "auth.invalid")


# ---------------------------------------------------------------------------------------- rows

EDITOR = token("ed", "editor")
RULES = {"rows": {"editor": {"country": {"$in": ["USA", "FR"]}}}, "read": ["public"]}


@pytest.fixture
def rowed(policy_api: MakePolicyApi) -> Api:
    """Rockets of which editors see some."""
    api = policy_api(**RULES)
    api.rockets.insert_many(
        [{"_id": country, "country": country, "n": 1} for country in ("USA", "FR", "JP")]
    )
    return api


def test_rows_hold_for_their_role(rowed: Api) -> None:
    assert [one["_id"] for one in rowed.get("/api/rockets", token=EDITOR).json] == ["FR", "USA"]
    assert len(rowed.get("/api/rockets", token=None).json) == 3
    assert len(rowed.get("/api/rockets", token=token("x", "other")).json) == 3
    assert rowed.get("/api/rockets/USA", token=EDITOR).status_code == 200
    for method, body in (("GET", ...), ("PATCH", {"n": 2}), ("DELETE", ...), ("HEAD", ...)):
        result = rowed(method, "/api/rockets/JP", body, token=EDITOR)
        assert result.status_code == 404
    result = rowed("PUT", "/api/rockets/JP", {"country": "FR"}, token=EDITOR)
    assert_problem(result, 409, "document.duplicate")
    result = rowed("POST", "/api/rockets", {"_id": "JP", "country": "FR"}, token=EDITOR)
    assert_problem(result, 409, "document.duplicate")
    result = rowed("PATCH", "/api/rockets?n=[int].1", {"$set": {"n": 2}}, token=EDITOR)
    assert result.json == {"matched_items": 2, "modified_items": 2}
    result = rowed("DELETE", "/api/rockets?_id=exists[bool].true", token=EDITOR)
    assert result.json == {"items_deleted": 2}
    assert stored(rowed, "JP") == {"_id": "JP", "country": "JP", "n": 1}


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "/api/rockets", {"country": "JP"}),
        ("POST", "/api/rockets", {}),
        ("POST", "/api/rockets", [{"country": "FR"}, {"country": "JP"}]),
        ("PUT", "/api/rockets/new", {"country": "JP"}),
        ("PUT", "/api/rockets/FR", {"country": "JP"}),
        ("PUT", "/api/rockets/FR", {}),
        ("PATCH", "/api/rockets/FR", {"country": "JP"}),
        ("PATCH", "/api/rockets/FR", {"$unset": {"country": 1}}),
        ("PATCH", "/api/rockets/FR", {"$rename": {"country": "land"}}),
        ("PATCH", "/api/rockets/FR", {"$rename": {"n": "country"}}),
        ("PATCH", "/api/rockets?n=[int].1", {"$set": {"country": "JP"}}),
        ("PATCH", "/api/rockets?_id=FR", {"$unset": {"country": 1}}),
    ],
)
def test_no_write_leaves_a_document_outside_of_the_rows(
    rowed: Api, method: str, url: str, body: Any
) -> None:
    before = list(rowed.rockets.find())
    assert_problem(rowed(method, url, body, token=EDITOR), 403, "policy.row")
    assert list(rowed.rockets.find()) == before


def test_a_write_may_move_a_document_within_the_rows(rowed: Api) -> None:
    assert rowed("PATCH", "/api/rockets/FR", {"country": "USA"}, token=EDITOR).status_code == 204
    result = rowed("PATCH", "/api/rockets?n=[int].1", {"$set": {"country": "FR"}}, token=EDITOR)
    assert result.json == {"matched_items": 2, "modified_items": 2}
    assert rowed("PUT", "/api/rockets/new", {"country": "FR"}, token=EDITOR).status_code == 201
    assert rowed("POST", "/api/rockets", [{"country": "USA"}], token=EDITOR).status_code == 201


def test_who_has_several_rules_is_under_all_of_them(policy_api: MakePolicyApi) -> None:
    rows = {"public": {"n": {"$gte": 1}}, "authenticated": {"n": {"$lte": 3}}, "few": {"n": 2}}
    api = policy_api(rows=rows, unrestricted=["admin"])
    api.rockets.insert_many([{"_id": str(n), "n": n} for n in range(5)])

    def seen(caller: str | None) -> str:
        return "".join(one["_id"] for one in api.get("/api/rockets", token=caller).json)

    assert seen(None) == "1234"
    assert seen(token("ada")) == "123"
    assert seen(token("ada", "few")) == "2"
    assert seen(token("ada", "few", "admin")) == "01234"


# --------------------------------------------------------------------------------------- owners

ADA, BOB, ADMIN = token("ada"), token("bob"), token("root", "admin")


@pytest.fixture
def owned(policy_api: MakePolicyApi) -> Api:
    """Rockets that belong to those who made them."""
    api = policy_api(
        owner="created_by", read=["authenticated"], write=["authenticated"], unrestricted=["admin"]
    )
    api.rockets.insert_many([{"_id": name, "created_by": name, "n": 1} for name in ("ada", "bob")])
    return api


def test_documents_of_others_are_not_there(owned: Api) -> None:
    assert [one["_id"] for one in owned.get("/api/rockets", token=ADA).json] == ["ada"]
    assert len(owned.get("/api/rockets", token=ADMIN).json) == 2
    assert owned.get("/api/rockets", token=None).status_code == 401
    for method, body in (("GET", ...), ("PATCH", {"n": 2}), ("DELETE", ...)):
        assert owned(method, "/api/rockets/bob", body, token=ADA).status_code == 404
    assert owned("PUT", "/api/rockets/bob", {"n": 2}, token=ADA).status_code == 409
    result = owned("PATCH", "/api/rockets?n=[int].1", {"$set": {"n": 2}}, token=ADA)
    assert result.json["matched_items"] == 1
    assert owned("DELETE", "/api/rockets?n=exists[bool].true", token=ADA).json["items_deleted"] == 1
    assert stored(owned, "bob") == {"_id": "bob", "created_by": "bob", "n": 1}


def test_a_new_document_belongs_to_who_made_it(owned: Api) -> None:
    for body in ({"_id": "1"}, {"_id": "2", "created_by": "ada"}):
        assert owned("POST", "/api/rockets", body, token=ADA).status_code == 201
    assert owned("POST", "/api/rockets", [{"_id": "3"}, {"_id": "4"}], token=ADA).status_code == 201
    assert owned("PUT", "/api/rockets/5", {"n": 1}, token=ADA).status_code == 201
    assert owned("POST", "/api/rockets", {"_id": "6"}, token=ADMIN).status_code == 201
    for identity in "12345":
        assert stored(owned, identity)["created_by"] == "ada"
    assert stored(owned, "6")["created_by"] == "root"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "/api/rockets", {"created_by": "bob"}),
        ("POST", "/api/rockets", {"created_by": ["ada", "bob"]}),
        ("POST", "/api/rockets", {"created_by": None}),
        ("PUT", "/api/rockets/new", {"created_by": "bob"}),
        ("PUT", "/api/rockets/ada", {"created_by": "bob"}),
        ("PATCH", "/api/rockets/ada", {"created_by": "bob"}),
        ("PATCH", "/api/rockets/ada", {"created_by": ["ada", "bob"]}),
        ("PATCH", "/api/rockets/ada", {"$unset": {"created_by": 1}}),
        ("PATCH", "/api/rockets?n=[int].1", {"$set": {"created_by": "bob"}}),
    ],
)
def test_nobody_gives_documents_away(owned: Api, method: str, url: str, body: Any) -> None:
    before = list(owned.rockets.find())
    assert_problem(owned(method, url, body, token=ADA), 403, "policy.row")
    assert list(owned.rockets.find()) == before


def test_a_replacement_keeps_the_owner(owned: Api) -> None:
    assert owned("PUT", "/api/rockets/ada", {"n": 2}, token=ADA).status_code == 204
    assert owned("PUT", "/api/rockets/bob", {"n": 2}, token=ADMIN).status_code == 204
    assert stored(owned, "ada") == {"_id": "ada", "n": 2, "created_by": "ada"}
    assert stored(owned, "bob") == {"_id": "bob", "n": 2, "created_by": "bob"}


def test_the_unrestricted_may_give_documents_away(owned: Api) -> None:
    assert owned("PATCH", "/api/rockets/ada", {"created_by": "bob"}, token=ADMIN).status_code == 204
    assert owned.get("/api/rockets/ada", token=BOB).status_code == 200


def test_an_owner_may_be_hidden_or_read_only(policy_api: MakePolicyApi) -> None:
    api = policy_api(owner="by", hidden=["by"])
    result = api("POST", "/api/rockets", {"n": 1}, token=ADA)
    assert result.status_code == 201
    identity = ObjectId(result.json["_id"]["$oid"])
    assert stored(api, identity)["by"] == "ada"
    assert api.get("/api/rockets", token=ADA).json == [{"_id": result.json["_id"], "n": 1}]
    assert api.get("/api/rockets", token=BOB).json == []
    assert_problem(api("POST", "/api/rockets", {"by": "ada"}, token=ADA), 403, "policy.field")
    assert api("PUT", f"/api/rockets/{identity}", {"n": 2}, token=ADA).status_code == 204
    assert stored(api, identity) == {"_id": identity, "n": 2, "by": "ada"}


def test_names_are_told_apart_whatever_the_collection_says(
    make_api: MakeApi, mongo_uri: str, standalone_uri: str
) -> None:
    """To a collation, Ada may be ada."""
    resources = {"rockets": ResourceSettings(collection="notes", rules={"owner": "by"})}
    for uri in (mongo_uri, standalone_uri):
        api = make_api(uri, "rockets:notes", resources=resources)
        api.database.drop_collection("notes")
        collation = {"locale": "en", "strength": 1}
        notes = api.database.create_collection("notes", collation=collation)
        notes.insert_many([{"_id": str(n), "by": "ada", "n": 1} for n in range(3)])
        loud = token("ADA")
        assert api.get("/api/rockets", token=loud).json == []
        for method, body in (("GET", ...), ("PATCH", {"by": "ADA"}), ("DELETE", ...)):
            assert api(method, "/api/rockets/1", body, token=loud).status_code == 404
        result = api("PATCH", "/api/rockets?n=[int].1", {"$set": {"n": 2}}, token=loud)
        assert result.json["matched_items"] == 0
        result = api("PATCH", "/api/rockets?n=[int].1", {"$set": {"by": "ADA"}}, token=loud)
        assert result.json["matched_items"] == 0
        assert api("DELETE", "/api/rockets?n=[int].1", token=loud).json == {"items_deleted": 0}
        assert len(api.get("/api/rockets", token=token("ada")).json) == 3
        assert api("PUT", "/api/rockets/1", {"n": 3}, token=token("ada")).status_code == 204


def test_an_id_that_is_made_follows_the_rows(policy_api: MakePolicyApi) -> None:
    api = policy_api(rows={"editor": {"_id": {"$type": "objectId"}}})
    for body in ({"n": 1}, [{"n": 1}]):
        assert api("POST", "/api/rockets", body, token=EDITOR).status_code == 201
    for body in ({"_id": "x"}, [{"n": 1}, {"_id": "x"}]):
        assert_problem(api("POST", "/api/rockets", body, token=EDITOR), 403, "policy.row")
    assert_problem(api("PUT", "/api/rockets/x", {}, token=EDITOR), 403, "policy.row")


def test_an_owned_resource_needs_a_name_to_write(policy_api: MakePolicyApi) -> None:
    api = policy_api(owner="by", read=["public"], write=["public"])
    api.rockets.insert_one({"_id": "a", "by": "ada"})
    assert api.get("/api/rockets", token=None).json == []
    assert_problem(api("POST", "/api/rockets", {}, token=None), 401, "auth.required")
