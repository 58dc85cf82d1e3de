"""Reference tables as reStructuredText, drawn from the tables in falcorest's code.

There is no Sphinx in here, so that a test can hold the result against the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence

import click

from falcorest import fields, methods, schema
from falcorest.attributes import ATTRIBUTES, Attributes
from falcorest.cli import main
from falcorest.dialects import suffix, typed
from falcorest.errors import CODES
from falcorest.hints import HINTS, LIST
from falcorest.indexes.index import OPTIONS
from falcorest.limits import LIMITS
from falcorest.operators import BSON_TYPES, DECLARED, OPERATORS, Operator
from falcorest.policy import RULES
from falcorest.resource import HOOKS, Resource
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

#: What the rules of a policy hold. The code names them; one without a text fails the build.
HOLDS = {
    "hidden": "a list of paths",
    "readonly": "a list of paths",
    "read": "a list of roles",
    "write": "a list of roles",
    "rows": "a filter for each role",
    "owner": "the name of a field",
    "unrestricted": "a list of roles",
}

#: The hooks of a Resource in the order in which they run, by what runs them. The code names
#: them; one without a place fails the build.
STEPS = {
    "List": ("has_read_permission", "get_objects", "serialize", "handle_serialization_error"),
    "Fetch": ("has_read_permission", "get_object", "serialize", "handle_serialization_error"),
    "Create, BulkCreate": (
        *("validate_request", "has_add_permission", "create_object", "serialize"),
    ),
    "Update, Replace": (
        *("has_read_permission", "get_object", "has_change_permission", "validate_request"),
        *("update_object", "serialize"),
    ),
    "BulkUpdate": (
        *("has_read_permission", "has_change_permission", "validate_request", "update_object"),
    ),
    "Delete": ("has_read_permission", "get_object", "has_delete_permission", "delete_object"),
    "BulkDelete": ("has_read_permission", "has_delete_permission", "delete_object"),
}
#: Hooks that change nothing and may be asked at any time.
UNORDERED = ("get_fields", "get_optional_fields", "get_max_limit")

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


def limits() -> str:
    """Return the limits, with the settings that set them."""
    rows = [
        (
            literal(one.attribute),
            f":confval:`{one.setting}`",
            literal(str(one.default)),
            one.help,
            f"{literal(one.code)}, {CODES[one.code][0]}" if one.code else "a lower bound",
        )
        for one in LIMITS
    ]
    return table(("Limit", "Setting", "Default", "What it counts", "Answer to more"), rows)


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


def rules() -> str:
    """Return the rules of a policy."""
    if HOLDS.keys() != RULES.keys():
        raise LookupError(f"texts don't fit: {sorted(HOLDS.keys() ^ RULES.keys())}")
    rows = [(literal(name), HOLDS[name], RULES[name]) for name in RULES]
    return table(("Rule", "Holds", "Meaning"), rows)


def index_options() -> str:
    """Return what a table says of an index beside its keys."""
    rows = [(literal(name), meaning) for name, meaning in OPTIONS.items()]
    return table(("Option", "Meaning"), rows)


def attributes() -> str:
    """Return what a Resource class can say, which stands in a docstring, with the defaults."""
    texts = _documented(Attributes)
    if texts.keys() != ATTRIBUTES.keys():
        raise LookupError(f"texts don't fit: {sorted(texts.keys() ^ ATTRIBUTES.keys())}")
    rows = [
        (literal(name), literal(repr(getattr(Attributes, name))), texts[name])
        for name in ATTRIBUTES
    ]
    return table(("Attribute", "Default", "Meaning"), rows)


def _documented(kind: type) -> dict[str, str]:
    """Return the texts below ``Attributes:`` in the docstring of a class, by name."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): ((?:.|\n        )+)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in entries}


def hooks() -> str:
    """Return the hooks of a Resource."""
    rows = [
        (literal(f"{name}{_signature(name)}"), _first_line(getattr(Resource, name)))
        for name in HOOKS
    ]
    return table(("Hook", "What it does"), rows)


def _signature(name: str) -> str:
    """Return the parameters of a hook as an author writes them, types left out."""
    parameters = inspect.signature(getattr(Resource, name)).parameters.values()
    names = [one.name if one.default is one.empty else f"{one.name}=…" for one in parameters]
    return f"({', '.join(names)})"


def _first_line(documented: object) -> str:
    return inspect.cleandoc(documented.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def steps() -> str:
    """Return the order in which the hooks of a Resource run."""
    unknown = {name for names in STEPS.values() for name in names} ^ (set(HOOKS) - set(UNORDERED))
    if unknown:
        raise LookupError(f"steps don't fit: {sorted(unknown)}")
    rows = [(title, ", ".join(map(literal, names))) for title, names in STEPS.items()]
    return table(("Method", "Hooks, in this order"), rows)


def suffixes() -> str:
    """Return the filter operators of declared resources."""
    rows = [(_class(one), _written(one), one.meaning) for one in DECLARED]
    return table(("Operator", "In a query string", "Matches when the field"), rows)


def _written(operator: type[Operator]) -> str:
    value = {"bool": "true", "list": "a,b"}.get(operator.takes, "value")
    named = literal(f"field__{operator.op}={value}")
    return f"{named}, {literal(f'field={value}')}" if operator.bare else named


def _class(kind: type) -> str:
    return literal(
        f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}".replace("operators", "ops")
    )


def suffix_grammar() -> str:
    """Return the grammar of query strings of declared resources."""
    return _grammar(suffix.__doc__)


def methods_of_views() -> str:
    """Return what a view can list in ``methods``."""
    rows = [
        (
            _class(one),
            ", ".join(map(literal, one.on_collection)),
            ", ".join(map(literal, one.on_item)),
            _first_line(one),
        )
        for one in methods.ALL
    ]
    return table(("Method", "On the collection", "On one document", "What it does"), rows)


def bson_fields() -> str:
    """Return falcorest's own fields."""
    rows = [
        (_class(one), _first_line(one))
        for one in (fields.ObjectId, fields.Reference, fields.Decimal128, fields.Binary)
    ]
    return table(("Field", "What it is"), rows)


def stored() -> str:
    """Return how values are stored; that stands in a docstring as a table."""
    lines = inspect.cleandoc(schema.__doc__ or "").splitlines()
    borders = [index for index, line in enumerate(lines) if line.startswith("===")]
    return "\n".join(lines[borders[0] : borders[-1] + 1])


def updates() -> str:
    """Return the update operators."""
    if UPDATES.keys() != UPDATE_OPERATORS.keys():
        raise LookupError(f"texts don't fit: {sorted(UPDATES.keys() ^ UPDATE_OPERATORS.keys())}")
    rows = [(literal(name), *UPDATES[name]) for name in UPDATE_OPERATORS]
    return table(("Operator", "Takes", "What it does"), rows)


def grammar() -> str:
    """Return the grammar of the query language, which stands in the docstring of its parser."""
    return _grammar(typed.__doc__)


def _grammar(documentation: str | None) -> str:
    text = inspect.cleandoc(documentation or "").partition("::\n\n")[2]
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
    "limits": limits,
    "operators": operators,
    "hints": hints,
    "bson-types": bson_types,
    "codes": codes,
    "updates": updates,
    "grammar": grammar,
    "rules": rules,
    "index-options": index_options,
    "attributes": attributes,
    "hooks": hooks,
    "steps": steps,
    "suffixes": suffixes,
    "suffix-grammar": suffix_grammar,
    "methods": methods_of_views,
    "fields": bson_fields,
    "stored": stored,
    "commands": commands,
}
