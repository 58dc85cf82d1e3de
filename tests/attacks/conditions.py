"""Headers that say when a request is to be done, and patches, from a seed; for both doors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from falcon.testing import Result

from falcorest.preconditions import tag_of

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

#: In a header: the tag that the document has.
TAG = "{tag}"

Headers = tuple[tuple[str, str], ...]

_MATCHES = (TAG, TAG, TAG, f'"other", {TAG}', "*", '"other"', f"W/{TAG}")
_NONE_MATCHES = (TAG, TAG, "*", '"other"', f"W/{TAG}")
_PREFERENCES = ("return=minimal", "return=representation", "return=representation")
_MALFORMED = ("", "other", '"', '"a" "b"', "*, *", "W/*")


def conditions(random: Random, method: str) -> Headers:
    """Return some headers for a request; mostly none."""
    headers: list[tuple[str, str]] = []
    if random.random() < 0.2:
        headers.append(("If-Match", random.choice(_MATCHES)))
    if random.random() < 0.12:
        headers.append(("If-None-Match", random.choice(_NONE_MATCHES)))
    if random.random() < 0.01:
        headers = [(random.choice(("If-Match", "If-None-Match")), random.choice(_MALFORMED))]
    if method not in {"GET", "HEAD", "DELETE"} and random.random() < 0.25:
        headers.append(("Prefer", random.choice(_PREFERENCES)))
    return tuple(headers)


def completed(headers: Headers, read: Callable[[], Result]) -> dict[str, str]:
    """Return headers with the tag of the document in its place.

    Args:
        headers: Those of the request.
        read: Asks for the document.
    """
    if not any(TAG in value for _, value in headers):
        return dict(headers)
    tag = read().headers.get("etag", '"none"')
    return {name: value.replace(TAG, tag) for name, value in headers}


def neutral_tag(result: Result, tag: str, made: dict[str, str]) -> str:
    """Return what may be said of a tag: whether it is that of the body, or which one it is.

    Args:
        result: The answer.
        tag: Its tag.
        made: What was numbered before.
    """
    if result.content and tag == tag_of(result.content):
        return "<of the body>"
    return made.setdefault(tag, f"<tag {len(made)}>")


def merge_patch(random: Random, written: Mapping[str, Sequence[Any]], paths: Sequence[str]) -> Any:
    """Return a merge patch.

    Args:
        random: Where all choices come from.
        written: Values by the paths that they may be written to.
        paths: Others, which are written to now and then.
    """
    body: dict[str, Any] = {}
    for _ in range(random.randint(1, 3)):
        path, value = _one(random, written, paths)
        *parents, last = [part for part in path.split(".") if not part.isdecimal()]
        place: Any = body
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                break
        else:
            place[last] = None if random.random() < 0.15 else value
    return body


def json_patch(random: Random, written: Mapping[str, Sequence[Any]], paths: Sequence[str]) -> Any:
    """Return a JSON Patch; the arguments are those of :func:`merge_patch`."""
    operations: list[dict[str, Any]] = []
    for _ in range(random.randint(1, 3)):
        path, value = _one(random, written, paths)
        pointer = "/" + path.replace(".", "/")
        kind = random.choice(("add", "add", "add", "replace", "replace", "test", "remove", "copy"))
        if random.random() < 0.1:
            pointer = random.choice(("", f"{pointer}/-", f"{pointer}/0", f"{pointer}/x"))
        operation = {"op": kind, "path": pointer, "value": value}
        if random.random() < 0.15:
            operation["op"] = random.choice(("move", "copy"))
        if operation["op"] in {"move", "copy"}:
            other, _ = _one(random, written, paths)
            operation["from"] = "/" + other.replace(".", "/")
        operations.append(operation)
    return operations


def _one(
    random: Random, written: Mapping[str, Sequence[Any]], paths: Sequence[str]
) -> tuple[str, Any]:
    path = random.choice(list(written))
    value = random.choice(written[path])
    return (random.choice(paths) if random.random() < 0.06 else path), value
