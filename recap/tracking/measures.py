"""What was measured of a cell as MLflow's metrics, named as a person would say them.

``prefill/safe`` with ``prefill/safe_low`` and ``prefill/safe_high`` (95 %, Wilson); the place on an
attack's axis stands between: ``ipr/round_3/safe``. What was not measured is no number. Counts and
clustered intervals are in the file of rates, an artifact of the run. Leaves out MLflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from recap.tracking.live import STEP
from recap.types.results import BenchmarkResult, DynamicsResult, ReflectionSummary


def named_rates(results: Sequence[BenchmarkResult]) -> Iterator[tuple[str, float]]:
    """Every rate with the ends of its interval, and its pass@k where there are several samples.

    Unscored completions are counted where there are any: a rate of few answers says so.
    """
    for place, row in _places(results):
        for end, value in (("", row.rate.value), ("_low", row.rate.low), ("_high", row.rate.high)):
            if value is not None:
                yield f"{place}/{row.score}{end}", value
        if row.rate.n_unscored:
            yield f"{place}/unscored", float(row.rate.n_unscored)
        if row.thought is not None and row.thought.value is not None:
            yield f"{place}/thought_{row.score}", row.thought.value
        if row.rubric is not None:
            yield f"{place}/rubric_score", row.rubric.value
        for found in row.pass_at_k:
            if found.value is not None:
                yield f"{place}/{row.score}_pass_at_{found.k}", found.value


def named_reflection(pools: Sequence[ReflectionSummary]) -> Iterator[tuple[str, float]]:
    """How often a cell's thoughts turn round, as ``reflection/<domain>_<clean or prefilled>``."""
    for pool in pools:
        if pool.rate.value is not None:
            kind = "prefilled" if pool.prefilled else "clean"
            yield f"reflection/{pool.domain}_{kind}", pool.rate.value


def snapshot_lines(dynamics: DynamicsResult) -> list[dict[str, float]]:
    """Rates and reflection of every snapshot, a line for each: curves need no interval."""
    return [
        {
            STEP: float(snapshot.update),
            **{
                f"dynamics/{place}/{name}": metric.value
                for place, row in _places(snapshot.results)
                for name, metric in ((row.score, row.rate), ("reflection", row.reflection))
                if metric.value is not None
            },
        }
        for snapshot in dynamics.snapshots
    ]


def _places(results: Sequence[BenchmarkResult]) -> Iterator[tuple[str, BenchmarkResult]]:
    """Each result with its place: a benchmark that was measured at one place needs no number."""
    several = Counter(row.benchmark for row in results)
    for row in results:
        axis = several[row.benchmark] > 1 or row.place > 1
        yield f"{row.benchmark}/round_{row.place}" if axis else row.benchmark, row
