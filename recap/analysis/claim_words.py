"""A claim's parts as text for page and Markdown: condition, value here, the paper's value."""

from __future__ import annotations

from dataclasses import dataclass

from recap.analysis.parts import MARGIN, TOKEN_MARGIN, Claim, Part
from recap.analysis.tables import NBSP, signed
from recap.analysis.verdicts import Asked, Estimate, Verdict

GRADES: dict[Verdict, str] = {
    "holds": "good",
    "seen in two trainings": "open",
    "seen in one training": "open",
    "does not hold": "bad",
    "cannot tell": "open",
    "not measured": "none",
}
"""A colour class for each verdict."""


@dataclass(frozen=True, slots=True)
class PartWords:
    """One part as text."""

    what: str
    asked: str
    here: str
    paper: str
    verdict: Verdict
    grade: str
    measured: bool


@dataclass(frozen=True, slots=True)
class ClaimWords:
    """One claim as text."""

    number: int
    text: str
    verdict: Verdict
    grade: str
    parts: tuple[PartWords, ...]
    needs: str


def claim_words(claim: Claim) -> ClaimWords:
    """A claim as text."""
    needs = "; ".join(claim.needs)
    return ClaimWords(
        claim.number,
        claim.text,
        claim.verdict,
        GRADES[claim.verdict],
        tuple(part_words(part) for part in claim.parts),
        f"Not measured here: needs {needs}." if needs else "",
    )


def part_words(part: Part) -> PartWords:
    """A part as text; one interval for each training seed."""
    here = "; ".join(estimate_words(found, relative=part.relative) for found in part.estimates)
    room = room_words(part)
    here += f" {room}" if room else ""
    paper = ", ".join(signed(value) for value in part.paper)
    return PartWords(
        part.what,
        "" if part.said else _asked(part.asked, relative=part.relative),
        part.said or here or f"not measured here: needs {part.needs}",
        f"{paper}{NBSP}%" if paper and part.relative else paper,
        part.verdict,
        GRADES[part.verdict],
        part.verdict != "not measured",
    )


def room_words(part: Part) -> str:
    """A note if the largest possible gain was below the margin, else empty."""
    if any(part.asked == "more" and found.room < MARGIN for found in part.estimates):
        return f"(room for {100 * min(found.room for found in part.estimates):.1f} alone)"
    return ""


def estimate_words(found: Estimate, *, relative: bool = False) -> str:
    """``+56.2 [+49.8 to +62.5]``: points, or percent for a relative change."""
    unit = f"{NBSP}%" if relative else ""
    low, high = signed(100 * found.low), signed(100 * found.high)
    return f"{signed(100 * found.value)}{unit} [{low} to {high}]"


def _asked(asked: Asked, *, relative: bool) -> str:
    margin = 100 * (TOKEN_MARGIN if relative else MARGIN)
    unit = f"{NBSP}%" if relative else ""
    if asked == "more":
        return "above 0"
    if asked == "no less":
        return f"above {signed(-margin, 0)}{unit}"
    return f"within ±{margin:.0f}{unit}"
