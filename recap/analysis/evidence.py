"""Paired evidence on the claims: differences with intervals, one for each training seed.

Every comparison uses the same prompts. Leaves out the reading of the intervals
(``recap.analysis.verdicts``) and the claims themselves (``recap.analysis.claims``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recap.analysis.axes import Key
from recap.analysis.comparison import paired_difference
from recap.analysis.objective import Slope, slope, slope_difference
from recap.analysis.verdicts import Estimate
from recap.evaluation.statistics import wilson
from recap.params.seeds import derive_seed
from recap.types.attacks import Completion
from recap.types.verdicts import Outcome

CellKey = tuple[str, int]
"""A variant and its training seed."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Generated tokens of one completion, with the cluster of its prompt."""

    cluster: str
    tokens: int


@dataclass(frozen=True)
class Evidence:
    """Outcomes of all cells, and their generated tokens, for paired comparisons."""

    outcomes: Mapping[CellKey, Mapping[Key, Sequence[Outcome]]]
    lengths: Mapping[CellKey, Mapping[tuple[Key, str], Lengths]]
    resamples: int
    seed: int

    def seeds(self, *needed: tuple[str, Key]) -> list[int]:
        """The training seeds in which every needed variant measured its benchmark."""
        every = dict.fromkeys(seed for _, seed in self.outcomes)
        return [
            seed
            for seed in every
            if all(key in self.outcomes.get((variant, seed), {}) for variant, key in needed)
        ]

    def difference(
        self, first: str, second: str, key: Key, *, reflected: bool = False
    ) -> list[Estimate]:
        """First minus second on one benchmark: success, or the rate of self-reflection."""
        found = []
        for seed in self.seeds((first, key), (second, key)):
            ours, theirs = (self.outcomes[variant, seed][key] for variant in (first, second))
            found.append(self._paired(ours, theirs, key, reflected=reflected))
        return [estimate for estimate in found if estimate is not None]

    def change(self, variant: str, start: Key, end: Key) -> list[Estimate]:
        """One policy at ``end`` minus the same policy at ``start``, on the same prompts."""
        return self._within(variant, end, start)

    def fall(self, variant: str, start: Key, end: Key) -> list[Estimate]:
        """How far one policy falls from ``start`` to ``end``; at most to 0."""
        return [
            replace(found, room=found.value + 1 - found.room)  # the rate at the start
            for found in self._within(variant, start, end)
        ]

    def _within(self, variant: str, first: Key, second: Key) -> list[Estimate]:
        found = []
        for seed in self.seeds((variant, first), (variant, second)):
            cell = self.outcomes[variant, seed]
            found.append(self._paired(cell[first], cell[second], second, reflected=False))
        return [estimate for estimate in found if estimate is not None]

    def slopes(self, variant: str, clean: Key, prefilled: Key) -> list[Slope]:
        """The slope of J_beta, for each training seed."""
        every = [
            slope(
                self.outcomes[variant, seed][clean],
                self.outcomes[variant, seed][prefilled],
                resamples=self.resamples,
                seed=derive_seed(self.seed, "report", "slope", variant, *prefilled),
            )
            for seed in self.seeds((variant, clean), (variant, prefilled))
        ]
        return [_wide(found, 1.0) for found in every if found is not None]

    def gap_change(self, candidate: str, baseline: str, start: Key, end: Key) -> list[Estimate]:
        """How much the gap between two policies grows from ``start`` to ``end``."""
        needed = [(variant, key) for variant in (candidate, baseline) for key in (start, end)]
        found = []
        for seed in self.seeds(*needed):
            mine, theirs = self.outcomes[candidate, seed], self.outcomes[baseline, seed]
            difference = slope_difference(
                (mine[start], mine[end]),
                (theirs[start], theirs[end]),
                resamples=self.resamples,
                seed=derive_seed(self.seed, "report", "gap", *start, *end),
            )
            if difference is not None:
                wide = _wide(difference, 2.0)
                found.append(Estimate(wide.value, wide.low, wide.high, wide.n))
        return found

    def mean_rate(self, variant: str, seed: int, keys: Sequence[Key]) -> Estimate | None:
        """A cell's mean rate over benchmarks; ``None`` unless all of them have a scored row.

        The interval resamples request objects in all benchmarks at once, since they share them.
        """
        cell = self.outcomes.get((variant, seed), {})
        scored = [[row for row in cell.get(key, ()) if row.success is not None] for key in keys]
        if not scored or not all(scored):
            return None
        named = [[row.cluster or row.prompt_id for row in rows] for rows in scored]
        names = {name: n for n, name in enumerate(dict.fromkeys(c for some in named for c in some))}
        generator = np.random.default_rng(derive_seed(self.seed, "report", "mean", variant))
        draw_RC = generator.integers(len(names), size=(self.resamples, len(names)))
        values, means = [], []
        for rows, clusters in zip(scored, named, strict=True):
            place = np.array([names[cluster] for cluster in clusters])
            good = [float(bool(row.success)) for row in rows]
            sum_C = np.bincount(place, weights=good, minlength=len(names))
            size_C = np.bincount(place, minlength=len(names))
            means.append(sum_C[draw_RC].sum(axis=1) / np.maximum(size_C[draw_RC].sum(axis=1), 1))
            values.append(sum(good) / len(good))
        low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
        n = min(len(rows) for rows in scored)
        low, high = widened(float(low), float(high), n, (0.0, 1.0))
        return Estimate(float(np.mean(values)), low, high, n)

    def length_change(self, candidate: str, baseline: str) -> list[Estimate]:
        """Generated tokens of the candidate against the baseline's: the ratio of sums, minus 1.

        Over the completions that both have, for each training seed; the interval resamples request
        objects.
        """
        found = [
            self._length_change(mine, self.lengths[baseline, seed])
            for (variant, seed), mine in self.lengths.items()
            if variant == candidate and (baseline, seed) in self.lengths
        ]
        return [estimate for estimate in found if estimate is not None]

    def _length_change(
        self,
        mine: Mapping[tuple[Key, str], Lengths],
        theirs: Mapping[tuple[Key, str], Lengths],
    ) -> Estimate | None:
        shared = [where for where in mine if where in theirs]
        names = {name: n for n, name in enumerate(dict.fromkeys(mine[w].cluster for w in shared))}
        if len(names) < 2:
            return None
        place = np.array([names[mine[where].cluster] for where in shared])
        ours_C, theirs_C = (
            np.bincount(place, weights=[float(rows[where].tokens) for where in shared])
            for rows in (mine, theirs)
        )
        if not theirs_C.sum():
            return None
        generator = np.random.default_rng(derive_seed(self.seed, "report", "tokens"))
        draw_RC = generator.integers(len(names), size=(self.resamples, len(names)))
        ratio_R = ours_C[draw_RC].sum(axis=1) / np.maximum(theirs_C[draw_RC].sum(axis=1), 1)
        low, high = np.quantile(ratio_R, [0.025, 0.975]) - 1
        value = float(ours_C.sum() / theirs_C.sum()) - 1
        return Estimate(value, float(low), float(high), len(shared))

    def _paired(
        self, first: Sequence[Outcome], second: Sequence[Outcome], key: Key, *, reflected: bool
    ) -> Estimate | None:
        if reflected:
            first, second = _reflections(first), _reflections(second)
        found = paired_difference(
            first,
            second,
            resamples=self.resamples,
            seed=derive_seed(self.seed, "report", "paired", *key),
        )
        if found is None:
            return None
        return Estimate(found.value, found.low, found.high, found.n, found.room)


def by_key(rows: Iterable[Outcome]) -> dict[Key, list[Outcome]]:
    """A cell's outcomes by benchmark and round."""
    found: dict[Key, list[Outcome]] = {}
    for row in rows:
        found.setdefault((row.benchmark, row.place), []).append(row)
    return found


def lengths(rows: Iterable[Completion], keys: Iterable[Key]) -> dict[tuple[Key, str], Lengths]:
    """Generated tokens of the first sample of each prompt; those that overflowed are left out."""
    wanted = set(keys)
    return {
        ((row.benchmark, row.place), row.prompt_id): Lengths(
            row.cluster or row.prompt_id, row.num_cot_tokens + row.num_response_tokens
        )
        for row in rows
        if (row.benchmark, row.place) in wanted
        and not row.sample
        and row.finish_reason != "overflow"
    }


def widened(low: float, high: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Widens an interval without width, because n equal rows are no certainty."""
    if low != high:
        return low, high
    unseen = wilson(0, n).high
    return max(bounds[0], low - unseen), min(bounds[1], high + unseen)


def _wide(found: Slope, bound: float) -> Slope:
    low, high = widened(found.low, found.high, found.n, (-bound, bound))
    return replace(found, low=low, high=high)


def _reflections(rows: Sequence[Outcome]) -> list[Outcome]:
    """The same rows, with self-reflection in place of success."""
    return [row.model_copy(update={"success": row.reflected}) for row in rows]
