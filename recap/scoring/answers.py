r"""Whether the final answer of a math response equals the target, however either is written.

Lists, sets, tuples, intervals, relations and matrices are compared part by part and kind by kind: a
set is no tuple. Numbers are compared as fractions, formulas by what they are worth, all else as
text. Leaves out finding the answer (``stated``), spelling (``notation``) and what a formula is worth
(``formulas``, ``values``); what these cannot read, math-verify may (``library``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recap.scoring import formulas, library, notation, units, values
from recap.scoring.stated import stated_answer

Kind = Literal["bag", "set", "ordered", "matrix", "equation", "inequality", "atom"]
BASE = re.compile(r"\(?([0-9A-Z]+)\)?_\{?(?:\\text\{\s*)?(\d{1,2}|two|three|eight|ten|sixteen)\}*")
NAMES = {"two": "2", "three": "3", "eight": "8", "ten": "10", "sixteen": "16"}
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
MOST_PARTS = 50


def is_correct(response: str, target: str) -> bool | None:
    """Whether the stated answer equals the target; a response without an answer is incorrect.

    ``None`` when the target is empty or cannot be read, so that nothing can be said.
    """
    if not target.strip():
        return None
    answer = stated_answer(response)
    return False if answer is None else equals(answer, target)


CHOICE = re.compile(r"\(?([A-E])\)[\s.:]+(\S.*)")


def equals(answer: str, target: str) -> bool | None:
    """Whether an answer equals the target; ``None`` if the target is mathematics nobody can read."""
    numbers = notation.number(answer.strip(" .$")), notation.number(target)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]  # nearly all answers: nothing to spell out
    ours, theirs = notation.plain(answer), notation.plain(target)
    if not theirs:
        return None
    if (choice := CHOICE.fullmatch(ours)) and not CHOICE.fullmatch(theirs):
        ours = choice[1] if re.fullmatch(r"\(?[A-E]\)?", theirs) else choice[2]
    if ours and notation.squeezed(ours) == notation.squeezed(theirs):
        return True
    if _oversized(theirs):
        return None
    if not ours or _oversized(ours):
        return False
    return _based(ours, theirs) if BASE.fullmatch(theirs) else _equal(parse(ours), parse(theirs))


@dataclass(frozen=True)
class Answer:
    """An answer by its form; ``mark`` is a relation's sign, a bracket pair or a matrix's columns."""

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
        return Answer("matrix", text, tuple(sum(cells, [])), f"{len(cells)}")
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
        if not sides[0] or signs[-1] == r"\approx" and not NAME.fullmatch(sides[0]):
            return parse(sides[-1])
        if NAME.fullmatch(sides[0]) or not _lettered(sides[0]):
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
    """``2 < x \\le 3`` and ``x > 2`` as the interval that they are."""
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


def _equal(answer: Answer, target: Answer) -> bool | None:
    """Part by part; a form that the target does not have is another answer."""
    if "equation" in (answer.kind, target.kind):
        return _equal_named(answer, target)
    if answer.kind == "bag" and target.kind != "bag" and not answer.mark:
        # "1/2 or 0.5": one value twice; "3 or 4" is neither
        verdicts = [_equal(part, target) for part in answer.parts]
        return None if None in verdicts else all(verdicts)
    if (answer.kind, len(answer.parts)) != (target.kind, len(target.parts)):
        return False
    if answer.kind in ("bag", "set"):
        return _matched(answer.parts, target.parts)
    if answer.kind == "inequality":
        return _equal_relation(answer, target)
    if answer.kind == "atom":
        return _equal_atom(answer.text, target.text)
    if answer.mark != target.mark:
        return False
    return _all(_equal(a, b) for a, b in zip(answer.parts, target.parts, strict=True))


def _equal_named(answer: Answer, target: Answer) -> bool | None:
    """``x = 5`` is 5, and not ``y = 5``; sums before "=" are no names."""
    if "inequality" in (answer.kind, target.kind):
        return _equal_relation(_as_relation(answer), _as_relation(target))
    ours, theirs = (
        notation.squeezed(one.mark) if one.kind == "equation" and _lettered(one.mark) else ""
        for one in (answer, target)
    )
    if ours and theirs and ours != theirs:
        return False
    return _equal(
        answer.parts[0] if answer.kind == "equation" else answer,
        target.parts[0] if target.kind == "equation" else target,
    )


def _as_relation(named: Answer) -> Answer:
    if named.kind == "inequality":
        return named
    return Answer("inequality", named.text, (Answer("atom", named.mark), *named.parts), "=")


def _lettered(text: str) -> bool:
    """Whether a side of an equation has a variable in it."""
    return (
        re.search("[A-Za-z]", re.sub(r"\\(?:cdot|frac|sqrt|pi)(?![A-Za-z])", "", text)) is not None
    )


def _matched(ours: tuple[Answer, ...], theirs: tuple[Answer, ...]) -> bool | None:
    """Whether each part has a partner of its own, in any order."""
    if len(ours) > MOST_PARTS:
        return False
    left, unread = list(theirs), False
    for part in ours:
        for other in left:
            verdict = _equal(part, other) or notation.squeezed(part.text) == notation.squeezed(
                other.text
            )
            if verdict:
                left.remove(other)
                break
            unread |= verdict is None
        else:
            return None if unread else False
    return True


def _all(verdicts: object) -> bool | None:
    found = list(verdicts)  # type: ignore[call-overload]
    return False if False in found else None if None in found else True


def _equal_relation(answer: Answer, target: Answer) -> bool | None:
    """``y = 2x + 3`` is ``2x - y + 3 = 0``: the same up to a factor, which may turn the sign."""
    if len(answer.parts) != 2:
        if answer.mark != target.mark:
            return False
        return _all(_equal(a, b) for a, b in zip(answer.parts, target.parts, strict=True))
    ours, theirs = _difference(answer), _difference(target)
    if theirs is None:
        return None
    if ours is None:
        return False
    try:
        sign = values.proportional(ours, theirs)
    except values.TooLargeError:
        return False
    if answer.mark in ("=", r"\ne"):
        return sign != 0 and answer.mark == target.mark
    return sign != 0 and answer.mark == (target.mark if sign > 0 else FLIPPED.get(target.mark))


def _difference(relation: Answer) -> formulas.Tree | None:
    left, right = (formulas.read(part.text) for part in relation.parts)
    if left is None or right is None:
        return None
    return formulas.Tree("add", (left, formulas.Tree("minus", (right,))))


def _equal_atom(answer: str, target: str) -> bool | None:
    ours, theirs = units.parted(answer), units.parted(target)
    factor = units.factor(ours.unit, theirs.unit)
    if factor is None:
        return False
    left, right = notation.number(ours.value), notation.number(theirs.value)
    percent = [q.unit is not None and q.unit.name == "%" for q in (ours, theirs)]
    if left is not None and right is not None:
        if percent[0] != percent[1]:
            share, bare = (left, right) if percent[0] else (right, left)
            return share / 100 == bare or (share == bare and abs(bare) > 1)
        return left * factor == right
    if notation.squeezed(ours.value) == notation.squeezed(theirs.value):
        return factor == 1
    return _equal_formula(ours.value, theirs.value) if factor == 1 else False


def _equal_formula(answer: str, target: str) -> bool | None:
    left, right = formulas.read(answer), formulas.read(target)
    if right is None:
        if not re.search(r"[\d\\=^+*/]", target):
            return False  # a word, and another one
        return library.same(answer, target) or (False if left is None and not right else None)
    if left is None:
        return False
    try:
        return values.same(left, right)
    except values.TooLargeError:
        return _within_bounds(right)


def _within_bounds(target: formulas.Tree) -> bool | None:
    """Wrong, if the answer alone is too large to compute."""
    try:
        values.same(target, target)
    except values.TooLargeError:
        return None
    return False


def _based(answer: str, target: str) -> bool:
    """Numerals of another base; one without a base has the target's: the question asked for it."""
    ours, theirs = BASE.fullmatch(answer), BASE.fullmatch(target)
    assert theirs is not None
    if ours is None:
        return answer.lstrip("0") == theirs[1].lstrip("0")
    bases = [NAMES.get(found[2], found[2]) for found in (ours, theirs)]
    return ours[1].lstrip("0") == theirs[1].lstrip("0") and bases[0] == bases[1]


def _outside(text: str, place: int) -> bool:
    """Whether a place is within no bracket."""
    return _depth(text[:place]) == 0


def _oversized(text: str) -> bool:
    deepest = max((_depth(text[:place]) for place in range(min(len(text), LONGEST))), default=0)
    return len(text) > LONGEST or deepest > DEEPEST


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
