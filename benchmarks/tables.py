"""Figures as tables, for people and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Rows = Sequence[Sequence[str]]


def text(heading: Sequence[str], rows: Rows) -> str:
    """Return a table in columns."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (heading, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def rst(heading: Sequence[str], rows: Rows, note: str) -> str:
    """Return a table in reStructuredText, and how its figures were made."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (heading, *rows):
        for at, cell in enumerate(row):
            lines.append(f"{'     -' if at else '   * -'} {cell}".rstrip())
    return "\n".join([*lines, "", note, ""])


def bound(figure: float, most: float, digits: int = 2) -> str:
    """Return a bound, and whether a figure keeps it."""
    return f"{most:.{digits}f}{'' if figure <= most else ', missed'}"


def write(folder: Path | None, name: str, heading: Sequence[str], rows: Rows, note: str) -> None:
    """Show a table, and write it for the documentation if that is asked for.

    Args:
        folder: Where to.
        name: Of the file.
        heading: Of each column.
        rows: Below it.
        note: How the figures were made.
    """
    print(f"{name}: {note}\n\n{text(heading, rows)}\n", flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(rst(heading, rows, note), encoding="utf-8")
