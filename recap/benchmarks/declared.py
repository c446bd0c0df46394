"""Benchmarks as declarations: prompts, attack, prefill source, size, and the label of success.

A declaration names its attack; ``recap.attacks.table`` has the class. Decoding settings
(temperature, top-p, tokens, samples) come from the ``attack`` section. A benchmark's own
declaration overrides them, and ``attack.decoding`` overrides both. Success is the label that
``SUCCESS`` gives the domain. ``recap.attacks.selection`` turns a declaration and the evaluation's
files into cases. Leaves out labels for readers (``words.py``, on which the attacking stages do not
depend).
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.errors import ParameterError, choices
from recap.params.attack import Attack as AttackSection
from recap.params.attack import OwnDecoding
from recap.params.dynamics import Dynamics
from recap.types.rollouts import Decoding
from recap.types.row import SUCCESS, Domain, Label
from recap.types.sources import KEPT

PROMPT_SETS: dict[str, tuple[str, ...]] = {
    "harmful": ("microworld-harmful", "strongreject"),
    "jailbreak": ("microworld-jailbreak", "wildjailbreak"),
    "fortress": ("fortress",),
    "benign": ("microworld-benign", "xstest"),
    "benign_jailbreak": ("wildjailbreak-benign",),
    "fortress_or": ("fortress_or",),
    "math": ("microworld-math", "gsm8k", "math500"),
    "aime": ("aime2024",),
    KEPT: (KEPT,),
}
"""Prompt set of a benchmark -> its values of ``PromptRecord.source``."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    ``prefill_source`` is ``None`` if the attack needs no thought from a file or chooses the sources
    itself. A ``secondary`` benchmark uses at most ``attack.secondary_prompts`` prompts, the same
    for every benchmark. An ``exempt`` one may use thoughts of a source that trained the policy, or
    of the policy itself; reports mark its rows, and no gate or claim uses them.
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
        Benchmark("fortress", "fortress", "harmful", "direct"),
        Benchmark("prefill", "harmful", "harmful", "prefill", _HARM),
        Benchmark("hijack", "harmful", "harmful", "hijack", _HARM),
        Benchmark("ipr", "harmful", "harmful", "ipr", _HARM),
        Benchmark("prefill_grid", "harmful", "harmful", "grid", _HARM, secondary=True),
        Benchmark("search", "harmful", "harmful", "search", _HARM),
        Benchmark("self_prefill", "harmful", "harmful", "self", secondary=True, exempt=True),
        Benchmark("transfer", "harmful", "harmful", "transfer", secondary=True, exempt=True),
        Benchmark("replay", KEPT, "harmful", "replay"),
        Benchmark("benign", "benign", "benign", "direct"),
        Benchmark("benign_jailbreak", "benign_jailbreak", "benign", "direct"),
        Benchmark("fortress_or", "fortress_or", "benign", "direct"),
        Benchmark("benign_prefill", "benign", "benign", "prefill", _REFUSE),
        Benchmark("benign_hijack", "benign", "benign", "hijack", _REFUSE, secondary=True),
        Benchmark("benign_ipr", "benign", "benign", "ipr", _REFUSE, secondary=True),
        Benchmark("benign_grid", "benign", "benign", "grid", _REFUSE, secondary=True),
        Benchmark("benign_search", "benign", "benign", "search", _REFUSE),
        Benchmark("benign_self", "benign", "benign", "self", secondary=True, exempt=True),
        Benchmark("benign_transfer", "benign", "benign", "transfer", secondary=True, exempt=True),
        Benchmark("benign_replay", KEPT, "benign", "replay"),
        Benchmark("math", "math", "math", "direct"),
        Benchmark("aime", "aime", "math", "direct", decoding=OwnDecoding(samples=16)),
    )
}


def benchmarks(settings: AttackSection | Dynamics) -> list[Benchmark]:
    """The benchmarks of a section, in its order; raises ParameterError for an unknown name."""
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
    """A benchmark's decoding settings, and its number of samples per prompt."""
    own = benchmark.decoding or OwnDecoding()
    layers = (settings.decoding.get(benchmark.name, OwnDecoding()), own, settings)
    return Decoding(
        temperature=next(layer.temperature for layer in layers if layer.temperature),
        top_p=next(layer.top_p for layer in layers if layer.top_p),
        max_tokens=next(layer.max_tokens for layer in layers if layer.max_tokens),
    ), next(layer.samples for layer in layers if layer.samples)
