"""The paper's claims as Markdown: what each asks, written down before, and what was found here.

A claim that does not hold stays in, with its likely cause from a file written by hand; one without
a cause says so. Leaves out the tests themselves (recap/analysis/claims.py, parts.py, verdicts.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints, TypeAdapter, ValidationError

from recap.analysis.claim_words import estimate_words, part_words, room_words
from recap.analysis.parts import MARGIN, TOKEN_MARGIN, Claim, Part
from recap.analysis.tables import DASH, MINUS, NBSP
from recap.analysis.verdicts import Verdict
from recap.errors import DataError, choices
from recap.params.document import read_document
from recap.report.markdown import MARKS, table

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
TRAININGS: Literal["trainings"] = "trainings"
Causes = Mapping[int | Literal["trainings"], str]
SAID = {
    "clean jailbreaks by update": "DAPO's interval above RECAP's in every training at some update, "
    "RECAP's above DAPO's at later ones alone"
}
"""What is asked of a part that is not one difference."""


def read_causes(path: Path, claims: Collection[int]) -> Causes:
    """Why a claim fails here, by its number, and why trainings differ, under ``trainings``.

    Empty where nobody has written any. Raises DataError for a claim that there is not, or a cause
    that is no text.
    """
    if not path.is_file():
        return {}
    try:
        found = TypeAdapter(dict[int | Literal["trainings"], Text]).validate_python(
            read_document(path) or {}, strict=True
        )
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        raise DataError(
            f"{path}: expected a claim's number (or `{TRAININGS}`) and a text for each entry, e.g. "
            f"`3: why`, got another thing at {where[0] if where else 'the top'}."
        ) from None
    for number in found:
        if number != TRAININGS and number not in claims:
            raise DataError(
                f"{path}: expected the number of a claim ({choices(map(str, claims))}), got "
                f"{number}. docs/results/claims.md has them."
            )
    return {number: " ".join(text.split()) for number, text in found.items()}


def claims_page(claims: Sequence[Claim]) -> str:
    """``claims.md``: statistic and margin of each claim, from claims with nothing measured."""
    margin, tokens = f"{100 * MARGIN:g}", f"{100 * TOKEN_MARGIN:g}"
    parts = [
        "# What is asked of each of the paper's claims",
        "Statistics and margins stand in the code that tests the claims "
        "(`recap/analysis/claims.py`, `parts.py`, `verdicts.py`) and were fixed before the sweep "
        "was run; `recap sweep report` writes them down here, from the code and "
        "`params.yaml` alone, and a test compares the two. No number of a run goes "
        "into this page: the verdicts stand in "
        "[microworld.md](microworld.md).",
        "## How a verdict comes about",
        "Each part of a claim is one statistic, in points (percent of prompts), with a paired 95 % "
        "interval of its own in every training seed: both policies answer the same prompts, and "
        "whole request objects are resampled; where that is wider, Bonett and Price's interval of "
        "independent pairs. Where a part names no other policies it is RECAP "
        "less DAPO. No correction is made for the number of intervals.",
        table(
            ["Asked", "Holds", "Does not hold"],
            [
                ["above 0", "the interval lies above 0",
                 f"its upper end is below {margin} points; where there was no room for a gain of "
                 f"{margin} points, below 0"],
                [f"above {MINUS}{margin}", f"the interval lies above {MINUS}{margin} points",
                 f"the interval lies below {MINUS}{margin} points"],
                [f"within ±{margin}", f"the interval lies within ±{margin} points",
                 f"the interval lies beyond ±{margin} points"],
                [f"within ±{tokens} %", f"the interval lies within ±{tokens} %",
                 f"the interval lies beyond ±{tokens} %"],
            ],
        ),
        "Anything else is *cannot tell*. A part holds, or does not, if **every training seed** "
        "says so; seeds that differ cannot tell. What fewer than three trainings show is *seen in "
        "one training* (or two), never *holds*. A claim holds if all of its parts do; one part "
        "that does not hold refutes it. What was not measured never holds.",
        "Room: a gain over a policy that is right in 99.4 % cannot exceed 0.6 points. Levels do "
        "not compare with the paper's, directions do.",
    ]  # fmt: skip
    for claim in claims:
        parts += [
            f"## {claim.number}. {claim.text}",
            table(
                ["Statistic", "Asked", "The paper's own (points)"],
                [
                    [
                        part.what,
                        SAID.get(part.what) or part_words(part).asked,
                        part_words(part).paper or DASH,
                    ]
                    for part in claim.parts
                ],
            ),
        ]
    return "\n\n".join(parts) + "\n"


def verdicts(claims: Sequence[Claim]) -> list[str]:
    """How many hold, and a line for each."""
    return [
        f"{_counted(claims)} (by paired 95 % intervals in every training seed; what is asked of "
        "each was [written down before](claims.md)):",
        table(
            ["", "The paper's claim", "Here"],
            [[str(claim.number), claim.text, _marked(claim.verdict)] for claim in claims],
        ),
    ]


def findings(claims: Sequence[Claim], seeds: Sequence[int], causes: Causes) -> list[str]:
    """Every claim with the numbers that decide, and why it fails."""
    parts = []
    for claim in claims:
        parts += [
            f"### {claim.number}. {claim.text}: {claim.verdict}",
            table(
                ["Statistic", "Asked", "Here, seed by seed", "Paper", ""],
                [_row(part, seeds) for part in claim.parts],
            ),
        ]
        cause = causes.get(claim.number)
        unexplained = (
            f"none known (experiments/records/causes.yaml has none for claim {claim.number})."
        )
        if claim.verdict == "does not hold":
            parts.append(f"Likely cause: {cause or unexplained}")
        elif claim.verdict == "cannot tell" and cause:
            parts.append(f"What stands in the way: {cause}")
        elif cause:
            parts.append(f"Remark: {cause}")
    return parts


def _row(part: Part, seeds: Sequence[int]) -> list[str]:
    words = part_words(part)
    shown = [estimate_words(found, relative=part.relative) for found in part.estimates]
    if room := room_words(part):
        shown.append(room)
    if not part.relative and 0 < len(part.estimates) < len(seeds):
        shown.append(f"({len(part.estimates)} of {len(seeds)} seeds)")
    here = "<br>".join(text.replace(" ", NBSP) for text in shown) or words.here
    asked = words.asked.replace(" ", NBSP) or SAID[part.what]
    return [part.what, asked, here, words.paper or DASH, _marked(part.verdict)]


def _counted(claims: Sequence[Claim]) -> str:
    counts: dict[Verdict, int] = {}
    for claim in claims:
        counts[claim.verdict] = counts.get(claim.verdict, 0) + 1
    words: dict[Verdict, tuple[str, str]] = {
        "holds": ("holds", "hold"),
        "seen in two trainings": ("was seen in two trainings", "were seen in two trainings"),
        "seen in one training": ("was seen in one training", "were seen in one training"),
        "does not hold": ("does not hold", "do not hold"),
        "cannot tell": ("cannot be told", "cannot be told"),
        "not measured": ("is not measured yet", "are not measured yet"),
    }
    said = [
        f"{counts[verdict]} {words[verdict][counts[verdict] != 1]}"
        for verdict in words
        if verdict in counts
    ]
    return f"Of the paper's {len(claims)} claims, {', '.join(said)}"


def _marked(verdict: Verdict) -> str:
    return f"{MARKS[verdict]} {verdict}".replace(" ", NBSP)
