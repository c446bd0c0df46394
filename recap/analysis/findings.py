"""The findings of a run on the paper's claims, for page, Markdown and ``tables.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recap.analysis.axes import Axes
from recap.analysis.claims import Claims
from recap.analysis.evidence import Evidence
from recap.analysis.headline import Headline, headline
from recap.analysis.paper import Aggregate, PaperRow, aggregates, paper_rows
from recap.analysis.parts import Claim
from recap.analysis.replicates import Replicates, replicates
from recap.analysis.settings import Settings
from recap.analysis.slopes import slope_tables
from recap.types.results import CellResult, DynamicsResult


@dataclass(frozen=True)
class Findings:
    """Headline, claims with verdicts, the paper's numbers beside ours, means over seeds.

    ``trainings``: the number of training seeds that candidate and baseline share.
    """

    headline: Headline
    claims: Sequence[Claim]
    paper: Sequence[PaperRow]
    aggregates: Sequence[Aggregate]
    slopes: Sequence[Mapping[str, object]]
    replicates: Sequence[Replicates]
    trainings: int


def find(
    cells: Sequence[CellResult],
    dynamics: Sequence[DynamicsResult],
    evidence: Evidence,
    settings: Settings,
    axes: Axes,
) -> Findings:
    """All findings on the candidate against the baseline."""
    pair = settings.candidate, settings.baseline
    several = len({cell.seed for cell in cells}) > 1
    return Findings(
        headline(cells, evidence, *pair, axes),
        Claims(evidence, settings, axes, dynamics).all(),
        paper_rows(cells, evidence, *pair, axes),
        aggregates(cells, *pair),
        slope_tables(evidence, settings),
        replicates(cells) if several else [],
        len(set.intersection(*({c.seed for c in cells if c.variant == v} for v in pair))),
    )


def findings_tables(found: Findings) -> dict[str, Any]:
    """The second part of ``tables.json``; shares, and percents where a key says so."""
    return {
        "headline": found.headline.title,
        "trainings": found.trainings,
        "claims": [
            {
                "number": claim.number,
                "claim": claim.text,
                "verdict": claim.verdict,
                "needs": claim.needs,
                "parts": [
                    {
                        "what": part.what,
                        "asked": part.asked,
                        "verdict": part.verdict,
                        "seeds": [asdict(estimate) for estimate in part.estimates],
                        "paper_points": list(part.paper),
                    }
                    for part in claim.parts
                ],
            }
            for claim in found.claims
        ],
        "slopes": list(found.slopes),
        "aggregates": [
            {"family": each.family, "where": each.where, **asdict(each.changes)}
            for each in found.aggregates
        ],
        "replicates": [asdict(each) for each in found.replicates],
    }
