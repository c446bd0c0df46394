"""What an attack made anew shows of a version that serves: which floors broke, which rates fell.

The gate's floors have to be reached, as the gate reads them. And on each gated benchmark the same
prompts are compared, now with registration: an alarm is a paired difference whose interval lies
wholly below minus the margin, so that a hundred nights of one policy raise none by chance. Too
little evidence is an alarm. Leaves out the attack, and whether the two are comparable
(``recap.analysis.promotion.unequal``).
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.analysis.comparison import compare
from recap.analysis.gate import CellOutcomes, floor_check, last_round, paired_check
from recap.analysis.promotion import outcomes_of, places_of
from recap.params.gate import Gate
from recap.params.seeds import derive_seed
from recap.types.decisions import VersionEvidence
from recap.types.verdicts import Outcome
from recap.types.watch import Gated


def watch_gated(
    now: VersionEvidence, then: VersionEvidence, gate: Gate, *, resamples: int, seed: int
) -> list[Gated]:
    """Each gated benchmark with its alarms; ``then`` is the evidence of registration."""
    ours, theirs = list(outcomes_of(now)), list(outcomes_of(then))
    places = places_of(gate, theirs)
    floors: dict[tuple[str, int], float] = {}
    said: dict[tuple[str, int], list[str]] = {place: [] for place in places}
    for check in gate.checks:
        if check.kind != "floor":
            continue
        assert check.floor is not None
        place = check.benchmark, check.place or last_round(check.benchmark, theirs)
        floors[place] = max(check.floor, floors.get(place, 0.0))
        found = floor_check(check, CellOutcomes("now", ours), gate, resamples=resamples, seed=seed)
        if not found.passed:
            said[place].append(f"{found.name}: {found.measured}, required {found.required}")
    for place in places:
        own = derive_seed(seed, "watch", *place)
        compared = compare(*place, ours, theirs, resamples=resamples, seed=own)
        found = paired_check(compared, "registration", gate.margin, gate.min_rows)
        difference = compared.difference
        if difference is not None and difference.n < gate.min_rows:
            said[place].append(
                f"{found.name}: {found.measured}; not enough evidence: {found.lacking}"
            )
        elif difference is None or difference.high < -gate.margin:
            said[place].append(f"{found.name}: {found.measured}")
    return [
        Gated(
            benchmark=place[0],
            place=place[1],
            registered=_rate(theirs, place),
            floor=floors.get(place),
            alarms=tuple(said[place]),
        )
        for place in places
    ]


def _rate(outcomes: Sequence[Outcome], place: tuple[str, int]) -> float | None:
    """The share of successes among the scored outcomes of one benchmark and round."""
    scored = [
        row.success
        for row in outcomes
        if (row.benchmark, row.place) == place and row.success is not None
    ]
    return sum(scored) / len(scored) if scored else None
