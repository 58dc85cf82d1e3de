"""Exercising an API by its own description, with schemathesis.

Each operation gets what the description allows and what it forbids, alone and in sequences, and
each answer is held against the description. All checks are on. What JSON Schema can't say of a
request is said here.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import events, from_schema

from falcorest.formats import NDJSON
from falcorest.hints import HINTS, LIST
from falcorest.idempotency import KEY
from falcorest.operators import OPERATORS
from falcorest.patches import JSON_PATCH, MERGE_PATCH
from falcorest.preferences import MINIMAL, REPRESENTATION

# ------------------------------------------------------------------- the formats of filters

_PLAIN = st.text(st.characters(codec="utf-8", exclude_characters='[](),."\\\0'), max_size=8)


def _of_type(takes: str, literal: Any) -> Any:
    operators = st.sampled_from([one for one in OPERATORS.values() if one.takes == takes])
    return st.builds(lambda operator, text: f"{operator.op}{text}", operators, literal)


_SCALAR = st.sampled_from(sorted(HINTS)).flatmap(
    lambda name: (_PLAIN if name == "str" else st.just(HINTS[name].example)).map(
        lambda text: f"[{name}].{text}"
    )
)
_LIST = st.sampled_from([one for one in HINTS.values() if one.in_lists]).map(
    lambda hint: f"[{LIST}{hint.name}].[{hint.example},{hint.example}]"
)
#: Typed conditions, as the grammar of the query language has them.
TYPED = st.one_of(
    _of_type("scalar", _SCALAR),
    _of_type("list", _LIST),
    st.sampled_from(["exists[bool].true", "size[int].2", "type[str].string"]),
)
_MEMBER = st.builds("{}.{}".format, st.sampled_from(["name", "a.b", "_id"]), TYPED)
_GROUP = st.recursive(
    _MEMBER,
    lambda member: st.builds(
        lambda name, members: f"{name}({','.join(members)})",
        st.sampled_from(["and", "or", "nor"]),
        st.lists(member, min_size=1, max_size=3),
    ),
    max_leaves=4,
)

schemathesis.openapi.format(
    "falcorest-group",
    st.lists(_GROUP, min_size=1, max_size=3).map(lambda members: f"({','.join(members)})"),
)
schemathesis.openapi.format(
    "falcorest-filter",
    st.one_of(
        TYPED,
        TYPED.map("not.{}".format),
        st.text(st.characters(codec="utf-8", exclude_characters="["), max_size=10),
    ),
)

# --------------------------------------------------------------------------- the requests


def _whole(value: Any, most: float) -> Any:
    """Write whole numbers as such: to JSON Schema 1.0 is an integer, to MongoDB it is a double."""
    if isinstance(value, float) and value.is_integer() and abs(value) < most:
        return int(value)
    if isinstance(value, list):
        return [_whole(item, most) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item, most) for name, item in value.items()}
    return value


@schemathesis.serializer(NDJSON)
def write_lines(context: Any, value: Any) -> bytes:
    """Write a list as OpenAPI means it: one a line."""
    # NOTE: what isn't a list becomes a line that is none of a document.
    lines = value if isinstance(value, list) else [[value]]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@schemathesis.deserializer(NDJSON)
def read_lines(context: Any, response: Any) -> list[Any]:
    """Read lines as a list."""
    return [json.loads(line) for line in response.content.splitlines()]


_NUMBERS = itertools.count()


def _choose_key(case: Any) -> None:
    """Give nearly each request a key of its own; who sends one again gets the earlier answer."""
    number, given = next(_NUMBERS), case.headers.get("Idempotency-Key")
    if given is not None and re.search(KEY, given):
        case.headers["Idempotency-Key"] = f"key-{number - (number % 5 == 4)}"
        if case.media_type == NDJSON:
            del case.headers["Idempotency-Key"]


def _choose_headers(case: Any) -> None:
    """Send headers that go together, and in turn what there is to choose from."""
    number, headers = next(_NUMBERS), case.headers
    fails = number % 5 == 3 and case.meta.generation.mode.is_positive
    accepted = [*case.operation.definition.raw["responses"].get("200", {}).get("content", ())]
    if len(accepted) > 1:
        headers["Accept"] = accepted[number % len(accepted)]
    if "If-Match" in headers:
        # NOTE: of most requests, something should be left to look at.
        headers["If-Match"] = '"x", "y"' if fails else "*"
        headers.pop("If-None-Match", None)
    elif "If-None-Match" in headers:
        headers["If-None-Match"] = "*" if fails else '"x", W/"y"'
    if "Prefer" in headers:
        headers["Prefer"] = f"return={(MINIMAL, REPRESENTATION)[number % 2]}"


def _choose_place(query: dict[str, Any]) -> None:
    """Say in one way where a page is; a cursor comes from an answer, or is empty."""
    places = [name for name in ("_after", "_before", "_skip") if name in query]
    for name in places[1:]:
        del query[name]
    for name in {"_after", "_before"} & query.keys():
        query[name] = ""
        # NOTE: a page that is streamed has no places.
        query["_limit"] = min(int(query.get("_limit", 10)), 100)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Say what a schema can't."""
    _choose_key(case)
    if case.meta is not None and _is_positive(case, ParameterLocation.HEADER):
        _choose_headers(case)
    positive = case.meta is None or case.meta.generation.mode.is_positive
    # NOTE: larger ones may be doubles, where they may be at all.
    case.body = _whole(case.body, 2**63 if positive else math.inf)
    if positive:
        _choose_place(case.query)
        if case.method.upper() == "PUT" and isinstance(case.body, dict):
            # NOTE: if it is there at all, it is that of the address.
            case.body.pop("_id", None)
        for body in case.body if isinstance(case.body, list) else [case.body]:
            for inside in body.get("readers") or () if isinstance(body, dict) else ():
                if isinstance(inside, dict):
                    # NOTE: objects that are written with their parent; only the data tells whether
                    # there is one of that id.
                    inside.pop("id", None)


def _is_positive(case: Any, place: Any) -> bool:
    component = case.meta.components.get(place)
    return component is None or component.mode.is_positive


CONFIG: dict[str, Any] = {
    "seed": 1,
    "generation": {"database": "none"},
    "checks": {
        # NOTE: 428 is what a request is answered that has to name a version.
        "missing_required_header": {"expected-statuses": [400, 401, 403, 404, 428]},
        # NOTE: 304 and 412 are what preconditions are for. 422 is what MongoDB says of a
        # well-formed write: whether the collection's validator takes the document that an update
        # makes, or $inc the value there, only the data tells.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", 304, 401, 403, 404, 409, 412, 422],
        },
    },
}


def _with_examples(document: dict[str, Any]) -> dict[str, Any]:
    """Return a description with what the coverage phase may put where it tries something else.

    It makes up no text that follows the pattern of entity tags. In the description itself, a page
    to try it would send these.
    """
    document = copy.deepcopy(document)
    examples = {"If-Match": "*", "If-None-Match": '"5f0c"'}
    for operations in document["paths"].values():
        for verb, one in operations.items():
            for parameter in (
                one["parameters"] if verb != "parameters" and "parameters" in one else ()
            ):
                if parameter["name"] in examples:
                    parameter["schema"]["example"] = examples[parameter["name"]]
    return document


def exercise(
    document: dict[str, Any], base_url: str, headers: dict[str, str], **changes: Any
) -> tuple[list[str], int]:
    """Exercise an API by a description; return what is wrong, and how many requests there were.

    Args:
        document: The description.
        base_url: Where the API is.
        headers: Of each request.
        **changes: Of the configuration.
    """
    config = SchemathesisConfig.from_dict(
        {**CONFIG, **changes, "base-url": base_url, "headers": headers}
    )
    schema = schemathesis.openapi.from_dict(_with_examples(document), config=config)
    wrong: dict[str, None] = {}
    count = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            wrong[f"{event.label}: {event.value!r}"] = None
        if isinstance(event, events.FatalError):
            wrong[repr(event.exception)] = None
        if isinstance(event, events.ScenarioFinished):
            count += len(event.recorder.checks)
            for case, checks in event.recorder.checks.items():
                answer = event.recorder.interactions[case].response
                wrong |= dict.fromkeys(
                    _told(event.recorder, case, check)
                    for check in checks
                    if check.failure_info and not _only_known_later(check, answer)
                )
    return list(wrong), count


#: What only the data tells, by the code of the answer. None of it can be said of a request alone.
ONLY_THE_DATA_TELLS = {
    "query.invalid_sort": "whether there are lists among the values that a cursor is sorted by",
    "import.refused": "whether another document has the same id, or a validator takes an update",
    "body.invalid": "whether a document follows its schema after a patch",
    "body.invalid_patch": "whether a patch leaves an object",
}


def _only_known_later(check: Any, answer: Any) -> bool:
    """Tell whether what a check doesn't like can't be said in a description."""
    if answer is None:
        return False
    sent, got = answer.request.headers, answer.headers
    if check.name == "response_schema_conformance":
        # NOTE: OpenAPI has no word for a body that may be missing.
        return not answer.content and got.get("preference-applied") == ["return=minimal"]
    if check.name == "negative_data_rejection" and sent.get("Content-Type") == NDJSON:
        # NOTE: what is refused of an import doesn't keep others out.
        return answer.status_code == 200 and answer.json()["refused"] > 0
    if check.name == "missing_required_header":
        # NOTE: it was there, since each request gets it.
        return "Authorization" in sent
    if check.name == "positive_data_acceptance" and answer.status_code == 400:
        patched = sent.get("Content-Type") in {MERGE_PATCH, JSON_PATCH}
        paged = any(f"{name}=" in answer.request.url for name in ("_after", "_before"))
        problem = answer.json()
        family = problem["code"].partition(".")[0]
        if family == "import":
            return {error["status"] for error in problem["errors"]} <= {409, 422}
        return problem["code"] in ONLY_THE_DATA_TELLS and (paged if family == "query" else patched)
    return False


def _told(recorder: Any, case: str, check: Any) -> str:
    answer = recorder.interactions[case].response
    body = b"" if answer is None else answer.content
    info = check.failure_info
    return f"{recorder.label}: {check.name}: {info.failure}\n{info.code_sample}\n{body[:500]!r}"
