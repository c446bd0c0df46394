r"""Final answers of math responses: finding them and comparing them with the target.

Understands the microworld's "the answer is 9 .", GSM8K's ``#### 9`` and ``\boxed{9}``. Plain
numbers are compared as numbers, equal strings are equal; numerals of other bases, bare relations
and powers of units are ours as well, since math-verify reads over them; what remains goes to
math-verify. The chain of thought is never looked at: callers pass the response.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import product

STATED = r"(?:\$(?:\\.|[^$\\\n])+\$|\\\(.+?\\\)|\S+)"
PATTERNS = (
    re.compile(r"####\s*(.+?)\s*$", re.MULTILINE),
    re.compile(
        # with the alternatives to it: "3 or 4" is neither 3 nor 4
        rf"\bthe (?:final |correct )?answer is:?\s+({STATED}(?:,?\s+(?:or|and)\s+\S*\d\S*)*)",
        re.IGNORECASE,
    ),
    re.compile(rf"^\W*(?:final )?answer\s*:\W*?({STATED})\W*$", re.IGNORECASE | re.MULTILINE),
)
BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{)")
JOINT = re.compile(
    r"[\s$]*(?:[,;]|[,;]?\s*(?:or|and)\b|\\text\{\s*(?:or|and)\s*\})[\s$]*\\(?:boxed|fbox|framebox)\b"
)
NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?|[-+]?\.\d+|[-+]?\d+/\d+")
"""Commas only where thousands are parted: ``1,2`` is a list."""
SCIENTIFIC = re.compile(r"(.+?)\s*\\(?:times|cdot)\s*10\^\{?(-?\d{1,3})\}?")
BASE = re.compile(r"([0-9A-Z]+)_\{?(\d{1,2})\}?")
UNIT_POWER = re.compile(r"\\(?:text|mbox|mathrm|textrm)\s*\{[^}]*\}\s*\^\s*\{?(\d+)\}?\s*$")
RELATION = re.compile(r"\\(?:neq?|not|geq?|leq?|gt|lt)\b|[<>\u2260\u2264\u2265]")
BOLD = re.compile(r"\\(?:textbf|mathbf|boldsymbol)\s*\{(.*)\}\s*")
SECONDS = 5
"""Time for one reading or comparison by math-verify, which may meet towers of powers."""


def extract_answer(text: str) -> str | None:
    """The last answer that a response states, or ``None`` if it states none.

    A boxed answer goes before ``####``, that before "the answer is", that before "answer:".
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

    ``None`` when the target itself cannot be read or the comparison takes longer than ``SECONDS``,
    so that nothing can be said.
    """
    answer = extract_answer(response)
    return False if answer is None else equals(answer, target)


def equals(answer: str, target: str) -> bool | None:
    """Whether an answer equals the target, however either is written; ``None`` as above."""
    answer, target = _plain(answer), _plain(target)
    left, right = _number(answer), _number(target)
    if left is not None and right is not None:
        return left == right
    if answer and answer == target:
        return True
    decided = _by_rule(answer, target)
    return _verified(answer, target) if decided is None else decided


def _by_rule(answer: str, target: str) -> bool | None:
    """What math-verify would read over; ``None`` where it is the one to decide.

    A numeral without a base has the target's: the question asked for it.
    """
    theirs = BASE.fullmatch(target)
    if theirs:
        ours = BASE.fullmatch(answer)
        if ours:
            return ours[1].lstrip("0") == theirs[1].lstrip("0") and ours[2] == theirs[2]
        return answer.lstrip("0") == theirs[1].lstrip("0")
    if bool(RELATION.match(answer)) != bool(RELATION.match(target)):
        return False
    powers = UNIT_POWER.search(answer), UNIT_POWER.search(target)
    if powers[0] and powers[1] and powers[0][1] != powers[1][1]:
        return False
    return None


def _verified(answer: str, target: str) -> bool | None:
    # half a second of imports that plain numbers spare
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    # its clock is a signal, which only the main thread may set
    main = threading.current_thread() is threading.main_thread()
    seconds = SECONDS if main else None
    try:
        gold = parse(f"${target}$", parsing_timeout=seconds)
        if not gold:
            return None
        stated = parse(f"${answer}$", parsing_timeout=seconds)
        return any(_same(verify, ours, theirs, seconds) for ours, theirs in product(gold, stated))
    except TimeoutException:
        return None


def _same(verify: Callable[..., bool], gold: object, stated: object, seconds: int | None) -> bool:
    """math-verify's word, where what it cannot compare is unequal, and only time is not up."""
    try:
        return verify(
            gold,
            stated,
            allow_set_relation_comp=True,
            timeout_seconds=seconds,
            raise_on_error=True,
        )
    except Exception:  # sympy raises whatever it likes on what a model wrote
        return False


def _plain(text: str) -> str:
    """Without the signs that surround an answer: dollars, bold face, spaces, a final stop."""
    text = text.replace(r"\$", "").replace("**", "").strip().removesuffix(".").strip()
    text = text.removeprefix(r"\(").removesuffix(r"\)").strip("$").strip()
    bold = BOLD.fullmatch(text)
    return text if bold is None else bold[1].strip()


def _number(text: str) -> Fraction | None:
    text = re.sub(r",\\!\s*|\{,\}", ",", text)
    if scientific := SCIENTIFIC.fullmatch(text):
        factor = _number(scientific[1])
        return None if factor is None else factor * Fraction(10) ** int(scientific[2])
    text = text.removeprefix("(").removesuffix(")") if text[1:-1].isdigit() else text
    if not NUMBER.fullmatch(text) or re.search(r"/0+$", text):
        return None
    return Fraction(text.replace(",", ""))


def _last_boxed(text: str) -> str | None:
    """What stands in the last box, with those before it that only "or" or a comma parts from it."""
    starts = [found.end() for found in BOX.finditer(text)]
    ends = [_closing(text, start) for start in starts]
    if not starts or ends[-1] is None:
        return None
    answers = [text[starts[-1] + 1 : ends[-1]].strip()]
    for place in range(len(starts) - 2, -1, -1):
        end = ends[place]
        if end is None or not JOINT.match(text, end + 1):
            break
        answers.insert(0, text[starts[place] + 1 : end].strip())
    return ", ".join(dict.fromkeys(answers))


def _closing(text: str, start: int) -> int | None:
    """Where the brace at ``start`` closes."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return None
