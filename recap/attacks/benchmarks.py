"""Benchmarks as declarations: which prompts, which attack, whose prefills, how many, what counts.

Decoding: temperature, top-p, tokens and samples of the ``attack`` section; over them what a
benchmark declares for itself; over both what ``attack.decoding`` says of it. Success is the label
that ``SUCCESS`` gives the domain. ``selection.py`` turns a declaration and the evaluation's files
into cases. Leaves out the paper's WildJailbreak, Fortress and AIME.
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.attacks.attack import SELF, Attack
from recap.attacks.direct import Direct
from recap.attacks.grid import PrefillGrid
from recap.attacks.hijack import Hijack
from recap.attacks.ipr import IterativePrefillReset
from recap.attacks.prefill import PrefillAttack
from recap.attacks.search import Search
from recap.attacks.self_prefill import SelfPrefill
from recap.attacks.transfer import Transfer
from recap.errors import ParameterError, choices
from recap.params.attack import Attack as AttackSection
from recap.params.attack import OwnDecoding
from recap.params.dynamics import Dynamics
from recap.params.sources import TRAIN_SOURCES
from recap.types.rollouts import Decoding
from recap.types.row import SUCCESS, Domain, Label

PROMPT_SETS: dict[str, tuple[str, ...]] = {
    "harmful": ("microworld-harmful", "strongreject"),
    "jailbreak": ("microworld-jailbreak",),
    "benign": ("microworld-benign", "xstest"),
    "math": ("microworld-math", "gsm8k", "math500"),
}
"""Prompt set of a benchmark -> values of ``PromptRecord.source`` that belong to it."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    ``prefill_source`` is ``None`` where the attack needs no thought from a file or says itself
    whose. ``secondary``: on at most ``attack.secondary_prompts`` of its prompts, the same for all.
    ``exempt``: it may attack a policy with thoughts of a source that trained it, or with its own;
    reports mark such rows and no gate or claim reads them.
    """

    name: str
    prompts: str
    domain: Domain
    attack: type[Attack]
    prefill_source: str | None = None
    secondary: bool = False
    exempt: bool = False
    decoding: OwnDecoding | None = None

    @property
    def score(self) -> Label:
        """The label whose share is reported."""
        return SUCCESS[self.domain]

    def sources(self, settings: AttackSection) -> tuple[str, ...]:
        """Whose thoughts are read from files, in the order in which a case holds them."""
        if self.attack.needs == "each source":
            assert self.domain != "math", "math is never prefilled"
            return settings.transfer_sources[self.domain]
        return (self.prefill_source,) if self.prefill_source else ()


_HARM, _REFUSE = "harmful_eval", "refusing_eval"
_IPR = IterativePrefillReset
BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("harmful", "harmful", "harmful", Direct),
        Benchmark("jailbreak", "jailbreak", "harmful", Direct),
        Benchmark("prefill", "harmful", "harmful", PrefillAttack, _HARM),
        Benchmark("hijack", "harmful", "harmful", Hijack, _HARM),
        Benchmark("ipr", "harmful", "harmful", _IPR, _HARM),
        Benchmark("prefill_grid", "harmful", "harmful", PrefillGrid, _HARM, secondary=True),
        Benchmark("search", "harmful", "harmful", Search, _HARM),
        Benchmark("self_prefill", "harmful", "harmful", SelfPrefill, secondary=True, exempt=True),
        Benchmark("transfer", "harmful", "harmful", Transfer, secondary=True, exempt=True),
        Benchmark("benign", "benign", "benign", Direct),
        Benchmark("benign_prefill", "benign", "benign", PrefillAttack, _REFUSE),
        Benchmark("benign_hijack", "benign", "benign", Hijack, _REFUSE, secondary=True),
        Benchmark("benign_ipr", "benign", "benign", _IPR, _REFUSE, secondary=True),
        Benchmark("benign_grid", "benign", "benign", PrefillGrid, _REFUSE, secondary=True),
        Benchmark("benign_search", "benign", "benign", Search, _REFUSE),
        Benchmark("benign_self", "benign", "benign", SelfPrefill, secondary=True, exempt=True),
        Benchmark("benign_transfer", "benign", "benign", Transfer, secondary=True, exempt=True),
        Benchmark("math", "math", "math", Direct),
    )
}
EXEMPT_SOURCES = (*TRAIN_SOURCES, SELF)
"""Whose prefills mark a row of results: those of sources that train policies, and its own."""


def benchmarks(settings: AttackSection | Dynamics) -> list[Benchmark]:
    """The benchmarks of a section, in its order; ParameterError if one is none."""
    names = settings.benchmarks
    section = "attack" if isinstance(settings, AttackSection) else "dynamics"
    _check_names(f"{section}.benchmarks", names)
    if isinstance(settings, AttackSection):
        _check_names("attack.decoding", settings.decoding)
    return [BENCHMARKS[name] for name in names]


def _check_names(key: str, names: object) -> None:
    assert isinstance(names, tuple | dict)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        raise ParameterError(
            "params.yaml has parameters that do not fit:\n"
            f"  {key}: expected a benchmark among {choices(BENCHMARKS)}, got {choices(unknown)}. "
            "Correct the name, or declare it in recap/attacks/benchmarks.py."
        )


def decoding(settings: AttackSection, benchmark: Benchmark) -> tuple[Decoding, int]:
    """How a benchmark is decoded, and how many samples each of its prompts gets."""
    own = benchmark.decoding or OwnDecoding()
    layers = (settings.decoding.get(benchmark.name, OwnDecoding()), own, settings)
    return Decoding(
        temperature=next(layer.temperature for layer in layers if layer.temperature),
        top_p=next(layer.top_p for layer in layers if layer.top_p),
        max_tokens=next(layer.max_tokens for layer in layers if layer.max_tokens),
    ), next(layer.samples for layer in layers if layer.samples)
