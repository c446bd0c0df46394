"""math-verify's reading of what our own grammar does not know, guarded.

Two formulas are one if math-verify reads both whole, loses no numeral and no letter of either, and
the trees are equal as they stand. Its own comparison is left out: it rounds to six decimals, calls
sets tuples, falls back on the numbers in what it cannot read, and simplifies by the clock.
"""

from __future__ import annotations

import logging
import re
from collections import Counter

LONGEST = 120
"""Characters that are handed to math-verify, whose reading is slow."""
REFUSED = re.compile(r"\\binom|!|\d{5}|\^\{?[^{}]*\^|'|\\det|\\(?:text|begin)|\d\s*\(|\d\s+\d")
"""What its reader computes at once, or reads as something else: 2(3) is five to it."""


def same(left: str, right: str) -> bool:
    """Whether math-verify reads both formulas, and reads them alike."""
    ours, theirs = _tree(left), _tree(right)
    return ours is not None and theirs is not None and bool(ours == theirs)


def _tree(text: str) -> object | None:
    if len(text) > LONGEST or REFUSED.search(text):
        return None
    # two seconds of imports that nearly all answers spare
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no clock
    found = parse(
        f"${text}$",
        [LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,  # no clock
    )
    if len(found) != 1 or isinstance(found[0], str):
        return None
    if _leaves(str(found[0])) != _leaves(text):
        return None
    return found[0]


def _leaves(text: str) -> Counter[str]:
    """Numerals and single letters; the library writes words for commands."""
    bare = re.sub(r"\\?[A-Za-z]{2,}", " ", text)
    return Counter(re.findall(r"\d+|[A-Za-z]", bare))
