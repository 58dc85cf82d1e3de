"""Filter operators, one small class each.

An operator makes the condition on one field. The value has its type already; what a client
may not say is refused here, so that nothing unforeseen reaches MongoDB.

Source: https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

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

    Attributes:
        op: Its name in a query string.
        takes: What it compares with: ``scalar``, ``list``, or the one hint that it takes.
        meaning: What it matches, for docs.
    """

    op: ClassVar[str]
    takes: ClassVar[str] = "scalar"
    meaning: ClassVar[str]

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
    meaning = "matches the regular expression; only where it is switched on"

    def expression(self, value: Any) -> dict[str, Any]:
        if "\0" in value:
            raise ValueError("a pattern can't hold NUL")
        return {"$regex": value}


#: The operators of the typed query language, by name.
OPERATORS: dict[str, Operator] = {
    operator.op: operator()
    for operator in (Eq, Ne, Gt, Gte, Lt, Lte, In, Nin, All, Exists, Size, Type, Regex)
}
