"""The parts of descriptions: validators, samples, values, fields, parameters, errors, security."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from apispec import APISpec
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from marshmallow import fields as ma

from falcorest import bson_json, cors, fields, methods, plain_json
from falcorest.auth import (
    ApiKeyAuthentication,
    AuthenticationBase,
    BasicAuthentication,
    TokenAuthentication,
)
from falcorest.bson_json import WRAPPER_KEYS
from falcorest.dialects import suffix, typed
from falcorest.errors import CODES, BadRequest
from falcorest.idempotency import read_key
from falcorest.openapi.answers import APPLIES, Traits, like, may_come
from falcorest.openapi.components import Components, title_of, unique
from falcorest.openapi.fields import Fields
from falcorest.openapi.headers import ANSWER, REQUEST
from falcorest.openapi.operations import _ANSWERS, _BODIES, NAMES
from falcorest.openapi.parameters import CONTROLS
from falcorest.openapi.samples import DEPTH, FIELDS, Sample
from falcorest.openapi.security import Security
from falcorest.openapi.updates import ARGUMENTS
from falcorest.openapi.validators import Validator
from falcorest.openapi.values import EXTENDED, of_type, sent_document, sent_value
from falcorest.operators import BSON_TYPES
from falcorest.preconditions import Tags
from falcorest.updates import UPDATE_OPERATORS

VALUES: list[tuple[str, Any]] = [
    ("double", 1.5),
    ("double", float("nan")),
    ("string", "a"),
    ("object", {"a": 1}),
    ("array", [1]),
    ("binData", b"ab"),
    ("binData", Binary(b"ab", 4)),
    ("objectId", ObjectId()),
    ("bool", True),
    ("date", dt.datetime(2020, 1, 1)),
    ("date", dt.datetime(1950, 1, 1)),
    ("date", DatetimeMS(2**50)),
    ("null", None),
    ("regex", Regex("^a", "i")),
    ("javascript", Code("1")),
    ("javascriptWithScope", Code("1", {"a": 1})),
    ("int", 5),
    ("timestamp", Timestamp(1, 2)),
    ("long", Int64(2**40)),
    ("decimal", Decimal128("1.5E+3")),
    ("minKey", MinKey()),
    ("maxKey", MaxKey()),
    ("dbPointer", DBRef("a", ObjectId())),
]


def valid(schema: Any, components: Components, value: Any) -> bool:
    """Tell whether a value, as it is shown, follows a schema."""
    whole = {**schema, "components": {"schemas": components.schemas}}
    shown = bson_json.parse(bson_json.dumps(value), 100)
    return bool(jsonschema.Draft202012Validator(whole).is_valid(shown))


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_a_value_follows_the_schemas_of_its_type(name: str, value: Any) -> None:
    components = Components()
    shown = {"anyOf": of_type(components, name, sent=False)}
    assert valid(shown, components, value)
    # NOTE: what isn't of the smallest type that holds it has to be spelt out by a client.
    if name not in {"long", "double"} or value != value:
        assert valid({"anyOf": of_type(components, name, sent=True)}, components, value)
    assert valid(sent_value(components), components, value)
    sample = Sample.of([{"a": value}])
    assert valid(sample.schema(components), components, {"a": value})
    assert valid(sample.schema(components, sent=True), components, {"a": value})


def test_every_type_and_every_kind_of_extended_json_has_its_schema() -> None:
    components = Components()
    for name in BSON_TYPES:
        assert of_type(components, name, sent=False) != [{}], name
        assert of_type(components, name, sent=True) != [{}], name
    text = str([EXTENDED, components.schemas])
    # NOTE: those two are other ways to say it.
    assert {key for key in WRAPPER_KEYS if key not in text} <= {"$uuid", "$numberInt"}


@pytest.mark.parametrize(
    "document", [{"": 1}, {"$a": 1}, {"a.b": 1}, {"a": {"b\0": 1}}, {"a": 2**63}]
)
def test_what_may_not_be_stored_does_not_follow_the_schema(document: Any) -> None:
    components = Components()
    schema = {**sent_document(components), "components": {"schemas": components.schemas}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)


def test_tables_have_a_row_for_all_there_is() -> None:
    assert set(ARGUMENTS) == set(UPDATE_OPERATORS)
    assert set(NAMES) == set(_ANSWERS) == set(methods.ALL)
    assert {method for method in methods.ALL if method in _BODIES} == {
        *(methods.Create, methods.BulkCreate, methods.Update, methods.Replace, methods.BulkUpdate),
    }


def test_every_code_has_a_rule_and_every_rule_is_for_codes() -> None:
    families = {code.partition(".")[0] for code in CODES}
    assert {code for code in CODES if not {code, code.partition(".")[0]} & set(APPLIES)} == set()
    assert set(APPLIES) <= {*CODES, *families}


def test_every_parameter_and_header_is_described() -> None:
    controls = {*typed.LIST_CONTROLS, *typed.ITEM_CONTROLS, *suffix.CONTROLS, *suffix.ITEM_CONTROLS}
    assert set(CONTROLS) == controls
    # NOTE: the others belong to logging in, to bodies and to errors, or may be read anyway.
    assert set(REQUEST) == set(cors.SENT) - {
        *("Authorization", "X-API-Key", "Content-Type", "X-Request-ID")
    }
    others = {"Accept-Patch", "Retry-After", "WWW-Authenticate"}
    assert set(ANSWER) - {"Cache-Control", "Vary"} == set(cors.READ) - others


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a b", '"a b"', '"a,b"', r'"a\"b"', "x" * 255, "x" * 256, '"' + "x" * 255 + '"'),
        *('"' + "x" * 256 + '"', "a,b", '"', '""', '"a', "é", r'"\a"'),
    ],
)
def test_a_key_is_described_as_it_is_read(text: str) -> None:
    try:
        read = bool(read_key(text))
    except BadRequest:
        read = False
    assert bool(re.search(REQUEST["Idempotency-Key"].schema["pattern"], text)) is read


@pytest.mark.parametrize(
    "text", ["*", '"a"', 'W/"a"', '"a", W/"b"', '""', "a", '"a', "W/a", '"a" b']
)
def test_tags_are_described_as_they_are_read(text: str) -> None:
    try:
        read = bool(Tags.read("If-Match", text))
    except BadRequest:
        read = False
    assert bool(re.search(REQUEST["If-Match"].schema["pattern"], text)) is read


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_plain_json_follows_the_schemas_of_its_type(name: str, value: Any) -> None:
    components = Components()
    schemas = [
        {"anyOf": of_type(components, name, sent=False, plain=True)},
        Sample.of([{"a": value}]).schema(components, plain=True)["properties"]["a"],
    ]
    for schema in schemas:
        whole = {**schema, "components": {"schemas": components.schemas}}
        checker = jsonschema.Draft202012Validator(whole)
        assert checker.is_valid(json.loads(plain_json.dumps(value))), schema


def test_which_errors_may_come() -> None:
    fetch = Traits(filtered=True, item=True, stored=True, login=True)
    assert may_come("document.not_found", fetch)
    assert not may_come("document.duplicate", fetch)
    assert not may_come("body.malformed", fetch)
    assert not may_come("method.not_allowed", fetch)
    assert may_come("body.malformed", Traits(body=True))


# ------------------------------------------------------------------------------------- validators


def translated(said: Any, *, sent: bool = True, hidden: Any = None, readonly: Any = None) -> Any:
    return Validator(Components(), sent=sent).translate(said, hidden or {}, readonly or {})


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ({"bsonType": "string", "pattern": "^a"}, {"type": "string", "pattern": "^a"}),
        ({"type": "boolean"}, {"type": "boolean"}),
        (
            {"bsonType": "double", "minimum": 1, "exclusiveMinimum": True},
            {
                "anyOf": [
                    {"type": "number", "not": {"type": "integer"}},
                    {"$ref": "#/components/schemas/NumberDouble"},
                ],
                "exclusiveMinimum": 1,
            },
        ),
        (
            {"bsonType": ["string", "null"], "maxLength": 3},
            {"anyOf": [{"type": "string"}, {"type": "null"}], "maxLength": 3},
        ),
        ({"bsonType": "objectId"}, {"$ref": "#/components/schemas/ObjectId"}),
        ({"enum": [ObjectId("6" * 24), 1]}, {"enum": [{"$oid": "6" * 24}, 1]}),
        (
            {"items": [{"bsonType": "bool"}], "additionalItems": False},
            {"prefixItems": [{"type": "boolean"}], "items": False},
        ),
        (
            {"required": ["_id", "a"], "minProperties": 1, "additionalProperties": False},
            {"required": ["a"], "minProperties": 1, "additionalProperties": False},
        ),
        (
            {"bsonType": ["string", "null"], "anyOf": [{"enum": ["a"]}]},
            {
                "allOf": [
                    {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    {"anyOf": [{"enum": ["a"]}]},
                ]
            },
        ),
        ("nonsense", {"$ref": "#/components/schemas/Value"}),
    ],
)
def test_a_validator_is_translated(said: Any, schema: Any) -> None:
    found = translated(said)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found == schema


def test_what_is_shown_may_lack_anything() -> None:
    said = {"required": ["a"], "minProperties": 3, "not": {"required": ["b"]}}
    assert translated(said, sent=False) == {}


def test_nothing_is_said_of_hidden_fields() -> None:
    said = {
        "description": "with a secret",
        "properties": {"secret": {"enum": ["x"]}, "in": {"properties": {"secret": {}, "a": {}}}},
        "required": ["secret", "in"],
        "patternProperties": {"^secret": {}},
        "oneOf": [{"required": ["secret"]}, {"properties": {"secret": {}}}],
        "not": {"required": ["secret"]},
        "enum": [{"secret": 1}],
        "additionalProperties": {"description": "secret"},
    }
    hidden = {"secret": {}, "in": {"secret": {}}}
    for sent in (True, False):
        assert "secret" not in str(translated(said, sent=sent, hidden=hidden))
    readonly = translated(said, readonly={"in": {}})
    assert "in" not in readonly["properties"]
    assert translated(said, sent=False, readonly={"in": {}})["properties"]["in"]["readOnly"] is True


# ---------------------------------------------------------------------------------------- samples


def test_a_sample_is_bounded() -> None:
    deep: Any = {"leaf": 1}
    for _ in range(DEPTH + 3):
        deep = {"in": deep}
    wide = {f"f{number}": number for number in range(FIELDS + 50)}
    sample = Sample.of([{"deep": deep}, wide, *({} for _ in range(1000))])
    schema = sample.schema(Components())
    assert sample.count == 100
    assert len(schema["properties"]) == FIELDS
    assert "leaf" not in str(schema)


def test_a_sample_of_mixed_values_says_so() -> None:
    schema = Sample.of([{"a": 1}, {"a": 1.5}, {"a": None}, {"a": "x"}]).schema(Components())
    assert schema["properties"]["a"] == {
        "anyOf": [{"type": "number"}, {"type": "null"}, {"type": "string"}]
    }


# ------------------------------------------------------------------------------------ small parts


@pytest.mark.parametrize(
    ("name", "title"),
    [("rocket_engines", "RocketEngines"), ("a.b", "AB"), ("ü", "Resource"), ("9x", "9x")],
)
def test_titles(name: str, title: str) -> None:
    assert title_of(name) == title


def test_names_are_made_unique() -> None:
    assert unique("A", {"A", "A2"}) == "A3"


def test_schemas_may_run_in_circles() -> None:
    components = Components()
    found = components.schema("A", lambda: {"items": components.schema("A", dict)})
    assert components.schemas == {"A": {"items": found}}
    other = components.schema("A", lambda: {"type": "null"}, "another key")
    assert other == {"$ref": "#/components/schemas/A2"}


def test_equal_responses_are_one() -> None:
    components = Components()
    first = components.response("Bad", {"description": "a"})
    assert components.response("Bad", {"description": "a"}) == first
    assert components.response("Bad", {"description": "b"}) != first


def test_an_envelope_is_described_by_an_empty_one() -> None:
    schema = like({"data": [], "has_more": False, "count": 0}, {"type": "string"})
    assert schema["properties"] == {
        "data": {"type": "array", "items": {"type": "string"}},
        "has_more": {"type": "boolean"},
        "count": {"type": "integer", "minimum": 0},
    }


class Digest(AuthenticationBase):
    challenge = 'Digest realm="a, Basic b", nonce="x", Negotiate'


@pytest.mark.parametrize(
    ("method", "schemes"),
    [
        (AuthenticationBase(), {"bearer": {"type": "http", "scheme": "bearer"}}),
        (BasicAuthentication(lambda *_: None), {"basic": {"type": "http", "scheme": "basic"}}),
        (TokenAuthentication(lambda _: None), {"token": {"type": "http", "scheme": "token"}}),
        (
            ApiKeyAuthentication(lambda _: None, "X-Key"),
            {"apiKey": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        ),
        (
            Digest(),
            {
                "digest": {"type": "http", "scheme": "digest"},
                "negotiate": {"type": "http", "scheme": "negotiate"},
            },
        ),
    ],
)
def test_security_says_what_the_challenge_says(
    method: AuthenticationBase, schemes: dict[str, Any]
) -> None:
    security = Security()
    assert security.of([method]) == [{name: []} for name in schemes]
    assert security.schemes == schemes
    assert security.of([method, method]) == [{name: []} for name in schemes]


@pytest.mark.parametrize(
    ("field", "shown", "sent"),
    [
        (ma.Integer(), {"type": "integer"}, {"type": "integer"}),
        (ma.Integer(allow_none=True), {"type": ["integer", "null"]}, {"type": ["integer", "null"]}),
        (ma.Decimal(), {"type": "string"}, {"anyOf": ...}),
        (ma.AwareDateTime(), {"format": "date-time"}, {"format": "date-time"}),
        (ma.DateTime(), {"type": "string", "format": None}, {"format": "date-time"}),
        (ma.Time(), {"type": "string"}, {"pattern": ...}),
        (ma.Raw(), {}, {"$ref": "#/components/schemas/Value"}),
        (ma.Dict(), {"type": "object"}, {"propertyNames": ..., "additionalProperties": ...}),
        (fields.ObjectId(), {"pattern": ...}, {"pattern": ...}),
        (fields.Decimal128(), {"type": "string"}, {"anyOf": ..., "type": None}),
        (fields.Binary(), {"contentEncoding": "base64"}, {"contentEncoding": "base64"}),
        (
            ma.Tuple((ma.String(), ma.Date())),
            {"prefixItems": [{"type": "string"}, {"type": "string", "format": "date"}]},
            {"items": False, "minItems": 2},
        ),
    ],
)
def test_fields(field: Any, shown: dict[str, Any], sent: dict[str, Any]) -> None:
    spec = APISpec("t", "1", "3.1.0")
    for expected, is_sent in ((shown, False), (sent, True)):
        found = Fields(spec, Components(), sent=is_sent).property(field)
        for name, value in expected.items():
            assert name in found if value is ... else found.get(name) == value, found


def test_apispec_is_imported_when_it_is_used() -> None:
    program = "import falcorest, falcorest.server, sys; print('apispec' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
