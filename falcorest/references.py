"""References: the ids that a patch leaves in a document, where other documents were shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from falcorest.errors import BodyError


def referred(api: str, name: str, stored: Any, shown: Any, patched: Any) -> Any:
    """Return the id, or the ids, that a reference has after a patch.

    Args:
        api: The API name of the reference.
        name: That of the id in the other resource.
        stored: The id, or the ids, that are stored.
        shown: What a client is shown in their place, without what it may not see.
        patched: What the patch makes of that.

    Raises:
        BodyError: It changes something in another document.
    """
    ids = [str(one) for one in (stored if isinstance(stored, list) else [stored])]
    items = shown if isinstance(shown, list) else [shown]
    known = [
        (item, identity)
        for index, item in enumerate(items)
        if (identity := _identity(item, index, ids, name, len(items))) is not None
    ]
    if not isinstance(patched, list):
        return _as_id(api, name, known, patched)
    return _with_unseen(
        [_as_id(api, name, known, item) for item in patched], ids, {one for _, one in known}
    )


def _identity(item: Any, index: int, ids: Sequence[str], name: str, count: int) -> str | None:
    """Return the id of what is shown; None if it can't be told."""
    given = item.get(name) if isinstance(item, dict) else item
    text = given.rpartition("/")[2] if isinstance(given, str) else None
    if text in ids:
        return text
    return ids[index] if count == len(ids) else None


def _as_id(api: str, name: str, known: Sequence[tuple[Any, str]], item: Any) -> Any:
    for shown, identity in known:
        if shown == item and item is not None:
            return identity
    if not isinstance(item, dict):
        return item
    if item.keys() == {name}:
        return item[name]
    reason = "A patch changes no document that this one refers to; only which one it is, by its id."
    raise BodyError("body.invalid_patch", f"{api}: {reason}", field_errors={api: [reason]})


def _with_unseen(given: list[Any], ids: Sequence[str], seen: set[str]) -> list[Any]:
    """Return ids with those that aren't seen, each behind the one that it stood behind."""
    behind: dict[str | None, list[str]] = {}
    last: str | None = None
    for one in ids:
        if one in seen:
            last = one
        else:
            behind.setdefault(last, []).append(one)
    woven: list[Any] = behind.pop(None, [])
    for one in given:
        woven += [one, *(behind.pop(one, []) if isinstance(one, str) else [])]
    return woven + [one for rest in behind.values() for one in rest]
