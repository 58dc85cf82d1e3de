"""``.. falcorest-table:: NAME`` puts in what is drawn from falcorest's code; see ``drawn.py``."""

from __future__ import annotations

from typing import Any

import drawn
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class FalcorestTable(SphinxDirective):
    """The reference of something that the code has a table of."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the reStructuredText that is drawn from the code."""
        draw = drawn.TABLES.get(self.arguments[0])
        if draw is None:
            raise self.error(f"there is no table {self.arguments[0]!r}")
        return self.parse_text_to_nodes(draw(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("falcorest-table", FalcorestTable)
    return {"version": "1", "parallel_read_safe": True}
