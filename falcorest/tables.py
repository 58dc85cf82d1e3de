"""Tables: lists as CSV, one document a line.

Source: https://www.rfc-editor.org/rfc/rfc4180
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from marshmallow import fields as ma
from marshmallow.decorators import POST_DUMP

from falcorest import plain_json
from falcorest.declaration import Declaration
from falcorest.errors import QueryError
from falcorest.naming import EMBEDDED
from falcorest.query import Query
from falcorest.reading import DUMPING, Reader
from falcorest.streams import DocumentStream

_SPECIAL = re.compile('[",\r\n]')

#: The names that lead to what stands in a column.
Place: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: What stands above it.
        place: Where its values are in what is shown of a document.
    """

    title: str
    place: Place


class Table:
    """Writes documents as lines of CSV.

    An empty cell is null, or a field that isn't there; an empty text has quotes. Lists and
    objects are JSON in their cell, the values in it as the rest of the API shows them.

    Args:
        columns: At least one.
        dumps: Writes JSON.
    """

    #: Whether a list that breaks off breaks the connection.
    raises = True

    def __init__(self, columns: Sequence[Column], dumps: Callable[[Any], bytes]) -> None:
        self._columns = columns
        self._dumps = dumps

    @property
    def start(self) -> bytes:
        """What stands above the documents."""
        return _line([_quoted(column.title) for column in self._columns])

    def write(self, shown: Sequence[Any]) -> bytes:
        """Return documents, as they are shown, as lines."""
        return b"".join([_line(self._cells(one)) for one in shown])

    def failure(self, problem: dict[str, Any]) -> bytes:
        """Return what stands at the end of a list that breaks off: a quote that never ends.

        Readers that are strict stumble over it.
        """
        return f'"The list broke off: {problem["code"]}\r\n'.encode()

    def _cells(self, shown: Any) -> list[str]:
        cells = [self._cell(_value(shown, column.place)) for column in self._columns]
        # NOTE: an empty line is no line to many readers.
        return cells if len(cells) > 1 or cells[0] else ['""']

    def _cell(self, value: Any) -> str:
        kind = type(value)
        if kind is str:
            return _quoted(value)
        if value is None:
            return ""
        if kind is int:
            return str(value)
        encoder = plain_json.ENCODERS.get(kind)
        if encoder is not None:
            return encoder(value)
        if kind is float and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        text = self._dumps(value)
        # NOTE: a Decimal, a date and the like are JSON strings.
        return _quoted(orjson.loads(text) if text[:1] == b'"' else text.decode())


def _quoted(text: str) -> str:
    # NOTE: csv of Python's own can't tell an empty text from None before 3.12.
    if text and _SPECIAL.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def _line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode()


def _value(shown: Any, place: Place) -> Any:
    """Return what stands at a place; of each item, where there is a list on the way."""
    for depth, name in enumerate(place):
        if type(shown) is dict:
            shown = shown.get(name)
        elif type(shown) is list:
            return [_value(item, place[depth:]) for item in shown]
        else:
            return None
    return shown


# -------------------------------------------------------------------------------------- columns


def make_table(
    work: Reader, query: Query, documents: Any, shown: Sequence[Any], most: int
) -> Table:
    """Return the table for a list.

    Args:
        work: Shows the documents.
        query: What is asked.
        documents: A list, or a stream.
        shown: The documents, or the first of the stream, as they are shown.
        most: The most columns.

    Raises:
        QueryError: It would have more.
    """
    if work.declaration.has_schema:
        columns = _declared(work)
    elif query.projection is not None:
        names = dict.fromkeys(("_id", *query.projection))
        columns = [Column(name, tuple(name.split("."))) for name in names]
    elif _is_plain_stream(work, documents):
        columns = _sorted(work.service.names(work.readable(query), most + 1))
    else:
        columns = []
    known = {column.place[0] for column in columns}
    further = {name for one in shown for name in one} - known
    if work.declaration.has_schema or not columns:
        columns += _sorted(further)
    if len(columns) > most:
        raise QueryError(
            "query.too_complex",
            f"The table would have more than {most} columns; name fewer fields.",
            parameter="_fields" if work.declaration.has_schema else "_projection",
        )
    return Table(columns or [Column("_id", ("_id",))], work.json)


def _is_plain_stream(work: Reader, documents: Any) -> bool:
    """Tell whether there are more documents than are at hand, shown as the query finds them."""
    own = work.changes_dump or "get_objects" in work.resource.overridden
    return isinstance(documents, DocumentStream) and not documents.complete and not own


def _sorted(names: Iterable[str]) -> list[Column]:
    return [Column(name, (name,)) for name in sorted(names, key=lambda name: (name != "_id", name))]


def _declared(work: Reader) -> list[Column]:
    columns: dict[Place, None] = {}
    for declaration, names in work.selected():
        # NOTE: what a hook shows in the place of an object is its own affair.
        hooked = work.changes_dump or not declaration.resource.overridden.isdisjoint(DUMPING)
        places = _names(declaration, names) if hooked else _places(declaration, names)
        columns |= dict.fromkeys(places)
    return [Column(".".join(place), place) for place in columns]


def _names(declaration: Declaration, names: Iterable[str]) -> Iterator[Place]:
    for name in declaration.in_order(names):
        field = declaration.fields.get(name)
        if field is None or not field.load_only:
            yield (declaration.api.get(name, name),)


def _places(
    declaration: Declaration, names: Iterable[str], around: tuple[Any, ...] = ()
) -> Iterator[Place]:
    """Yield the places of all values that aren't objects, as far as the schema tells."""
    for place in _names(declaration, names):
        name = declaration.by_api.get(place[0], place[0])
        relation = declaration.relations.get(name)
        inner: Iterable[Place] | None = None
        if relation is None:
            inner = _below(declaration.fields.get(name), around)
        elif relation.kind == EMBEDDED and not relation.many:
            related = declaration.of(relation.resource)
            if not related.children and not related.resource.overridden and related not in around:
                inner = _places(related, related.shown, (*around, related))
        yield from (place,) if inner is None else ((*place, *one) for one in inner)


def _below(field: Any, around: tuple[Any, ...]) -> Iterator[Place] | None:
    """Return the places in a nested object; None where the schema doesn't tell."""
    if type(field) is not ma.Nested or field.many:
        return None
    schema = field.schema
    if schema.many or schema._hooks.get(POST_DUMP) or type(schema) in around:
        return None
    return _of_schema(schema, (*around, type(schema)))


def _of_schema(schema: Any, around: tuple[Any, ...]) -> Iterator[Place]:
    for name, field in schema.dump_fields.items():
        place = (name if field.data_key is None else field.data_key,)
        inner = _below(field, around)
        yield from (place,) if inner is None else ((*place, *one) for one in inner)
