r"""Final answers of math responses: finding them and comparing them with the target.

Understands the microworld's "the answer is 9 .", GSM8K's ``#### 9`` and ``\boxed{9}``. Plain
numbers are compared as numbers, equal strings are equal; what remains goes to math-verify. The
chain of thought is never looked at: callers pass the response.
"""

from __future__ import annotations

import re
from fractions import Fraction

PATTERNS = (
    re.compile(r"####\s*(.+?)\s*$", re.MULTILINE),
    re.compile(r"\bthe answer is:?\s+(\S+)", re.IGNORECASE),
)
NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?|[-+]?\d+/\d+")
"""Commas only where thousands are parted: ``1,2`` is a list."""


def extract_answer(text: str) -> str | None:
    """The last answer that a response states, or ``None`` if it states none.

    A boxed answer goes before ``####``, that before "the answer is".
    """
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed
    for pattern in PATTERNS:
        found = pattern.findall(text)
        if found:
            return str(found[-1]).rstrip(".")
    return None


def is_correct(response: str, target: str) -> bool | None:
    """Whether the stated answer equals the target; a response without an answer is incorrect.

    ``None`` when the target itself cannot be read, so that nothing can be said.
    """
    answer = extract_answer(response)
    if answer is None:
        return False
    answer, target = _plain(answer), _plain(target)
    left, right = _number(answer), _number(target)
    if left is not None and right is not None:
        return left == right
    if answer == target:
        return True
    from math_verify import parse, verify  # half a second of imports that plain numbers spare

    gold = parse(f"${target}$")
    return bool(verify(gold, parse(f"${answer}$"))) if gold else None


def _plain(text: str) -> str:
    """Without the signs that surround an answer: dollars, spaces, a final stop."""
    return text.replace(r"\$", "").strip().removesuffix(".").strip().strip("$").strip()


def _number(text: str) -> Fraction | None:
    if not NUMBER.fullmatch(text) or re.search(r"/0+$", text):
        return None
    return Fraction(text.replace(",", ""))


def _last_boxed(text: str) -> str | None:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    depth, first = 0, start + len(r"\boxed")
    for index in range(first, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[first + 1 : index].strip()
    return None
