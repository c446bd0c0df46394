r"""Whether the final answer of a math response equals the target, however either is written.

Lists, sets, tuples, intervals, relations and matrices are compared part by part and kind by kind: a
set is no tuple. Numbers are compared as fractions, formulas by what they are worth, all else as
text. Leaves out finding the answer (``stated``), spelling (``notation``), form (``forms``) and what
a formula is worth (``formulas``, ``values``); what these do not read, ``library`` may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from recap.scoring import formulas, library, notation, units, values
from recap.scoring.forms import FLIPPED, Answer, lettered, oversized, parse
from recap.scoring.stated import stated_answer

BASE = re.compile(r"\(?([0-9A-Z]+)\)?_\{?(?:\\text\{\s*)?(\d{1,2}|two|three|eight|ten|sixteen)\}*")
NAMES = {"two": "2", "three": "3", "eight": "8", "ten": "10", "sixteen": "16"}
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
    """Whether an answer equals the target; ``None`` if the target is unreadable mathematics."""
    numbers = notation.number(answer.strip(" $").rstrip(" .")), notation.number(target)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]  # nearly all answers: nothing to spell out
    ours, theirs = notation.plain(answer), notation.plain(target)
    if not theirs:
        return None
    if (choice := CHOICE.fullmatch(ours)) and not CHOICE.fullmatch(theirs):
        ours = choice[1] if re.fullmatch(r"\(?[A-E]\)?", theirs) else choice[2]
    if ours and notation.squeezed(ours) == notation.squeezed(theirs):
        return True
    if oversized(theirs):
        return None
    if not ours or oversized(ours):
        return False
    return _based(ours, theirs) if BASE.fullmatch(theirs) else _equal(parse(ours), parse(theirs))


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
        notation.squeezed(one.mark) if one.kind == "equation" and lettered(one.mark) else ""
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


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    found = list(verdicts)
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
