"""Agreement of two labellers on the same rows: accuracy, Cohen's kappa, confusion.

scikit-learn computes the estimate. Its 95 % interval is a percentile bootstrap that resamples whole
clusters, because rows of one prompt are not independent. Leaves out weighted kappa, because the
labels have no order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recap.evaluation.statistics import LEVEL
from recap.types.results import Confusion
from recap.types.row import Label


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Agreement over the ``n`` rows that both labelled; ``None`` for undefined values.

    ``kappa`` is undefined if both gave every row the same label, because agreement by chance is
    then certain. ``low`` and ``high``: its 95 % interval, ``None`` with fewer than two clusters.
    ``confusion`` holds the pairs that occur, in the labels' order.
    """

    accuracy: float | None
    kappa: float | None
    low: float | None
    high: float | None
    n: int
    n_unscored: int
    confusion: tuple[Confusion, ...]


def agreement(
    first: Sequence[Label | None],
    second: Sequence[Label | None],
    clusters: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> LabelAgreement:
    """Compare two labels of each row; rows that either left unscored (``None``) are counted.

    ``clusters`` names each row's unit of resampling.
    """
    rows = [
        (ours, theirs, cluster)
        for ours, theirs, cluster in zip(first, second, clusters, strict=True)
        if ours is not None and theirs is not None
    ]
    n_unscored = len(first) - len(rows)
    if not rows:
        return LabelAgreement(None, None, None, None, 0, n_unscored, ())
    pairs = Counter((ours, theirs) for ours, theirs, _ in rows)
    kappa = _kappa([ours for ours, _, _ in rows], [theirs for _, theirs, _ in rows])
    low, high = (None, None) if kappa is None else _interval(rows, resamples, seed)
    return LabelAgreement(
        accuracy=sum(count for (ours, theirs), count in pairs.items() if ours == theirs)
        / len(rows),
        kappa=kappa,
        low=low,
        high=high,
        n=len(rows),
        n_unscored=n_unscored,
        confusion=tuple(
            Confusion(first=ours, second=theirs, count=count)
            for (ours, theirs), count in sorted(pairs.items())
        ),
    )


def _kappa(first: Sequence[Label], second: Sequence[Label]) -> float | None:
    if len({*first, *second}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score  # takes seconds, which other stages save

    return float(cohen_kappa_score(first, second))


def _interval(
    rows: Sequence[tuple[Label, Label, str]], resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """Quantiles of kappa over resampled clusters; a resample with only one label has no kappa."""
    names = {name: place for place, name in enumerate(dict.fromkeys(row[2] for row in rows))}
    if len(names) < 2:
        return None, None
    labels = {label: place for place, label in enumerate(sorted({x for r in rows for x in r[:2]}))}
    count_CLL = np.zeros((len(names), len(labels), len(labels)))
    for ours, theirs, cluster in rows:
        count_CLL[names[cluster], labels[ours], labels[theirs]] += 1
    count_CK = count_CLL.reshape(len(names), -1)
    generator = np.random.default_rng(seed)
    count_RK = np.empty((resamples, count_CK.shape[1]))
    for resample in range(resamples):  # one at a time: R x C draws at once would be gigabytes
        times_C = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        count_RK[resample] = times_C @ count_CK
    kappa_R = kappas(count_RK.reshape(resamples, len(labels), len(labels)))
    kappa_R = kappa_R[~np.isnan(kappa_R)]
    if not kappa_R.size:
        return None, None
    low, high = np.quantile(kappa_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def kappas(count_RLL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa of each of R confusion matrices at once; nan where it is undefined.

    scikit-learn computes one matrix at a time and takes a second or more for 2000 matrices.
    """
    total_R = count_RLL.sum(axis=(1, 2))
    observed_R = np.trace(count_RLL, axis1=1, axis2=2) / total_R
    chance_R = (count_RLL.sum(axis=1) * count_RLL.sum(axis=2)).sum(axis=1) / total_R**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance_R < 1, (observed_R - chance_R) / (1 - chance_R), np.nan)
