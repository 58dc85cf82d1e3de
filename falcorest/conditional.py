"""Conditional writes: of a document as the client knows it, or as a patch finds it.

What is judged has been read, and what is written has that in its own filter: nothing can come
between. Where something else came between that the client doesn't see, all of it is done again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from time import monotonic, sleep
from typing import Any, TypeVar

from falcorest.database import write_conflict
from falcorest.errors import BodyError, ContentTooLarge, NotFound
from falcorest.finding import Changed, Expected
from falcorest.limits import Limits
from falcorest.patches import MergePatch, Patch, changes, is_same, require_few
from falcorest.preconditions import Preconditions, tag_of
from falcorest.protection import forbidden
from falcorest.query import Document
from falcorest.writing import Writer

T = TypeVar("T")

#: What is said where a message to the database gets too large.
_TOGETHER = (
    " A conditional write sends what it compares with, and what it changes; they have that much "
    "together, unless the resource counts its changes in a version_field."
)

#: How long a write is tried where the database has no time limit, in seconds.
_SECONDS = 5.0


def write_known(
    work: Writer,
    identity: Any,
    preconditions: Preconditions | None,
    write: Callable[[Document | None], T],
    permission: str = "has_change_permission",
    *,
    may_create: bool = False,
) -> T:
    """Write one document as long as it is what its preconditions, and the write, have seen.

    Args:
        work: Reads and writes for the caller.
        identity: The ``_id``.
        preconditions: What has to hold of what a ``GET`` shows.
        write: Gets the document, whole; None if there is none.
        permission: What is asked about the document before anything is said of it.
        may_create: Whether there may be none.

    Raises:
        NotFound: There is none, and it may not be made.
        Forbidden: The caller may not write it.
        PreconditionFailed: A precondition doesn't hold.
        Conflict: Others wrote it again and again meanwhile.
    """
    preconditions = preconditions or Preconditions()
    end = monotonic() + (work.service.time_limit or _SECONDS)
    while True:
        document = None
        try:
            document, expected = work.read_expecting(identity)
        except NotFound:
            if preconditions.if_match is not None or not may_create:
                raise
            expected = Expected(identity, identity, None)
        else:
            work.permit_write(permission, document)
            shown = work.as_fetched(identity, document) if preconditions.needs_tag else None
            preconditions.require(None if shown is None else tag_of(shown))
        try:
            with work.expecting(expected):
                return write(document)
        except ContentTooLarge as problem:
            if work.service.version_field is None:
                problem.detail += _TOGETHER
            raise
        except Changed:
            # NOTE: without a transaction, what was written with it is there already.
            if monotonic() > end or (work.saves_others and not work.service.has_transactions):
                raise write_conflict() from None
            # NOTE: so that rivals don't meet again at once.
            sleep(random.random() * 0.005)  # noqa: S311 - no secret


def update(
    work: Writer, identity: Any, body: Any, preconditions: Preconditions | None, *, returning: bool
) -> Document | None:
    """Change one document, or replace it, as :meth:`Writer.update` does.

    Args:
        work: Reads and writes for the caller.
        identity: The ``_id``.
        body: What changes, or all of it.
        preconditions: What has to hold.
        returning: Whether the document is wanted.
    """
    if preconditions is None:
        return work.update(identity, body, returning=returning)
    return write_known(
        work,
        identity,
        preconditions,
        lambda document: work.update(identity, deepcopy(body), returning=returning),
    )


def put(work: Writer, identity: Any, body: Any, preconditions: Preconditions | None) -> bool:
    """Put a document in the place of another, or of none; tell whether it is new."""
    if preconditions is None:
        return work.put(identity, body)
    return write_known(
        work,
        identity,
        preconditions,
        lambda document: work.put(identity, deepcopy(body)),
        may_create=True,
    )


def delete(work: Writer, identity: Any, preconditions: Preconditions | None) -> None:
    """Remove one document."""
    if preconditions is None:
        work.delete(identity)
    else:
        write_known(
            work,
            identity,
            preconditions,
            lambda document: work.delete(identity),
            "has_delete_permission",
        )


def patch(
    work: Writer,
    identity: Any,
    given: Patch,
    preconditions: Preconditions | None,
    *,
    limits: Limits,
    returning: bool,
) -> Document | None:
    """Change one document by a patch, all of it or nothing.

    Args:
        work: Reads and writes for the caller.
        identity: The ``_id``.
        given: The patch.
        preconditions: What has to hold.
        limits: How many fields may change.
        returning: Whether the document is wanted.

    Raises:
        BodyError: The document would be none that may be stored.
        Conflict: The patch doesn't fit the document.
    """
    _require_seen(work, given)
    alone = preconditions is None and isinstance(given, MergePatch) and given.is_flat
    if alone and isinstance(given, MergePatch) and not work.has_references(given.body):
        # PERF: what doesn't depend on the document is one statement.
        after = {name: one for name, one in given.body.items() if one is not None}
        gone = [name for name, one in given.body.items() if one is None]
        body, absent = _update_of(work, dict.fromkeys(gone), after, gone, limits)
        with _as_sent():
            return work.update(identity, body, absent=absent, returning=returning)

    def write(document: Document | None) -> Document | None:
        assert document is not None
        before = work.patched(identity, document)
        after = given.apply(before)
        if type(after) is not dict:
            raise BodyError("body.invalid_patch", "The patch leaves no object.")
        gone = [name for name in before if name not in after]
        after = work.with_references(document, before, after)
        if isinstance(given, MergePatch):
            gone += [name for name, one in given.body.items() if one is None and name not in before]
        body, absent = _update_of(work, before, after, gone, limits)
        with _as_sent():
            return work.update(identity, body, absent=absent, returning=returning)

    return write_known(work, identity, preconditions, write)


@contextmanager
def _as_sent() -> Iterator[None]:
    """Name what is wrong in the body of a patch without the operators that it became."""
    try:
        yield
    except BodyError as error:
        errors = error.field_errors or {}
        inside = [
            errors[name] for name in ("$set", "$unset") if isinstance(errors.get(name), Mapping)
        ]
        if inside:
            error.field_errors = {name: one for some in inside for name, one in some.items()}
        raise


def _require_seen(work: Writer, given: Patch) -> None:
    """Refuse a patch that names what the caller doesn't see, whatever is stored.

    Raises:
        Forbidden: It does.
    """
    hidden, declaration = work.service.policy.protection.hidden, work.declaration
    if not hidden and not declaration.has_schema:
        return
    for path, reads in given.paths():
        if hidden.below(path) == {} or (reads and declaration.hides(path)):
            raise forbidden(path, "read" if reads else "written")


def _update_of(
    work: Writer, before: dict[str, Any], after: dict[str, Any], gone: list[str], limits: Limits
) -> tuple[dict[str, Any], list[str]]:
    """Return the body, and the names to be taken away, that make of a document another one."""
    if work.declaration.has_schema:
        return {name: one for name, one in after.items() if not is_same(before, name, one)}, gone
    changed, lost = changes(before, after)
    require_few(len(changed) + len(lost), limits)
    if "_id" in changed or "_id" in lost:
        raise BodyError(
            "body.invalid_update",
            "The _id can't be changed.",
            field_errors={"_id": ["It can't be changed."]},
        )
    operators = {"$set": changed, "$unset": dict.fromkeys(lost, "")}
    return {name: one for name, one in operators.items() if one}, []
