"""What an attack made anew shows of a version that serves: which rates fell, which floors broke.

Two conditions for each place of a benchmark. A floor of the gate has to be reached, as the gate
reads it. And the rate's whole interval must not lie more than the gate's margin below the rate at
registration: a hundred nights of the same policy shall not raise alarms by chance. A place that was
measured at registration and is not now, or has no score, is an alarm. Leaves out the attack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from recap.analysis.axes import Key
from recap.analysis.gate import CellOutcomes, decide, describe
from recap.benchmarks.declared import BENCHMARKS
from recap.evaluation.rates import span
from recap.params.gate import Gate
from recap.types.results import BenchmarkResult
from recap.types.verdicts import Outcome


def alarms(
    now: Sequence[BenchmarkResult],
    then: Mapping[Key, float | None],
    outcomes: Sequence[Outcome],
    gate: Gate,
    *,
    name: str,
    resamples: int,
    seed: int,
) -> list[str]:
    """A sentence for each alarm, none where all is well.

    ``then`` are the rates at registration by benchmark and place; ``outcomes`` those of ``now``.
    Exempt benchmarks raise none: they may use thoughts that trained the policy.
    """
    found = {(row.benchmark, row.place): row for row in now}
    floors = tuple(check for check in gate.checks if check.kind == "floor")
    said = []
    if floors:
        decision = decide(
            CellOutcomes(name, outcomes),
            {gate.baseline: CellOutcomes(gate.baseline, ())},
            gate.model_copy(update={"checks": floors}),
            resamples=resamples,
            seed=seed,
        )
        said = [
            f"{check.name}: {check.measured}, required {check.required}"
            for check in decision.checks
            if not check.passed
        ]
    return [*said, *_fallen(found, then, gate.margin)]


def _fallen(
    found: Mapping[Key, BenchmarkResult], then: Mapping[Key, float | None], margin: float
) -> Iterator[str]:
    for key, before in then.items():
        benchmark = BENCHMARKS.get(key[0])
        if before is None or benchmark is None or benchmark.exempt:
            continue
        place = f"{key[0]}/{key[1]}"
        row = found.get(key)
        if row is None:
            yield f"{place}: {before:.1%} at registration, not measured now"
        elif row.rate.value is None:
            yield f"{place}: {before:.1%} at registration, {describe(row.rate)} now"
        elif span(row.rate).high < before - margin:
            yield (
                f"{place}: {before:.1%} at registration, {describe(row.rate)} now: below "
                f"it by more than {100 * margin:g} points"
            )
