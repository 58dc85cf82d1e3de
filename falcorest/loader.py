"""Loader: the bodies that clients send as documents that are stored.

A schema is compiled into a :class:`LoadPlan`, the twin of
:class:`falcorest.serializer.DumpPlan`: Python source that takes the values which a field is made
for, and writes down what the field would make of them and how that is stored. The first value that
is anything else goes to the field itself; and where that refuses it, or the body isn't regular, the
whole body goes to ``Schema.load``. So a plan never has an opinion of its own, and errors are
marshmallow's.

What an author has written is called once for a body, whatever becomes of it: it comes last, when
all the rest of the body is known to be good, and its refusal is the answer.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import bson
import marshmallow
from marshmallow import fields as ma
from marshmallow import missing, validate
from marshmallow.decorators import POST_LOAD, PRE_LOAD, VALIDATES, VALIDATES_SCHEMA
from marshmallow.error_store import ErrorStore
from marshmallow.utils import set_value

from falcorest import fields
from falcorest.bson_json import INT64, MAX_DEPTH, is_key
from falcorest.generator import Generator
from falcorest.schema import from_datetime, inner_fields, stored_kind, to_bson

_Load = Callable[[Any], Any]


class LoadPlan:
    """A schema compiled once, to load bodies many times.

    What it gives, made into what is stored, equals what ``schema.load(body, partial=partial)``
    gives, for every schema: schemas that it has no model of are left to marshmallow.

    Args:
        schema: Whose ``load_fields`` are loaded. What is changed in it afterwards goes unseen.
        partial: The schema names that a body may lack although they are required.

    Attributes:
        quick: Loads a body as it is stored, or gives None: it is for :meth:`load` then.
    """

    def __init__(self, schema: marshmallow.Schema, partial: Sequence[str] | None = None) -> None:
        self._schema = schema
        self._partial = False if partial is None else partial
        self._calling: _Load | None = None
        self.quick: _Load = _irregular_document
        if _is_plain(schema) and not schema.many:
            generator = _Generator(schema, self._partial, 1)
            load = generator.compile()
            if generator.calls:
                self._calling = load
            else:
                self.quick = load

    def load(self, body: Any) -> tuple[Any, bool]:
        """Load a body.

        Returns:
            What the schema makes of it, and whether that is as it is stored already; otherwise
            :func:`falcorest.schema.to_bson` makes it so.

        Raises:
            ValidationError: The schema refuses it.
        """
        document = self.quick(body)
        if document is not None:
            return document, True
        loaded = None if self._calling is None else self._calling(body)
        if loaded is None:
            return self._schema.load(body, partial=self._partial), False
        document, is_stored = loaded
        return document, is_stored


def _irregular_document(body: Any) -> None:
    return None


# ------------------------------------------------------------------------------ what is modelled

_HOOKS = (PRE_LOAD, POST_LOAD, VALIDATES, VALIDATES_SCHEMA)

#: The methods that load, of schemas and of fields; the hooks of a field are no methods.
_LOADS = ("load", "_do_load", "_deserialize", "_invoke_field_validators", "_call_and_store")
_LOADING = (
    *("deserialize", "_deserialize", "_validate", "_validate_missing", "make_error"),
    *("_validated", "_format_num", "_make_object_from_format"),
)

#: Where those are at home that plans are modelled on.
_KNOWN = frozenset(
    {"marshmallow.schema", "marshmallow.fields", "falcorest.schema", "falcorest.fields"}
)


def _is_untouched(one: Any, methods: tuple[str, ...]) -> bool:
    """Return whether nobody has put other methods in the place of some."""
    given = vars(one)
    found = (getattr(type(one), name, None) for name in methods)
    return not any(name in given for name in methods) and all(
        method is None or method.__module__ in _KNOWN for method in found
    )


def _is_plain(schema: Any) -> bool:
    """Return whether a schema loads as :class:`falcorest.schema.Schema` does, field by field."""
    return (
        schema.dict_class is dict
        and schema.unknown in (marshmallow.RAISE, marshmallow.EXCLUDE)
        and not any(schema._hooks.get(hook) for hook in _HOOKS)
        and _is_untouched(schema, _LOADS)
        and _are_apart([_path(name, field) for name, field in schema.load_fields.items()])
    )


def _path(name: str, field: ma.Field[Any]) -> str:
    return field.attribute or name


def _are_apart(paths: list[str]) -> bool:
    """Return whether all names can be stored, and nothing is stored inside of something else."""
    good = all(all(map(is_key, path.split("."))) for path in paths)
    return good and not any(one.startswith(f"{other}.") for one in paths for other in paths)


def _is_own(field: Any) -> bool:
    """Return whether nothing of an author's is called when a field loads a value.

    What is in a nested schema is looked at when it is compiled.
    """
    return (
        type(field) in _MODELLED
        and _is_untouched(field, _LOADING)
        and not field.pre_load
        and not field.post_load
        and all(map(_is_own_validator, field.validators))
        and all(map(_is_own, inner_fields(field)))
        and (not isinstance(field, ma.Enum) or _is_own(field.field))
        and (not field.validators or not _nests(field))
    )


def _calls(field: Any) -> bool:
    """Return whether an author's function gives a field its default."""
    return callable(field.load_default) and field.load_default not in (dict, list)


def _is_own_validator(validator: Any) -> bool:
    kind = type(validator)
    if kind in (validate.OneOf, validate.ContainsOnly):
        return type(validator.choices) in _CONTAINERS
    if kind in (validate.NoneOf, validate.ContainsNoneOf):
        return type(validator.iterable) in _CONTAINERS
    if kind is validate.And:
        return all(map(_is_own_validator, validator.validators))
    return kind in _VALIDATORS


def _nests(field: Any) -> bool:
    return isinstance(field, ma.Nested) or any(map(_nests, inner_fields(field)))


_CONTAINERS = (list, tuple, set, frozenset, dict, range)
_VALIDATORS = (
    *(validate.Length, validate.Range, validate.Regexp, validate.Equal),
    *(validate.Email, validate.URL),
)

# --------------------------------------------------------------------------------- the generator


class _Irregular(Exception):
    """Something for marshmallow to judge."""


def _irregular(value: Any = None) -> NoReturn:
    raise _Irregular


def _key(name: str, field: ma.Field[Any]) -> str:
    return name if field.data_key is None else field.data_key


class _Generator(Generator):
    """Writes the source of a plan.

    Args:
        schema: A plain one.
        partial: The names of what may be missing; False where fields are told that there are none.
        depth: The level on which documents are; 1 is that of those that are stored themselves.
    """

    def __init__(self, schema: marshmallow.Schema, partial: Any, depth: int) -> None:
        super().__init__(_NAMES)
        self.schema = schema
        self.partial = partial
        self.depth = depth
        #: The statements that call what an author has written.
        self.calls: list[str] = []

    def compile(self) -> _Load:
        """Return the function.

        What isn't regular is an exception. On the first level the function returns None for it;
        and where it calls something of an author's, the document and whether it is as it is stored.
        """
        load: _Load = self.run(self.source(), "load")
        return load

    def source(self) -> str:
        regular = ["if type(body) is not dict:", "    irregular()"]
        if self.schema.unknown == marshmallow.RAISE:
            keys = {_key(name, field) for name, field in self.schema.load_fields.items()}
            known = self.bind(frozenset(keys).issuperset)
            regular += [f"if not {known}(body):", "    irregular()"]
        regular.append("get = body.get")
        first: list[str] = []
        others: list[str] = []
        for index, (name, field) in enumerate(self.schema.load_fields.items()):
            var, path = f"v{index}", _path(name, field)
            stored = self.bind(path)
            regular.append(f"{var} = get({self.bind(_key(name, field))}, missing)")
            is_there = False
            if not _is_own(field):
                self.calls += self.call(name, field, var)
            else:
                is_there, lines = self.statements(name, field, var)
                regular += lines
                if self.depth == 1 and _calls(field):
                    self.calls += self.call(name, field, var)
            if is_there and not others and "." not in path:
                first.append(f"{stored}: {var}")
            elif "." in path:
                others += [f"if {var} is not missing:", f"    set_value(result, {stored}, {var})"]
            else:
                others += [f"if {var} is not missing:", f"    result[{stored}] = {var}"]
        build = [f"result = {{{', '.join(first)}}}", *others]
        if self.depth > 1:
            lines = [*regular, *build, "return result"]
        else:
            lines = ["try:", *(f"    {line}" for line in regular)]
            # NOTE: nothing of an author's has been called yet; what it was comes again.
            lines += ["except Exception:", "    return None"]
            if self.calls:
                lines += ["is_stored = True", "errors = ErrorStore()", *self.calls, *build]
                refuse = self.bind(self.refuse)
                lines += ["if errors.errors:", f"    {refuse}(errors, body, result)"]
                lines += ["return result, is_stored"]
            else:
                lines += [*build, "return result"]
        return "\n".join(["def load(body):", *(f"    {line}" for line in lines), ""])

    def refuse(self, errors: ErrorStore, body: Any, result: Any) -> NoReturn:
        """Refuse a body, as ``Schema.load`` does."""
        error = marshmallow.ValidationError(errors.errors, data=body, valid_data=result)
        self.schema.handle_error(error, body, many=False, partial=self.partial)
        raise error

    def below(self, name: str) -> list[str]:
        """Return the names of what may be missing inside of a field."""
        prefix = f"{name}."
        return [one[len(prefix) :] for one in self.partial or () if one.startswith(prefix)]

    # ------------------------------------------------------------- what an author has a say in

    def call(self, name: str, field: Any, var: str) -> list[str]:
        """Return the statements that have a field load a value by itself, once.

        What it is given is a value that nothing was made of yet; or none at all, of a field that
        calls for its default.
        """
        key, below = _key(name, field), self.below(name)

        def own(value: Any, body: Any, errors: ErrorStore) -> Any:
            partial = self.partial if self.partial is False else [*below]
            try:
                return field.deserialize(value, key, body, partial=partial)
            except marshmallow.ValidationError as error:
                # NOTE: marshmallow has no annotations there.
                errors.store_error(error.messages, key)  # type: ignore[no-untyped-call]
                return missing

        lines = [f"{var} = {self.bind(own)}({var}, body, errors)", "is_stored = False"]
        test = ""
        if _is_own(field) and name in (self.partial or ()):
            return []
        if _is_own(field):
            test = f"if {var} is missing:"
        elif name in (self.partial or ()):
            test = f"if {var} is not missing:"
        return [test, *(f"    {line}" for line in lines)] if test else lines

    # ------------------------------------------------------------------------- what is modelled

    def statements(self, name: str, field: Any, var: str) -> tuple[bool, list[str]]:
        """Return the statements that load a value, and whether there is one then."""
        depth = self.depth + 1 + _path(name, field).count(".")
        if depth - 1 > MAX_DEPTH:
            return False, ["irregular()"]
        lines = [f"if {var} is not missing:"]
        lines.append(f"    {var} = {self.expression(field, var, depth, self.below(name))}")
        if name in (self.partial or ()):
            return False, lines
        if _calls(field) and self.depth == 1:
            return False, lines
        default = self.default(field, depth)
        if default == "missing":
            return False, lines
        return True, [*lines, "else:", f"    {var} = {default}"]

    def default(self, field: Any, depth: int) -> str:
        """Return an expression for what a field loads where there is no value."""
        own = self.own(field, depth)
        if _calls(field):
            return "irregular()"
        try:
            value = own(missing)
        except Exception:  # noqa: BLE001 - it comes again
            return "irregular()"
        if value is missing:
            return "missing"
        return f"{self.bind(own)}(missing)" if type(value) in (dict, list) else self.bind(value)

    def own(self, field: Any, depth: int) -> _Load:
        """Return what has a field load a value by itself."""
        return lambda value: to_bson(field.deserialize(value), depth)

    def expression(self, field: Any, var: str, depth: int, partial: Any) -> str:
        """Return an expression for what is stored of a value.

        Args:
            field: One that is modelled.
            var: The variable that holds the value.
            depth: The level on which it is if it is an object or a list.
            partial: The names of what may be missing in it.
        """
        kind = type(field)
        if depth > MAX_DEPTH and issubclass(kind, (ma.Nested, ma.List, ma.Mapping, ma.Tuple)):
            return "irregular()"
        own = f"{'irregular' if _nests(field) else self.bind(self.own(field, depth))}({var})"
        cases: dict[str, str] = {}
        if kind in (ma.List, ma.Dict) and any(
            type(validator) is not validate.Length for validator in field.validators
        ):
            # NOTE: those look at what was made of its items.
            pass
        elif kind is ma.Nested:
            own = f"{self.nested(field, depth, partial)}({var})"
        elif kind is ma.List:
            inner = self.expression(field.inner, "item", depth + 1, partial)
            cases = {f"type({var}) is list": f"[{inner} for item in {var}]"}
        elif kind is ma.Dict:
            cases = self.dict_cases(field, var, depth, partial)
        elif kind is _ENUM:
            cases = self.enum_cases(field, var)
        else:
            condition, templates = _CASES.get(kind, (_never, {}))
            for test, value in templates.items() if condition(field) else ():
                cases[test.replace("{}", var)] = value.replace("{}", var)
        tests = [self.test(validator, var) for validator in field.validators]
        chosen = "".join(
            f"{value} if {' and '.join([test, *tests])} else "
            for test, value in cases.items()
            if not tests or value == var or kind in (ma.List, ma.Dict)
        )
        none = f"None if {var} is None else " if field.allow_none else ""
        return f"({chosen}{none}{own})"

    def test(self, validator: Any, var: str) -> str:
        """Return an expression that holds if a validator passes a value as it is."""
        kind = type(validator)
        if kind is validate.OneOf:
            return f"{var} in {self.bind(validator.choices)}"
        if kind is validate.Regexp:
            return f"{self.bind(validator.regex)}.match({var}) is not None"
        bounds: list[tuple[str, Any]]
        if kind is validate.Length and validator.equal is not None:
            bounds = [(f"len({var}) ==", validator.equal)]
        elif kind is validate.Length:
            # NOTE: without bounds, it still is for what has a length.
            bounds = [(f"len({var}) >=", validator.min or 0), (f"len({var}) <=", validator.max)]
        elif kind is validate.Range:
            low = "<" if validator.min_inclusive else "<="
            high = ">" if validator.max_inclusive else ">="
            bounds = [(f"not {var} {low}", validator.min), (f"not {var} {high}", validator.max)]
        else:
            return f"({self.bind(validator)}({var}), True)[1]"
        tests = [f"{test} {self.bind(bound)}" for test, bound in bounds if bound is not None]
        return " and ".join(tests) or "True"

    def nested(self, field: Any, depth: int, partial: Any) -> str:
        """Return the name of what loads a nested field: compiled when it is first called.

        A schema may nest itself, and name others that are defined later.
        """
        name = f"value_{len(self.names)}"

        def first(value: Any) -> Any:
            self.names[name] = load = _nested_load(field, partial, depth)
            return load(value)

        self.names[name] = first
        return name

    def dict_cases(self, field: ma.Dict, var: str, depth: int, partial: Any) -> dict[str, str]:
        key, value = field.key_field, field.value_field
        if value is None:
            return {} if key is not None else {f"type({var}) is dict": f"to_bson({var}, {depth})"}
        if key is not None and (type(key) is not ma.String or key.validators):
            return {}
        made = self.expression(value, "item", depth + 1, partial)
        return {f"type({var}) is dict": f"{{good(key): {made} for key, item in {var}.items()}}"}

    def enum_cases(self, field: ma.Enum[Any], var: str) -> dict[str, str]:
        if type(field.field) not in (ma.String, ma.Raw) or field.validators:
            return {}
        own = self.own(field, 1)
        table = {}
        for sent in field.enum._value2member_map_ if field.by_value else field.enum.__members__:
            if type(sent) in (str, int):
                with suppress(Exception):
                    table[sent] = own(sent)
        name = self.bind(table)
        return {f"type({var}) in (str, int) and {var} in {name}": f"{name}[{var}]"}


def _nested_load(field: Any, partial: Any, depth: int) -> _Load:
    """Return what loads the value of a nested field, one document or a list of them."""
    schema = field.schema
    many = bool(schema.many)
    if (
        not _is_plain(schema)
        or many != bool(many or field.many)
        or (field.unknown or schema.unknown) != schema.unknown
        or not all(map(_is_own, schema.load_fields.values()))
        or depth + many > MAX_DEPTH
    ):
        return _irregular
    load = _Generator(schema, partial, depth + many).compile()
    if not many:
        return load
    return lambda value: [load(one) for one in value] if type(value) is list else _irregular()


def _good(key: Any) -> str:
    """Return a key of an object that may be stored."""
    return key if type(key) is str and (key.isidentifier() or is_key(key)) else _irregular()


# ------------------------------------------------------------------------------------ the models


def _always(field: Any) -> bool:
    return True


def _never(field: Any) -> bool:
    return False


def _is_usual(field: Any) -> bool:
    """Return whether true and false are what they are."""
    return True in field.truthy and False in field.falsy and False not in field.truthy


def _parses(own: Callable[[str], Any]) -> Callable[[Any], bool]:
    """Return the condition that a field parses a text with a function."""
    return lambda field: field.DESERIALIZATION_FUNCS.get(field.format) == own


def _is_id(field: Any) -> bool:
    return getattr(field, "uri_prefix", None) is None


def _binary(text: str) -> bson.Binary:
    return bson.Binary(bytes.fromhex(text.replace("-", "")), 4)


def _from_date(value: dt.date) -> dt.datetime:
    return dt.datetime(value.year, value.month, value.day)


_INT64 = f"{INT64.start} <= {{}} < {INT64.stop}"
_OID = re.compile(r"[0-9a-fA-F]{24}").fullmatch
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_TEXT = "type({}) is str"
_ID = {"type({}) is str and is_oid({})": "ObjectId(fromhex({}))"}
_MOMENT = {_TEXT: "from_datetime(to_datetime({}))"}

#: For a class of fields: on what condition which values are stored as what.
_CASES: dict[Any, tuple[Callable[[Any], bool], dict[str, str]]] = {
    ma.String: (_always, {_TEXT: "{}"}),
    ma.Email: (_always, {_TEXT: "{}"}),
    ma.Url: (_always, {_TEXT: "{}"}),
    ma.Integer: (_always, {f"type({{}}) is int and {_INT64}": "{}"}),
    ma.Float: (
        _always,
        {
            "type({}) is float and -inf < {} < inf": "{}",
            f"type({{}}) is int and {_INT64}": "float({})",
        },
    ),
    ma.Boolean: (_is_usual, {"type({}) is bool": "{}"}),
    ma.Raw: (_always, {"type({}) in (str, float, bool)": "{}"}),
    ma.DateTime: (_parses(dt.datetime.fromisoformat), _MOMENT),
    stored_kind(ma.Date): (_parses(dt.date.fromisoformat), {_TEXT: "from_date(to_date({}))"}),
    stored_kind(ma.UUID): (_always, {"type({}) is str and is_uuid({})": "to_binary({})"}),
    fields.ObjectId: (_always, _ID),
    fields.Reference: (_is_id, _ID),
    fields.Binary: (_always, {_TEXT: "b64decode({}, validate=True)"}),
}

_ENUM = stored_kind(ma.Enum)
_MODELLED = {
    *_CASES,
    *(ma.Nested, ma.List, ma.Dict, ma.Tuple, ma.Constant, ma.NaiveDateTime, fields.Decimal128),
    *map(stored_kind, (ma.AwareDateTime, ma.Time, ma.TimeDelta, ma.Decimal, ma.Enum)),
    *map(stored_kind, (ma.IP, ma.IPv4, ma.IPv6, ma.IPInterface)),
    *map(stored_kind, (ma.IPv4Interface, ma.IPv6Interface)),
}

#: What the source of every plan may name.
_NAMES: dict[str, Any] = {
    "missing": missing,
    "irregular": _irregular,
    "good": _good,
    "to_bson": to_bson,
    "set_value": set_value,
    "ErrorStore": ErrorStore,
    "inf": float("inf"),
    "to_datetime": dt.datetime.fromisoformat,
    "from_datetime": from_datetime,
    "to_date": dt.date.fromisoformat,
    "from_date": _from_date,
    "is_uuid": _UUID,
    "to_binary": _binary,
    "is_oid": _OID,
    "ObjectId": bson.ObjectId,
    "fromhex": bytes.fromhex,
    "b64decode": base64.b64decode,
}
