"""Writing: what was seen of a database as the source of a Python module.

The source is laid out as ``ruff format`` and Black do it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from bson import ObjectId

from falcorest.scaffold.looking import Seen
from falcorest.scaffold.names import (
    TEXT_WIDTH,
    WIDTH,
    attribute_names,
    class_name,
    comment,
    listed,
    literal,
    literals,
    nested_name,
    quoted,
    width,
)
from falcorest.scaffold.shapes import SCALARS, Shape, is_sayable, kind_of

#: A name that can stand in a query string, and be told from an operator there.
_IN_QUERIES = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")

_FIELDS = {
    "string": "ma.String",
    "int": "ma.Integer",
    "double": "ma.Float",
    "decimal": "fields.Decimal128",
    "bool": "ma.Boolean",
    "date": "ma.DateTime",
    "objectId": "fields.ObjectId",
    "uuid": "ma.UUID",
    "binary": "fields.Binary",
}
_COMPARED = ("Exact", "Gt", "Gte", "Lt", "Lte")
_OPERATORS: dict[str, tuple[str, ...]] = {
    "string": ("Exact", "In", "Startswith"),
    "int": _COMPARED,
    "double": _COMPARED,
    "decimal": _COMPARED,
    "bool": ("Boolean",),
    "date": _COMPARED,
    "objectId": ("Exact", "In"),
    "uuid": ("Exact", "In"),
}

# -------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class Group:
    """Something in brackets, on one line where that is wide enough, else an item a line.

    Attributes:
        opening: What stands in front, and the bracket.
        items: What stands inside.
        closing: The bracket, and what stands behind.
    """

    opening: str
    items: Sequence[Group | str]
    closing: str

    def flat(self) -> str:
        """Return it on one line."""
        inside = ", ".join(item.flat() if isinstance(item, Group) else item for item in self.items)
        comma = "," if self.closing == ")" and self.opening.endswith(" (") else ""
        comma = comma if len(self.items) == 1 else ""
        return f"{self.opening}{inside}{comma}{self.closing}"


def _lines(item: Group | str, indent: int, end: str = "") -> list[str]:
    """Return the lines of an item."""
    space = " " * indent
    flat = item if isinstance(item, str) else item.flat()
    if isinstance(item, str) or not item.items or indent + width(flat + end) <= WIDTH:
        return [space + flat + end]
    inside = [line for inner in item.items for line in _lines(inner, indent + 4, ",")]
    return [space + item.opening, *inside, space + item.closing + end]


def _assignment(name: str, text: str, indent: int) -> list[str]:
    """Return the lines that give a name to a text."""
    space = " " * indent
    parts = literals(text, WIDTH - indent - 4)
    line = f"{space}{name} = {parts[0]}"
    if len(parts) == 1 and width(line) <= WIDTH:
        return [line]
    return [f"{space}{name} = (", *(f"{space}    {part}" for part in parts), f"{space})"]


# -------------------------------------------------------------------------------------- module


def write(database: str, collections: Sequence[Seen], address: str | None) -> str:
    """Return the source of a module.

    Args:
        database: Name of the database.
        collections: What was seen.
        address: The URI of an embedded engine, None for another database. No other URI is
            given, because it may hold a password.
    """
    module = _Module()
    for seen in collections:
        module.bases[seen.name] = class_name(seen.name, module.taken)
        module.taken |= {f"{module.bases[seen.name]}{kind}" for kind in _CLASSES}
    body: list[str] = []
    for seen in collections:
        body += _Collection(module, seen).lines()
    body += _factory(module, collections)
    where = address.replace("/?", f"/{quote(database, safe='')}?") if address else None
    lines = [
        *_assignment(
            "DEFAULT_URI",
            where or f"mongodb://localhost:27017/{quote(database, safe='')}",
            0,
        ),
        *body,
    ]
    head = [*_docstring(database), *_imports(module.uses), ""]
    why = "The embedded engine, which runs while falcorest serve does." if address else ""
    return "\n".join([*head, *(comment(why) if why else ()), *lines, ""])


_CLASSES = ("Schema", "Resource", "View")
#: What is imported only where it is used.
_OPTIONAL = frozenset({"ops", "ma", "validate"})


@dataclass
class _Module:
    """What is known of the whole module: what its classes are called.

    Attributes:
        bases: What the names of a collection's classes begin with.
        taken: The names of all classes.
        uses: What is used that isn't always.
    """

    bases: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


def _docstring(database: str) -> list[str]:
    name = f" {database}" if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", database) else ""
    return f'''"""A REST API for the MongoDB database{name}.

falcorest scaffold made it from what it saw: types, and which fields are required, are
those of the documents that it looked at. Go through them before you rely on them.

As api.py, it runs under any WSGI server:

    gunicorn 'api:create_app()'
    waitress-serve --call api:create_app
    granian --interface wsgi --factory api:create_app

MONGODB_URI and DATABASE, in the environment or in .env, say where the data is.

Everybody may read, and nobody may write. To have it otherwise, give a view
authentication_methods (see falcorest.auth), and more methods, such as methods.Create.
"""
'''.splitlines()


def _imports(uses: set[str]) -> list[str]:
    typing = "Any, ClassVar" if "ClassVar" in uses else "Any"
    fields = ", fields" if "fields" in uses else ""
    lines = {
        "": "",
        "typing": f"from typing import {typing}",
        " ": "",
        "falcon": "import falcon",
        "falcorest": (
            f"from falcorest import FalcoRest, Resource, ResourceView, Schema{fields}, methods"
        ),
        "ops": "from falcorest import operators as ops",
        "connect": "from falcorest.database import connect",
        "settings": "from falcorest.settings import load_settings",
        "ma": "from marshmallow import fields as ma",
        "validate": "from marshmallow import validate",
    }
    return [line for name, line in lines.items() if name not in _OPTIONAL or name in uses]


def _factory(module: _Module, collections: Sequence[Seen]) -> list[str]:
    lines = '''

def create_app(database: Any = None) -> falcon.App:
    """Make the WSGI application.

    Args:
        database: A pymongo Database. Unless given, it is the one that MONGODB_URI and
            DATABASE name; the connection is made when the first request comes.
    """
    if database is None:
        settings = load_settings()
        uri = settings.mongodb_uri or DEFAULT_URI
        database = connect(uri, settings.database, timeout_ms=settings.timeout_ms)
    app = falcon.App()
    api = FalcoRest(app, database)
'''.splitlines()
    for seen in collections:
        name, url = literal(seen.resource), literal(f"/{seen.resource}/")
        view = f"{module.bases[seen.name]}View"
        lines += _lines(Group("api.register(", [f"name={name}", f"url={url}"], f")({view})"), 4)
    return [*lines, "    return app"]


# ---------------------------------------------------------------------------------- collection


_OBJECT_ID = Shape()
_OBJECT_ID.add(ObjectId("0" * 24))


class _Collection:
    """Writes the classes of a collection."""

    def __init__(self, module: _Module, seen: Seen) -> None:
        self._module = module
        self._seen = seen
        self._base = module.bases[seen.name]
        #: The nested schemas that a schema needs come before it.
        self._schemas: list[str] = []
        self._key = "_id" if "id" in seen.shape.fields else "id"

    def lines(self) -> list[str]:
        """Return the lines of all of its classes."""
        self._write_schema(self._base, self._seen.shape)
        blocks = [*comment(self._about()), *self._schemas[2:]]
        return ["", "", *blocks, *self._resource(), *self._view()]

    def _about(self) -> str:
        seen = self._seen
        name = quoted(seen.name)
        if seen.read_only:
            rest = "it showed no more" if seen.total is not None else "the first ones"
            return f"The view {name}: {_documents(seen.looked_at)} looked at, {rest}."
        if not seen.total:
            return f"The collection {name}: it is empty."
        if seen.looked_at >= seen.total:
            return f"The collection {name}: {_documents(seen.looked_at)} looked at, all of them."
        return (
            f"The collection {name}: {_documents(seen.looked_at)} looked at, of about "
            f"{seen.total}; half of them the first by _id, half the last. Others may have other "
            "types, and reading them can fail: see handle_serialization_error of Resource."
        )

    # ----------------------------------------------------------------------------- schemas

    def _write_schema(self, base: str, shape: Shape) -> None:
        """Write a schema, behind those that are nested in it."""
        top = shape is self._seen.shape
        left_out = [name for name in shape.fields if not is_sayable(name)]
        lines = ["", "", f"class {base}Schema(Schema):"]
        if left_out:
            shown = listed(left_out[:10]) + (" and more" if left_out[10:] else "")
            lines += _indented(comment(f"Left out, as no query can name it: {shown}.", 4))
        if top:
            lines += self._identity(base, shape)
        for name, attribute in self._attributes(shape).items():
            inner = shape.fields[name]
            options = []
            if attribute != name:
                options = [f"attribute={literal(name)}", f"data_key={literal(name)}"]
            if shape.requires(name):
                options.append("required=True")
            lines += self._field(base, name, attribute, inner, options)
        self._schemas += lines

    def _attributes(self, shape: Shape) -> dict[str, str]:
        top = shape is self._seen.shape
        names = [name for name in shape.fields if is_sayable(name) and not (top and name == "_id")]
        return attribute_names(names, (self._key,) if top else ())

    def _identity(self, base: str, shape: Shape) -> list[str]:
        """Return the lines of the field for the ``_id``."""
        options = [] if self._key == "_id" else ['attribute="_id"']
        inner = shape.fields.get("_id")
        if inner is None or inner.kinds <= {"objectId"}:
            self._module.uses.add("fields")
            field = Group(f"{self._key} = fields.ObjectId(", [*options, "dump_only=True"], ")")
            return _lines(field, 4)
        # NOTE: MongoDB makes up ObjectIds only, so another one is for clients to choose.
        if "objectId" not in inner.kinds:
            options.append("required=True")
        return self._field(base, "_id", self._key, inner, options)

    def _field(
        self, base: str, name: str, attribute: str, shape: Shape, options: list[str]
    ) -> list[str]:
        notes = []
        if shape.disputed:
            notes.append("Documents differ from the validator.")
        if not shape.kind and len(shape.kinds) > 1:
            notes.append(f"Seen or allowed: {', '.join(sorted(shape.kinds))}.")
        lines = _indented(comment(" ".join(notes), 4)) if notes else []
        group = self._expression(base, name, shape, options)
        return lines + _lines(Group(f"{attribute} = {group.opening}", group.items, ")"), 4)

    def _expression(self, base: str, name: str, shape: Shape, options: Sequence[str] = ()) -> Group:
        """Return the field that takes what a shape has seen."""
        items: list[Group | str] = []
        kind = shape.kind
        call = _FIELDS.get(kind, "ma.Raw")
        if kind == "array":
            call = "ma.List"
            items.append(self._inner(base, name, shape.items))
        elif kind == "object" and any(map(is_sayable, shape.fields)):
            call = "ma.Nested"
            nested = nested_name(base, name, self._module.taken)
            self._module.taken.add(f"{nested}Schema")
            self._write_schema(nested, shape)
            items.append(f"{nested}Schema")
        elif kind == "object":
            call = "ma.Dict"
            if shape.values is not None and shape.values.kind:
                inner = self._inner(base, name, shape.values)
                items.append(Group(f"values={inner.opening}", inner.items, ")"))
        elif kind == "objectId" and shape.refers is not None:
            call = "fields.Reference"
            items.append(literal(shape.refers))
        self._module.uses.add(call.partition(".")[0])
        items += options
        if kind == "double" and shape.non_finite:
            items.append("allow_nan=True")
        if shape.nullable:
            items.append("allow_none=True")
        checks = list(_checks(kind, shape.limits))
        self._module.uses.update(["validate"] if checks else [])
        if len(checks) == 1:
            items.append(Group(f"validate={checks[0].opening}", checks[0].items, ")"))
        elif checks:
            items.append(Group("validate=[", checks, "]"))
        return Group(f"{call}(", items, ")")

    def _inner(self, base: str, name: str, shape: Shape | None) -> Group:
        return Group("ma.Raw(", [], ")") if shape is None else self._expression(base, name, shape)

    # ---------------------------------------------------------------------- resource, view

    def _resource(self) -> list[str]:
        lines = ["", "", f"class {self._base}Resource(Resource):"]
        unique = [index for index in self._seen.indexes if index.unique]
        if unique:
            said = "; ".join(
                " with ".join(quoted(path) for path, _ in index.keys)
                + (" (not in all documents)" if index.partial else "")
                for index in unique
            )
            lines += _indented(comment(f"Unique: {said}.", 4))
        lines += _assignment("collection", self._seen.name, 4)
        lines.append(f"    schema = {self._base}Schema")
        filters: list[Group | str] = [
            Group(f"{literal(name)}: [", [f"ops.{operator}" for operator in operators], "]")
            for name, operators in self._filters().items()
        ]
        if filters:
            self._module.uses.update(["ClassVar", "ops"])
            lines += _lines(Group("filters: ClassVar = {", filters, "}"), 4)
        ordering = [word for name in self._ordering() for word in (name, f"-{name}")]
        lines += _lines(Group("allowed_ordering = (", list(map(literal, ordering)), ")"), 4)
        indexes = list(self._indexes())
        if indexes:
            self._module.uses.add("ClassVar")
            lines += _lines(Group("indexes: ClassVar = [", indexes, "]"), 4)
        return lines + self._embedding()

    def _indexes(self) -> Iterator[Group | str]:
        """Yield the indexes on fields of the schema."""
        for index in self._seen.declared:
            if any(path != "_id" and self._find(path) is None for path in index.paths):
                continue
            words = [literal(word) for word in index.words]
            options: list[Group | str] = [
                f"{literal(name)}: {literal(value)}"
                for name in ("unique", "sparse", "expire_after_seconds", "name")
                for value in [getattr(index, name)]
                if value is not None and value is not False
            ]
            if options:
                keys = [Group('"keys": [', words, "]")] if words[1:] else [f'"keys": {words[0]}']
                yield Group("{", [*keys, *options], "}")
            else:
                yield Group("[", words, "]") if words[1:] else words[0]

    def _filters(self) -> dict[str, tuple[str, ...]]:
        """Return the operators of each filter, by API name."""
        paths = ["_id", *self._seen.shape.fields]
        paths += [path for index in self._seen.indexes for path, _ in index.keys]
        filters: dict[str, tuple[str, ...]] = {}
        for path in dict.fromkeys(paths):
            found = self._find(path)
            if found is not None:
                name, shape, _ = found
                filters[name] = _OPERATORS[shape.kind]
        return filters

    def _ordering(self) -> Iterator[str]:
        """Yield the API names of the fields by which indexes are ordered."""
        paths = [index.keys[0] for index in self._seen.indexes if not index.partial]
        for path in dict.fromkeys(["_id", *(path for path, order in paths if order in {1, -1})]):
            found = self._find(path)
            if path == "_id" or (found is not None and not found[2]):
                yield self._key if found is None else found[0]

    def _find(self, path: str) -> tuple[str, Shape, bool] | None:
        """Return API name and shape of a scalar, and whether it is in a list.

        Args:
            path: Its stored path.
        """
        if path == "_id" and path not in self._seen.shape.fields:
            return self._key, _OBJECT_ID, False
        names: list[str] = []
        shape = self._seen.shape
        in_list = False
        for part in path.split("."):
            if part not in shape.fields or (shape.kind != "object" and names):
                return None
            top_key = part == "_id" and not names
            if not top_key and (_IN_QUERIES.fullmatch(part) is None or width(part) > TEXT_WIDTH):
                return None
            names.append(self._key if top_key else part)
            shape = shape.fields[part]
            if shape.kind == "array" and shape.items is not None:
                # NOTE: a filter looks into a list, but not into lists in it.
                in_list = True
                shape = shape.items
        if shape.kind not in SCALARS or shape.kind not in _OPERATORS:
            return None
        return "__".join(names), shape, in_list

    def _embedding(self) -> list[str]:
        """Say how documents are shown in the place of references."""
        shape = self._seen.shape
        related: list[Group | str] = []
        for name, attribute in self._attributes(shape).items():
            inner = shape.fields[name]
            if inner.kind == "array" and inner.items is not None:
                inner = inner.items
            target = self._module.bases.get(inner.refers or "")
            if inner.kind == "objectId" and target is not None:
                related.append(f"{literal(attribute)}: lambda: {target}Resource")
        if not related:
            return []
        lines = _lines(Group("related_resources: ClassVar = {", related, "}"), 6)
        return [
            "    # References are shown as ids. To show what they refer to:",
            *(f"    # {line[6:]}" for line in lines),
        ]

    def _view(self) -> list[str]:
        return [
            "",
            "",
            f"class {self._base}View(ResourceView):",
            f"    resource = {self._base}Resource",
            "    methods = (methods.List, methods.Fetch)",
        ]


def _documents(count: int) -> str:
    return "1 document was" if count == 1 else f"{count} documents were"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


# ---------------------------------------------------------------------------------- validators


def _checks(kind: str, limits: dict[str, Any]) -> Iterator[Group]:
    """Yield the validators that say what a ``$jsonSchema`` says."""
    allowed = limits.get("enum")
    if isinstance(allowed, list) and kind in {"string", "int", "double", "bool"}:
        values = [value for value in allowed if value is not None]
        kinds = {"int", "double"} if kind == "double" else {kind}
        if values and all(kind_of(value) in kinds and _is_finite(value) for value in values):
            yield Group("validate.OneOf(", [Group("[", list(map(literal, values)), "]")], ")")
    if kind in {"string", "array"}:
        keywords = ("minLength", "maxLength") if kind == "string" else ("minItems", "maxItems")
        bounds = [
            f"{name}={int(limits[keyword])}"
            for name, keyword in zip(("min", "max"), keywords, strict=True)
            if kind_of(limits.get(keyword)) in {"int", "double"} and _is_finite(limits[keyword])
        ]
        if bounds:
            yield Group("validate.Length(", bounds, ")")
    if kind in {"int", "double"}:
        bounds = list(_range(limits))
        if bounds:
            yield Group("validate.Range(", bounds, ")")


def _range(limits: dict[str, Any]) -> Iterator[str]:
    for name, keyword, exclusive in (
        ("min", "minimum", "exclusiveMinimum"),
        ("max", "maximum", "exclusiveMaximum"),
    ):
        bound = limits.get(keyword)
        if kind_of(bound) in {"int", "double"} and _is_finite(bound):
            yield f"{name}={literal(bound)}"
            if limits.get(exclusive) is True:
                yield f"{name}_inclusive=False"


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
