"""Imports: new documents that come line by line, in any number."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from falcorest import bson_json
from falcorest.database import BUDGET
from falcorest.errors import BadRequest, BodyError, ContentTooLarge, Problem, problem_json
from falcorest.limits import Limits
from falcorest.logs import log, logger
from falcorest.writing import Writer

#: How many documents are stored at once, and how many bytes of JSON, unless one alone has more.
#: As BSON, that is up to seven times as much.
BATCH = 500
BATCH_BYTES = 4 * 1024 * 1024

#: How many of the lines that are refused are listed, and how much is said of each, in bytes.
LISTED = 1000
LISTED_BYTES = 2048


class Import:
    """Stores documents line by line, each by itself: what is refused doesn't keep others out.

    Attributes:
        inserted: How many were stored.
        refused: How many weren't.
        done: The last line of which that is known.

    Args:
        work: Stores them.
        limits: What a line may be.
    """

    def __init__(self, work: Writer, limits: Limits) -> None:
        self.inserted = 0
        self.refused = 0
        self.done = 0
        self._work = work
        self._limits = limits
        self._errors: list[dict[str, Any]] = []
        self._batch: list[tuple[int, Any]] = []
        self._size = 0

    def run(self, lines: Iterable[bytes | None]) -> dict[str, Any]:
        """Store what stands in some lines, and return what became of them.

        Args:
            lines: Each is JSON, or nothing; None is one that is too long.

        Raises:
            Problem: Nothing could be stored, or not all of it could be read; its members say how
                far it came. What was stored stays.
        """
        # NOTE: it takes as long as there are lines; each of its batches has the time of a request.
        BUDGET.set(None)
        try:
            for number, line in enumerate(lines, 1):
                if line is None or line.strip():
                    self._add(number, line)
            self._store()
        except Problem as error:
            if isinstance(error, (BodyError, ContentTooLarge)):
                # NOTE: what came before the place where a body breaks off is as good as any.
                self._store_rest(error)
            self._stop(error)
            raise
        if not (self.inserted or self.refused):
            raise BodyError("body.malformed", "The body is empty; lines of JSON are expected.")
        if not self.inserted:
            detail = "None of the documents could be stored."
            raise BadRequest("import.refused", detail, **self._figures())
        return self._figures()

    def _add(self, number: int, line: bytes | None) -> None:
        size = len(line or b"")
        if len(self._batch) >= BATCH or self._size + size > BATCH_BYTES:
            self._store()
        self._batch.append((number, self._parse(line)))
        self._size += size

    def _parse(self, line: bytes | None) -> Any:
        """Return what a line says, or the problem with it."""
        if line is None:
            most = self._limits.max_line_bytes
            return ContentTooLarge("body.too_large", f"A line may have {most} bytes at the most.")
        try:
            return bson_json.parse(line, self._limits.max_body_depth)
        except BodyError as error:
            return error

    def _store(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if not batch:
            return
        good = [body for _, body in batch if not isinstance(body, Problem)]
        outcome = iter(self._work.create_each(good) if good else ())
        for number, body in batch:
            problem = body if isinstance(body, Problem) else next(outcome)
            if problem is None:
                self.inserted += 1
            else:
                self._refuse(number, problem)
        self.done = batch[-1][0]

    def _store_rest(self, error: Problem) -> None:
        try:
            self._store()
        except Problem as other:
            self._stop(other)
            raise other from error

    def _refuse(self, number: int, problem: Problem) -> None:
        self.refused += 1
        if len(self._errors) >= LISTED:
            return
        members = problem.to_dict()
        members["detail"] = problem.detail.replace("The body", "The line", 1)
        error = {name: one for name, one in members.items() if name not in {"type", "title"}}
        # NOTE: a thousand long lines may have a thousand things wrong with each.
        if len(problem_json(error)) > LISTED_BYTES:
            error = {name: members[name] for name in ("status", "code", "detail")}
        self._errors.append({"line": number, **error})

    def _figures(self) -> dict[str, Any]:
        return {"inserted": self.inserted, "refused": self.refused, "errors": self._errors}

    def _stop(self, problem: Problem) -> None:
        """Say in a problem how far the import came, and in the log: who has sent it may be gone."""
        if self.done:
            req = self._work.resource.req
            request_id = getattr(req.context, "request_id", None)
            fields = {"request_id": request_id, "route": req.uri_template, "code": problem.code}
            counts = {"done": self.done, "inserted": self.inserted, "refused": self.refused}
            message = f"an import broke off (request {request_id or '-'})"
            log(logger, logging.WARNING, message, {**fields, **counts})
        problem.detail += f" The first {self.done} lines were dealt with."
        problem.members |= {"done": self.done, **self._figures()}
