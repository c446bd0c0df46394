"""Benchmarks and the evaluation's files -> the cases to run.

This module raises an error unless all of these hold. Prompts are of the evaluation split, and
training never saw them. Thoughts are of the declared source. This source trains no policy, except
in benchmarks that are declared exempt. All thoughts are verified, and few prompts lack one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recap.attacks.attack import Case
from recap.attacks.kept import kept_cases
from recap.attacks.table import attack_of, sources_of
from recap.benchmarks.declared import PROMPT_SETS, Benchmark
from recap.errors import DataError, choices
from recap.params.attack import Attack
from recap.params.seeds import derive_seed
from recap.rows import read_rows
from recap.types.prompts import Prefill, PromptRecord
from recap.types.sources import TRAIN_SOURCES


@dataclass(frozen=True, slots=True)
class Selection:
    """The cases of one benchmark; ``n_without_prefill`` prompts without a prefill were left out."""

    benchmark: Benchmark
    cases: tuple[Case, ...]
    n_without_prefill: int


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of the evaluation's rows: the two splits' prompts, folders of ``<source>.jsonl``.

    ``prefills`` has one thought for each prompt of a source; ``pools`` has further thoughts about
    evaluation prompts (stage ``prefill``).
    """

    prompts: Path
    train: Path
    prefills: Path
    pools: Path


@dataclass(frozen=True, slots=True)
class Thoughts:
    """Thoughts by source: one for each prompt, and the pool of further thoughts."""

    prefills: Mapping[str, Sequence[Prefill]]
    pools: Mapping[str, Sequence[Prefill]]

    def verified(self, source: str) -> dict[str, list[Prefill]]:
        """A source's verified thoughts by prompt; thoughts of the pool come last."""
        found: dict[str, list[Prefill]] = {}
        for prefill in (*self.prefills.get(source, ()), *self.pools.get(source, ())):
            if prefill.rejected is None:
                found.setdefault(prefill.prompt_id, []).append(prefill)
        return found


def read_selections(
    chosen: Sequence[Benchmark], files: Files, settings: Attack, seed: int
) -> list[Selection]:
    """The cases of all benchmarks; raises DataError as ``select`` and ``check_disjoint`` do."""
    records = read_rows(files.prompts, PromptRecord)
    check_disjoint(read_rows(files.train, PromptRecord), records)
    needed = {
        (source, attack_of(each).needs) for each in chosen for source in sources_of(each, settings)
    }
    # a training source's prefills are about training prompts, so only its pool is read
    first = {source for source, _ in needed if source not in TRAIN_SOURCES}
    further = {source for source, needs in needed if source in TRAIN_SOURCES or needs == "pool"}
    thoughts = Thoughts(
        {name: read_rows(files.prefills / f"{name}.jsonl", Prefill) for name in sorted(first)},
        {name: read_rows(files.pools / f"{name}.jsonl", Prefill) for name in sorted(further)},
    )
    kept = kept_cases(settings.replay) if any(_replays(each) for each in chosen) else []
    return [
        replayed(benchmark, kept, records)
        if _replays(benchmark)
        else select(benchmark, records, thoughts, settings, seed)
        for benchmark in chosen
    ]


def replayed(
    benchmark: Benchmark, kept: Sequence[Case], records: Sequence[PromptRecord]
) -> Selection:
    """All kept attacks of the benchmark's domain.

    Raises DataError if there is none, and for one that is not on an evaluation prompt of this run:
    only those are known to be none of training's.
    """
    cases = [case for case in kept if case.record.domain == benchmark.domain]
    rubrics = {r.prompt: r.rubric for r in records if r.domain == benchmark.domain}
    strange = [case.record.id for case in cases if case.record.prompt not in rubrics]
    if strange:
        raise DataError(
            f"Expected kept attacks on evaluation prompts of this run for '{benchmark.name}', got "
            f"{len(strange)} of {len(cases)} on others, {strange[0]} first: they were kept with "
            "another seed, world, data set or prepare.eval_prompts. Name another file in "
            "attack.replay, one for each."
        )
    if not cases:
        raise DataError(
            f"Expected kept attacks on {benchmark.domain} prompts for the benchmark "
            f"'{benchmark.name}', got none in the file attack.replay. Add some with `recap keep`, "
            f"or remove '{benchmark.name}' from attack.benchmarks and dynamics.benchmarks."
        )
    return Selection(
        benchmark, tuple(_with_rubric(case, rubrics[case.record.prompt]) for case in cases), 0
    )


def _with_rubric(case: Case, rubric: tuple[str, ...]) -> Case:
    return replace(case, record=case.record.model_copy(update={"rubric": rubric}))


def _replays(benchmark: Benchmark) -> bool:
    return attack_of(benchmark).needs == "kept"


def check_disjoint(train: Sequence[PromptRecord], evaluation: Sequence[PromptRecord]) -> None:
    """Raise DataError if a training prompt has the id or the text of an evaluation prompt."""
    ids, texts = {record.id for record in train}, {_plain(record.prompt) for record in train}
    for record in evaluation:
        if record.id in ids or _plain(record.prompt) in texts:
            raise DataError(
                f"Expected evaluation prompts that training never saw, got {record.id}, which is "
                "also a training prompt. Make both files with one run of `prepare`, which sets "
                "such prompts apart."
            )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def check_sources(benchmark: Benchmark, source: str, prefills: Sequence[Prefill]) -> None:
    """Raise DataError unless all prefills come from ``source``, which training never uses.

    A policy attacked with its own training prefills would look robust for the wrong reason. A
    benchmark that measures exactly this declares itself exempt from the second condition.
    """
    for prefill in prefills:
        came = prefill.source_model
        if came in TRAIN_SOURCES and not benchmark.exempt:
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


def select(
    benchmark: Benchmark,
    records: Sequence[PromptRecord],
    thoughts: Thoughts,
    settings: Attack,
    seed: int,
) -> Selection:
    """The benchmark's cases in the order of the records.

    Raises DataError without prompts, with prompts of the training split, with prefills of the wrong
    source, or when the share of prompts without a verified prefill, which are left out, reaches
    ``attack.max_missing_prefills``.
    """
    chosen = _prompts(benchmark, records)
    sources = sources_of(benchmark, settings)
    for source in sources:
        check_sources(benchmark, source, thoughts.prefills.get(source, ()))
        check_sources(benchmark, source, thoughts.pools.get(source, ()))
    if attack_of(benchmark).needs == "pool":
        having = {prefill.prompt_id for source in sources for prefill in thoughts.pools[source]}
        chosen = [record for record in chosen if record.id in having]
    by_source = [thoughts.verified(source) for source in sources]
    count = max(settings.search_budgets) if attack_of(benchmark).needs == "pool" else 1
    cases = []
    for record in chosen:
        given = [verified.get(record.id, [])[:count] for verified in by_source]
        if all(len(each) == count for each in given):
            cases.append(Case(record, tuple(prefill for each in given for prefill in each)))
    limit = settings.max_missing_prefills
    if not chosen or (len(chosen) - len(cases)) / len(chosen) >= limit:
        raise _too_few(benchmark, sources, len(chosen), len(cases), count, limit)
    selection = Selection(benchmark, tuple(cases), len(chosen) - len(cases))
    return _first(selection, settings.secondary_prompts, seed) if benchmark.secondary else selection


def _prompts(benchmark: Benchmark, records: Sequence[PromptRecord]) -> list[PromptRecord]:
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
    return chosen


def _too_few(
    benchmark: Benchmark,
    sources: Sequence[str],
    asked: int,
    found: int,
    count: int,
    limit: float,
) -> DataError:
    named = " and ".join(f"'{source}'" for source in sources)
    each = "" if count == 1 else f"{count} "
    mend = "prefill.attempts" + ("" if count == 1 else " (or lower attack.search_budgets)")
    return DataError(
        f"Expected {each}verified prefills of {named} for more than {1 - limit:.0%} "
        f"of the {asked} prompts of '{benchmark.name}', got {found}. "
        f"Raise {mend} or attack.max_missing_prefills, or look at the reasons in the prefill file."
    )


def _first(selection: Selection, count: int, seed: int) -> Selection:
    """``count`` of the cases in their order; every benchmark gets the same prompts."""
    ranked = sorted(selection.cases, key=lambda case: derive_seed(seed, "few", case.record.id))
    kept = {case.record.id for case in ranked[:count]}
    cases = tuple(case for case in selection.cases if case.record.id in kept)
    return replace(selection, cases=cases)


def draw(selection: Selection, count: int, seed: int) -> Selection:
    """``count`` of the cases in their order, drawn by ``seed``; all if there are no more."""
    places = range(len(selection.cases))
    generator = random.Random(derive_seed(seed, "draw", selection.benchmark.name))
    drawn = sorted(generator.sample(places, min(count, len(places))))
    return replace(selection, cases=tuple(selection.cases[place] for place in drawn))
