r"""The form of an answer: a list, a set, a tuple, an interval, a relation, a matrix, or one piece.

An inequality of one variable is the interval that it is; ``x = 5`` is 5 with a name. Leaves out
spelling (``notation``) and comparing (``answers``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recap.scoring import notation

Kind = Literal["bag", "set", "ordered", "matrix", "equation", "inequality", "atom"]
NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\angle\s*[A-Z]+)(?:_\{?\w+\}?)?'?(?:\s*\([A-Za-z0-9](?:\s*,\s*[A-Za-z0-9])*\))?"
    r"|\([A-Za-z](?:\s*,\s*[A-Za-z])*\)"
)
"""What may stand before "=" or ``\\in`` without being a part of the answer: x, f(x), (x, y)."""
RELATION = re.compile(r"\\(?:le|ge|ne|approx|equiv|in)(?![A-Za-z])|[<>=]")
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[^}]*\})?(.*?)\\end\{\1\}", re.DOTALL)
PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
LONGEST = 1000
"""Characters; a longer answer is none."""
DEEPEST = 20
"""Brackets within brackets."""


@dataclass(frozen=True)
class Answer:
    """An answer by its form; ``mark``: a relation's sign, a bracket pair, a count of rows."""

    kind: Kind
    text: str
    parts: tuple[Answer, ...] = ()
    mark: str = ""


def parse(text: str) -> Answer:
    """The form of a ``plain`` answer."""
    text = notation.unwrapped(text)
    if matrix := MATRIX.fullmatch(text):
        rows = [row for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        cells = [[parse(cell.strip()) for cell in row.split("&")] for row in rows]
        return Answer("matrix", text, tuple(cell for row in cells for cell in row), f"{len(cells)}")
    relation = _relation(text)
    if relation is not None:
        return relation
    pieces = _split(text, r"\s*(?:,|;)\s*")
    if len(pieces) > 1:
        return _bag(text, [parse(piece) for piece in pieces])
    pieces = _split(text, r"\s*\\cup(?![A-Za-z])\s*")
    if len(pieces) > 1:
        return Answer("set", text, tuple(parse(piece) for piece in pieces))
    if braces := re.fullmatch(r"\\\{(.*)\\\}", text, re.DOTALL):
        parts = tuple(parse(piece) for piece in _split(braces[1], r"\s*(?:,|;)\s*"))
        return parts[0] if len(parts) == 1 else Answer("bag", text, parts, "{}")
    if text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        parts = tuple(parse(piece) for piece in _split(text[1:-1], r"\s*(?:,|;)\s*"))
        if len(parts) > 1:
            return Answer("ordered", text, parts, text[0] + text[-1])
    if len(PLUS_MINUS.findall(text)) == 1:
        return Answer("bag", text, tuple(parse(_signed(text, sign)) for sign in "+-"))
    return Answer("atom", text)


def _bag(text: str, parts: list[Answer]) -> Answer:
    """Several answers; several stretches of numbers are the set of them all."""
    parts = [inner for part in parts for inner in (part.parts if part.kind == "bag" else [part])]
    ordered = all(part.kind in ("ordered", "set") for part in parts)
    stretches = ordered and any(
        part.mark not in ("", "()") or "infty" in part.text for part in parts
    )
    return Answer("set" if stretches else "bag", text, tuple(parts))


def _signed(text: str, sign: str) -> str:
    return PLUS_MINUS.sub(sign, text).strip().removeprefix("+")


def _relation(text: str) -> Answer | None:
    """A relation outside brackets; one that gives a name its value is that value."""
    places = [found for found in RELATION.finditer(text) if _outside(text, found.start())]
    if not places or _split(text, r"[,;]")[1:]:
        return None
    ends = [0, *(place for found in places for place in found.span()), len(text)]
    sides = [text[a:b].strip() for a, b in zip(ends[::2], ends[1::2], strict=True)]
    signs = [found[0] for found in places]
    if set(signs) <= {"=", r"\approx", r"\in"}:
        if not sides[0] or (signs[-1] == r"\approx" and not NAME.fullmatch(sides[0])):
            return parse(sides[-1])
        if NAME.fullmatch(sides[0]) or not lettered(sides[0]):
            return Answer("equation", text, (parse(sides[-1]),), sides[0])
        if len(sides) == 2 and NAME.fullmatch(sides[1]):
            return Answer("equation", text, (parse(sides[0]),), sides[1])
        return (
            Answer("inequality", text, tuple(map(parse, sides)), "=") if len(sides) == 2 else None
        )
    stretch = _stretch(sides, signs)
    if stretch is not None:
        return stretch
    return Answer("inequality", text, tuple(map(parse, sides)), " ".join(signs))


def _stretch(sides: list[str], signs: list[str]) -> Answer | None:
    r"""``2 < x \le 3`` and ``x > 2`` as the interval that they are."""
    if not set(signs) <= {"<", ">", r"\le", r"\ge"}:
        return None
    if len(signs) == 1:
        if re.fullmatch("[a-z]", sides[1]) and sides[0]:
            sides, signs = sides[::-1], [FLIPPED[signs[0]]]
        if not re.fullmatch("[a-z]", sides[0]) or re.search(
            r"(?<![A-Za-z\\])[a-z](?![a-z])", sides[1]
        ):
            return None
        closed = signs[0] in (r"\le", r"\ge")
        if signs[0] in ("<", r"\le"):
            text, mark = rf"(-\infty,{sides[1]}", "(]" if closed else "()"
        else:
            text, mark = rf"{sides[1]},\infty)", "[)" if closed else "()"
        text = (mark[0] + text.lstrip("(")) if not text.startswith("(") else text
        text = text.rstrip(")") + mark[1] if not text.endswith(mark[1]) else text
        return parse(text)
    if len(signs) == 2 and re.fullmatch("[a-z]", sides[1]):
        if signs[0] in (">", r"\ge"):
            sides, signs = sides[::-1], [FLIPPED[sign] for sign in signs[::-1]]
        if set(signs) <= {"<", r"\le"}:
            left, right = "(" if signs[0] == "<" else "[", ")" if signs[1] == "<" else "]"
            return parse(f"{left}{sides[0]},{sides[2]}{right}")
    return None


def lettered(text: str) -> bool:
    """Whether a side of an equation has a variable in it."""
    return (
        re.search("[A-Za-z]", re.sub(r"\\(?:cdot|frac|sqrt|pi)(?![A-Za-z])", "", text)) is not None
    )


def oversized(text: str) -> bool:
    """Whether an answer is longer, or deeper, than any that is meant."""
    deepest = max((_depth(text[:place]) for place in range(min(len(text), LONGEST))), default=0)
    return len(text) > LONGEST or deepest > DEEPEST


def _outside(text: str, place: int) -> bool:
    """Whether a place is within no bracket."""
    return _depth(text[:place]) == 0


def _depth(text: str) -> int:
    return sum(text.count(mark) for mark in "([{") - sum(text.count(mark) for mark in ")]}")


def _split(text: str, pattern: str) -> list[str]:
    """The pieces between separators that stand within no bracket."""
    pieces, begin = [], 0
    for found in re.finditer(pattern, text):
        if _outside(text, found.start()):
            pieces.append(text[begin : found.start()].strip())
            begin = found.end()
    return [*pieces, text[begin:].strip()]
