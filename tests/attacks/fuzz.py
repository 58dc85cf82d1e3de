"""Mutation fuzzing of what reads a client's words: queries, ids, JSON, updates, credentials.

Each target takes a text that was made of good ones by breaking them. It may refuse the text with
a problem below 500; what it accepts must be harmless. Nothing may take long::

    python -m tests.attacks.fuzz 60        # seconds; prints a table, exit code 1 on a finding
    python -m tests.attacks.fuzz 60 7      # the same inputs each time, for the seed 7 (but tokens)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import bson
import falcon
import jwt
from bson.codec_options import CodecOptions, DatetimeConversion
from falcon.testing import create_environ
from jwt import api_jws
from marshmallow import fields as ma

from falcorest import Resource, Schema, bson_json, fields
from falcorest import operators as ops
from falcorest.auth import JWTAuthentication, TokenIssuer, User
from falcorest.auth.methods import authenticate
from falcorest.auth.tokens import ALGORITHM
from falcorest.declaration import declare
from falcorest.dialects import Dialect, SuffixDialect, TypedDialect
from falcorest.errors import Problem, Unauthorized, problem_json
from falcorest.hints import HINTS, format_id, parse_id
from falcorest.limits import Limits
from falcorest.operators import DECLARED, OPERATORS
from falcorest.patches import JSON_PATCH, MERGE_PATCH, changes, read_patch
from falcorest.preconditions import Tags
from falcorest.query import Query
from falcorest.updates import UPDATE_OPERATORS, update_from_fields, update_from_operators
from tests.support import SECRET
from tests.watching import unknown_operators

#: The most CPU time that one input may take, in seconds.
SLOW = 0.5

#: The most bytes of an answer that refuses an input. It names what is wrong and what there is.
TALKATIVE = 16 * 1024

_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class Finding(Exception):
    """What a target should not do."""


# ------------------------------------------------------------------------------- what is fuzzed


@dataclass(frozen=True)
class Target:
    """Something that reads texts.

    Attributes:
        seeds: Texts that it accepts.
        words: What is put into them.
        run: Reads a text; raises a Problem to refuse it, and a Finding where it went wrong.
        largest: The longest text that can reach it, in characters.
        is_json: Whether good texts are JSON, so that they can be changed and stay it.
    """

    name: str
    seeds: tuple[str, ...]
    words: tuple[str, ...]
    run: Callable[[str], None]
    largest: int
    is_json: bool = False


def _check_query(query: Query) -> None:
    command = {
        "filter": query.filter,
        "projection": query.projection and dict.fromkeys(query.projection, 1),
        "sort": dict(query.sort),
    }
    _check_command(command)
    if not 0 <= query.skip < 2**63 or not 0 <= (query.limit or 0) < 2**63:
        raise Finding(f"a number out of bounds: {query.skip}, {query.limit}")


def _check_command(command: Mapping[str, Any]) -> None:
    if unknown := unknown_operators(command):
        raise Finding(f"an operator that isn't allowed: {unknown}")
    # NOTE: what BSON doesn't have would break in the driver.
    bson.encode(command)


def _lists(dialect: Dialect) -> Callable[[str], None]:
    return lambda text: _check_query(dialect.parse_list(text))


def _bulks(dialect: Dialect) -> Callable[[str], None]:
    return lambda text: _check_query(dialect.parse_bulk(text))


def _items(dialect: Dialect) -> Callable[[str], None]:
    return lambda text: _check_query(dialect.parse_item(text))


def _read_id(text: str) -> None:
    identity = parse_id(text)
    encoded = bson.encode({"_id": identity})
    segment = format_id(identity)
    if segment is not None and bson.encode({"_id": parse_id(unquote(segment))}) != encoded:
        raise Finding(f"{segment!r} names another id")


def _bytes_of(text: str) -> bytes:
    # NOTE: a lone surrogate stands for a byte that isn't UTF-8.
    return text.encode("utf-8", "surrogateescape" if _has_escaped(text) else "surrogatepass")


def _has_escaped(text: str) -> bool:
    return all(not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff" for c in text)


def _read_json(text: str) -> None:
    value = bson_json.loads(_bytes_of(text))
    encoded = bson.encode({"v": value})
    read = bson.decode(encoded, _CODEC)["v"]
    written = bson_json.dumps(read)
    # NOTE: as texts, since a small integer may come back with 32 bits instead of 64.
    if bson_json.dumps(bson_json.loads(written)) != written:
        raise Finding("what was written isn't what was read")


def _read_operators(text: str) -> None:
    body = bson_json.parse(_bytes_of(text))
    if type(body) is dict:
        _check_command({"updates": [{"q": {}, "u": update_from_operators(body)}]})


def _read_fields(text: str) -> None:
    body = bson_json.parse(_bytes_of(text))
    if type(body) is dict:
        _check_command({"updates": [{"q": {}, "u": update_from_fields(body)}]})


#: What patches are applied to.
_PATCHED = {
    "_id": "x",
    "n": 1,
    "text": "flat",
    "a": {"b": {"c": 1, "d": [2]}},
    "list": [{"x": 1}, [2], 3],
    "id": {"$oid": "6195b0eb829a2784b4459a01"},
    "a/~b": True,
}


def _patches(media_type: str) -> Callable[[str], None]:
    def run(text: str) -> None:
        given = read_patch(media_type, bson_json.parse(_bytes_of(text)), Limits())
        before = deepcopy(_PATCHED)
        after = given.apply(before)
        if before != _PATCHED or given.apply(before) != after:
            raise Finding("it changes what it is given")
        if type(after) is dict:
            changed, gone = changes(before, after)
            update = {"$set": changed, "$unset": dict.fromkeys(gone, "")}
            _check_command({"updates": [{"q": {}, "u": update_from_operators(update)}]})

    return run


def _read_tags(text: str) -> None:
    tags = Tags.read("If-Match", text)
    if not (tags.any or tags.strong or tags.weak):
        raise Finding("no tag at all")


_ISSUER = TokenIssuer(SECRET, 10**6)
_METHODS = [JWTAuthentication(_ISSUER)]
_TESTER = User("tester", ("admin",))


def _read_header(text: str) -> None:
    """Read an Authorization header; nobody but the tester may come out of it."""
    header = text.encode("latin-1", "replace").decode("latin-1")
    environ = create_environ()
    environ["HTTP_AUTHORIZATION"] = header
    user = authenticate(falcon.Request(environ), _METHODS, required=True)
    if user != _TESTER:
        raise Finding(f"{user} is known by it")


def _read_claims(text: str) -> None:
    """Read a token that says anything, with a good signature."""
    token = api_jws.encode(_bytes_of(text), SECRET, ALGORITHM)
    user = _ISSUER.read(token)
    if user is None:
        raise Unauthorized("auth.invalid", "The token is not valid.")
    # NOTE: so much is said in answers, logs and rules.
    bson.encode({"username": user.username, "roles": list(user.roles)})


def _claims(**more: Any) -> str:
    now = int(time.time())
    return json.dumps({"sub": "x", "iat": now, "exp": now + 10**5, "roles": ["a"], **more})


class _InnerSchema(Schema):
    text = ma.String()
    number = ma.Integer()


class _ThingSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String()
    number = ma.Integer()
    real = ma.Float()
    flag = ma.Boolean()
    day = ma.Date()
    moment = ma.DateTime()
    time = ma.Time()
    duration = ma.TimeDelta()
    price = ma.Decimal()
    key = ma.UUID()
    owner = fields.Reference("owners")
    money = fields.Decimal128()
    inner = ma.Nested(_InnerSchema)
    tags = ma.List(ma.String())


_TEXTS = ("text", "inner__text", "tags")
_OTHERS = tuple(name for name in _ThingSchema().fields if name not in ("inner", "tags", "text"))
_OF_TEXTS = [one for one in DECLARED if one.op != "boolean"]
_OF_OTHERS = [ops.Exact, ops.Ne, ops.Lt, ops.Lte, ops.Gt, ops.Gte, ops.In, ops.Exists]


class _ThingResource(Resource):
    collection = "things"
    schema = _ThingSchema
    filters = {
        **{name: [one(allow_negation=True) for one in _OF_TEXTS] for name in _TEXTS},
        **{name: [one(allow_negation=True) for one in _OF_OTHERS] for name in _OTHERS},
        "flag": [ops.Boolean],
    }
    allowed_ordering = ["text", "-text", "number", "-inner__text", "price"]


_TYPED_SEEDS = (
    "country=USA&thrust=gte[int].50",
    "a=not.eq[int].-5&a=lt[float].1.5e3&a=in[list-int].[1,2,3]",
    'a=all[list-str].[a,"b,]c",]&b=nin[list-date].[2021-11-01]&c=size[int].2',
    "a=exists[bool].true&b=type[str].string&c=regex[str].^a.*b$",
    "a=[datetime].2021-11-01T10:00:00.123Z&b=[time].10:11:12.5&c=[timedelta].P1DT2H",
    "a=[oid].6195b0eb829a2784b4459a01&b=[decimal].1.50&c=[null].&d.e.0=[str].[x].y",
    "or=(a.eq[int].1,and(b.not.gte[float].2.5,c.in[list-str].[x,y]),nor(d.eq[str].x))",
    'and=(a.eq[str]."q,)\\"\\\\",b.eq[str].)&nor=(a.size[int].0)',
    "_projection=a,b.c,d&_sort=(a:ascending),(b.c:descending)&_limit=5&_skip=10",
    "a=%C3%A9+x%2B&%62=%ff",
    "_after=&_limit=5&_count=exact",
    "_before=AAAA-_&_sort=(a:descending)&_count=estimated",
)
_TYPED_ITEM_SEEDS = ("_projection=a", "_projection=a,b.c,d.0.e", "_projection=%C3%A9+x%2B")
_TYPED_WORDS = (
    *("&", "=", "(", ")", "[", "]", ",", ".", '"', "\\", ":", "%", "+", "$", "-", "not.", "$where"),
    *("$expr", "%00", "%ff", "%24", "%ED%A0%80", "é", "\x00", "١", "[].", "_limit=", "_sort=(a:"),
    *("_projection=", "or=(", "and(", "nor(", "1e400", "9223372036854775808", "-0", "NaN", "0x1"),
    *(f"{one}[" for one in OPERATORS),
    *(f"[{one}]." for one in HINTS),
    *(f"[list-{one}].[" for one in HINTS),
)
_SUFFIX_SEEDS = (
    "text=a&number__gte=5&real__lt=1.5&flag=true",
    "text__not__in=a,b,,c&text__icontains=%C3%A9&inner__text__startswith=x",
    "day__gt=2021-11-01&moment__lte=2021-11-01T10:00:00&time=10:11:12&duration__ne=90",
    "price__in=1.50,2&key=00000000-0000-0000-0000-000000000001&money__gte=1E5",
    "owner=6195b0eb829a2784b4459a01&id__in=6195b0eb829a2784b4459a01&tags__exists=true",
    "_limit=5&_skip=1&_fields=text,number&_order_by=-text,number",
    "_limit=5&_after=AAAA-_&_count=capped",
    "_fields=_all&text__endswith=.*%5E$",
)
_SUFFIX_ITEM_SEEDS = ("_fields=text", "_fields=text,number,_all", "_fields=%C3%A9+x%2B,text")
_SUFFIX_WORDS = (
    *(
        "&",
        "=",
        ",",
        "__",
        "__not",
        "__not__",
        ".",
        "%",
        "+",
        "-",
        "_fields=",
        "_order_by=",
        "_all",
    ),
    *("$where", "%00", "%ff", "%ED%A0%80", "é", "\x00", "1e400", "nan", "9223372036854775808"),
    *("9999-12-31T23:59:59.999999-23:59", "0001-01-01", "24:00", "sNaN", "1E+7000", "(?i).*"),
    *(f"__{one.op}=" for one in DECLARED),
    *(f"&{name}" for name in _ThingSchema().fields),
)
_ID_SEEDS = (
    *("rs-25", "6195b0eb829a2784b4459a01", "[int].5", "[str].6195b0eb829a2784b4459a01"),
    *("[float].1.5", "[bool].true", "[null].", "[decimal].1.50", "[date].2021-11-01", "a/b c"),
    *("[datetime].2021-11-01T10:00:00.123Z", "[time].10:11", "[timedelta].PT5M", "é☄/"),
)
_ID_WORDS = (
    *("[", "]", ".", "/", "-", "\x00", "\ufffd", "١", "%", "[list-int].", "e", "0", "1e400", "NaN"),
    *(f"[{one}]." for one in HINTS),
)
_JSON_SEEDS = (
    '{"_id": "x", "a": 1, "b": [1, 2.5, -0.0, true, null, "text \\u00e9 \\ud83d\\ude80"]}',
    '[{"a": {"$oid": "6195b0eb829a2784b4459a01"}}, {"b": {"$date": "2021-11-01T10:00:00.5Z"}}]',
    '{"a": {"$date": {"$numberLong": "-62135596800001"}}, "b": {"$numberLong": "5"}}',
    '{"a": {"$numberDecimal": "1.50"}, "b": {"$numberDouble": "NaN"}, "c": {"$numberInt": "1"}}',
    '{"a": {"$binary": {"base64": "AAE=", "subType": "80"}}, "b": {"$minKey": 1}}',
    '{"a": {"$regularExpression": {"pattern": "a", "options": "i"}}, "b": {"$maxKey": 1}}',
    '{"a": {"$code": "x", "$scope": {"b": 1}}, "b": {"$timestamp": {"t": 1, "i": 2}}}',
    '{"a": {"$ref": "c", "$id": {"$oid": "6195b0eb829a2784b4459a01"}, "x": [1]}}',
    '{"a": {"$uuid": "00000000-0000-0000-0000-000000000001"}, "b": {"$symbol": "s"}}',
    '{"a" : 9223372036854775807, "b": -9223372036854775808, "c": 1e308, "d": {"e": {"f": {}}}}',
)
_JSON_WORDS = (
    *("{", "}", "[", "]", ",", ":", '"', "\\", '\\u0000"', "\\ud800", "\\udc00", "\x00", "\udcff"),
    *("NaN", "Infinity", "-Infinity", "1e400", "9223372036854775808", "1e5", "-0", "00", "null"),
    *('"a":', '"":', '"a.b":', '"$where":', '"$a":', '"a\\u0000":', "\ufeff", "١", '{"a":', "[["),
    *('"$date":', '"$oid":', '"$numberLong":', '"$numberDecimal":', '"$ref":', '"$id":', '"$db":'),
    *('"$numberDouble":', '"$scope":', '"$code":', '"$binary":', '"1E6145"', '"1_0"', '"99999"'),
)
_UPDATE_SEEDS = (
    '{"$set": {"a": 1, "b.c": {"d": [1]}}, "$unset": {"x": ""}, "$inc": {"n": 1.5}}',
    '{"$push": {"a": {"$each": [1, {"b": 2}], "$position": 0, "$slice": -5, "$sort": {"b": -1}}}}',
    '{"$push": {"a": {"b": 1}}, "$addToSet": {"c": {"$each": [1, 2]}}, "$pop": {"d": -1}}',
    '{"$pull": {"a": {"$in": [1, 2]}, "b": {"c": {"$gte": 5}, "d": "x"}}, "$pullAll": {"e": [1]}}',
    '{"$rename": {"a": "b.c"}, "$currentDate": {"d": {"$type": "timestamp"}, "e": true}}',
    '{"$mul": {"a": {"$numberDecimal": "1.5"}}, "$min": {"b": 1}, "$max": {"c": "x"}}',
)
_UPDATE_WORDS = (
    *_JSON_WORDS,
    *('"$each":', '"$slice":', '"$sort":', '"$position":', '"$in":', '"$elemMatch":', '"$not":'),
    *('"$regex":', '"a.$":', '"a.$[]":', '"a..b":', '"$bit":', '"$setOnInsert":', '"$merge":'),
    *(f'"{one}":' for one in UPDATE_OPERATORS),
)
_FIELD_SEEDS = (
    '{"name": "x", "engine.cycle": {"a": [1, {"b": null}]}, "n.0.m": {"$numberLong": "5"}}',
    '{"a": {"$oid": "6195b0eb829a2784b4459a01"}, "_id": "x", "b.c.d.e": [[], {}]}',
)
_MERGE_SEEDS = (
    '{"a": {"b": {"c": 2, "d": null}}, "list": [1, {"x": null}], "n": null}',
    '{"id": {"$oid": "6195b0eb829a2784b4459a01"}, "a": {"b": "flat"}, "new": {"x": {}}}',
    '{"n": 5, "text": null, "list": []}',
)
_PATCH_SEEDS = (
    '[{"op": "test", "path": "/n", "value": 1}, {"op": "replace", "path": "/n", "value": 2}]',
    '[{"op": "add", "path": "/list/-", "value": {"x": [1]}}, {"op": "remove", "path": "/list/0"}]',
    '[{"op": "move", "from": "/a/b", "path": "/m"}, {"op": "add", "path": "/a~1~0b", "value": 1}]',
    '[{"op": "copy", "from": "/list", "path": "/n"}, {"op": "copy", "from": "", "path": "/c"}]',
    '[{"op": "replace", "path": "", "value": {"_id": "x"}}, {"op": "remove", "path": "/_id"}]',
)
_PATCH_WORDS = (
    *_JSON_WORDS,
    *('"op":', '"path":', '"from":', '"value":', '"/', "/-", "/0", "/01", "~", "~0", "~1", "~2"),
    *('"/a"', '"/a/b"', '"/list/9"', '"/id/$oid"', '""', '"/"', '"move"', '"copy"', '"test"'),
)
_TAG_SEEDS = ('"a"', 'W/"a", "b-gzip"', "*", ' "a" , "b",, "c"', '"\x80\xff", W/"!"')
_TAG_WORDS = ('"', "W/", "w/", ",", " ", "\t", "*", "\\", "\x7f", "\x00", '""', '-br"', "\u0100")


def _header_seeds() -> tuple[str, ...]:
    token = _ISSUER.issue(_TESTER.username, _TESTER.roles)
    unsigned = jwt.encode({"sub": "x", "iat": 0, "exp": 10**6}, None, "none")
    return (f"Bearer {token}", f"bearer  {token} ", f"Bearer {unsigned}", "Basic YTpi", "ApiKey x")


_HEADER_WORDS = (
    *(" ", "\t", ",", ".", "..", "=", "-", "_", "\xa0", "\xff", "\x85", "\0", "Bearer", "Basic "),
    *("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9", "e30", "bnVsbA", "W10", "AA", "Token ", "é"),
)
_CLAIM_WORDS = (
    *_JSON_WORDS,
    *('"sub":', '"iat":', '"exp":', '"roles":', '"nbf":', '"aud":', '"iss":', '"crit":', '"":'),
)
_KEYS = (
    *("a", "b", "_id", "a.b", "a.0.b", "", ".", "a..b", "a.$.b", "$", "$a", "$where", "a\0", "é"),
    *("$set", "$unset", "$push", "$pull", "$each", "$slice", "$sort", "$position", "$in", "$gt"),
    *("$date", "$oid", "$numberLong", "$ref", "$id", "$db", "$code", "$scope", "__proto__", "0"),
    *("sub", "iat", "exp", "nbf", "roles", "aud", "iss", "jti"),
)
_VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**63, 10**30, 0.5, 1e308, -0.0, True, False, None),
    *("", "x", "$x", "a\0b", "\ud800", "é", "5", "NaN", "2021-11-01T10:00:00Z", [], {}, [[]], [{}]),
    *({"$gt": ""}, {"$where": "1"}, {"$date": 5}, {"$oid": 5}, {"$numberLong": "9" * 30}, {"": 1}),
    *({"$date": "9999-12-31T23:59:59-14:00"}, {"$date": {"$numberLong": "9" * 18}}),
    *({"$numberDecimal": "1E7000"}, {"$numberDouble": "1e999"}, {"$timestamp": {"t": -1, "i": 0}}),
    *({"$binary": {"base64": "A", "subType": "0"}}, {"$code": "1", "$scope": {"$x": 1}}),
    *({"$regularExpression": {"pattern": "a\0", "options": ""}}, {"$minKey": True}),
    *({"$ref": "c", "$id": {"$ref": "d", "$id": {"$gt": 1}}}, {"$ref": "", "$id": 1, "$db": ""}),
)


def targets() -> list[Target]:
    """Return all that is fuzzed."""
    typed = TypedDialect(regex=True)
    declaration = declare(_ThingResource)
    suffix = SuffixDialect(declaration.filters, declaration.ordering)
    query, url, body = Limits().max_query_bytes, 64 * 1024, 512 * 1024
    return [
        Target("typed list", _TYPED_SEEDS, _TYPED_WORDS, _lists(typed), query),
        Target("typed bulk", _TYPED_SEEDS, _TYPED_WORDS, _bulks(typed), query),
        Target("typed item", _TYPED_ITEM_SEEDS, _TYPED_WORDS, _items(typed), query),
        Target("suffix list", _SUFFIX_SEEDS, _SUFFIX_WORDS, _lists(suffix), query),
        Target("suffix bulk", _SUFFIX_SEEDS, _SUFFIX_WORDS, _bulks(suffix), query),
        Target("suffix item", _SUFFIX_ITEM_SEEDS, _SUFFIX_WORDS, _items(suffix), query),
        Target("id", _ID_SEEDS, _ID_WORDS, _read_id, url),
        Target("JSON", _JSON_SEEDS, _JSON_WORDS, _read_json, body, True),
        Target("operators", _UPDATE_SEEDS, _UPDATE_WORDS, _read_operators, body, True),
        Target("fields", _FIELD_SEEDS + _JSON_SEEDS, _JSON_WORDS, _read_fields, body, True),
        Target("merge patch", _MERGE_SEEDS, _JSON_WORDS, _patches(MERGE_PATCH), body, True),
        Target("JSON Patch", _PATCH_SEEDS, _PATCH_WORDS, _patches(JSON_PATCH), body, True),
        Target("entity tags", _TAG_SEEDS, _TAG_WORDS, _read_tags, url),
        Target("credentials", _header_seeds(), _HEADER_WORDS, _read_header, url),
        Target("claims", (_claims(), _claims(aud="x")), _CLAIM_WORDS, _read_claims, url, True),
    ]


# ---------------------------------------------------------------------------------- mutations


class Mutator:
    """Breaks good texts; the same ones for the same seed."""

    def __init__(self, target: Target, seed: int) -> None:
        self._random = Random(f"{target.name} {seed}")
        self._target = target

    def text(self) -> str:
        """Return a broken text, mostly a short one."""
        random = self._random
        text = random.choice(self._target.seeds)
        if self._target.is_json and random.random() < 0.7:
            text = json.dumps(self._changed(json.loads(text)))
            if random.random() < 0.7:
                return text
        for _ in range(random.choice((1, 1, 1, 1, 2, 3, 6))):
            text = random.choice(_MUTATIONS)(self, text)
        if random.random() < 0.02:
            text = self._stretched(text)
        return text[: self._target.largest]

    def _changed(self, tree: Any) -> Any:
        """Put another value, or another key, somewhere into parsed JSON."""
        random = self._random
        for _ in range(random.choice((1, 1, 2, 4))):
            place = tree
            while isinstance(place, (dict, list)) and place and random.random() < 0.8:
                key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
                inner = place[key]
                if not isinstance(inner, (dict, list)) or random.random() < 0.2:
                    place[key] = self._value()
                    break
                place = inner
            if isinstance(place, dict):
                if place and random.random() < 0.2:
                    del place[random.choice(list(place))]
                if random.random() < 0.5:
                    place[random.choice(_KEYS)] = self._value()
            elif isinstance(place, list):
                place.append(self._value())
        return tree

    def _value(self) -> Any:
        seed = json.loads(self._random.choice(self._target.seeds))
        return deepcopy(self._random.choice((*_VALUES, seed, *_inside(seed))))

    def _cut(self, text: str) -> tuple[str, str, str]:
        start, end = sorted(self._random.randrange(len(text) + 1) for _ in range(2))
        end = min(end, start + self._random.choice((1, 2, 8, 64, 10**6)))
        return text[:start], text[start:end], text[end:]

    def _word(self) -> str:
        return self._random.choice(self._target.words)

    def insert(self, text: str) -> str:
        at = self._random.randrange(len(text) + 1)
        return text[:at] + self._word() + text[at:]

    def replace(self, text: str) -> str:
        before, _, behind = self._cut(text)
        return before + self._word() + behind

    def delete(self, text: str) -> str:
        before, _, behind = self._cut(text)
        return before + behind

    def repeat(self, text: str) -> str:
        before, middle, behind = self._cut(text)
        return before + middle * self._random.choice((2, 3, 25, 110)) + behind

    def splice(self, text: str) -> str:
        other = self._random.choice(self._target.seeds)
        return self._cut(text)[0] + self._cut(other)[1] + self._cut(text)[2]

    def spell(self, text: str) -> str:
        """Put any character in the place of one, perhaps percent-encoded."""
        before, middle, behind = self._cut(text)
        character = chr(self._random.choice((self._random.randrange(128), 0xE9, 0x2028, 0x1F680)))
        return before + self._random.choice((character, quote(character))) + middle[1:] + behind

    def _stretched(self, text: str) -> str:
        """Repeat a piece as often as there is room: what is quadratic shows."""
        before, middle, behind = self._cut(text)
        middle = self._random.choice((middle, middle[:1], self._word())) or self._word()
        behind += self._random.choice(("", "", "x", "/", '"'))
        # NOTE: a single value may have less than a whole query string, and a pattern still less.
        longest = self._random.choice((self._target.largest, 4000, 250))
        room = longest - len(before) - len(behind)
        return before + middle * max(1, room // len(middle)) + behind


def _inside(tree: Any) -> list[Any]:
    return list(tree.values() if isinstance(tree, dict) else tree)


_MUTATIONS = (
    *(Mutator.insert, Mutator.insert, Mutator.replace, Mutator.replace),
    *(Mutator.delete, Mutator.repeat, Mutator.splice, Mutator.spell),
)

# ------------------------------------------------------------------------------------ running


@dataclass
class Result:
    """What came of one target.

    Attributes:
        slowest: CPU seconds of the slowest input, and the input.
        findings: The shortest input for each thing that went wrong.
    """

    name: str
    inputs: int = 0
    refused: int = 0
    slowest: tuple[float, str] = (0.0, "")
    findings: dict[str, str] = field(default_factory=dict)

    def note(self, finding: str, text: str) -> None:
        """Note that something went wrong."""
        known = self.findings.get(finding)
        if known is None or len(text) < len(known):
            self.findings[finding] = text


def attempt(target: Target, text: str) -> tuple[bool, str | None]:
    """Give a text to a target; return whether it was refused, and what went wrong."""
    try:
        target.run(text)
    except Problem as problem:
        if problem.status >= 500:
            return True, f"{problem.status} {problem.detail}"
        answer = problem_json(problem.to_dict())
        if len(answer) > TALKATIVE:
            return True, f"an answer of more than {TALKATIVE} bytes: {problem.code}"
        return True, None
    except Exception as error:
        return False, f"{type(error).__name__}: {str(error)[:200]}"
    return False, None


def fuzz(target: Target, seed: int, *, seconds: float = 1e9, inputs: int = 10**12) -> Result:
    """Give broken texts to a target, until the time is up or there were enough."""
    result = Result(target.name)
    mutator = Mutator(target, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end and result.inputs < inputs:
        text = mutator.text()
        start = time.thread_time()
        refused, finding = attempt(target, text)
        took = time.thread_time() - start
        result.inputs += 1
        result.refused += refused
        result.slowest = max(result.slowest, (took, text))
        if took > SLOW and finding is None:
            finding = f"it took more than {SLOW} s"
        if finding is not None:
            result.note(finding, text)
    return result


def shown(text: str) -> str:
    """Return a text as it is printed: in ASCII, and the middle of a long one left out."""
    escaped = ascii(text)
    if len(escaped) > 300:
        return f"{escaped[:200]} ({len(text)} characters in all) {escaped[-60:]}"
    return escaped


def report(results: list[Result]) -> list[str]:
    """Return the lines of a table of results."""
    lines = [f"{'target':12} {'inputs':>9} {'refused':>8} {'slowest':>9}  findings"]
    for one in results:
        share = f"{100 * one.refused / max(one.inputs, 1):.0f} %"
        slowest = f"{1000 * one.slowest[0]:.0f} ms"
        lines.append(f"{one.name:12} {one.inputs:9} {share:>8} {slowest:>9}  {len(one.findings)}")
    return lines


def main(seconds: float, seed: int) -> int:
    """Fuzz all targets in turn; return the exit code."""
    chosen = targets()
    started = time.monotonic()
    results = [fuzz(target, seed, seconds=seconds / len(chosen)) for target in chosen]
    print(*report(results), sep="\n")
    for one in results:
        print(f"slowest {one.name}: {one.slowest[0]:.3f} s: {shown(one.slowest[1])}")
    for one in results:
        for finding, text in one.findings.items():
            print(f"FINDING {one.name}: {finding}: {shown(text)}")
    print(f"seed {seed}, {time.monotonic() - started:.0f} seconds")
    return 1 if any(one.findings for one in results) else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
