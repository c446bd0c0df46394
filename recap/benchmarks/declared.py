"""Benchmarks as declarations: which prompts, which attack, whose prefills, how many, what counts.

The attack is named here; ``recap.attacks.table`` has the class. Decoding: temperature, top-p,
tokens and samples of the ``attack`` section; over them what a benchmark declares for itself; over
both what ``attack.decoding`` says of it. Success is the label that ``SUCCESS`` gives the domain.
``recap.attacks.selection`` turns a declaration and the evaluation's files into cases. Leaves out
how a benchmark is written for readers (``words.py``: the stages that attack do not depend on it),
and the paper's WildJailbreak, Fortress and AIME.
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.errors import ParameterError, choices
from recap.params.attack import Attack as AttackSection
from recap.params.attack import OwnDecoding
from recap.params.dynamics import Dynamics
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
    attack: str
    prefill_source: str | None = None
    secondary: bool = False
    exempt: bool = False
    decoding: OwnDecoding | None = None

    @property
    def score(self) -> Label:
        """The label whose share is reported."""
        return SUCCESS[self.domain]


_HARM, _REFUSE = "harmful_eval", "refusing_eval"
BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("harmful", "harmful", "harmful", "direct"),
        Benchmark("jailbreak", "jailbreak", "harmful", "direct"),
        Benchmark("prefill", "harmful", "harmful", "prefill", _HARM),
        Benchmark("hijack", "harmful", "harmful", "hijack", _HARM),
        Benchmark("ipr", "harmful", "harmful", "ipr", _HARM),
        Benchmark("prefill_grid", "harmful", "harmful", "grid", _HARM, secondary=True),
        Benchmark("search", "harmful", "harmful", "search", _HARM),
        Benchmark("self_prefill", "harmful", "harmful", "self", secondary=True, exempt=True),
        Benchmark("transfer", "harmful", "harmful", "transfer", secondary=True, exempt=True),
        Benchmark("benign", "benign", "benign", "direct"),
        Benchmark("benign_prefill", "benign", "benign", "prefill", _REFUSE),
        Benchmark("benign_hijack", "benign", "benign", "hijack", _REFUSE, secondary=True),
        Benchmark("benign_ipr", "benign", "benign", "ipr", _REFUSE, secondary=True),
        Benchmark("benign_grid", "benign", "benign", "grid", _REFUSE, secondary=True),
        Benchmark("benign_search", "benign", "benign", "search", _REFUSE),
        Benchmark("benign_self", "benign", "benign", "self", secondary=True, exempt=True),
        Benchmark("benign_transfer", "benign", "benign", "transfer", secondary=True, exempt=True),
        Benchmark("math", "math", "math", "direct"),
    )
}


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
            "Correct the name, or declare it in recap/benchmarks/declared.py."
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
