"""Reference tables as reStructuredText, drawn from the tables in falcorest's code.

There is no Sphinx in here, so that a test can hold the result against the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence

import click

from falcorest.cli import main
from falcorest.dialects import typed
from falcorest.errors import CODES
from falcorest.hints import HINTS, LIST
from falcorest.operators import BSON_TYPES, OPERATORS
from falcorest.settings import SETTINGS, Setting
from falcorest.updates import UPDATE_OPERATORS

#: What the update operators do. The code names them; a name without a text fails the build.
UPDATES = {
    "$set": ("any value", "Sets the field."),
    "$unset": ("anything; it is passed over", "Removes the field."),
    "$inc": ("a number", "Adds it to the field."),
    "$mul": ("a number", "Multiplies the field by it."),
    "$min": ("any value", "Sets the field where the value is less than what is there."),
    "$max": ("any value", "Sets the field where the value is greater than what is there."),
    "$rename": ("the new name, a path", "Gives the field another name."),
    "$currentDate": (
        '``true``, ``{"$type": "date"}`` or ``{"$type": "timestamp"}``',
        "Sets the field to the time of the server.",
    ),
    "$push": (
        "any value; or an object with ``$each`` (a list) and perhaps ``$position``, ``$slice`` "
        "and ``$sort``",
        "Appends to a list.",
    ),
    "$pull": (
        "a value; or an object of ``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, "
        "``$in``, ``$nin``; or an object of fields with such conditions",
        "Removes what is equal or fulfils the conditions from a list.",
    ),
    "$pullAll": ("a list of values", "Removes all of them from a list."),
    "$pop": ("``1`` or ``-1``", "Removes the last (``1``) or the first (``-1``) of a list."),
    "$addToSet": (
        "any value; or an object with ``$each`` (a list)",
        "Appends to a list what isn't in it.",
    ),
}

_TAKES = {"scalar": "any hint that is no list", "list": "a ``list-`` hint"}
_KINDS = {
    "str": "text",
    "path": "path",
    "int": "whole number, 1 or more",
    "bool": "``true`` or ``false``",
    "list": "names with commas between them",
}


def settings() -> str:
    """Return every setting, with its kind and default."""
    return "\n".join(line for setting in SETTINGS for line in _setting(setting))


def _setting(setting: Setting) -> Iterable[str]:
    default = setting.shown or (
        "unset" if setting.default is None else literal(str(setting.default))
    )
    yield f".. confval:: {setting.name}"
    yield f"   :type: {_KINDS[setting.kind]}"
    yield f"   :default: {default}"
    yield ""
    yield f"   {setting.help}"
    yield ""


def operators() -> str:
    """Return the filter operators."""
    rows = [
        (literal(one.op), _TAKES.get(one.takes, literal(f"[{one.takes}]")), one.meaning)
        for one in OPERATORS.values()
    ]
    return table(("Operator", "Hint", "Matches when the field"), rows)


def hints() -> str:
    """Return the type hints."""
    rows = [
        (
            literal(hint.name) + (f", {literal(LIST + hint.name)}" if hint.in_lists else ""),
            hint.accepts,
            literal(hint.example) if hint.example else "",
            hint.value,
        )
        for hint in HINTS.values()
    ]
    return table(("Hint", "Takes", "Example", "Sent to MongoDB"), rows)


def bson_types() -> str:
    """Return the type names that the operator ``type`` knows, as a sentence."""
    return ", ".join(map(literal, BSON_TYPES)) + "."


def codes() -> str:
    """Return the error codes."""
    rows = [
        (literal(code), str(status), re.sub(r"`([^`]+)`", r"``\1``", meaning))
        for code, (status, meaning) in CODES.items()
    ]
    return table(("Code", "Status", "Meaning"), rows)


def updates() -> str:
    """Return the update operators."""
    if UPDATES.keys() != UPDATE_OPERATORS.keys():
        raise LookupError(f"texts don't fit: {sorted(UPDATES.keys() ^ UPDATE_OPERATORS.keys())}")
    rows = [(literal(name), *UPDATES[name]) for name in UPDATE_OPERATORS]
    return table(("Operator", "Takes", "What it does"), rows)


def grammar() -> str:
    """Return the grammar of the query language, which stands in the docstring of its parser."""
    text = inspect.cleandoc(typed.__doc__ or "").partition("::\n\n")[2]
    lines = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            break
        lines.append(line)
    return "\n".join([".. code-block:: none", "", *lines])


def commands() -> str:
    """Return the commands of the command line, with their arguments and options."""
    lines: list[str] = []
    for name in sorted(main.commands):
        lines += _command(name, main.commands[name])
    return "\n".join(lines)


def _command(name: str, command: click.Command) -> Iterable[str]:
    title = f"falcorest {name}"
    context = click.Context(command, info_name=title)
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    yield from (title, "-" * len(title), "")
    yield from (f".. program:: {title}", "")
    yield from (literal(usage), "")
    yield from (inspect.cleandoc(command.help or ""), "")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from _option(parameter, context)


def _option(option: click.Option, context: click.Context) -> Iterable[str]:
    kind = option.type
    metavar = "" if option.is_flag else f" {option.make_metavar(context).partition(' ')[0]}"
    yield f".. option:: {', '.join(option.opts)}{metavar}"
    yield ""
    yield f"   {option.help}"
    if isinstance(kind, click.IntRange):
        bounds = [f"at least {kind.min}"] if kind.min is not None else []
        bounds += [f"at most {kind.max}"] if kind.max is not None else []
        yield f"   A whole number, {' and '.join(bounds)}."
    if option.show_default:
        yield f"   Default: {literal(str(option.default))}."
    yield ""


def literal(text: str) -> str:
    """Return a text as a reStructuredText literal."""
    return f"``{text}``"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: drawn", ""]
    for row in (heading, *rows):
        for index, cell in enumerate(row):
            lines.append(f"   {'* -' if index == 0 else '  -'} {cell}")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "operators": operators,
    "hints": hints,
    "bson-types": bson_types,
    "codes": codes,
    "updates": updates,
    "grammar": grammar,
    "commands": commands,
}
