"""Schema: marshmallow's, knowing how BSON stores what marshmallow has fields for.

=============================  =====================================================
marshmallow's field            stored as
=============================  =====================================================
``Date``                       datetime, that day at 00:00 UTC
``Time``                       string ``HH:MM:SS[.ffffff]``, BSON having no time of day
``TimeDelta``                  double, seconds, BSON having no duration
``Decimal``                    Decimal128
``UUID``                       binary of subtype 4
``Enum``                       the name, or the value with ``by_value``
``IP`` and its relatives       string
=============================  =====================================================

Loading gives Python's values, as marshmallow does; :func:`to_bson` turns them into what is stored.
Dumping takes what is stored.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import functools
import ipaddress
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import marshmallow
from bson import Binary, Decimal128, ObjectId
from bson.int64 import Int64
from marshmallow import fields as ma

from falcorest.bson_json import INT64, decode
from falcorest.fields import to_decimal128

# --------------------------------------------------------------------------- what is stored


def to_bson(value: Any, depth: int = 1) -> Any:
    """Return what a schema has loaded as it is stored.

    Objects in free-form fields are held to the rules of bodies: no key starts with ``$``,
    holds a dot or NUL, or is empty; Extended JSON becomes the value that it stands for.

    Args:
        value: Of a document, a list, or a single value.
        depth: The level of the document on which it is; 1 is the document itself.

    Raises:
        BodyError: A key may not be stored (400).
        ValidationError: A number or a time is out of the range that can be stored.
    """
    try:
        return decode(_to_bson(value), depth)
    except marshmallow.ValidationError as error:
        raise marshmallow.ValidationError(_refusals(value)) from error


def _refusals(value: Any) -> Any:
    """Return what is wrong with a value that can't be stored, nested as it is; else None."""
    if isinstance(value, Mapping):
        named = {_key(key): _refusals(item) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        named = {str(index): _refusals(item) for index, item in enumerate(value)}
    else:
        try:
            _to_bson(value)
        except marshmallow.ValidationError as error:
            return error.messages
        return None
    return {name: refusal for name, refusal in named.items() if refusal is not None} or None


def name_errors(schema: marshmallow.Schema, errors: Any) -> dict[str, Any]:
    """Return errors that are nested by stored names, by the names that a schema loads.

    Args:
        schema: Its fields have those names.
        errors: As :func:`to_bson` names them.
    """
    named: dict[str, Any] = {}
    for name, field in schema.load_fields.items():
        below = errors
        for part in (name if field.attribute is None else field.attribute).split("."):
            below = below.get(part) if isinstance(below, dict) else None
        if below:
            api = name if field.data_key is None else field.data_key
            named[api] = _name_below(field, below)
    return named or {"_schema": errors}


class KindField(ma.Field[Any]):
    """Loads an embedded document by the schema of its kind; see :mod:`falcorest.selecting`.

    Args:
        field: What it takes the place of.
        load: Loads a value by its kind.
    """

    def __init__(self, field: ma.Nested, load: Callable[[Any], Any]) -> None:
        super().__init__(
            attribute=field.attribute,
            data_key=field.data_key,
            required=field.required,
            allow_none=field.allow_none,
            load_default=field.load_default,
            validate=field.validators,
        )
        self._many = bool(field.many)
        self._load = load

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not self._many:
            return self._load(value)
        if not isinstance(value, list):
            raise marshmallow.ValidationError("Not a valid list.")
        return [self._load(item) for item in value]

    def __deepcopy__(self, memo: Any) -> KindField:
        return copy.copy(self)


def holds_load_only(field: ma.Field[Any], around: frozenset[Any] = frozenset()) -> bool:
    """Tell whether a field embeds something that is never dumped.

    Args:
        field: The field.
        around: Stands for the schemas that it is in; one of them may be in itself.
    """
    leaf = leaf_of(field)
    if not isinstance(leaf, ma.Nested) or _same(leaf.schema) in around:
        return False
    within = around | {_same(leaf.schema)}
    return any(
        inner.load_only or holds_load_only(inner, within) for inner in leaf.schema.fields.values()
    )


def _same(schema: marshmallow.Schema) -> Any:
    """Return what two schemas share that have the same fields."""
    only = None if schema.only is None else frozenset(schema.only)
    return type(schema), only, frozenset(schema.exclude)


def hides(field: ma.Field[Any], around: frozenset[Any] = frozenset()) -> bool:
    """Tell whether a field embeds documents with something in them that clients can't send back.

    That is what is only dumped, and what is only loaded.

    Args:
        field: The field.
        around: Stands for the schemas that it is in; one of them may be in itself.
    """
    leaf = leaf_of(field)
    if isinstance(leaf, KindField):
        return True
    if not isinstance(leaf, ma.Nested) or _same(leaf.schema) in around:
        return False
    within = around | {_same(leaf.schema)}
    return any(
        inner.dump_only or inner.load_only or hides(inner, within)
        for inner in leaf.schema.fields.values()
    )


def keep_hidden(schema: marshmallow.Schema, data: Any, stored: Any) -> Any:
    """Return an embedded document that takes the place of another, with what that one hides.

    Args:
        schema: That of both.
        data: What is to be stored.
        stored: What is stored so far.
    """
    if not isinstance(data, dict) or not isinstance(stored, dict):
        return data
    fields = {field.attribute or name: field for name, field in schema.fields.items()}
    known = {path.partition(".")[0] for path in fields}
    kept = dict(data)
    for path in stored.keys() - known:
        kept.setdefault(path, stored[path])
    for path, field in fields.items():
        if path not in stored:
            continue
        if field.dump_only or (field.load_only and path not in data):
            kept[path] = stored[path]
        elif path in data and hides(field):
            kept[path] = _keep_below(leaf_of(field), data[path], stored[path])
    return kept


def _keep_below(leaf: ma.Field[Any], data: Any, stored: Any) -> Any:
    if not isinstance(leaf, ma.Nested):
        return data
    if isinstance(data, list) and isinstance(stored, list) and len(data) == len(stored):
        return [keep_hidden(leaf.schema, *pair) for pair in zip(data, stored, strict=True)]
    return keep_hidden(leaf.schema, data, stored)


def leaf_of(field: ma.Field[Any]) -> ma.Field[Any]:
    """Return what is in a list, or in lists of lists; anything else is its own leaf."""
    while isinstance(field, ma.List):
        field = field.inner
    return field


def _name_below(field: ma.Field[Any], errors: Any) -> Any:
    if isinstance(errors, dict) and isinstance(field, (ma.List, ma.Nested)):
        if isinstance(field, ma.List):
            return {index: _name_below(field.inner, below) for index, below in errors.items()}
        if field.schema.many or field.many:
            return {index: name_errors(field.schema, below) for index, below in errors.items()}
        return name_errors(field.schema, errors)
    return errors


def _to_bson(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        if value not in INT64:
            raise marshmallow.ValidationError("An integer may have 64 bits at the most.")
        return value
    if kind is dict:
        return {_key(key): _to_bson(item) for key, item in value.items()}
    if kind is list:
        return [_to_bson(item) for item in value]
    for python, convert in _CONVERTERS:
        if isinstance(value, python):
            return convert(value)
    return value


def _key(key: Any) -> str:
    if isinstance(key, (dt.date, dt.time)):
        return key.isoformat()
    return key if type(key) is str else str(key)


def from_datetime(value: dt.datetime) -> dt.datetime:
    """Return a moment as it is stored: UTC without an offset, in milliseconds.

    Raises:
        ValidationError: In UTC, it is out of the range that can be stored.
    """
    if value.tzinfo is not None:
        try:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError as error:
            raise marshmallow.ValidationError("In UTC, it isn't in the years 1 to 9999.") from error
    # PERF: mostly there is nothing to cut off.
    rest = value.microsecond % 1000
    return value.replace(microsecond=value.microsecond - rest) if rest else value


def _from_time(value: dt.time) -> str:
    if value.tzinfo is not None:
        raise marshmallow.ValidationError("A time of day has no offset here.")
    return value.isoformat()


_PLAIN = frozenset({str, float, bool, type(None), ObjectId, Decimal128, Binary, bytes})
_CONVERTERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Int64, lambda value: value),
    (dt.datetime, from_datetime),
    (dt.date, lambda value: dt.datetime(value.year, value.month, value.day)),
    (dt.time, _from_time),
    (dt.timedelta, dt.timedelta.total_seconds),
    (decimal.Decimal, to_decimal128),
    (uuid.UUID, lambda value: Binary(value.bytes, 4)),
    (
        (
            *(ipaddress.IPv4Address, ipaddress.IPv6Address),
            *(ipaddress.IPv4Interface, ipaddress.IPv6Interface),
        ),
        str,
    ),
    (Mapping, lambda value: {_key(key): _to_bson(item) for key, item in value.items()}),
    ((list, tuple, set, frozenset), lambda value: [_to_bson(item) for item in value]),
)

# ------------------------------------------------------------------ fields that take what is stored


class _Stored(ma.Field[Any]):
    """Mixed into a field of marshmallow's, it dumps what MongoDB stores."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return super()._serialize(self.from_bson(value), attr, obj, **kwargs)

    def from_bson(self, value: Any) -> Any:
        """Return a stored value as marshmallow's field wants it."""
        raise NotImplementedError


class _StoredDecimal(_Stored):
    def from_bson(self, value: Any) -> Any:
        return value.to_decimal() if isinstance(value, Decimal128) else value


class _StoredUUID(_Stored):
    def from_bson(self, value: Any) -> Any:
        if isinstance(value, bytes) and len(value) == 16:
            return uuid.UUID(bytes=bytes(value))
        return value


class _StoredDate(_Stored):
    def from_bson(self, value: Any) -> Any:
        # NOTE: as a key of an object, it is a text.
        return dt.date.fromisoformat(value) if isinstance(value, str) else value


class _StoredAwareDateTime(_Stored):
    def from_bson(self, value: Any) -> Any:
        if isinstance(value, dt.datetime) and value.tzinfo is None:
            return value.replace(tzinfo=dt.UTC)
        return value


class _StoredTime(_Stored):
    def from_bson(self, value: Any) -> Any:
        return dt.time.fromisoformat(value) if isinstance(value, str) else value


class _StoredTimeDelta(_Stored):
    def from_bson(self, value: Any) -> Any:
        return dt.timedelta(seconds=value) if isinstance(value, (int, float)) else value


class _StoredIP(_Stored):
    def from_bson(self, value: Any) -> Any:
        return ipaddress.ip_address(value) if isinstance(value, str) else value


class _StoredInterface(_Stored):
    def from_bson(self, value: Any) -> Any:
        return ipaddress.ip_interface(value) if isinstance(value, str) else value


class _StoredEnum(_Stored):
    def from_bson(self: Any, value: Any) -> Any:
        if value is None or isinstance(value, self.enum):
            return value
        if not self.by_value:
            return self.enum[value]
        for member in self.enum:
            if member.value == value or _to_bson(member.value) == value:
                return member
        return self.enum(value)

    def deserialize(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the name or the value of the member, because only the field knows which."""
        member = super().deserialize(*args, **kwargs)
        if not isinstance(member, self.enum):
            return member
        return member.value if self.by_value else member.name


_MIXINS: tuple[tuple[type[ma.Field[Any]], type[_Stored]], ...] = (
    (ma.Decimal, _StoredDecimal),
    (ma.UUID, _StoredUUID),
    (ma.Date, _StoredDate),
    (ma.AwareDateTime, _StoredAwareDateTime),
    (ma.Time, _StoredTime),
    (ma.TimeDelta, _StoredTimeDelta),
    (ma.IP, _StoredIP),
    (ma.IPInterface, _StoredInterface),
    (ma.Enum, _StoredEnum),
)


@functools.cache
def stored_kind(kind: Any) -> Any:
    """Return the class that does what a field class does for what is stored, if there is one."""
    if issubclass(kind, _Stored):
        return None
    for base, mixin in _MIXINS:
        if issubclass(kind, base):
            return type(kind.__name__, (mixin, kind), {"__module__": kind.__module__})
    return None


def inner_fields(field: ma.Field[Any]) -> Iterator[ma.Field[Any]]:
    """Yield the fields right below a list, a tuple or a mapping."""
    if isinstance(field, ma.List):
        yield field.inner
    elif isinstance(field, ma.Tuple):
        yield from field.tuple_fields
    elif isinstance(field, ma.Mapping):
        yield from filter(None, (field.key_field, field.value_field))


def _store(field: ma.Field[Any]) -> None:
    if isinstance(field, ma.Nested):
        field.nested = _adopted(field.nested)
    own: Any = type(field)
    kind = stored_kind(own)
    if kind is not None:
        field.__class__ = kind
    for inner in inner_fields(field):
        _store(inner)


def _adopted(nested: Any) -> Any:
    """Return a nested schema as one that takes what is stored."""
    if isinstance(nested, dict):
        return Schema.from_dict(nested)
    if isinstance(nested, type) and not issubclass(nested, Schema):
        return _adopted_class(nested)
    if callable(nested) and not isinstance(nested, type):
        return lambda: _adopted(nested())
    return nested


def derive(own: Any, fields: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return a schema class that does what another one does, for what is stored.

    Args:
        own: A class of marshmallow's or of ours.
        fields: Fields that are other ones.
    """
    bases = (own,) if issubclass(own, Schema) else (own, Schema)
    meta = type("Meta", (own.Meta,), {"register": False})
    return type(own.__name__, bases, {"Meta": meta, **fields})


_adopted_class: Any = functools.cache(derive)


class Schema(marshmallow.Schema):
    """Base class of schemas. A field's ``attribute`` is the name under which it is stored.

    It is marshmallow's own, and dumps documents as MongoDB has them: a ``Decimal`` field takes a
    Decimal128, a ``UUID`` field a binary, and so on.
    """

    def on_bind_field(self, field_name: str, field_obj: ma.Field[Any]) -> None:
        """Make a field of this schema take what is stored."""
        super().on_bind_field(field_name, field_obj)
        _store(field_obj)

    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: Any = None,
        unknown: Any = None,
    ) -> Any:
        """Deserialize data, see :meth:`marshmallow.Schema.load`.

        Where unknown fields are included, none may come in the place of a field that is known
        but not loaded: marshmallow takes those for unknown.

        Raises:
            ValidationError: The data is invalid.
        """
        if (unknown or self.unknown) == marshmallow.INCLUDE:
            for item in data if isinstance(data, list) else [data]:
                self._refuse_known(item)
        return super().load(data, many=many, partial=partial, unknown=unknown)

    def _refuse_known(self, data: Any) -> None:
        loaded = {field.data_key or name for name, field in self.load_fields.items()}
        known = {"_id"}
        for name, field in self.fields.items():
            known |= {name, field.data_key or name, (field.attribute or name).partition(".")[0]}
        for name in (known - loaded).intersection(data if isinstance(data, Mapping) else ()):
            raise marshmallow.ValidationError({name: ["It can't be written."]})

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return a value of a document, where keys are just keys: ``items`` is no method."""
        if isinstance(obj, Mapping):
            if "." not in attr:
                return obj.get(attr, default)
            for part in attr.split("."):
                if not isinstance(obj, Mapping) or part not in obj:
                    return default
                obj = obj[part]
            return obj
        return super().get_attribute(obj, attr, default)
