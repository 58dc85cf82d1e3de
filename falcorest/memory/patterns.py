"""Patterns: regular expressions that can't keep a process busy for long.

MongoDB gives up on a text when it has tried for long enough. Python tries on, and no other thread
gets to run meanwhile. So it is counted beforehand in how many ways a pattern could be tried, and
what could take too long isn't begun.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

#: In how many steps one search must be done at the worst. That took 0.1 to 3 s.
MAX_STEPS = 10**8

# NOTE: the standard library's own parser, which has no public name. One of ours could read a
# pattern in another way than what runs it.
_parser: Any = importlib.import_module("re._parser")
_ONE_CHARACTER = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


def searcher(text: str) -> Callable[[str], bool]:
    """Return a function that tells whether a regular expression matches somewhere in a text.

    It raises NotImplementedError for a text that is too long to be searched for this.

    Raises:
        NotImplementedError: A repetition has choices in it, such as ``(a+)+`` or ``(a|b)*``.
        re.error: It can't be read.
    """
    try:
        pattern = re.compile(text)
        parsed = _parser.parse(text)
        repeats_choices = math.isinf(_ways(parsed, 1000))
    except (OverflowError, RecursionError) as error:
        raise re.error("the pattern is too large") from error
    if repeats_choices:
        raise NotImplementedError("a pattern that repeats a choice")

    def search(given: str) -> bool:
        if len(given) * _ways(parsed, len(given)) > MAX_STEPS:
            raise NotImplementedError("a pattern that may take long in so long a text")
        return pattern.search(given) is not None

    return search


def _ways(parsed: Any, length: int) -> float:
    """Count the ways in which a pattern can be tried at one place of a text, or more.

    Args:
        parsed: Operators, each with what belongs to it.
        length: Of the text.
    """
    ways: float = 1
    for operator, argument in parsed:
        name = str(operator)
        if name.endswith("REPEAT"):
            least, most, repeated = argument
            inside = _ways(repeated, length)
            if inside > 1 and most > 1:
                # NOTE: a choice that is repeated is made anew each time.
                return math.inf
            ways *= inside * (max(least, min(most, length)) - least + 1)
            if len(repeated) > 1 or str(repeated[0][0]) not in _ONE_CHARACTER:
                ways *= max(least, 1)
        elif name == "BRANCH":
            ways *= sum(_ways(one, length) for one in argument[1])
        elif name == "GROUPREF":
            ways *= max(length, 1)
        else:
            below = argument if isinstance(argument, tuple) else (argument,)
            for one in below:
                if isinstance(one, _parser.SubPattern):
                    ways *= _ways(one, length)
    return ways
