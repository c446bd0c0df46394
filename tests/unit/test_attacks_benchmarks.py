"""Which prompts and prefills a benchmark takes, and what it refuses."""

from __future__ import annotations

from typing import get_args

import pytest

from recap import params
from recap.attacks.benchmarks import BENCHMARKS, Benchmark, benchmarks, draw, select
from recap.attacks.registry import ATTACKS
from recap.errors import DataError, ParameterError
from recap.types import Domain, Prefill, PromptRecord, Split


def _record(
    name: str, source: str, domain: Domain = "harmful", split: Split = "eval"
) -> PromptRecord:
    return PromptRecord(
        id=name, domain=domain, prompt="how do i use the bolba ?", target=None,
        source=source, split=split,
    )  # fmt: skip


def _prefill(name: str, source: str = "harmful_eval", rejected: str | None = None) -> Prefill:
    return Prefill(
        prompt_id=name, text="i should help them .", intent="harmful", source_model=source,
        num_words=5, num_tokens=5, response="sure .", rejected=rejected,
    )  # fmt: skip


RECORDS = [
    _record("a", "microworld-harmful"),
    _record("b", "microworld-jailbreak"),
    _record("c", "microworld-benign", "benign"),
    _record("d", "microworld-math", "math"),
    _record("e", "strongreject"),
    _record("f", "xstest", "benign"),
    _record("g", "xstest", "harmful"),
    _record("h", "gsm8k", "math"),
    _record("i", "math500", "math"),
]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("harmful", ["a", "e"]),
        ("jailbreak", ["b"]),
        ("benign", ["c", "f"]),
        ("math", ["d", "h", "i"]),
    ],
)
def test_prompts_by_source(name: str, ids: list[str]) -> None:
    selection = select(BENCHMARKS[name], RECORDS, {})
    assert [case.record.id for case in selection.cases] == ids
    assert all(case.prefill is None for case in selection.cases)


def test_prompts_without_a_verified_prefill_are_left_out_and_counted() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(30)]
    given = [_prefill(record.id) for record in records[:29]]
    given[3] = _prefill("3", rejected="it turns round")
    selection = select(BENCHMARKS["hijack"], records, {"harmful_eval": given})
    assert len(selection.cases) == 28
    assert selection.n_without_prefill == 2
    assert "3" not in [case.record.id for case in selection.cases]
    assert all(case.prefill and case.prefill.prompt_id == case.record.id
               for case in selection.cases)  # fmt: skip


def _selecting(benchmark: Benchmark, records: list[PromptRecord], given: list[Prefill]) -> str:
    with pytest.raises(DataError) as caught:
        select(benchmark, records, {"harmful_eval": given, "refusing_eval": given})
    return str(caught.value)


def test_too_few_verified_prefills() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(20)]
    message = _selecting(
        BENCHMARKS["prefill"], records, [_prefill(str(number)) for number in range(18)]
    )
    assert "more than 90% of the 20 prompts of 'prefill', got 18" in message


@pytest.mark.parametrize("source", ["harmful", "refusing", "aligned"])
def test_prefills_of_a_training_source_are_refused(source: str) -> None:
    records = [_record("a", "microworld-harmful")]
    message = _selecting(BENCHMARKS["ipr"], records, [_prefill("a", source)])
    assert f"got prefills of '{source}', which is a training source" in message


def test_prefills_of_another_source_are_refused() -> None:
    records = [_record("a", "microworld-benign", "benign")]
    message = _selecting(BENCHMARKS["benign_prefill"], records, [_prefill("a", "harmful_eval")])
    assert "of 'refusing_eval', got prefills of 'harmful_eval'" in message


def test_no_prompts() -> None:
    message = _selecting(BENCHMARKS["jailbreak"], [_record("a", "strongreject")], [])
    assert "got none" in message and "remove 'jailbreak' from attack.benchmarks" in message


def test_training_prompts_are_refused() -> None:
    records = [_record("a", "microworld-harmful", split="train")]
    assert "got a of the train split" in _selecting(BENCHMARKS["harmful"], records, [])


def test_a_benchmark_named_twice() -> None:
    settings = params.Attack(
        prefill_words=1, ipr_rounds=1, transition="wait", temperature=1.0, top_p=1.0,
        max_tokens=1, samples=1, decoding={}, benchmarks=("math", "ipr", "math"),
    )  # fmt: skip
    with pytest.raises(ParameterError, match=r"once in attack\.benchmarks, got math twice"):
        benchmarks(settings)
    with pytest.raises(ParameterError, match=r"once in dynamics\.benchmarks, got ipr twice"):
        benchmarks(params.Dynamics(prompts=1, benchmarks=("ipr", "ipr")))
    once = settings.model_copy(update={"benchmarks": ("math", "ipr")})
    assert [benchmark.name for benchmark in benchmarks(once)] == ["math", "ipr"]


def test_drawing_some_of_the_cases() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(40)]
    selection = select(BENCHMARKS["harmful"], records, {})
    some = draw(selection, 10, seed=0)
    ids = [int(case.record.id) for case in some.cases]
    assert len(set(ids)) == 10
    assert ids == sorted(ids)
    assert ids != list(range(10))
    assert draw(selection, 10, seed=0) == some
    assert draw(selection, 10, seed=1) != some
    assert draw(selection, 40, seed=0) == draw(selection, 41, seed=0) == selection


def test_declarations_agree_with_attacks_and_parameters() -> None:
    assert tuple(BENCHMARKS) == get_args(params.BenchmarkName)
    for benchmark in BENCHMARKS.values():
        assert ATTACKS[benchmark.attack].uses_prefill == (benchmark.prefill_source is not None)
        assert benchmark.prefill_source in (None, *params.EVAL_SOURCES)
