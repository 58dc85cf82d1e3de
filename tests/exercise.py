"""Exercising an API by its own description, with schemathesis.

Each operation gets what the description allows and what it forbids, alone and in sequences, and
each answer is held against the description. All checks are on. What JSON Schema can't say of a
request is said here.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from falcorest.hints import HINTS, LIST
from falcorest.operators import OPERATORS

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


def _whole(value: Any) -> Any:
    """Write whole numbers as such: to JSON Schema 1.0 is an integer, to MongoDB it is a double."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Say what a schema can't."""
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.body = _whole(case.body)
        if case.method.upper() == "PUT" and isinstance(case.body, dict):
            # NOTE: if it is there at all, it is that of the address.
            case.body.pop("_id", None)
        for body in case.body if isinstance(case.body, list) else [case.body]:
            for inside in body.get("readers") or () if isinstance(body, dict) else ():
                if isinstance(inside, dict):
                    # NOTE: objects that are written with their parent; only the data tells whether
                    # there is one of that id.
                    inside.pop("id", None)


CONFIG: dict[str, Any] = {
    "seed": 1,
    "generation": {"database": "none"},
    "checks": {
        # NOTE: 422 is what MongoDB says of a well-formed write: whether the collection's validator
        # takes the document that an update makes, or $inc the value there, only the data tells.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", 401, 403, 404, 409, 422],
        },
    },
}


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
    schema = schemathesis.openapi.from_dict(document, config=config)
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
                wrong |= dict.fromkeys(
                    _told(event.recorder, case, check) for check in checks if check.failure_info
                )
    return list(wrong), count


def _told(recorder: Any, case: str, check: Any) -> str:
    answer = recorder.interactions[case].response
    body = b"" if answer is None else answer.content
    info = check.failure_info
    return f"{recorder.label}: {check.name}: {info.failure}\n{info.code_sample}\n{body[:500]!r}"
