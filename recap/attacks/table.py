"""The attacks by their names in benchmark declarations, and the prefill sources each uses."""

from __future__ import annotations

from recap.attacks.attack import Attack
from recap.attacks.direct import Direct
from recap.attacks.grid import PrefillGrid
from recap.attacks.hijack import Hijack
from recap.attacks.ipr import IterativePrefillReset
from recap.attacks.prefill import PrefillAttack
from recap.attacks.replay import Replay
from recap.attacks.search import Search
from recap.attacks.self_prefill import SelfPrefill
from recap.attacks.transfer import Transfer
from recap.benchmarks.declared import Benchmark
from recap.params.attack import Attack as AttackSection

ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (
        Direct,
        PrefillAttack,
        Hijack,
        IterativePrefillReset,
        PrefillGrid,
        Search,
        SelfPrefill,
        Transfer,
        Replay,
    )
}


def attack_of(benchmark: Benchmark) -> type[Attack]:
    """The attack of a benchmark."""
    return ATTACKS[benchmark.attack]


def sources_of(benchmark: Benchmark, settings: AttackSection) -> tuple[str, ...]:
    """The sources whose thoughts are read from files, in the order of a case's thoughts."""
    if attack_of(benchmark).needs == "each source":
        assert benchmark.domain != "math", "math is never prefilled"
        return settings.transfer_sources[benchmark.domain]
    return (benchmark.prefill_source,) if benchmark.prefill_source else ()
