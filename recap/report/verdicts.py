"""What intervals say of a claim: by interval and margin, in every training seed.

"Cannot tell" is an answer, and a missing cell is "not measured", never "holds".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Asked = Literal["more", "no less", "same"]
Verdict = Literal["holds", "does not hold", "cannot tell", "not measured"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference (of shares, or a relative one) with its 95 % interval over ``n`` pairs.

    ``room``: the largest that it could be, given where the second stands; above 99 % there is none.
    """

    value: float
    low: float
    high: float
    n: int
    room: float = 1.0


def verdict(asked: Asked, estimates: Sequence[Estimate], margin: float) -> Verdict:
    """What the intervals say; every training seed has to say it.

    more: above 0; refuted where even the upper end is below the margin, unless there was no room
    for a gain of that size. no less: above minus the margin; refuted below it. same: within the
    margin on both sides; refuted beyond either.
    """
    if not estimates:
        return "not measured"
    said = {_say(asked, estimate, margin) for estimate in estimates}
    return said.pop() if len(said) == 1 else "cannot tell"


def _say(asked: Asked, found: Estimate, margin: float) -> Verdict:
    if asked == "more":
        holds = found.low > 0
        fails = found.high < (margin if found.room >= margin else 0)
    elif asked == "no less":
        holds, fails = found.low > -margin, found.high < -margin
    else:
        holds = found.low > -margin and found.high < margin
        fails = found.low > margin or found.high < -margin
    return "holds" if holds else "does not hold" if fails else "cannot tell"


def together(parts: Sequence[Verdict]) -> Verdict:
    """A claim of several parts: one refuted part refutes it, and all have to be shown."""
    if all(part == "not measured" for part in parts):
        return "not measured"
    if "does not hold" in parts:
        return "does not hold"
    return "holds" if all(part == "holds" for part in parts) else "cannot tell"
