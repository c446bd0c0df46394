"""What formulas are worth: exact where they are rational, else to many digits, at fixed points.

Two formulas are one if they have equal values wherever both are real. Nothing here runs on a clock:
what would be too large to compute is refused by its size. Leaves out reading (``formulas``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from recap.scoring.formulas import Tree

BITS = 1 << 16
"""Of an exact number's numerator and denominator: 2006! has 19 103."""
LARGEST_FACTORIAL = 5000
MAGNITUDE = 400
"""Powers of ten that a number which is not exact may reach, up or down."""
DIGITS = (60, 1000)
"""First to tell most pairs apart, then to tell 1 from 1 + 1e-400."""
SPARE = 30
"""Digits lost to rounding on the way."""
POINTS = 6
Value = Any
"""A Fraction, or mpmath's number where roots and functions are in it."""


class TooLargeError(Exception):
    """A number beyond what is computed, or one that does not exist."""


def point(symbols: frozenset[str], number: int) -> dict[str, Fraction]:
    """Values for the variables: the first half of the points is positive, then signs alternate."""
    names = sorted(symbols)
    return {
        name: Fraction(17 + 13 * place + 29 * number, 11 + 6 * number + place)
        * (-1 if number >= POINTS // 2 and (place + number) % 2 else 1)
        for place, name in enumerate(names)
    }


def same(left: Tree, right: Tree) -> bool:
    """Whether two formulas are equal; raises TooLargeError where that cannot be computed."""
    symbols = left.symbols() | right.symbols()
    points = [point(symbols, number) for number in range(POINTS if symbols else 1)]
    real, others = False, []
    for at in points:
        verdict = _same_at(left, right, at)
        if verdict is None:
            continue
        equal, is_real = verdict
        if not is_real:
            others.append(equal)
        elif equal:
            real = True
        else:
            return False
    return real or (bool(others) and all(others))


def proportional(left: Tree, right: Tree) -> int:
    """The sign of the one factor that turns left into right everywhere; 0 if there is none."""
    symbols = left.symbols() | right.symbols()
    signs = set()
    first: tuple[Value, Value] | None = None
    for number in range(POINTS):
        with mpmath.workdps(DIGITS[1]):
            at = point(symbols, number)
            try:
                ours, theirs = Evaluation(at).of(left), Evaluation(at).of(right)
            except (ZeroDivisionError, ValueError):
                continue
            if _complex(ours) or _complex(theirs):
                continue
            if not ours or not theirs:
                return 0
            if first and not _close(ours * first[1], theirs * first[0], Fraction(1), DIGITS[1]):
                return 0
            first = first or (ours, theirs)
            signs.add(1 if (ours > 0) == (theirs > 0) else -1)
    return signs.pop() if len(signs) == 1 else 0


def _same_at(left: Tree, right: Tree, at: Mapping[str, Fraction]) -> tuple[bool, bool] | None:
    """Whether they are equal at a point, and whether both are real there; ``None`` if undefined."""
    equal = is_real = False
    for digits in DIGITS:
        with mpmath.workdps(digits):
            evaluation = Evaluation(at)
            try:
                ours, theirs = evaluation.of(left), evaluation.of(right)
            except (ZeroDivisionError, ValueError):  # mpmath's poles are either
                return None
            is_real = not _complex(ours) and not _complex(theirs)
            equal = _close(ours, theirs, evaluation.scale, digits)
        if not equal or (isinstance(ours, Fraction) and isinstance(theirs, Fraction)):
            break
    return equal, is_real


def _close(ours: Value, theirs: Value, scale: Value, digits: int) -> bool:
    if isinstance(ours, Fraction) and isinstance(theirs, Fraction):
        return ours == theirs
    ours, theirs = _inexact(ours), _inexact(theirs)
    size = max(abs(ours), abs(theirs), _inexact(scale))
    return bool(abs(ours - theirs) <= size * mpmath.mpf(10) ** (SPARE - digits))


def _complex(value: Value) -> bool:
    return isinstance(value, mpmath.mpc) and abs(value.imag) > mpmath.mpf(10) ** (
        SPARE - mpmath.mp.dps
    )


def _inexact(value: Value) -> Value:
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return value


class Evaluation:
    """The value of trees at one point; ``scale``: the largest inexact number on the way."""

    def __init__(self, at: Mapping[str, Fraction]) -> None:
        self._at = at
        self.scale: Value = Fraction(0)

    def of(self, tree: Tree) -> Value:
        """Raises TooLargeError, and ZeroDivisionError where the formula has no value."""
        value = self._checked(self._value(tree))
        if not isinstance(value, Fraction):
            self.scale = max(self.scale, abs(value), key=_inexact)
        return value

    def _rough(self, values: list[Value]) -> list[Value]:
        """All as mpmath's numbers, which know no fractions; they count towards ``scale``."""
        rough = [self._checked(_inexact(value)) for value in values]
        self.scale = max([self.scale, *map(abs, rough)], key=_inexact)
        return rough

    @staticmethod
    def _checked(value: Value) -> Value:
        if isinstance(value, Fraction):
            if max(value.numerator.bit_length(), value.denominator.bit_length()) > BITS:
                raise TooLargeError
        elif not mpmath.isfinite(value):
            raise ZeroDivisionError
        elif value and not -MAGNITUDE < mpmath.mag(value) * math.log10(2) < MAGNITUDE:
            raise TooLargeError
        return value

    def _value(self, tree: Tree) -> Value:
        kind = tree.kind
        if kind == "number":
            return tree.number
        if kind == "symbol":
            return self._at[tree.name]
        if kind in CONSTANTS:
            return CONSTANTS[kind]()
        if kind == "infty":
            raise TooLargeError
        values = [self.of(part) for part in tree.parts]
        if kind in ARITHMETIC:
            exact = all(isinstance(value, Fraction) for value in values)
            return ARITHMETIC[kind](*(values if exact else self._rough(values)))
        if kind == "power":
            return _power(*values)
        if kind == "root":
            return _root(*values)
        if kind in COUNTING:
            return COUNTING[kind](*values)
        if kind in ("floor", "ceil") and isinstance(values[0], Fraction):
            return Fraction(getattr(math, kind)(values[0]))
        values = self._rough(values)
        if kind in ("exp", "sinh", "cosh", "tanh"):
            _bounded(values[0])
        return (
            getattr(mpmath, FUNCTIONS.get(kind, kind))(*values) if kind != "log" else _log(*values)
        )


CONSTANTS: dict[str, Callable[[], Value]] = {
    "pi": lambda: +mpmath.pi,
    "e": lambda: +mpmath.e,
    "i": lambda: mpmath.mpc(0, 1),
    "degree": lambda: mpmath.pi / 180,
}
FUNCTIONS = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "lg": "log10"}
ARITHMETIC: dict[str, Callable[..., Value]] = {
    "add": lambda a, b: a + b,
    "minus": lambda a: -a,
    "times": lambda a, b: a * b,
    "over": lambda a, b: a / b,
    "abs": abs,
}


def _bounded(exponent: Value) -> None:
    if abs(exponent) > MAGNITUDE * 3:
        raise TooLargeError


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if abs(exponent) * size > BITS and abs(base) not in (0, 1):
                raise TooLargeError
            return base ** int(exponent)
        if abs(exponent) > BITS:
            raise TooLargeError
        return (
            _root(base**exponent.numerator, Fraction(exponent.denominator))
            if (abs(exponent.numerator) < 64 and base > 0)
            else _inexact_power(base, exponent)
        )
    return _inexact_power(base, exponent)


def _inexact_power(base: Value, exponent: Value) -> Value:
    base, exponent = _inexact(base), _inexact(exponent)
    if not base:
        return mpmath.mpf(0) if mpmath.re(exponent) > 0 else _no_value()
    _bounded(exponent * mpmath.log(abs(base)))
    return mpmath.power(base, exponent)


def _root(value: Value, index: Value) -> Value:
    """Exact where it is rational; the real root of a negative number if the index is odd."""
    if isinstance(index, Fraction) and index.denominator == 1 and 1 < index <= 100:
        n = int(index)
        if isinstance(value, Fraction):
            size = abs(value)
            tops = _whole_root(size.numerator, n), _whole_root(size.denominator, n)
            if tops[0] is not None and tops[1] is not None and (value >= 0 or n % 2):
                return Fraction(tops[0], tops[1]) * (1 if value >= 0 else -1)
        value = _inexact(value)
        if n % 2 and not isinstance(value, mpmath.mpc) and value < 0:
            return -mpmath.root(-value, n)
        return mpmath.root(value, n)
    return _inexact_power(value, 1 / index if index else _no_value())


def _whole_root(value: int, n: int) -> int | None:
    if n == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 1000:
        return None
    with mpmath.workdps(400):
        root = int(mpmath.nint(mpmath.root(value, n)))
    return root if root**n == value else None


def _log(value: Value, base: Value | None = None) -> Value:
    """To the base ten if none is given."""
    return mpmath.log10(value) if base is None else mpmath.log(value) / mpmath.log(base)


def _factorial(value: Value) -> Value:
    if abs(value) > LARGEST_FACTORIAL:
        raise TooLargeError
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return Fraction(math.factorial(int(value))) if value >= 0 else _no_value()
        if abs(value) > 100:
            raise TooLargeError
    return mpmath.gamma(_inexact(value) + 1)


def _binomial(n: Value, k: Value) -> Value:
    if max(abs(n), abs(k)) > LARGEST_FACTORIAL:
        raise TooLargeError
    whole = all(isinstance(value, Fraction) and value.denominator == 1 for value in (n, k))
    if whole and n >= 0:
        return Fraction(math.comb(int(n), int(k))) if k >= 0 else Fraction(0)
    return mpmath.binomial(_inexact(n), _inexact(k))


def _no_value() -> Value:
    raise ZeroDivisionError


COUNTING: dict[str, Callable[..., Value]] = {"factorial": _factorial, "binom": _binomial}
