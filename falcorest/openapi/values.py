"""Values: BSON's types as JSON Schema, in the relaxed Extended JSON that is sent and taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bson import Binary, Decimal128, ObjectId

from falcorest.bson_json import INT32, INT64
from falcorest.openapi.components import Components, Schema
from falcorest.plain_json import ENCODERS

#: Keys of objects that may be stored, see :mod:`falcorest.bson_json`.
KEY = r"^[^$.\u0000][^.\u0000]*$"


def wrapper(**keys: Any) -> Schema:
    """Return the schema of an Extended JSON object, by its keys without their dollar signs."""
    return _object({f"${name}": schema for name, schema in keys.items()})


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


#: RFC 4648, section 4.
BASE64: Schema = {
    **_text("^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"),
    "contentEncoding": "base64",
}
_WHOLE = _text("^-?[0-9]{1,18}$")
INT64_BOUNDS: Schema = {"minimum": INT64.start, "maximum": INT64.stop - 1}
_UINT32: Schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}

#: What JSON has no type for, by the name of its component.
EXTENDED: dict[str, Schema] = {
    "ObjectId": wrapper(oid=_text("^[0-9a-fA-F]{24}$")),
    "Date": wrapper(
        date={
            "anyOf": [
                {"type": "string", "format": "date-time"},
                wrapper(numberLong=_WHOLE),
                {
                    "type": "integer",
                    **INT64_BOUNDS,
                    "description": "Milliseconds since 1970; it is shown as one of these.",
                },
            ]
        }
    ),
    "NumberDecimal": wrapper(
        numberDecimal=_text(
            r"^(-?([0-9]{1,34}|[0-9]{1,17}\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?|NaN|-?Infinity)$"
        )
    ),
    "NumberDouble": wrapper(numberDouble=_text(r"^(-?[0-9]+(\.[0-9]+)?|NaN|-?Infinity)$")),
    "NumberLong": wrapper(numberLong=_WHOLE),
    "Binary": wrapper(
        binary=_object(
            {
                "base64": BASE64,
                "subType": _text("^[0-9a-fA-F]{1,2}$"),
            }
        )
    ),
    "RegularExpression": wrapper(
        regularExpression=_object(
            {"pattern": _text(r"^[^\u0000]*$"), "options": _text("^[ilmsux]*$")}
        )
    ),
    "Timestamp": wrapper(timestamp=_object({"t": _UINT32, "i": _UINT32})),
    "Symbol": wrapper(symbol={"type": "string"}),
    "MinKey": wrapper(minKey={"const": 1}),
    "MaxKey": wrapper(maxKey={"const": 1}),
}

#: The same as it is shown, where that may have more digits than anybody should send.
SHOWN: dict[str, Schema] = {
    "ShownDate": wrapper(
        date={
            "anyOf": [
                {"type": "string", "format": "date-time"},
                wrapper(numberLong=_text("^-?[0-9]{1,19}$")),
            ]
        }
    ),
    "ShownDecimal": wrapper(
        numberDecimal=_text(r"^(-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?|NaN|-?Infinity)$")
    ),
}

#: The types that stand for several, and those of JSON's own, as they are shown.
_SHOWN: dict[str, list[Any]] = {
    "double": [{"type": "number"}, "NumberDouble"],
    "string": [{"type": "string"}],
    "object": [{"type": "object"}],
    "array": [{"type": "array"}],
    "binData": ["Binary"],
    "undefined": [{"type": "null"}],
    "objectId": ["ObjectId"],
    "bool": [{"type": "boolean"}],
    "date": ["ShownDate"],
    "null": [{"type": "null"}],
    "regex": ["RegularExpression"],
    "dbPointer": ["Reference"],
    "javascript": ["Code"],
    "symbol": [{"type": "string"}],
    "javascriptWithScope": ["Code"],
    "int": [
        {"type": "integer", "format": "int32", "minimum": INT32.start, "maximum": INT32.stop - 1}
    ],
    "timestamp": ["Timestamp"],
    "long": [{"type": "integer", "format": "int64", **INT64_BOUNDS}],
    "decimal": ["ShownDecimal"],
    "minKey": ["MinKey"],
    "maxKey": ["MaxKey"],
    "number": [{"type": "number"}, "NumberDouble", "ShownDecimal"],
}

# NOTE: a JSON number is stored as the smallest type that holds it, so these have to say theirs.
_SENT: dict[str, list[Any]] = {
    **_SHOWN,
    "date": ["Date"],
    "decimal": ["NumberDecimal"],
    "double": [{"type": "number", "not": {"type": "integer"}}, "NumberDouble"],
    "long": ["NumberLong"],
    "symbol": ["Symbol"],
    "number": [
        {"type": "number", **INT64_BOUNDS},
        "NumberDouble",
        "NumberDecimal",
    ],
}

# NOTE: what falcorest.plain_json writes as text; the rest is shown as Extended JSON.
_PLAIN_TEXTS: dict[type, Schema] = {
    **{kind: {"type": "string"} for kind in ENCODERS},
    ObjectId: {"type": "string", "pattern": "^[0-9a-f]{24}$"},
    datetime: {"type": "string", "format": "date-time"},
}
_PLAIN: dict[str, list[Any]] = {
    **_SHOWN,
    "objectId": [_PLAIN_TEXTS[ObjectId]],
    # NOTE: a year that Python doesn't know is Extended JSON.
    "date": [_PLAIN_TEXTS[datetime], "ShownDate"],
    "decimal": [_PLAIN_TEXTS[Decimal128]],
    "binData": [_PLAIN_TEXTS[Binary]],
    "double": [{"type": ["number", "null"]}],
    "number": [{"type": ["number", "null"]}, _PLAIN_TEXTS[Decimal128]],
}

#: The names by which ``type`` of a validator calls them.
_ALIASES = {"boolean": "bool", "integer": "int"}


def of_type(components: Components, name: str, *, sent: bool, plain: bool = False) -> list[Schema]:
    """Return the schemas that a value of a BSON type may follow.

    Args:
        components: Where the ones of Extended JSON are put.
        name: Of the type, as ``$type`` and validators know it.
        sent: Whether it is what a client sends; else what is shown.
        plain: Whether what is shown is plain JSON.
    """
    if sent and name == "object":
        return [sent_object(components)]
    if sent and name == "array":
        return [{"type": "array", "items": sent_value(components)}]
    table = _SENT if sent else _PLAIN if plain else _SHOWN
    found = table.get(_ALIASES.get(name, name), [{}])
    return [_kind(components, one) if isinstance(one, str) else dict(one) for one in found]


def _kind(components: Components, name: str) -> Schema:
    own = {"Reference": reference, "Code": code}.get(name)
    return extended(components, name) if own is None else own(components)


def extended(components: Components, name: str) -> Schema:
    """Return a reference to the schema of an Extended JSON object."""
    return components.schema(name, lambda: EXTENDED.get(name) or SHOWN[name])


def code(components: Components) -> Schema:
    """Return a reference to the schema of JavaScript, perhaps with a scope."""

    def make() -> Schema:
        scope = sent_object(components)
        return {**_object({"$code": {"type": "string"}, "$scope": scope}), "required": ["$code"]}

    return components.schema("Code", make)


def reference(components: Components) -> Schema:
    """Return a reference to the schema of a DBRef, which may have fields of its own."""

    def make() -> Schema:
        dollars = "|".join(rf"\${name}" for name in ("ref", "id", "db"))
        return {
            "type": "object",
            # NOTE: many programs take a property of that name for a reference to a schema.
            "patternProperties": {
                r"^\$ref$": {"type": "string"},
                r"^\$id$": sent_value(components),
                r"^\$db$": {"type": ["string", "null"]},
            },
            "required": ["$ref", "$id"],
            "propertyNames": {"pattern": f"{KEY}|^({dollars})$"},
            "additionalProperties": sent_value(components),
        }

    return components.schema("Reference", make)


def shown_document(components: Components, *, plain: bool = False) -> Schema:
    """Return a reference to the schema of whatever document is stored.

    Args:
        components: Where it is put.
        plain: Whether it is shown as plain JSON.
    """
    written = (
        "Ids, dates, decimals and binary data are text."
        if plain
        else "What JSON has no type for is relaxed MongoDB Extended JSON v2."
    )
    return components.schema(
        "Document",
        lambda: {"type": "object", "description": f"A document as it is stored. {written}"},
        ("Document", plain),
    )


def sent_value(components: Components, *, patterns: bool = True) -> Schema:
    """Return a reference to the schema of whatever value may be stored.

    Args:
        components: Where it is put.
        patterns: Whether there may be regular expressions in it.
    """

    def make() -> Schema:
        value = sent_value(components, patterns=patterns)
        several = {"type": "array", "items": value}
        return {"description": _STORED, "anyOf": [*_single(components, patterns), several]}

    return components.schema("Value" if patterns else "ValueToPull", make)


_STORED = (
    "JSON, or MongoDB Extended JSON v2 for what JSON has no type for. An integer has 64 bits at "
    "the most."
)


def _single(components: Components, patterns: bool) -> list[Schema]:
    """Return the schemas of what isn't a list."""
    names = [name for name in EXTENDED if patterns or name != "RegularExpression"]
    return [
        {"type": ["null", "boolean", "string"]},
        {"type": "number", **INT64_BOUNDS},
        sent_object(components, patterns=patterns),
        *(extended(components, name) for name in names),
        *([code(components), reference(components)] if patterns else []),
    ]


def sent_json(components: Components) -> Schema:
    """Return a reference to the schema of whatever JSON is read."""

    def make() -> Schema:
        one = sent_json(components)
        return {
            "description": "JSON. An integer has 64 bits at the most.",
            "anyOf": [
                {"type": ["null", "boolean", "string"]},
                {"type": "number", **INT64_BOUNDS},
                {"type": "array", "items": one},
                {"type": "object", "additionalProperties": one},
            ],
        }

    return components.schema("JSON", make)


def sent_object(components: Components, *, patterns: bool = True) -> Schema:
    """Return the schema of whatever object may be stored; see :func:`sent_value`."""
    return {
        "type": "object",
        "propertyNames": {"pattern": KEY},
        "additionalProperties": sent_value(components, patterns=patterns),
    }


def sent_document(components: Components) -> Schema:
    """Return a reference to the schema of whatever document may be stored."""

    def make() -> Schema:
        return {
            **sent_object(components),
            "description": "A document to store. Without an _id it gets one. No name in it is "
            "empty, begins with a dollar sign or holds a dot or NUL.",
            "properties": {"_id": sent_id(components)},
        }

    return components.schema("NewDocument", make)


def sent_id(components: Components) -> Schema:
    """Return a reference to the schema of what may be an ``_id``."""
    return components.schema(
        "Id",
        lambda: {
            "description": "Any value but a list.",
            "anyOf": _single(components, patterns=False),
        },
    )
