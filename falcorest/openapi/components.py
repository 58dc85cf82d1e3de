"""Components: schemas that a description names once and refers to."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any

Schema = dict[str, Any]

_WORD = re.compile(r"[A-Za-z0-9]+")


class Components:
    """The named parts of a description.

    Attributes:
        schemas: By name.
        responses: By name.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self.responses: dict[str, Schema] = {}
        self._names: dict[Hashable, str] = {}

    def schema(self, wanted: str, make: Callable[[], Schema], key: Hashable = None) -> Schema:
        """Return a reference to a schema, which is made when it is first asked for.

        Args:
            wanted: Its name; a number is put behind it where that is taken.
            make: Makes it. It may ask for the same one again, since schemas run in circles.
            key: What tells it from others of the same name; the name alone does, unless given.
        """
        name = self._names.get(wanted if key is None else key)
        if name is None:
            name = unique(wanted, self.schemas)
            self._names[wanted if key is None else key] = name
            self.schemas[name] = {}
            self.schemas[name] = make()
        return {"$ref": f"#/components/schemas/{name}"}

    def response(self, wanted: str, response: Schema) -> Schema:
        """Return a reference to a response, the same one for all that are equal."""
        known = (name for name, one in self.responses.items() if one == response)
        name = next(known, None) or unique(wanted, self.responses)
        self.responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}


def title_of(name: str) -> str:
    """Return a name as one word with capitals, such as ``RocketEngines``; ASCII only."""
    words = _WORD.findall(name)
    return "".join(word[0].upper() + word[1:] for word in words) or "Resource"


def unique(wanted: str, taken: Any) -> str:
    """Return a name that isn't taken, with a number behind it if need be."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    return name
