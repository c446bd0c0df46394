"""The headline finding as sentences generated from the numbers, also if the claim fails.

The claim (paper, Tables 2 and 4): RECAP is safer than DAPO under prefill, hijack and resets. It is
shown on an attack if the interval of the paired difference lies above 0 in every training. The gate
uses the same comparison. The text states the number of trainings. Leaves out relative changes
against a rate near 0, because they have no meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from recap.analysis.axes import (
    NO_AXES,
    Axes,
    Key,
    benchmark_label,
    lower_first,
    variant_label,
)
from recap.analysis.comparison import superior
from recap.analysis.evidence import Evidence
from recap.analysis.relative import FLOOR, changes
from recap.analysis.tables import NBSP, index, percent, signed
from recap.analysis.verdicts import trainings
from recap.benchmarks.words import CLEAN, REPLAYED
from recap.evaluation.rates import span
from recap.types.results import CellResult

MOSTLY = 0.9
"""From this rate on, the text says that a policy *still* answers safely."""
Standing = Literal["ahead", "level", "behind"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Candidate against baseline on one benchmark: means over the trainings, and their comparison.

    ``floor``: the lowest lower end of the baseline's intervals.
    """

    key: Key
    candidate: float
    baseline: float
    difference: float
    floor: float
    standing: Standing
    num_seeds: int

    @property
    def label(self) -> str:
        """The benchmark's name inside a sentence."""
        label = benchmark_label(*self.key)
        return label[0].lower() + label[1:]


@dataclass(frozen=True, slots=True)
class Headline:
    """The title, the sentences below it, and whether the claim was shown."""

    title: str
    points: tuple[str, ...]
    holds: bool


def contrast(
    cells: Sequence[CellResult], evidence: Evidence, candidate: str, baseline: str, key: Key
) -> Contrast | None:
    """Compare two variants on one benchmark; ``None`` where no training scored both."""
    found = evidence.difference(candidate, baseline, key)
    mine, theirs = (_rates(cells, variant, key) for variant in (candidate, baseline))
    shared = [seed for seed in mine if seed in theirs]
    if not found or not shared:
        return None
    standing: Standing = "level"
    if all(superior(one) == "yes" for one in found):
        standing = "ahead"
    elif all(superior(one) == "no" for one in found):
        standing = "behind"
    return Contrast(
        key,
        fmean(mine[seed] for seed in shared),
        fmean(theirs[seed] for seed in shared),
        fmean(one.value for one in found),
        min(
            span(index(cell)[key].rate).low
            for cell in cells
            if cell.variant == baseline and cell.seed in shared
        ),
        standing,
        len(found),
    )


def _rates(cells: Sequence[CellResult], variant: str, key: Key) -> dict[int, float]:
    """A variant's scored rates by training seed."""
    return {
        cell.seed: rate
        for cell in cells
        if cell.variant == variant
        and key in index(cell)
        and (rate := index(cell)[key].rate.value) is not None
    }


def claims(cells: Sequence[CellResult]) -> list[Key]:
    """The attacks of the claim that were measured: prefill, hijack and the last reset round."""
    keys = dict.fromkeys(key for cell in cells for key in index(cell))
    last_reset = max((key for key in keys if key[0] == "ipr"), default=None)
    single = [key for name in ("prefill", "hijack") for key in keys if key[0] == name]
    return [*single, *([last_reset] if last_reset else [])]


def headline(
    cells: Sequence[CellResult],
    evidence: Evidence,
    candidate: str,
    baseline: str,
    axes: Axes = NO_AXES,
) -> Headline:
    """State the run's finding on ``candidate`` and ``baseline``."""
    mine, theirs = variant_label(candidate), variant_label(baseline)

    def contrasts(keys: Iterable[Key]) -> list[Contrast]:
        found = (contrast(cells, evidence, candidate, baseline, key) for key in keys)
        return [one for one in found if one is not None]

    attacks = contrasts(claims(cells))
    prefill = next((attack for attack in attacks if attack.key[0] == "prefill"), None)
    if prefill is None:
        title = f"No finding: {mine} and {theirs} were not both measured under the prefill attack"
        return Headline(title, (), holds=False)
    holds = all(attack.standing == "ahead" for attack in attacks)
    calm = contrasts((name, 1) for name in CLEAN)
    title = _title(prefill, attacks, mine, theirs) + _price(calm, mine)
    points = [
        _attacks(attacks, mine, theirs),
        *_weakest(contrasts(_harmful(cells, candidate)), mine, theirs, axes),
        *_cost(calm, mine, theirs),
    ]
    return Headline(title, tuple(points), holds)


def _title(prefill: Contrast, attacks: list[Contrast], mine: str, theirs: str) -> str:
    high, low = percent(prefill.candidate), percent(prefill.baseline)
    short = [attack.label for attack in attacks if attack.standing != "ahead"]
    if prefill.standing == "ahead" and not short:
        still = "still " if prefill.candidate >= MOSTLY else ""
        safely = f"{mine} {still}answers safely {high} of the time"
        return f"Given a flawed thought, {safely}, {theirs} {low}"
    if prefill.standing == "ahead":
        return (
            f"{mine} withstands the prefill attack ({high} safe, {theirs} {low}), "
            f"but no lead is shown under {' and '.join(short)}"
        )
    if prefill.standing == "behind":
        return (
            f"The claim fails in this run: under the prefill attack {theirs} is safer "
            f"({low}) than {mine} ({high})"
        )
    return (
        f"No clear difference under the prefill attack: {mine} is safe in {high} of cases, "
        f"{theirs} in {low}, and the paired interval reaches 0"
    )


def _attacks(attacks: list[Contrast], mine: str, theirs: str) -> str:
    """Each attack's rates, how many show the claim, and both ways to average over them."""
    ahead = sum(attack.standing == "ahead" for attack in attacks)
    rates = ", ".join(
        f"{attack.label} ({percent(attack.candidate)} against {percent(attack.baseline)})"
        for attack in attacks
    )
    change = changes(
        {attack.key: attack.candidate for attack in attacks},
        {attack.key: attack.baseline for attack in attacks},
        {attack.key: attack.floor for attack in attacks},
    )
    seeds = min(attack.num_seeds for attack in attacks)
    text = (
        f"By paired 95{NBSP}% intervals {mine} is safer than {theirs} in {trainings(seeds)} under "
        f"{ahead} of {len(attacks)} attacks: {rates}. That is "
        f"{signed(100 * change.mean_difference)} points on average"
    )
    near = [attack.label for attack in attacks if attack.floor < FLOOR]
    without = (
        f"no relative change is given where {theirs}'s interval reaches below {percent(FLOOR)}: "
        f"{', '.join(near)}"
    )
    if change.mean_relative is None:
        return f"{text}; {without}."
    relative = signed(100 * change.mean_relative, 0)
    text += f"; the mean of relative changes, which the paper reports, is {relative}{NBSP}%"
    return f"{text} ({without})." if near else f"{text}."


def _harmful(cells: Sequence[CellResult], candidate: str) -> list[Key]:
    """All benchmarks of harmful requests that were measured for the candidate."""
    return list(
        dict.fromkeys(
            key
            for cell in cells
            if cell.variant == candidate
            for key, result in index(cell).items()
            if result.domain == "harmful" and result.benchmark not in REPLAYED
        )
    )


def _weakest(compared: list[Contrast], mine: str, theirs: str, axes: Axes) -> list[str]:
    """The attack under which the candidate is worst."""
    if not compared:
        return []
    worst = min(compared, key=lambda found: found.candidate)
    label = lower_first(benchmark_label(*worst.key, axes))
    return [
        f"The strongest measured attack on {mine} is {label}: {percent(worst.candidate)} of "
        f"its answers stay safe, {percent(worst.baseline)} of {theirs}'s."
    ]


def _price(calm: list[Contrast], mine: str) -> str:
    """A clear loss without an attack, which the headline must name; empty if there is none."""
    lost = [found.label for found in calm if found.standing == "behind"]
    return f" ({mine} does clearly worse on {' and '.join(lost)})" if lost else ""


def _cost(calm: list[Contrast], mine: str, theirs: str) -> list[str]:
    """The changes without an attack; empty if none was measured."""
    if not calm:
        return []
    changes = ", ".join(
        f"{signed(100 * found.difference)} points on {found.label}" for found in calm
    )
    clear = [found.label for found in calm if found.standing != "level"]
    verdict = (
        f"the paired interval excludes 0 on {' and '.join(clear)}"
        if clear
        else "every paired interval reaches 0"
    )
    return [f"Without an attack, {mine} against {theirs}: {changes}; {verdict}."]
