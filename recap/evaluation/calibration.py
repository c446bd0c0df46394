"""Calibration of a judge's P(unsafe) against another judge's labels.

Reports the rate with Wilson's interval in ten bins of equal width, and the Brier score, which is
the mean squared distance of the probability from 0 or 1. Leaves out re-calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from recap.evaluation.rates import rate
from recap.types.results import CalibrationBin

BINS = 10


def calibration(
    scores: Sequence[float],
    unsafe: Sequence[bool],
    clusters: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> list[CalibrationBin]:
    """Ten bins from 0 to 1; a probability on an edge is in the bin above it, 1 in the last."""
    places = [min(int(score * BINS), BINS - 1) for score in scores]
    bins = []
    for number in range(BINS):
        rows = [row for row, place in enumerate(places) if place == number]
        bins.append(
            CalibrationBin(
                low=number / BINS,
                high=(number + 1) / BINS,
                mean_score=fmean(scores[row] for row in rows) if rows else None,
                unsafe=rate(
                    [unsafe[row] for row in rows],
                    [clusters[row] for row in rows],
                    n_incomplete=0,
                    resamples=resamples,
                    seed=seed,
                ),
            )
        )
    return bins


def brier(scores: Sequence[float], unsafe: Sequence[bool]) -> float | None:
    """Mean of (P(unsafe) - unsafe)², 0 at best; ``None`` without scores."""
    if not scores:
        return None
    return fmean((score - known) ** 2 for score, known in zip(scores, unsafe, strict=True))
