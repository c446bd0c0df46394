"""A cell's self-reflection in its own thoughts: separately for clean and prefilled, by domain.

The paper's rate, and the position of the first reflection, measured only on the generated part of
the thought. Benchmarks that close the thought have no generated part and are left out. Domains are
separate: math is never prefilled, so pooled "clean" and "prefilled" thoughts would have different
mixtures. Leaves out the detection of reflection (recap/scoring).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from recap.evaluation.rates import rate
from recap.params.seeds import derive_seed
from recap.types.results import BenchmarkResult, ReflectionSummary
from recap.types.row import Domain
from recap.types.sources import KEPT
from recap.types.verdicts import Outcome

Pool = tuple[Domain, bool]
"""A domain, and whether its prompts had prefills."""


def summarise(
    results: Sequence[BenchmarkResult], found: Iterable[Outcome], *, resamples: int, seed: int
) -> list[ReflectionSummary]:
    """One summary for each pool with a generated thought, in order of the cell's ``results``.

    ``found`` are the outcomes of the results.
    """
    pools: dict[tuple[str, int], Pool] = {
        (row.benchmark, row.place): (row.domain, row.prefill_source is not None)
        for row in results
        if _counts(row)
    }
    incomplete = Counter[Pool]()
    for result in results:
        if _counts(result):
            incomplete[pools[result.benchmark, result.place]] += result.reflection.n_incomplete
    members: dict[Pool, list[Outcome]] = {pool: [] for pool in pools.values()}
    for row in found:
        if (row.benchmark, row.place) in pools:
            members[pools[row.benchmark, row.place]].append(row)
    return [
        _summary(
            pool,
            own,
            n_incomplete=incomplete[pool],
            resamples=resamples,
            seed=derive_seed(seed, "reflection", *map(str, pool)),
        )
        for pool, own in members.items()
    ]


def _counts(result: BenchmarkResult) -> bool:
    """Whether its thoughts count: kept attacks were chosen by a failure, and some plant nothing."""
    return result.reflection.n > 0 and result.prefill_source != KEPT


def _summary(
    pool: Pool, found: list[Outcome], *, n_incomplete: int, resamples: int, seed: int
) -> ReflectionSummary:
    positions = [row.reflection_position for row in found if row.reflection_position is not None]
    return ReflectionSummary(
        domain=pool[0],
        prefilled=pool[1],
        rate=rate(
            [row.reflected for row in found],
            [row.cluster or row.prompt_id for row in found],
            n_incomplete=n_incomplete,
            resamples=resamples,
            seed=seed,
        ),
        mean_position=fmean(positions) if positions else None,
    )
