"""Security: how callers are known, as a description says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from falcorest.auth.methods import AuthenticationBase
from falcorest.openapi.components import Schema, unique

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - it is that of RFC 9110
_CHALLENGE = re.compile(rf"(?:^|,)\s*({_TOKEN})(?=\s*(?:,|$)|\s+{_TOKEN}\s*=)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_HEADER = re.compile(rf'header="({_TOKEN})"')


class Security:
    """The security schemes of a description, drawn from what ``WWW-Authenticate`` says.

    Attributes:
        schemes: By name.
        headers: The headers by which callers are known.
    """

    def __init__(self) -> None:
        self.schemes: dict[str, Schema] = {}
        self.headers: set[str] = set()

    def of(self, methods: Iterable[AuthenticationBase]) -> list[dict[str, list[Any]]]:
        """Return what an operation says of those who may be known by any of these methods."""
        names = [self._name(scheme) for method in methods for scheme in _schemes(method.challenge)]
        return [{name: []} for name in dict.fromkeys(names)]

    def _name(self, scheme: Schema) -> str:
        for name, known in self.schemes.items():
            if known == scheme:
                return name
        self.headers.add(scheme["name"] if scheme["type"] == "apiKey" else "Authorization")
        wanted = "apiKey" if scheme["type"] == "apiKey" else str(scheme["scheme"])
        name = unique(wanted, self.schemes)
        self.schemes[name] = scheme
        return name


def _schemes(challenge: str) -> Iterator[Schema]:
    """Yield the security schemes that a challenge names."""
    header = _HEADER.search(challenge)
    for found in _CHALLENGE.finditer(_QUOTED.sub('""', challenge)):
        scheme = found[1].lower()
        if scheme == "apikey" and header is not None:
            yield {"type": "apiKey", "in": "header", "name": header[1]}
        else:
            yield {"type": "http", "scheme": scheme}
