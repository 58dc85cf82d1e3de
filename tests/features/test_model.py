"""A stateful machine: whatever is created, changed and removed over HTTP, a dict knows it too.

That filters find what the evaluator in ``falcorest.memory`` finds is held against a real MongoDB
by ``tests/live/test_in_memory.py``, and not once more here.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from falcorest.hints import format_id
from tests.conftest import MakeApi
from tests.support import Api

pytestmark = pytest.mark.live

Document = dict[str, Any]

IDENTITIES = st.sampled_from(["a", "b", "c/d", "[int].1", "ä ö", 1, 2**40, -1, 1.5, True])
NUMBERS = st.integers(-3, 3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
EXTENDED = st.sampled_from(
    [
        *({"$oid": "6195b0eb829a2784b4459a01"}, {"$date": "2021-11-01T10:00:00Z"}),
        *({"$numberDecimal": "1.50"}, {"$numberDouble": "NaN"}, {"$minKey": 1}),
        {"$binary": {"base64": "AA==", "subType": "80"}},
    ]
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERS,
        "t": TEXTS,
        "l": st.lists(NUMBERS, max_size=2),
        "o": st.fixed_dictionaries({}, optional={"x": NUMBERS, "y": EXTENDED}),
        "e": EXTENDED,
    },
)


class Crud(RuleBasedStateMachine):
    """The API and its model.

    Args:
        api: Serves ``rockets``.
    """

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.api = api
        self.model: dict[str, Document] = {}

    @initialize()
    def begin(self) -> None:
        # NOTE: mongomock itself doesn't find every _id that falcorest keeps in it.
        self.api.rockets.drop() if self.api.in_memory else self.api.rockets.delete_many({})

    def url(self, identity: Any) -> str:
        return f"/api/rockets/{format_id(identity)}"

    def expect(self, status: int, method: str, url: str, body: Any = ...) -> Any:
        result = self.api(method, url, body)
        assert result.status_code == status, result.text
        return result.json if result.content else None

    def change(self, identity: Any, body: Any, change: Callable[[Document], Any]) -> None:
        """Send a PATCH, and do the same to the model."""
        known = self.model.get(repr(identity))
        self.expect(404 if known is None else 204, "PATCH", self.url(identity), body)
        if known is not None:
            change(known)

    # ----------------------------------------------------------------------------------- writes

    @rule(identity=IDENTITIES, document=DOCUMENTS)
    def create(self, identity: Any, document: Document) -> None:
        document = {"_id": identity, **document}
        if repr(identity) in self.model:
            self.expect(409, "POST", "/api/rockets", document)
        else:
            assert self.expect(201, "POST", "/api/rockets", document) == {"_id": identity}
            self.model[repr(identity)] = document

    @rule(pairs=st.lists(st.tuples(IDENTITIES, DOCUMENTS), min_size=1, max_size=3))
    def create_many(self, pairs: list[tuple[Any, Document]]) -> None:
        documents = [{"_id": identity, **document} for identity, document in pairs]
        model = dict(self.model)
        for document in documents:
            if repr(document["_id"]) in model:
                self.expect(409, "POST", "/api/rockets", documents)
                if self.api.in_memory:
                    # NOTE: without transactions, those before it are stored.
                    self.model = model
                return
            model[repr(document["_id"])] = document
        made = self.expect(201, "POST", "/api/rockets", documents)
        assert made == [{"_id": document["_id"]} for document in documents]
        self.model = model

    @rule(identity=IDENTITIES, document=DOCUMENTS)
    def put(self, identity: Any, document: Document) -> None:
        self.expect(
            204 if repr(identity) in self.model else 201, "PUT", self.url(identity), document
        )
        self.model[repr(identity)] = {"_id": identity, **document}

    @rule(identity=IDENTITIES, fields=DOCUMENTS)
    def set_fields(self, identity: Any, fields: Document) -> None:
        self.change(identity, fields, lambda document: document.update(deepcopy(fields)))

    @rule(identity=IDENTITIES, value=NUMBERS)
    def set_path(self, identity: Any, value: int) -> None:
        self.change(
            identity, {"p.q": value}, lambda one: one.setdefault("p", {}).update({"q": value})
        )

    @rule(identity=IDENTITIES, by=NUMBERS)
    def increase(self, identity: Any, by: int) -> None:
        self.change(
            identity, {"$inc": {"n": by}}, lambda one: one.update({"n": one.get("n", 0) + by})
        )

    @rule(identity=IDENTITIES, value=NUMBERS)
    def push(self, identity: Any, value: int) -> None:
        self.change(
            identity, {"$push": {"l": value}}, lambda one: one.setdefault("l", []).append(value)
        )

    @rule(identity=IDENTITIES, value=NUMBERS)
    def pull(self, identity: Any, value: int) -> None:
        def without(document: Document) -> None:
            if "l" in document:
                document["l"] = [item for item in document["l"] if item != value]

        self.change(identity, {"$pull": {"l": value}}, without)

    @rule(identity=IDENTITIES, name=st.sampled_from("ntleo"))
    def unset(self, identity: Any, name: str) -> None:
        self.change(identity, {"$unset": {name: ""}}, lambda one: one.pop(name, None))

    @rule(identity=IDENTITIES)
    def rename(self, identity: Any) -> None:
        def renamed(document: Document) -> None:
            if "t" in document:
                document["u"] = document.pop("t")

        self.change(identity, {"$rename": {"t": "u"}}, renamed)

    @rule(identity=IDENTITIES)
    def delete(self, identity: Any) -> None:
        self.expect(204 if repr(identity) in self.model else 404, "DELETE", self.url(identity))
        self.model.pop(repr(identity), None)

    # -------------------------------------------------------------------------- lists and bulks

    def matching(self, least: int) -> list[Document]:
        return [one for one in self.model.values() if one.get("n", -9) >= least]

    @rule(least=NUMBERS)
    def list_some(self, least: int) -> None:
        found = self.expect(200, "GET", f"/api/rockets?n=gte[int].{least}&_projection=n")
        wanted = [{"_id": one["_id"], "n": one["n"]} for one in self.matching(least)]
        assert by_id(found) == by_id(wanted)

    @rule(text=TEXTS)
    def change_some(self, text: str) -> None:
        found = self.matching(0)
        changed = [one for one in found if one.get("t") != text]
        body = {"$set": {"t": text}}
        answer = self.expect(200, "PATCH", "/api/rockets?n=gte[int].0", body)
        assert answer == {"matched_items": len(found), "modified_items": len(changed)}
        for one in changed:
            one["t"] = text

    @rule(least=NUMBERS)
    def delete_some(self, least: int) -> None:
        found = self.matching(least)
        answer = self.expect(200, "DELETE", f"/api/rockets?n=gte[int].{least}")
        assert answer == {"items_deleted": len(found)}
        for one in found:
            del self.model[repr(one["_id"])]

    @rule(identity=IDENTITIES)
    def fetch(self, identity: Any) -> None:
        known = self.model.get(repr(identity))
        found = self.expect(200 if known else 404, "GET", self.url(identity))
        assert known is None or found == known

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        assert by_id(self.expect(200, "GET", "/api/rockets")) == by_id(self.model.values())


def by_id(documents: Any) -> dict[str, Document]:
    return {repr(one["_id"]): one for one in documents}


@pytest.mark.parametrize(("kind", "examples"), [("mongomock", 12), ("mongod", 5)])
def test_the_api_is_a_dict(
    request: pytest.FixtureRequest, make_api: MakeApi, kind: str, examples: int
) -> None:
    uri = "mongomock://" if kind == "mongomock" else request.getfixturevalue("mongo_uri")
    api = make_api(uri)
    run_state_machine_as_test(
        lambda: Crud(api),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
