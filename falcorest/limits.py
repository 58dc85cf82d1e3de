"""Limits: what a request may cost, every bound once, in :data:`LIMITS`.

The settings of the zero-code server, what a declared view may say and the reference are all
drawn from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from falcorest.errors import ConfigurationError

#: The most that a limit can be, unless something behind it has a bound of its own.
MOST = 2**31 - 1

#: The fewest bytes of a secret that signs something.
SECRET_BYTES = 32


def _limit(default: int, help: str, code: str, most: int = MOST) -> Any:
    return field(default=default, metadata={"help": help, "code": code, "most": most})


@dataclass(frozen=True)
class Limits:
    """How much a request may ask for.

    ``LIMITS`` says what each of them counts.

    Raises:
        ConfigurationError: One is no whole number, less than 1, or more than it can be.
    """

    # NOTE: so many bytes are 1,000 ObjectIds in a list, percent-encoded commas included. granian
    # takes addresses of 64 KiB, waitress headers of 256 KiB, gunicorn a first line of 4 KiB.
    max_query_bytes: int = _limit(
        32 * 1024,
        "The longest query string, in bytes, as it comes over the wire.",
        "query.too_long",
    )
    max_parameters: int = _limit(100, "The most parameters in a query string.", "query.too_complex")
    max_conditions: int = _limit(
        100,
        "The most conditions in a filter. Each member of a group counts, a group in a group "
        "included.",
        "query.too_complex",
    )
    max_group_depth: int = _limit(
        20,
        "How deep groups (``and``, ``or``, ``nor``) may be nested in each other.",
        "query.too_complex",
        # NOTE: MongoDB takes 99 of them, and a row rule may stand around these.
        most=50,
    )
    max_list_values: int = _limit(
        1000,
        "The most values in one list, and the most fields in ``_projection`` or ``_fields``.",
        "query.too_complex",
    )
    max_value_characters: int = _limit(
        4096, "The longest value in a filter, in characters.", "query.too_long"
    )
    max_pattern_characters: int = _limit(
        256,
        "The longest regular expression, and the longest text that ``contains``, ``startswith`` "
        "and the like look for, in characters.",
        "query.too_long",
    )
    max_sort_fields: int = _limit(32, "The most fields to sort by.", "query.invalid_sort", most=32)
    max_skip: int = _limit(
        2**31 - 1,
        "The most documents that ``_skip`` may pass over; MongoDB walks through all of them.",
        "query.invalid_skip",
    )
    max_body_bytes: int = _limit(
        1024 * 1024, "The largest request body, in bytes.", "body.too_large"
    )
    max_body_depth: int = _limit(
        100,
        "How many levels of objects and lists a body may have, itself included. It is what "
        "MongoDB nests, so it can be lowered only.",
        "body.too_deep",
        most=100,
    )
    max_documents: int = _limit(10_000, "The most documents in one ``POST``.", "body.too_complex")
    max_import_bytes: int = _limit(
        1024 * 1024 * 1024,
        "The largest body of an import, in bytes. No more than a part of it is in memory at once.",
        "body.too_large",
    )
    max_line_bytes: int = _limit(
        1024 * 1024, "The longest line of an import, in bytes.", "body.too_large"
    )
    client_timeout_ms: int = _limit(
        30_000,
        "How long a client may take to send a body, or 64 KiB of an import, in milliseconds. Under "
        "``falcorest serve`` also, how long it may send and read nothing, or almost nothing, "
        "before its connection is closed.",
        "body.timeout",
    )
    max_update_fields: int = _limit(
        1000,
        "The most fields that one ``PATCH`` may name, in all its operators.",
        "body.too_complex",
    )
    stream_timeout_ms: int = _limit(
        600_000,
        "How long MongoDB may work on one list that is streamed, in milliseconds; the time that "
        "the client takes to read doesn't count. A stream that runs into it breaks off.",
        "query.timeout",
    )

    max_count: int = _limit(
        10_000,
        "How far documents are counted for ``_count=capped``, and for ``_count=estimated`` where "
        "not all of the collection is counted.",
        "",
    )

    def __post_init__(self) -> None:
        problems = [
            f"{type(self).__name__}.{one.attribute}: a whole number from 1 to {one.most} is needed."
            for one in LIMITS
            if type(value := getattr(self, one.attribute)) is not int or not 1 <= value <= one.most
        ]
        if problems:
            raise ConfigurationError(*problems)


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        attribute: Its name on :class:`Limits`.
        default: Its value unless something else is said.
        help: What is counted; reStructuredText.
        code: Of the error where there is more; empty where that is none.
        most: The most that it can be.
    """

    attribute: str
    default: int
    help: str
    code: str
    most: int

    @property
    def setting(self) -> str:
        """Its name in the environment."""
        return f"FALCOREST_{self.attribute.upper()}"


LIMITS: tuple[Limit, ...] = tuple(
    Limit(one.name, getattr(Limits, one.name), **one.metadata) for one in fields(Limits)
)
