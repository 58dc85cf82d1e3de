"""Preferences: what ``Prefer`` says of the answer to a write."""

from __future__ import annotations

import falcon
import pytest
from falcon import testing

from falcorest.preferences import apply_preference, preference


def request(value: str | None) -> falcon.Request:
    headers = {} if value is None else {"Prefer": value}
    return falcon.Request(testing.create_environ(headers=headers))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        ("", None),
        ("return=minimal", "minimal"),
        ("return=representation", "representation"),
        ('return="minimal"', "minimal"),
        ("Return = Minimal", "minimal"),
        ("\treturn\t=\trepresentation ", "representation"),
        ("return=minimal; foo=bar", "minimal"),
        ("respond-async, return=representation", "representation"),
        ("respond-async;x=1,return=representation,wait=5", "representation"),
        ('note="a, b", return=minimal', "minimal"),
        # RFC 7240, section 2: the first one counts.
        ("return=minimal, return=representation", "minimal"),
        ("return=other, return=minimal", None),
        # What isn't ours, or isn't one.
        ("return", None),
        ("return=", None),
        ("return=both", None),
        ("wait=10, handling=lenient", None),
        ("noreturn=minimal", None),
        ('note=",return=minimal,"', None),
        ("minimal", None),
        (',,;=,"', None),
    ],
)
def test_the_preferred_answer(value: str | None, wanted: str | None) -> None:
    assert preference(request(value)) == wanted


def test_what_was_preferred_is_said_in_the_answer() -> None:
    resp = falcon.Response()
    apply_preference(resp, None)
    assert resp.get_header("Preference-Applied") is None
    apply_preference(resp, "minimal")
    assert resp.get_header("Preference-Applied") == "return=minimal"
