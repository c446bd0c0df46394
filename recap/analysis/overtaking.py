"""The paper's claim on training dynamics: which policy leads at which update.

The claim (paper, training dynamics): on clean jailbreaks DAPO leads early, RECAP overtakes later. A
lead is shown at an update if the two policies' own intervals do not overlap in any training.
Snapshots keep rates and no outcomes, so nothing can be paired. This condition is stricter than the
paired comparison. Leaves out the drawing (``recap.report.dynamics``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from recap.analysis.axes import Key, variant_label
from recap.analysis.tables import percent
from recap.analysis.verdicts import Verdict, shown_in, trainings
from recap.evaluation.rates import span
from recap.types.results import BenchmarkResult, DynamicsResult, Metric

CLAIM: Key = ("jailbreak", 1)


@dataclass(frozen=True, slots=True)
class Lead:
    """Both policies' mean rate at one update, and the leader if the intervals lie apart."""

    candidate: float
    baseline: float
    leads: Literal["candidate", "baseline", "neither"]
    num_seeds: int


@dataclass(frozen=True, slots=True)
class Overtaking:
    """The verdict on the paper's claim on the dynamics, with a sentence on the measurement."""

    verdict: Verdict
    text: str


def result_at(results: Sequence[BenchmarkResult], key: Key) -> BenchmarkResult | None:
    """The result of a benchmark and round, if it was measured."""
    return next((found for found in results if (found.benchmark, found.place) == key), None)


def overtaking(cells: Sequence[DynamicsResult], candidate: str, baseline: str) -> Overtaking:
    """The verdict on the claim, with a sentence that says no more than the intervals show."""
    mine, theirs = variant_label(candidate), variant_label(baseline)
    compared = _by_update(cells, candidate, baseline)
    if not compared:
        text = f"Not measured here: {theirs} and {mine} share no update with clean jailbreaks."
        return Overtaking("not measured", text)
    early = {update: found for update, found in compared.items() if found.leads == "baseline"}
    late = {update: found for update, found in compared.items() if found.leads == "candidate"}
    if early and late:
        holds = max(early) < min(late)
        order = "This holds here" if holds else "The order is different here"
        seeds = min(found.num_seeds for found in compared.values())
        text = (
            f"{order}, in {trainings(seeds)}: {_lead(theirs, early)} and {_lead(mine, late)}, the "
            "intervals apart."
        )
        return Overtaking(shown_in(seeds, "holds") if holds else "does not hold", text)
    if early or late:
        lead, other = (_lead(theirs, early), mine) if early else (_lead(mine, late), theirs)
        return Overtaking(
            "cannot tell",
            f"At most half of it is shown here: {lead}, the intervals apart; {other} leads "
            "nowhere.",
        )
    return Overtaking(
        "cannot tell",
        f"Not shown here: at every update that was measured the intervals of {theirs} and "
        f"{mine} overlap.",
    )


def _by_update(cells: Sequence[DynamicsResult], candidate: str, baseline: str) -> dict[int, Lead]:
    """Candidate against baseline on the claim's benchmark at each update that both have."""
    rates: dict[int, dict[tuple[str, int], Metric]] = {}
    for cell in cells:
        for snapshot in cell.snapshots:
            found = result_at(snapshot.results, CLAIM)
            if found is not None and found.rate.n:
                rates.setdefault(snapshot.update, {})[cell.variant, cell.seed] = found.rate
    compared = {}
    for update, by_cell in sorted(rates.items()):
        pairs = [
            (mine, by_cell[baseline, seed])
            for (variant, seed), mine in by_cell.items()
            if variant == candidate and (baseline, seed) in by_cell
        ]
        if pairs:
            compared[update] = _compared(pairs)
    return compared


def _compared(pairs: Sequence[tuple[Metric, Metric]]) -> Lead:
    spans = [(span(mine), span(theirs)) for mine, theirs in pairs]
    leads: Literal["candidate", "baseline", "neither"] = "neither"
    if all(mine.low > theirs.high for mine, theirs in spans):
        leads = "candidate"
    elif all(mine.high < theirs.low for mine, theirs in spans):
        leads = "baseline"
    return Lead(
        fmean(mine.value for mine, _ in pairs if mine.value is not None),
        fmean(theirs.value for _, theirs in pairs if theirs.value is not None),
        leads,
        len(pairs),
    )


def _lead(name: str, leads: Mapping[int, Lead]) -> str:
    """The updates at which ``name`` leads, its rate first."""
    places = []
    for update, found in leads.items():
        low, high = sorted((found.candidate, found.baseline))
        places.append(f"update {update} ({percent(high)} against {percent(low)})")
    return f"{name} leads at {', '.join(places)}"
