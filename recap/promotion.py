"""What was measured of two versions -> whether the one may replace the other as champion.

``measured`` takes from a run what a version carries with it: the outcomes of each gated benchmark,
prompt by prompt, and what makes them comparable (digests of prompts, prefills and attack, the
judge). ``promotion_decision`` compares two of them by the gate's own paired comparison: the
candidate may not lie below the champion, by the margins of ``gate.checks``, on any gated benchmark.
Missing or unequal evidence refuses. Pure: leaves out the registry, the flag that overrides a
refusal and the history that holds its reason (``recap.registry``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recap import params
from recap.evaluation.comparison import compare
from recap.gate import last_round, paired_check
from recap.lineage import digest
from recap.params import derive_seed
from recap.types import GateCheck, GateDecision, Outcome, Row, Verdict

BENCHMARK_FREE = ("benchmarks", "decoding")
"""Settings of ``attack`` that say what is measured, not how; decoding is kept by benchmark."""


class Answers(Row):
    """One benchmark and round, prompt by prompt; the lists are parallel.

    ``success`` has ``1``, ``0`` or ``?`` (unscored) for each. ``asked`` is the digest of what else
    made the benchmark: equal digests are equal attacks on equal decoding.
    """

    benchmark: str
    round: int
    decoding: str
    prompts: tuple[str, ...]
    samples: tuple[int, ...]
    clusters: tuple[str | None, ...]
    success: str


class Measured(Row):
    """What a version carries for a later comparison.

    ``inputs`` are digests by name (prompts, prefills, settings of the attack), ``judges`` the
    judges with revision and prompt. Two versions compare only where both are the same.
    """

    inputs: dict[str, str]
    judges: tuple[str, ...]
    answers: tuple[Answers, ...]


def measured(
    outcomes: Sequence[Outcome],
    verdicts: Iterable[Verdict],
    inputs: Mapping[str, str],
    gate: params.Gate,
    attack: params.Attack,
) -> Measured:
    """The evidence of one cell on the gate's benchmarks.

    ``verdicts`` are the cell's, ``inputs`` digests of the files that prompts and prefills came
    from. A gated benchmark that was not measured is left out, and a promotion refuses for it.
    """
    raise NotImplementedError


def promotion_decision(
    candidate: Measured | None,
    champion: Measured | None,
    gate: params.Gate,
    *,
    names: tuple[str, str],
    resamples: int,
    seed: int,
) -> GateDecision:
    """Whether ``candidate`` may replace ``champion``; ``names`` say which versions they are.

    ``None`` is a version that carries no evidence. The decision is passed only if every check is.
    """
    raise NotImplementedError
