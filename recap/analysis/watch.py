"""What an attack made anew shows of a version that serves: which floors broke, which rates fell.

The gate's floors have to be reached, as the gate reads them. And on each gated benchmark the same
prompts are compared, now with registration: an alarm is a paired difference whose interval lies
wholly below minus the margin, so that a hundred nights of one policy raise none by chance. Too
little evidence is an alarm. Leaves out the attack, and whether the two are comparable
(``recap.analysis.promotion.unequal``).
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.analysis.comparison import compare
from recap.analysis.gate import CellOutcomes, floor_check, paired_check
from recap.analysis.promotion import outcomes_of, places_of
from recap.params.gate import Gate
from recap.params.seeds import derive_seed
from recap.types.decisions import VersionEvidence


def alarms(
    now: VersionEvidence, then: VersionEvidence, gate: Gate, *, resamples: int, seed: int
) -> Iterator[str]:
    """A sentence for each alarm; ``then`` is the evidence of registration."""
    ours, theirs = list(outcomes_of(now)), list(outcomes_of(then))
    for check in gate.checks:
        if check.kind == "floor":
            found = floor_check(
                check, CellOutcomes("now", ours), gate, resamples=resamples, seed=seed
            )
            if not found.passed:
                yield f"{found.name}: {found.measured}, required {found.required}"
    for place in places_of(gate, theirs):
        own = derive_seed(seed, "watch", *place)
        compared = compare(*place, ours, theirs, resamples=resamples, seed=own)
        found = paired_check(compared, "registration", gate.margin, gate.min_rows)
        difference = compared.difference
        if difference is not None and difference.n < gate.min_rows:
            yield f"{found.name}: {found.measured}; not enough evidence: {found.lacking}"
        elif difference is None or difference.high < -gate.margin:
            yield f"{found.name}: {found.measured}"
