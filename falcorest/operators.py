"""Filter operators, one small class each.

An operator makes the condition on one field. The value has its type already; what a client
may not say is refused here, so that nothing unforeseen reaches MongoDB.

Source: https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from falcorest.query import Filter

#: The names that ``$type`` knows.
BSON_TYPES = (
    *("double", "string", "object", "array", "binData", "undefined", "objectId", "bool", "date"),
    *("null", "regex", "dbPointer", "javascript", "symbol", "javascriptWithScope", "int"),
    *("timestamp", "long", "decimal", "minKey", "maxKey", "number"),
)


class Operator:
    """Base class of filter operators.

    An operator of one's own is a subclass with an ``op`` and a ``condition``.

    Attributes:
        op: Its name in a query string.
        takes: What it compares with: ``scalar`` (with a schema: what the field makes of the
            text), ``list`` (several of these), ``str`` (the text as it stands), or another hint.
        meaning: What it matches, for docs.
        bare: Whether a filter of declared resources means it when it names no operator.
        in_texts: Whether it looks for the value inside of texts, where a long one costs more.

    Args:
        allow_negation: Whether clients may put ``not`` in front of it.
    """

    op: ClassVar[str]
    takes: ClassVar[str] = "scalar"
    meaning: ClassVar[str]
    bare: ClassVar[bool] = False
    in_texts: ClassVar[bool] = False

    def __init__(self, *, allow_negation: bool = False) -> None:
        self.allow_negation = allow_negation

    def condition(self, field: str, value: Any, negate: bool = False) -> Filter:
        """Return the filter that says this of a field.

        Args:
            field: Stored name, perhaps a dotted path.
            value: What to compare with.
            negate: Whether to match what the operator doesn't.

        Raises:
            ValueError: The value is none that the operator takes; the text says why.
        """
        expression = self.expression(value)
        return {field: {"$not": expression} if negate else expression}

    def expression(self, value: Any) -> dict[str, Any]:
        """Return what stands behind the field."""
        return {f"${self.op}": value}


class Eq(Operator):
    op = "eq"
    meaning = "is equal to the value, or is a list that holds it"


class Ne(Operator):
    op = "ne"
    meaning = "is not equal to the value, or isn't there"


class Gt(Operator):
    op = "gt"
    meaning = "is greater than the value"


class Gte(Operator):
    op = "gte"
    meaning = "is greater than the value or equal to it"


class Lt(Operator):
    op = "lt"
    meaning = "is less than the value"


class Lte(Operator):
    op = "lte"
    meaning = "is less than the value or equal to it"


class In(Operator):
    op = "in"
    takes = "list"
    meaning = "is equal to one of the values"


class Nin(Operator):
    op = "nin"
    takes = "list"
    meaning = "is equal to none of the values, or isn't there"


class All(Operator):
    op = "all"
    takes = "list"
    meaning = "is a list that holds all the values"


class Exists(Operator):
    op = "exists"
    takes = "bool"
    meaning = "is there, or isn't"


class Size(Operator):
    op = "size"
    takes = "int"
    meaning = "is a list of that length"

    def expression(self, value: Any) -> dict[str, Any]:
        if value < 0:
            raise ValueError("a size isn't negative")
        return {"$size": value}


class Type(Operator):
    op = "type"
    takes = "str"
    meaning = "is of the BSON type of that name"

    def expression(self, value: Any) -> dict[str, Any]:
        if value not in BSON_TYPES:
            raise ValueError(f"the types are {', '.join(BSON_TYPES)}")
        return {"$type": value}


class Regex(Operator):
    op = "regex"
    takes = "str"
    in_texts = True
    meaning = "matches the regular expression; only where it is switched on"

    def expression(self, value: Any) -> dict[str, Any]:
        if "\0" in value:
            raise ValueError("a pattern can't hold NUL")
        return {"$regex": value}


class Exact(Eq):
    op = "exact"
    bare = True

    def expression(self, value: Any) -> dict[str, Any]:
        return {"$eq": value}


class Boolean(Exact):
    op = "boolean"
    takes = "bool"
    meaning = "is true, or false"


class Pattern(Operator):
    """Base class of operators that look into texts.

    APPSEC: what a client sends is escaped; it never writes a regular expression.

    Attributes:
        pattern: A regular expression, with ``{}`` where the text comes.
    """

    takes = "str"
    in_texts = True
    pattern: ClassVar[str]

    def expression(self, value: Any) -> dict[str, Any]:
        if "\0" in value:
            raise ValueError("a text to look for can't hold NUL")
        return {"$regex": self.pattern.format(re.escape(value))}


class Contains(Pattern):
    op = "contains"
    pattern = "{}"
    meaning = "is a text that holds the value"


class IContains(Pattern):
    op = "icontains"
    pattern = "(?i){}"
    meaning = "is a text that holds the value, in capitals or not"


class Startswith(Pattern):
    op = "startswith"
    pattern = "^{}"
    meaning = "is a text that begins with the value"


class IStartswith(Pattern):
    op = "istartswith"
    pattern = "(?i)^{}"
    meaning = "is a text that begins with the value, in capitals or not"


class Endswith(Pattern):
    op = "endswith"
    # NOTE: $ alone also matches in front of a line break at the end.
    pattern = "{}$(?!\n)"
    meaning = "is a text that ends with the value"


class IEndswith(Pattern):
    op = "iendswith"
    pattern = "(?i){}$(?!\n)"
    meaning = "is a text that ends with the value, in capitals or not"


class IExact(Pattern):
    op = "iexact"
    pattern = "(?i)^{}$(?!\n)"
    meaning = "is that text, in capitals or not"


#: The operators that declared resources list in ``filters``.
DECLARED: tuple[type[Operator], ...] = (
    *(Exact, Boolean, Ne, Lt, Lte, Gt, Gte, In, Exists),
    *(IExact, Contains, IContains, Startswith, IStartswith, Endswith, IEndswith),
)

#: The operators of the typed query language, by name.
OPERATORS: dict[str, Operator] = {
    operator.op: operator()
    for operator in (Eq, Ne, Gt, Gte, Lt, Lte, In, Nin, All, Exists, Size, Type, Regex)
}
