"""Benchmarks as declarations: which prompts, which attack, which prefills, which label is success.

Decoding: temperature, top-p, tokens and samples of the ``attack`` section, unless the benchmark has
its own under ``attack.decoding``. ``select`` turns a declaration and the evaluation files into the
cases to run. Leaves out the paper's WildJailbreak, Fortress and AIME.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recap import params
from recap.errors import DataError, ParameterError, choices
from recap.params import TRAIN_SOURCES, derive_seed
from recap.rows import read_rows
from recap.types import SUCCESS, Decoding, Domain, Label, Prefill, PromptRecord

PROMPT_SETS: dict[str, tuple[str, ...]] = {
    "harmful": ("microworld-harmful", "strongreject"),
    "jailbreak": ("microworld-jailbreak",),
    "benign": ("microworld-benign", "xstest"),
    "math": ("microworld-math", "gsm8k", "math500"),
}
"""Prompt set of a benchmark -> values of ``PromptRecord.source`` that belong to it."""

MAX_WITHOUT_PREFILL = 0.1
"""Prompts without a verified prefill are left out; at this share of a benchmark it is an error."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark. ``prefill_source`` is ``None`` when the attack gives no prefill."""

    name: params.BenchmarkName
    prompts: str
    domain: Domain
    attack: str
    prefill_source: str | None = None

    @property
    def score(self) -> Label:
        """The label whose share is reported."""
        return SUCCESS[self.domain]


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("harmful", "harmful", "harmful", "direct"),
        Benchmark("jailbreak", "jailbreak", "harmful", "direct"),
        Benchmark("prefill", "harmful", "harmful", "prefill", "harmful_eval"),
        Benchmark("hijack", "harmful", "harmful", "hijack", "harmful_eval"),
        Benchmark("ipr", "harmful", "harmful", "ipr", "harmful_eval"),
        Benchmark("benign", "benign", "benign", "direct"),
        Benchmark("benign_prefill", "benign", "benign", "prefill", "refusing_eval"),
        Benchmark("math", "math", "math", "direct"),
    )
}


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt of a benchmark with the whole prefill it may be attacked with."""

    record: PromptRecord
    prefill: Prefill | None


@dataclass(frozen=True, slots=True)
class Selection:
    """The cases of one benchmark; ``n_without_prefill`` prompts were left out for want of one."""

    benchmark: Benchmark
    cases: tuple[Case, ...]
    n_without_prefill: int


def benchmarks(settings: params.Attack | params.Dynamics) -> list[Benchmark]:
    """The benchmarks of a section, in its order; ParameterError if one stands twice."""
    names = settings.benchmarks
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        section = "attack" if isinstance(settings, params.Attack) else "dynamics"
        raise ParameterError(
            f"Expected each benchmark once in {section}.benchmarks, got {choices(twice)} twice. "
            "Remove the repetition."
        )
    return [BENCHMARKS[name] for name in names]


def decoding(settings: params.Attack, benchmark: params.BenchmarkName) -> tuple[Decoding, int]:
    """How a benchmark is decoded, and how many samples each of its prompts gets."""
    own = settings.decoding.get(benchmark, params.OwnDecoding())
    return Decoding(
        temperature=own.temperature or settings.temperature,
        top_p=own.top_p or settings.top_p,
        max_tokens=own.max_tokens or settings.max_tokens,
    ), own.samples or settings.samples


def check_sources(source: str, prefills: Sequence[Prefill]) -> None:
    """Raise DataError unless all prefills come from ``source``, which training never uses.

    A policy attacked with its own training prefills would look robust for the wrong reason.
    """
    for prefill in prefills:
        came = prefill.source_model
        if came in TRAIN_SOURCES:
            raise DataError(
                f"Expected evaluation prefills of '{source}', got prefills of '{came}', which is a "
                f"training source (prompt {prefill.prompt_id}). "
                f"Make them with `dvc repro prefill@{source}`."
            )
        if came != source:
            raise DataError(
                f"Expected evaluation prefills of '{source}', got prefills of '{came}' "
                f"(prompt {prefill.prompt_id}). Make them with `dvc repro prefill@{source}`."
            )


def read_selections(chosen: Sequence[Benchmark], prompts: Path, prefills: Path) -> list[Selection]:
    """The cases of all benchmarks, from the evaluation prompts and the folder of prefills."""
    records = read_rows(prompts, PromptRecord)
    sources = sorted({each.prefill_source for each in chosen if each.prefill_source is not None})
    given = {source: read_rows(prefills / f"{source}.jsonl", Prefill) for source in sources}
    return [select(benchmark, records, given) for benchmark in chosen]


def select(
    benchmark: Benchmark,
    records: Sequence[PromptRecord],
    prefills: Mapping[str, Sequence[Prefill]],
) -> Selection:
    """The benchmark's cases in the order of the records; ``prefills`` by source.

    Raises DataError without prompts, with prompts of the training split, with prefills of the wrong
    source, or when the share of prompts without a verified prefill reaches MAX_WITHOUT_PREFILL.
    """
    sources = PROMPT_SETS[benchmark.prompts]
    chosen = [
        record
        for record in records
        if record.source in sources and record.domain == benchmark.domain
    ]
    if not chosen:
        raise DataError(
            f"Expected {benchmark.domain} prompts of {choices(sources)} for the benchmark "
            f"'{benchmark.name}', got none. Add such a source to prepare.sources or remove "
            f"'{benchmark.name}' from attack.benchmarks and dynamics.benchmarks."
        )
    for record in chosen:
        if record.split != "eval":
            raise DataError(
                f"Expected prompts of the eval split, got {record.id} of the {record.split} split. "
                "Give the evaluation file of `prepare`."
            )
    if benchmark.prefill_source is None:
        return Selection(benchmark, tuple(Case(record, None) for record in chosen), 0)
    given = prefills[benchmark.prefill_source]
    check_sources(benchmark.prefill_source, given)
    verified = {prefill.prompt_id: prefill for prefill in given if prefill.rejected is None}
    cases = tuple(Case(record, verified[record.id]) for record in chosen if record.id in verified)
    missing = len(chosen) - len(cases)
    if missing / len(chosen) >= MAX_WITHOUT_PREFILL:
        raise DataError(
            f"Expected verified prefills of '{benchmark.prefill_source}' for more than "
            f"{1 - MAX_WITHOUT_PREFILL:.0%} of the {len(chosen)} prompts of "
            f"'{benchmark.name}', got {len(cases)}. "
            "Raise prefill.attempts or look at the reasons in the prefill file."
        )
    return Selection(benchmark, cases, missing)


def draw(selection: Selection, count: int, seed: int) -> Selection:
    """``count`` of the cases in their order, drawn by ``seed``; all if there are no more."""
    places = range(len(selection.cases))
    generator = random.Random(derive_seed(seed, "draw", selection.benchmark.name))
    drawn = sorted(generator.sample(places, min(count, len(places))))
    return replace(selection, cases=tuple(selection.cases[place] for place in drawn))
