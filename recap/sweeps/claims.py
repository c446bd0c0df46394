"""The paper's claims as Markdown: the conditions, fixed before the sweep, and the findings.

A claim that does not hold stays on the page, with its likely cause from a file written by hand, or
a note that no cause is known. Leaves out the tests (recap/analysis/claims.py, parts.py,
verdicts.py).
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
"""The conditions of parts that are not a single difference."""


def read_causes(path: Path, claims: Collection[int]) -> Causes:
    """The causes why claims fail, by number, and why trainings differ, under ``trainings``.

    Empty without the file. Raises DataError for an unknown claim, or a cause that is not text.
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
            f"`3: why`, got something else at {where[0] if where else 'the top'}."
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
        "# The conditions for each of the paper's claims",
        "The code that tests the claims has the statistics and margins "
        "(`recap/analysis/claims.py`, `parts.py`, `verdicts.py`). They were fixed before the sweep "
        "ran. `recap sweep report` writes this page from the code and `params.yaml` only, "
        "and a test compares the two. The page has no numbers of a run. The verdicts are in "
        "[microworld.md](microworld.md).",
        "## Verdicts",
        "Each part of a claim is one statistic, in points (percent of prompts), with a paired 95 % "
        "interval for every training seed. Both policies answer the same prompts, and the "
        "interval is the wider of two: a bootstrap that resamples whole request objects, and "
        "Bonett and Price's interval for independent pairs. A part that names no policies "
        "measures RECAP minus DAPO. There is no correction for the number of intervals.",
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
        "In all other cases the verdict is *cannot tell*. A part holds, or does not hold, only if "
        "**every training seed** agrees. With fewer than three trainings a part is *seen in one "
        "training* (or two) and never *holds*. A claim holds if all of its parts hold. One part "
        "that does not hold refutes the claim. A part that was not measured never holds.",
        "Room for a gain: over a policy that is right in 99.4 %, a gain cannot exceed 0.6 points. "
        "Compare directions with the paper, not levels.",
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
    """The numbers of verdicts, and a table row for each claim."""
    return [
        f"{_counted(claims)} (by paired 95 % intervals in every training seed; what is asked of "
        "each was [written down before](claims.md)):",
        table(
            ["", "The paper's claim", "Here"],
            [[str(claim.number), claim.text, _marked(claim.verdict)] for claim in claims],
        ),
    ]


def findings(claims: Sequence[Claim], seeds: Sequence[int], causes: Causes) -> list[str]:
    """Every claim with its numbers, and the cause if it fails."""
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
