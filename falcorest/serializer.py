"""Serializer: documents as the JSON that a client gets.

A schema is compiled into a :class:`DumpPlan`: Python source, one short run of statements for each
field, which looks at the type of a value and writes down what the field would make of it. Whatever
is out of the ordinary goes to marshmallow's own methods, so that a plan never has an opinion of
its own: it gives what ``Schema.dump`` gives, and raises what it raises.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bson
import marshmallow
import orjson
from bson.int64 import Int64
from marshmallow import fields as ma
from marshmallow import missing
from marshmallow.decorators import POST_DUMP, PRE_DUMP

from falcorest import fields
from falcorest.generator import Generator
from falcorest.query import Document
from falcorest.schema import Schema, inner_fields, stored_kind

_Dump = Callable[[Any], Any]


class DumpPlan:
    """A schema compiled once, to dump documents many times.

    Its output equals that of ``schema.dump(document, many=False)``, for every schema: fields and
    schemas that it has no model of are left to marshmallow.

    Args:
        schema: Whose ``dump_fields`` are dumped, in that order. What is changed in it afterwards
            goes unseen.

    Attributes:
        stored: The names of the top-level stored fields that are read, each once; empty if there
            are none. None if that can't be known, and a document is needed as a whole.
        dump: Dumps one document.
        dump_many: Dumps several documents, each by itself, as hooks see too.
    """

    def __init__(self, schema: marshmallow.Schema) -> None:
        own = functools.partial(schema.dump, many=False)
        plain = _is_plain(schema)
        dump = _compile(schema, otherwise=own) if plain else own
        self.stored: tuple[str, ...] | None = _stored_names(schema) if plain else None
        self.dump: Callable[[Document], dict[str, Any]] = dump
        self.dump_many: Callable[[Iterable[Document]], list[dict[str, Any]]] = _each(dump)


def _each(dump: _Dump) -> _Dump:
    return lambda values: [dump(value) for value in values]


def _is_plain(schema: marshmallow.Schema) -> bool:
    """Return whether a schema dumps as :class:`falcorest.schema.Schema` does, field by field."""
    return (
        schema.dict_class is dict
        and not schema._hooks.get(PRE_DUMP)
        and not schema._hooks.get(POST_DUMP)
        and all(
            getattr(getattr(schema, name), "__func__", None) is getattr(Schema, name)
            for name in ("dump", "_serialize", "get_attribute")
        )
    )


def _is_modelled(field: ma.Field[Any]) -> bool:
    return type(field) in _MODELLED and not _is_patched(field)


def _is_patched(field: ma.Field[Any]) -> bool:
    return not _DUMPING.isdisjoint(vars(field))


def _path(name: str, field: ma.Field[Any]) -> str:
    return name if field.attribute is None else field.attribute


# ----------------------------------------------------------------------------- what a plan reads

_DUMPING = frozenset({"serialize", "get_value", "_serialize"})
_KNOWN = frozenset({"marshmallow.fields", "falcorest.fields", "falcorest.schema"})


def _stored_names(schema: marshmallow.Schema) -> tuple[str, ...] | None:
    names: dict[str, None] = {}
    for name, field in schema.dump_fields.items():
        if not _keeps_to_its_value(field):
            return None
        if field._CHECK_ATTRIBUTE:
            names[_path(name, field).split(".")[0]] = None
    return tuple(names)


def _keeps_to_its_value(field: ma.Field[Any]) -> bool:
    """Return whether a field doesn't look at the rest of the document, though it is passed."""
    if isinstance(field, (ma.Method, ma.Function)) or _is_patched(field):
        return False
    for kind in type(field).__mro__:
        if kind.__module__ not in _KNOWN and not _DUMPING.isdisjoint(vars(kind)):
            return False
    inner = [field.field] if isinstance(field, ma.Enum) else inner_fields(field)
    return all(map(_keeps_to_its_value, inner))


# --------------------------------------------------------------------------------- the generator


def _compile(schema: marshmallow.Schema, otherwise: _Dump) -> _Dump:
    """Return a function that dumps one document.

    Args:
        schema: A plain one.
        otherwise: What dumps a value that isn't exactly a dict.
    """
    generator = _Generator(schema)
    generator.names["otherwise"] = otherwise
    dump: _Dump = generator.run(generator.source(), "dump")
    return dump


def _nested_dump(field: Any) -> _Dump:
    """Return what dumps the value of a nested field, be it irregular or not."""

    def own(value: Any) -> Any:
        return field._serialize(value, None, None)

    schema = field.schema
    if not _is_plain(schema):
        return own
    if not (schema.many or field.many):
        return _compile(schema, otherwise=own)
    each = _each(DumpPlan(schema).dump)
    return lambda value: None if value is None else each(value)


def _step(value: Any, part: str) -> Any:
    return value[part] if isinstance(value, Mapping) and part in value else missing


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _Generator(Generator):
    """Writes the source of a plan."""

    def __init__(self, schema: marshmallow.Schema) -> None:
        super().__init__(_NAMES)
        self.schema = schema

    def source(self) -> str:
        """Return the source of two functions: for documents that have all fields, and for others.

        PERF: what has all of them is written down in one expression.
        """
        fields = self.schema.dump_fields.items()
        anyhow = ["get = document.get", "result = {}"]
        for name, field in fields:
            anyhow += self.statements(name, field)
        values, others, shown, doubtful = [], [], [], []
        for at, (name, field) in enumerate(fields):
            key, var = self.key(name, field), f"value_of_{at}"
            parts = _path(name, field).split(".")
            if _is_modelled(field) and type(field) is not ma.Constant:
                if len(parts) == 1:
                    values.append(f"{var} = document[{self.bind(parts[0])}]")
                else:
                    others += ["get = document.get", *self.access(".".join(parts), field)]
                    others += [f"{var} = value", f"if {var} is missing:"]
                    others += ["    return dump_anyhow(document)"]
            shown.append(f"{key}: {self.shown(name, field, var)},")
            if not _is_modelled(field) or type(field) in _MAY_VANISH:
                doubtful += [f"if result[{key}] is missing:", f"    del result[{key}]"]
        return "\n".join(
            [
                "def dump_anyhow(document):",
                *_indented([*anyhow, "return result"]),
                "def dump(document):",
                "    if type(document) is not dict:",
                "        return otherwise(document)",
                f"    if len(document) < {len(values)}:",
                "        return dump_anyhow(document)",
                "    try:",
                *_indented(_indented(values or ["pass"])),
                "    except KeyError:",
                "        return dump_anyhow(document)",
                *_indented(others),
                "    result = {",
                *_indented(_indented(shown)),
                "    }",
                *_indented([*doubtful, "return result", ""]),
            ]
        )

    def key(self, name: str, field: Any) -> str:
        """Return an expression for the name under which a field is shown."""
        return self.bind(name if field.data_key is None else field.data_key)

    def shown(self, name: str, field: Any, var: str) -> str:
        """Return an expression for what is shown of a field, which is there.

        Args:
            name: Of the field.
            field: It.
            var: The variable that holds its value.
        """
        where = f"{self.bind(name)}, document"
        if _is_modelled(field):
            return self.expression(field, var, where)
        accessor = self.bind(self.schema.get_attribute)
        return f"{self.bind(field.serialize)}({where}, accessor={accessor})"

    def statements(self, name: str, field: Any) -> list[str]:
        """Return the statements that dump a field of the document."""
        key, value = self.key(name, field), self.shown(name, field, "value")
        if not _is_modelled(field):
            lines, value = [f"value = {value}"], "value"
        else:
            lines = self.access(_path(name, field), field)
            if type(field) in _MAY_VANISH:
                lines += ["if value is not missing:", f"    value = {value}"]
                value = "value"
        return [*lines, "if value is not missing:", f"    result[{key}] = {value}"]

    def access(self, path: str, field: Any) -> list[str]:
        """Return the statements that get a field's value, as ``Field.serialize`` does."""
        if type(field) is ma.Constant:
            return [f"value = {self.bind(field.constant)}"]
        first, *others = (self.bind(part) for part in path.split("."))
        lines = [f"value = get({first}, missing)"]
        lines += [
            f"value = value.get({part}, missing) if type(value) is dict else step(value, {part})"
            for part in others
        ]
        default = field.dump_default
        if default is not missing:
            call = "()" if callable(default) else ""
            lines += ["if value is missing:", f"    value = {self.bind(default)}{call}"]
        return lines

    def expression(self, field: Any, var: str, where: str) -> str:
        """Return an expression for what ``field._serialize`` makes of a value.

        Args:
            field: Of any class.
            var: The variable that holds the value.
            where: The other two arguments of ``_serialize``.
        """
        kind = type(field)
        if not _is_modelled(field):
            return f"{self.bind(field._serialize)}({var}, {where})"
        if kind in (ma.Raw, ma.Boolean):
            return var
        if kind is ma.Constant:
            return self.bind(field.constant)
        if kind is ma.Nested:
            return f"{self.nested(field)}({var})"
        if kind is ma.List:
            value = self.expression(field.inner, "item", where)
            return f"({var} if {var} is None else [{value} for item in {var}])"
        cases: dict[str, str] = {}
        if kind is ma.Dict:
            cases = self.dict_cases(field, var)
        elif kind is _ENUM:
            cases = self.enum_cases(field, var)
        else:
            condition, values = _CASES[kind]
            if condition(field):
                cases = {f"type({var}) is {of}": value.format(var) for of, value in values.items()}
        tests = "".join(f"{value} if {test} else " for test, value in cases.items())
        own = f"{self.bind(field._serialize)}({var}, {where})"
        return f"({tests}{var} if {var} is None else {own})"

    def nested(self, field: ma.Nested) -> str:
        """Return the name of what dumps a nested field: compiled when it is first called.

        A schema may nest itself, and name others that are defined later.
        """
        name = f"value_{len(self.names)}"

        def first(value: Any) -> Any:
            self.names[name] = dump = _nested_dump(field)
            return dump(value)

        self.names[name] = first
        return name

    def dict_cases(self, field: ma.Dict, var: str) -> dict[str, str]:
        if type(field.key_field) not in (type(None), ma.String):
            return {}
        made = f"{var}.copy()"
        if field.value_field is not None:
            value = self.expression(field.value_field, "item", "None, None")
            made = f"{{key: {value} for key, item in {var}.items()}}"
        if field.key_field is not None:
            # The keys are made first, as marshmallow does: what fails first is what is raised.
            key = self.expression(field.key_field, "key", "None, None")
            made = f"dict(zip([{key} for key in {var}], {made}.values()))"
        return {f"type({var}) is dict": made}

    def enum_cases(self, field: ma.Enum[Any], var: str) -> dict[str, str]:
        if type(field.field) not in (ma.String, ma.Raw) or _is_patched(field.field):
            return {}
        members = field.enum._value2member_map_ if field.by_value else field.enum.__members__
        table = {stored: field._serialize(stored, None, None) for stored in members}
        name = self.bind(table)
        return {f"type({var}) in (str, int) and {var} in {name}": f"{name}[{var}]"}


# ------------------------------------------------------------------------------------ the models


def _always(field: Any) -> bool:
    return True


def _is_number(field: Any) -> bool:
    return not field.as_string


def _is_exact(field: Any) -> bool:
    return not field.as_string and not field.allow_nan and field.places is None


def _is_iso(field: Any) -> bool:
    return field.format in ("iso", "iso8601")


#: PERF: orjson writes what isoformat() does in a third of the time.
_ISO = "(dumps({0})[1:-1].decode() if {0}.tzinfo is None else {0}.isoformat())"


def _uuid_text(value: bson.Binary) -> str:
    if len(value) != 16:
        return str(value)
    # PERF: making a UUID first takes several times as long.
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


#: For a class of fields: on what condition values of a type are dumped by which expression.
_CASES: dict[Any, tuple[Callable[[Any], bool], dict[str, str]]] = {
    ma.String: (_always, {"str": "{}"}),
    ma.Email: (_always, {"str": "{}"}),
    ma.Url: (_always, {"str": "{}"}),
    ma.Integer: (_is_number, {"int": "{}", "Int64": "int({})"}),
    ma.Float: (_is_number, {"float": "{}", "int": "float({})"}),
    ma.DateTime: (_is_iso, {"datetime": _ISO}),
    ma.NaiveDateTime: (_is_iso, {"datetime": _ISO}),
    stored_kind(ma.AwareDateTime): (_always, {}),
    stored_kind(ma.Date): (_is_iso, {"datetime": "date_isoformat({})"}),
    stored_kind(ma.Time): (_is_iso, {"str": "to_time({}).isoformat()"}),
    stored_kind(ma.TimeDelta): (_always, {}),
    stored_kind(ma.Decimal): (_is_exact, {"Decimal128": "{}.to_decimal()"}),
    stored_kind(ma.UUID): (_always, {"Binary": "uuid_text({})"}),
    fields.ObjectId: (_always, {"ObjectId": "str({})"}),
    fields.Reference: (_always, {"ObjectId": "str({})"}),
    fields.Decimal128: (_always, {"Decimal128": "str({})"}),
    fields.Binary: (_always, {"bytes": "b64encode({}).decode('ascii')"}),
}

_ENUM = stored_kind(ma.Enum)
_MODELLED = {*_CASES, ma.Raw, ma.Boolean, ma.Constant, ma.Nested, ma.List, ma.Dict, _ENUM}

#: Fields that can make ``missing`` of a value, because it is their own, or hooks or an inner
#: field may return it.
_MAY_VANISH = (ma.Nested, ma.Constant, _ENUM)

#: What the source of every plan may name.
_NAMES: dict[str, Any] = {
    "missing": missing,
    "step": _step,
    "datetime": dt.datetime,
    "dumps": orjson.dumps,
    "date_isoformat": dt.date.isoformat,
    "to_time": dt.time.fromisoformat,
    "b64encode": base64.b64encode,
    "uuid_text": _uuid_text,
    "ObjectId": bson.ObjectId,
    "Decimal128": bson.Decimal128,
    "Binary": bson.Binary,
    "Int64": Int64,
}
