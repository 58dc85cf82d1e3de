"""Index report: what ``falcorest indexes`` shows, and how far a build is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from falcorest.indexes.build import Progress, build, reason
from falcorest.indexes.comparison import State
from falcorest.indexing import Report, in_words, keys_of, options_of, way_out
from falcorest.terminal import columns, printable

#: How long nothing is said of a build where there is no terminal, in seconds.
QUIET_SECONDS = 10.0


def index_table(reports: Sequence[Report]) -> Iterator[Text]:
    """Yield a table of the indexes, and what to do about those that are different."""
    rows = [["Collection", "State", "Index", "Options"]]
    different = []
    for report in reports:
        for one in report.compared:
            rows.append([report.label, one.state, keys_of(one.spec), options_of(one.spec)])
            if one.state == State.DIFFERENT:
                different.append(way_out(report, one))
    if len(rows) == 1:
        yield Text("No index is declared, and there is none but those of the _id.")
        return
    heading, *lines = columns(rows)
    yield Text("\n").join([Text(), Text(heading, style="dim"), *map(Text, lines), Text()])
    for lines in different:
        yield Text("\n").join([*(Text(printable(line)) for line in lines), Text()])


def build_missing(reports: Iterable[Report]) -> None:
    """Build what is missing, one after the other, and show how far that is.

    What can't be built is said, and the rest is built nevertheless.
    """
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        for one in report.compared:
            if one.declared is None or not one.is_to_build:
                continue
            title = printable(f"{report.label}: {in_words(one.declared.spec())}")
            began = monotonic()
            try:
                with _shown(console, title) as tell:
                    build(report.collection, one.declared, tell)
            except PyMongoError as error:
                said = f"not built: {reason(error)}"
            except (KeyboardInterrupt, SystemExit):
                console.print(Text(f"{title}: MongoDB may go on building it."))
                raise
            else:
                said = f"built in {monotonic() - began:.1f} s"
            console.print(Text(f"{title}: {printable(said)}"))


@contextmanager
def _shown(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """Show how far something is: as a bar on a terminal, else as a line now and then."""
    if not console.is_terminal:
        yield _Lines(console, title).tell
        return
    with Bars(
        BarColumn(20),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
        # NOTE: last, because it is cut where the terminal ends.
        TextColumn("{task.description}", markup=False),
        transient=True,
    ) as bars:
        task = bars.add_task(title, total=None, said="")

        def tell(progress: Progress) -> None:
            bars.update(
                task, completed=progress.done, total=progress.total or None, said=_said(progress)
            )

        yield tell


class _Lines:
    """Says now and then how far something is.

    Args:
        console: Where.
        title: What it is.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._said = monotonic()

    def tell(self, progress: Progress) -> None:
        if monotonic() - self._said >= QUIET_SECONDS:
            self._said = monotonic()
            self._console.print(Text(f"{self._title}: {progress.phase}, {_said(progress)}"))


def _said(progress: Progress) -> str:
    return f"{progress.done:,} of {progress.total:,}" if progress.total else progress.phase
