"""Bodies that are decoded while they are read come out, and are refused, as all others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from falcorest import bson_json
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.support import Api

OID = "6195b0eb829a2784b4459a7f"

ONES = [
    *("{}", '{"n":1}', '{"n":1,"in":{"a":[{"b":{"$date":"2021-11-01T09:30:00Z"}}]}}'),
    *(f'{{"_id":{{"$oid":"{OID}"}},"n":1}}', '{"n":1,"_id":"last"}', '{"_id":5}', '{"_id":1.5}'),
    *('{"_id":[1]}', '{"_id":null}', '{"_id":{"a":1}}', '{"_id":{}}', '{"_id":{"$date":"x"}}'),
    *('{"_id":{"$numberLong":"5"}}', '{"_id":{"$regularExpression":{"pattern":"a","options":""}}}'),
    *('{"a":1,"a":2}', r'{"a":1,"\u0061":2}', r'{"a\u0022:":1}', '{"a":"\\":"}', '{"a" : 1}'),
    *('{"n":9223372036854775808}', '{"n":-9223372036854775808}', '{"n":1e19}', '{"n":1e400}'),
    *('{"$oid":"x"}', f'{{"$oid":"{OID}"}}', '{"$date":"2021-11-01T09:30:00Z"}', '{"$set":{}}'),
    *('{"a.b":1}', '{"":1}', '{"a":{"$where":1}}', '{"a":{"$oid":"x"}}', '{"a":{"b":{"$oid":1}}}'),
    *('{"secret":1}', '{"in":{"secret":1}}', '{"fixed":1}', '{"by":"somebody"}', '{"v":7}'),
    *("5", '"x"', "null", "true", "NaN", "", " ", "{", '{"a":NaN}', "[", '{"a":"\\ud800"}'),
    '{"a":' * 110 + "1" + "}" * 110,
    '{"a":' * 99 + "1" + "}" * 99,
    *(json.dumps({"a": {"$numberInt": text}}) for text in ("5", "x", "5.0", "99999999999")),
]
MANY = [
    *("[]", "[{}]", "[[]]", "[5]", '[{"a":1},5]', '[{"a":1},null]', '[{"n":1},[{"n":2}]]'),
    f'[{{"$oid":"{OID}"}}]',
    f'[{{"a":{{"$oid":"{OID}"}}}},5]',
    f'[{{"a":{{"$oid":"{OID}"}}}},{{"$oid":"{OID}"}}]',
    '[{"a":{"$date":"2021-11-01T09:30:00.123Z"}},{"a":{"$minKey":1}}]',
    '[{"a":{"$date":"2021-11-01T09:30:00.123Z"}},{"a":{"$oid":"x"}}]',
    '[{"_id":"a"},{"n":1,"_id":"b"},{"_id":"a"}]',
    '[{"_id":"a"},{"secret":1}]',
    '[{"_id":"a"},{"a":{"a.b":1}}]',
    json.dumps([{"_id": number} for number in range(60)]),
]
#: What is said of the rockets.
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "protected": {"rules": {"hidden": ["secret", "in.secret"], "readonly": ["fixed"]}},
    "owned": {"rules": {"owner": "by"}},
    "counted": {"version_field": "v"},
}


def outcome(api: Api, body: str, headers: Mapping[str, str]) -> Any:
    """Return what is answered and stored, but for ids that were made."""
    raw = body.encode("utf-8", "surrogatepass")
    result = api("POST", "/api/rockets", raw=raw, headers=headers)
    answer = result.json if result.content else None
    stored = list(api.rockets.find())
    made = {str(one["_id"]): at for at, one in enumerate(stored) if str(one["_id"]) not in body}
    said = json.dumps(answer) + str(result.headers.get("location"))
    said += repr([list(one.items()) for one in stored])
    for identity, at in made.items():
        said = said.replace(identity, f"made {at}")
    if api.in_memory:
        # NOTE: mongomock can't remove some that it keeps.
        api.rockets.drop()
    else:
        api.rockets.delete_many({})
    return result.status_code, said


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("uri", ["mongo_uri", "mongomock"])
def test_a_body_is_stored_and_refused_as_if_it_were_read_first(
    name: str,
    uri: str,
    request: pytest.FixtureRequest,
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = "mongomock://" if uri == "mongomock" else request.getfixturevalue(uri)
    api = make_api(
        where, resources={"rockets": ResourceSettings(**SETTINGS[name])}, max_documents=50
    )
    kinds = ({}, {"Prefer": "return=representation"})
    expected = {}
    with monkeypatch.context() as patch:
        patch.setattr(
            bson_json, "parse_decoded", lambda body, depth: (bson_json.parse(body, depth), False)
        )
        for body in ONES + MANY:
            expected[body] = [outcome(api, body, headers) for headers in kinds]
    statuses = {status for both in expected.values() for status, _ in both}
    assert statuses >= {201, 400, 409}
    for body, both in expected.items():
        assert [outcome(api, body, headers) for headers in kinds] == both, body
