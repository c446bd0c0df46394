"""Outcomes of several samples for each prompt -> unbiased pass@k, for growing k.

If c of the n scored samples of a prompt succeeded, 1 - C(n-c, k) / C(n, k) is the share of its
k-subsets with a success. The mean of this share over prompts is an unbiased estimate of "any of k
samples succeeds" (Chen et al. 2021, arXiv 2107.03374). k = n is any-of-n, the paper's pass@16 for
AIME. Leaves out any-of-k under an attack, which a benchmark with an axis measures
(``Completion.place``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import comb
from statistics import fmean

from recap.evaluation.statistics import clustered
from recap.types.results import PassAtK
from recap.types.verdicts import Outcome


def any_of(n: int, successes: int, k: int) -> float:
    """The share of k-subsets of ``n`` samples that contain one of the ``successes``; k <= n."""
    return 1 - comb(n - successes, k) / comb(n, k)


def sizes(samples: int) -> list[int]:
    """The values of k for this number of samples: powers of two, then all; empty for one sample."""
    if samples < 2:
        return []
    powers = [1 << power for power in range(samples.bit_length())]
    return powers if powers[-1] == samples else [*powers, samples]


def pass_at_k(found: Sequence[Outcome], *, resamples: int, seed: int) -> list[PassAtK]:
    """pass@k of one benchmark and round.

    Leaves unscored samples out of n, and leaves out prompts with fewer than k scored samples.
    """
    drawn: dict[str, int] = defaultdict(int)
    scored: dict[str, list[bool]] = defaultdict(list)
    cluster: dict[str, str] = {}
    for row in found:
        drawn[row.prompt_id] += 1
        cluster[row.prompt_id] = row.cluster or row.prompt_id
        if row.success is not None:
            scored[row.prompt_id].append(row.success)
    results = []
    for k in sizes(max(drawn.values(), default=0)):
        counted = {name: own for name, own in scored.items() if len(own) >= k}
        values = [any_of(len(own), sum(own), k) for own in counted.values()]
        ends = clustered(
            values, [cluster[name] for name in counted], resamples=resamples, seed=seed
        )
        results.append(
            PassAtK(
                k=k,
                value=fmean(values) if values else None,
                low=ends.low if ends else None,
                high=ends.high if ends else None,
                n_prompts=len(values),
            )
        )
    return results
