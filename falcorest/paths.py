"""Paths: a set of dotted paths, each of which stands for itself and all that is below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from falcorest.query import Document

#: A tree of names; what is at a leaf belongs to the set, with all that is below it.
Tree: TypeAlias = dict[str, "Tree"]


class Paths:
    """A set of dotted paths, and what is below them.

    A number in a path that is looked up may be the index of a list, which a document's path
    need not mention. So it is passed over wherever that leads into the set.

    Args:
        paths: Stored names.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self.tree: Tree = {}
        for path in sorted(paths, key=lambda path: path.count(".")):
            self._add(path.split("."))

    def _add(self, parts: list[str]) -> None:
        node = self.tree
        for part in parts:
            if node.get(part) == {}:
                # NOTE: what is above it is in the set already.
                return
            node = node.setdefault(part, {})

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __iter__(self) -> Iterator[str]:
        return _leaves(self.tree, ())

    def below(self, path: str) -> Tree | None:
        """Return what of the set is below a path.

        Returns:
            An empty tree if the path itself is in the set; None if nothing of it is.
        """
        first, *rest = path.split(".")
        nodes = [self.tree[first]] if first in self.tree else []
        for part in rest:
            if not all(nodes):
                return {}
            passed_over = nodes if part.isdecimal() else []
            nodes = [*(node[part] for node in nodes if part in node), *passed_over]
        if not all(nodes):
            return {}
        return _union(nodes) if nodes else None


def _leaves(tree: Tree, path: tuple[str, ...]) -> Iterator[str]:
    for name, node in tree.items():
        if node:
            yield from _leaves(node, (*path, name))
        else:
            yield ".".join((*path, name))


def _union(nodes: list[Tree]) -> Tree:
    union: Tree = {}
    for node in nodes:
        for name, below in node.items():
            known = union.get(name)
            # NOTE: a leaf covers what the other tree has below it.
            union[name] = below if known is None else known and below and _union([known, below])
    return union


def value_at(document: Document, path: str) -> Any:
    """Return what a document holds at a path; :class:`LookupError` if there is nothing.

    A number in the path is the index of a list where there is one.
    """
    value: Any = document
    for part in path.split("."):
        if isinstance(value, list) and part.isascii() and part.isdecimal():
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value[part]
        else:
            raise LookupError(path)
    return value
