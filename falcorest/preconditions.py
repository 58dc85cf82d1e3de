"""Preconditions: entity tags, and what a request says of them.

Source: RFC 9110, sections 8.8.3 (entity tags) and 13 (conditional requests).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from falcorest.errors import BadRequest, PreconditionFailed

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_TAGS = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")
#: What an answer that was compressed has behind its tag.
_CODING = re.compile(r'-(?:gzip|br|zstd|deflate)"\Z')


def tag_of(representation: bytes) -> str:
    """Return the entity tag of a representation, a strong one: a hash of its bytes.

    It tells no more than the representation itself, and needs nothing to be stored.
    """
    return f'"{blake2b(representation, digest_size=16).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of ``If-Match`` or ``If-None-Match``.

    Attributes:
        strong: Strong tags, quotes included.
        weak: Weak ones, without ``W/``.
        any: Whether it is ``*``: whatever there is.
    """

    strong: frozenset[str]
    weak: frozenset[str]
    any: bool = False

    @classmethod
    def read(cls, header: str, value: str) -> Tags:
        """Read the value of a header.

        Raises:
            BadRequest: It is no list of entity tags.
        """
        if value.strip() == "*":
            return cls(frozenset(), frozenset(), any=True)
        if _TAGS.fullmatch(value) is None:
            raise BadRequest(
                "precondition.malformed",
                f'{header} takes entity tags in quotes, such as "5f0c…", or *.',
            )
        found = [(weak, _CODING.sub('"', tag)) for weak, tag in _TAG.findall(value)]
        return cls(
            frozenset(tag for weak, tag in found if not weak),
            frozenset(tag for weak, tag in found if weak),
        )


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold of a representation for a request to be done.

    Attributes:
        if_match: It has one of these tags; None for whatever it has.
        if_none_match: It has none of these tags; None for whatever it has.
    """

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Preconditions | None:
        """Return those of a request, if it has any.

        Args:
            environ: That of WSGI.

        Raises:
            BadRequest: A header can't be read.
        """
        match, none_match = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
        # PERF: mostly there are none.
        if match is None and none_match is None:
            return None
        return cls(
            None if match is None else Tags.read("If-Match", match),
            None if none_match is None else Tags.read("If-None-Match", none_match),
        )

    @property
    def needs_tag(self) -> bool:
        """Whether it takes a tag to judge them."""
        return any(
            tags is not None and not tags.any for tags in (self.if_match, self.if_none_match)
        )

    @property
    def asks_for_none(self) -> bool:
        """Whether there must be nothing yet."""
        return self.if_none_match is not None and self.if_none_match.any

    def require_match(self, tag: str | None) -> None:
        """Refuse a request whose ``If-Match`` doesn't hold.

        Args:
            tag: That of the representation; None if it has none.

        Raises:
            PreconditionFailed: It doesn't.
        """
        tags = self.if_match
        if tags is not None and not tags.any and tag not in tags.strong:
            raise _failed("It has changed since its tag was read; If-Match names another one.")

    def is_known(self, tag: str | None) -> bool:
        """Tell whether ``If-None-Match`` names what is there.

        Args:
            tag: That of the representation; None if it has none.
        """
        tags = self.if_none_match
        return tags is not None and (tags.any or tag in tags.strong or tag in tags.weak)

    def require_of_list(self) -> None:
        """Refuse a write to a collection whose preconditions don't hold: it is there, untagged.

        Raises:
            PreconditionFailed: They don't.
        """
        if self.if_match is not None and not self.if_match.any:
            raise _failed("A list has no tag that If-Match could name.")
        if self.asks_for_none:
            raise _failed("The list is there; If-None-Match asks for something else.")

    def require(self, tag: str | None) -> None:
        """Refuse a write whose preconditions don't hold of what is there.

        Args:
            tag: That of the representation; None if it has none.

        Raises:
            PreconditionFailed: They don't.
        """
        self.require_match(tag)
        if self.is_known(tag):
            raise _failed("It is there already; If-None-Match asks for something else.")


def _failed(detail: str) -> PreconditionFailed:
    return PreconditionFailed("precondition.failed", detail)
