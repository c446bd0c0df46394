"""The verdict on a claim, from the intervals of every training and a margin.

The gate's rules read each interval (``recap.analysis.comparison``). "Cannot tell" is a verdict. A
missing cell is "not measured". With fewer than three trainings a claim is "seen in" them; with
three or more it "holds".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recap.analysis.comparison import non_inferior, superior
from recap.evaluation.statistics import Interval

Asked = Literal["more", "no less", "same"]
Verdict = Literal[
    "holds",
    "seen in two trainings",
    "seen in one training",
    "does not hold",
    "cannot tell",
    "not measured",
]
SHOWN: tuple[Verdict, ...] = ("seen in one training", "seen in two trainings", "holds")
"""The positive verdict for one, two, and three or more trainings."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference (of shares, or a relative one) with its 95 % interval over ``n`` pairs.

    ``room``: the largest possible difference, given the rate of the second.
    """

    value: float
    low: float
    high: float
    n: int
    room: float = 1.0


def verdict(asked: Asked, estimates: Sequence[Estimate], margin: float) -> Verdict:
    """The verdict of all intervals, one for each training; all must agree.

    more: the interval lies above 0; refuted if the upper end is below the margin, unless a gain of
    that size was impossible. no less: above minus the margin; refuted if below it. same: within the
    margin on both sides; refuted if beyond either.
    """
    if not estimates:
        return "not measured"
    said = {_say(asked, estimate, margin) for estimate in estimates}
    return shown_in(len(estimates), said.pop()) if len(said) == 1 else "cannot tell"


def shown_in(trainings: int, said: Verdict) -> Verdict:
    """The verdict, limited to "seen in" with fewer than three trainings."""
    return SHOWN[min(trainings, len(SHOWN)) - 1] if said == "holds" else said


def _say(asked: Asked, found: Estimate, margin: float) -> Verdict:
    if asked == "more":
        if superior(found) == "yes":
            return "holds"
        ceiling = margin if found.room >= margin else 0
        return "does not hold" if found.high < ceiling else "cannot tell"
    answers = {non_inferior(found, margin)}
    if asked == "same":
        answers.add(non_inferior(Interval(-found.high, -found.low), margin))
    if "no" in answers:
        return "does not hold"
    return "holds" if answers == {"yes"} else "cannot tell"


def together(parts: Sequence[Verdict]) -> Verdict:
    """The verdict on several parts: one refuted part refutes the claim, and all must be shown.

    If the parts were seen in different numbers of trainings, the smallest number counts.
    """
    if all(part == "not measured" for part in parts):
        return "not measured"
    if "does not hold" in parts:
        return "does not hold"
    if all(part in SHOWN for part in parts):
        return min(parts, key=SHOWN.index)
    return "cannot tell"


def trainings(count: int) -> str:
    """``one training``, ``two trainings``, ``3 trainings``."""
    return {1: "one training", 2: "two trainings"}.get(count, f"{count} trainings")
