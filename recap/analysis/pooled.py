"""Several trainings of one variant together: their mean, their spread, an interval over both.

An interval over prompts ignores the variation between trainings, and an interval over seeds ignores
the variation between prompts. This module resamples whole trainings and whole request objects
together. Trainings share their prompts, so a draw takes an object for all trainings at once. With
three trainings that disagree, the interval is too narrow: read the single values beside it. Leaves
out the claims, which every training must show on its own (``recap.analysis.verdicts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from recap.analysis.axes import Key
from recap.analysis.evidence import Evidence, widened
from recap.evaluation.statistics import wilson
from recap.params.seeds import derive_seed
from recap.types.verdicts import Outcome

Scored = Mapping[tuple[str, int], tuple[str, float]]
"""(Prompt, sample) -> (request object, success)."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """``values``: each training's own, by seed. ``sd`` divides by seeds - 1; ``None`` for one.

    ``low`` and ``high``: 95 % percentile bootstrap of the mean. ``n``: the smallest number of
    prompts scored in a training.
    """

    values: Mapping[int, float]
    mean: float
    sd: float | None
    low: float
    high: float
    n: int


def pooled_rate(evidence: Evidence, variant: str, key: Key) -> Pooled | None:
    """A variant's rate over its trainings; ``None`` where nothing was scored.

    The interval is the wider of the bootstrap's and Wilson's for one training's prompts. Near 0 and
    100 % resamples hardly differ, so the bootstrap's interval is too narrow there.
    """
    scored = {
        seed: _scored(evidence.outcomes[variant, seed][key])
        for seed in evidence.seeds((variant, key))
    }
    found = _pooled(scored, derive_seed(evidence.seed, "report", "pooled", *key), evidence)
    if found is None:
        return None
    ends = wilson(round(found.mean * found.n), found.n)
    return replace(found, low=min(found.low, ends.low), high=max(found.high, ends.high))


def pooled_difference(evidence: Evidence, first: str, second: str, key: Key) -> Pooled | None:
    """First minus second on the same prompts and training seeds; ``None`` without a pair."""
    scored = {}
    for seed in evidence.seeds((first, key), (second, key)):
        ours, theirs = (
            _scored(evidence.outcomes[variant, seed][key]) for variant in (first, second)
        )
        scored[seed] = {
            question: (name, value - theirs[question][1])
            for question, (name, value) in ours.items()
            if question in theirs
        }
    found = _pooled(scored, derive_seed(evidence.seed, "report", "pooled", *key), evidence)
    if found is None:
        return None
    low, high = widened(found.low, found.high, found.n, (-1.0, 1.0))
    return replace(found, low=low, high=high)


def _scored(rows: Sequence[Outcome]) -> Scored:
    return {
        (row.prompt_id, row.sample): (row.cluster or row.prompt_id, float(row.success))
        for row in rows
        if row.success is not None
    }


def _pooled(scored: Mapping[int, Scored], seed: int, evidence: Evidence) -> Pooled | None:
    """Resample trainings, and request objects in all of them at once."""
    trainings = {place: own for place, own in scored.items() if own}
    if not trainings:
        return None
    values = {place: fmean(value for _, value in own.values()) for place, own in trainings.items()}
    names = sorted({name for own in trainings.values() for name, _ in own.values()})
    places = {name: place for place, name in enumerate(names)}
    generator = np.random.default_rng(seed)
    draw_RC = generator.integers(len(names), size=(evidence.resamples, len(names)))
    pick_RS = generator.integers(len(trainings), size=(evidence.resamples, len(trainings)))
    mean_SR = []
    for own in trainings.values():
        place = [places[name] for name, _ in own.values()]
        sum_C = np.bincount(place, [value for _, value in own.values()], minlength=len(names))
        size_C = np.bincount(place, minlength=len(names)).astype(np.float64)
        size_R = size_C[draw_RC].sum(axis=1)
        size_R[size_R == 0] = np.nan  # no scored prompt drawn: no rate, not 0
        mean_SR.append(sum_C[draw_RC].sum(axis=1) / size_R)
    drawn_RS = np.take_along_axis(np.array(mean_SR).T, pick_RS, axis=1)
    drawn_RS = drawn_RS[~np.isnan(drawn_RS).all(axis=1)]
    low, high = np.quantile(np.nanmean(drawn_RS, axis=1), [0.025, 0.975])
    own_values = list(values.values())
    return Pooled(
        values,
        fmean(own_values),
        stdev(own_values) if len(own_values) > 1 else None,
        float(low),
        float(high),
        min(map(len, trainings.values())),
    )
