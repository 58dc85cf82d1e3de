"""Names of a database in Python source.

APPSEC: names and values that come from a database get into the source in three ways only: as
identifiers that are checked, as literals, and in comments of one line. All three are made here.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator

from falcorest.schema import Schema

WIDTH = 88

#: The longest name of an attribute, and of a class but for what kind of class it is.
ATTRIBUTE_LENGTH = 30
CLASS_LENGTH = 36
#: The widest text that is shown as it is.
TEXT_WIDTH = 60

#: What the module imports or defines itself.
IMPORTED = frozenset(
    {
        *("Any", "ClassVar", "DEFAULT_URI", "FalcoRest", "Resource", "ResourceView", "Schema"),
        *("connect", "create_app", "falcon", "fields", "load_settings", "ma", "methods", "ops"),
        "validate",
    }
)
#: What a field can't be called: what schemas have already, and names too like 1 and 0.
_TAKEN = frozenset({*dir(Schema), *vars(Schema()), *IMPORTED, *"lIO"})
_PLURALS = {"movies": "movie", "cookies": "cookie", "news": "news", "series": "series"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# ------------------------------------------------------------------------------------- literals


def literal(value: str | float | bool | None) -> str:
    """Return a literal; a string has the quotes that formatters choose."""
    if not isinstance(value, str):
        # NOTE: the driver has integers of its own.
        return repr(int(value) if isinstance(value, int) and type(value) is not bool else value)
    if width(value) > TEXT_WIDTH:
        # NOTE: linters let a long line be that has no spaces to break it at.
        return _literal(value).replace(" ", "\\x20")
    return _literal(value)


def literals(value: str, room: int) -> list[str]:
    """Return a text as a literal, or as short ones to be written one below the other.

    Args:
        value: The text.
        room: How many columns there are.
    """
    whole = _literal(value)
    if width(whole) <= room:
        return [whole]
    size = TEXT_WIDTH // 2
    return [_literal(value[start : start + size]) for start in range(0, len(value), size)]


def _literal(value: str) -> str:
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escape(character, quote) for character in value) + quote


def _escape(character: str, quote: str) -> str:
    if character in {quote, "\\"}:
        return f"\\{character}"
    if is_plain(character):
        return character
    # APPSEC: what can't be seen, or changes the order in which text is shown, is spelled out.
    escaped = character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return escaped if escaped != character else f"\\x{ord(character):02x}"


def is_plain(text: str) -> bool:
    """Tell whether a text can be shown as it is: letters and digits, or printable ASCII."""
    return all(
        character.isprintable()
        if character.isascii()
        else unicodedata.category(character)[0] in "LN"
        and unicodedata.category(character) != "Lm"
        and unicodedata.bidirectional(character) in {"L", "EN", "ON"}
        and not "\u1100" <= character <= "\u11ff"
        for character in text
    )


def width(text: str) -> int:
    """Return how many columns a text takes, as formatters count them."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


# ------------------------------------------------------------------------------------- comments


def comment(text: str, indent: int = 0) -> list[str]:
    """Return a text as comment lines."""
    assert is_plain(text), text
    lines = ["#"]
    for word in text.split(" "):
        if lines[-1] != "#" and indent + width(f"{lines[-1]} {word}") > WIDTH:
            lines.append("#")
        lines[-1] += f" {word}"
    return [line.rstrip() for line in lines]


def quoted(name: str) -> str:
    """Return a name for a comment: in quotes, on one line, and not too long."""
    return _literal(name if width(name) <= TEXT_WIDTH else f"{name[: TEXT_WIDTH // 2]}...")


def listed(names: Iterable[str]) -> str:
    """Return names for a comment, with commas between them."""
    return ", ".join(map(quoted, names))


# -------------------------------------------------------------------------------- identifiers


def attribute_names(stored: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the names of the attributes of a schema, by the stored names of its fields.

    Args:
        stored: The stored names.
        taken: What no field gets that isn't stored under that name.
    """
    stored = list(stored)
    names = {name: name for name in stored if _is_attribute(name)}
    for name in stored:
        if name not in names:
            draft = _draft(name)
            names[name] = _unique(draft, {*names.values(), *_TAKEN, *taken})
    return {name: names[name] for name in stored}


def _is_attribute(name: str) -> bool:
    return (
        name.isidentifier()
        and unicodedata.normalize("NFKC", name) == name
        and is_plain(name)
        and not keyword.iskeyword(name)
        # NOTE: Python gives names that begin with two underscores another one inside of a class.
        and not name.startswith("__")
        and name not in _TAKEN
        # NOTE: fields of schemas nest classes with such names, which an attribute would hide.
        and not name.endswith("Schema")
        and width(name) <= ATTRIBUTE_LENGTH
        and not _is_mixed_case(name)
    )


def _is_mixed_case(name: str) -> bool:
    """Tell whether a name is what linters take for that of another language: ``mixedCase``."""
    name = name.lstrip("_")
    return name[:1].islower() and name != name.lower()


def _draft(name: str) -> str:
    name = _ascii(name)[: ATTRIBUTE_LENGTH - 4]
    if _is_mixed_case(name):
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    draft = re.sub(r"\W+", "_", name).strip("_").lower() or "field"
    if draft[0].isdigit():
        draft = f"field_{draft}"
    if keyword.iskeyword(draft) or draft in _TAKEN or draft.endswith("Schema"):
        draft = f"{draft}_"
    return draft


def class_name(collection: str, taken: Container[str]) -> str:
    """Return what the names of a collection's classes begin with.

    Args:
        collection: Its name, of several things.
        taken: The names of classes that are there already.
    """
    words = _words(collection)
    if words:
        words[-1] = _singular(words[-1])
    base = "".join(words)[:CLASS_LENGTH]
    if not base[:1].isalpha():
        base = f"Collection{base}"
    for number in _numbers():
        names = [f"{base}{number}{kind}" for kind in ("Schema", "Resource", "View")]
        if not any(name in taken or name in IMPORTED for name in names):
            return f"{base}{number}"
    raise AssertionError


def nested_name(parent: str, field: str, taken: Container[str]) -> str:
    """Return what the name of the schema of embedded documents begins with.

    Args:
        parent: What the name of the schema around it begins with.
        field: The field that holds the documents.
        taken: The names of classes that are there already.
    """
    base = (parent + ("".join(_words(field)) or "Field"))[:CLASS_LENGTH]
    for number in _numbers():
        name = f"{base}{number}Schema"
        if name not in taken and name not in IMPORTED:
            return f"{base}{number}"
    raise AssertionError


def _unique(draft: str, taken: Container[str]) -> str:
    for number in _numbers():
        end = f"_{number}" if number else ""
        name = draft[: ATTRIBUTE_LENGTH - len(end)] + end
        if name not in taken:
            return name
    raise AssertionError


def _numbers() -> Iterator[str]:
    """Yield what a name may end with: nothing, then 2, 3 and so on."""
    yield ""
    number = 2
    while True:
        yield str(number)
        number += 1


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def _words(text: str) -> list[str]:
    return [word[0].upper() + word[1:] for word in _WORD.findall(_ascii(text))]


def _singular(word: str) -> str:
    lower = word.lower()
    if lower in _PLURALS:
        return word[0] + _PLURALS[lower][1:]
    if re.search(r"[^aeiou]ies$", lower) and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(ss|x|ch|sh|[^aeo]us)es$", lower):
        return word[:-2]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word
