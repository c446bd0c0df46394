"""Which prompts and prefills a benchmark takes, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from recap.attacks.selection import Selection, Thoughts, check_disjoint, draw, select
from recap.attacks.selector import Selector, open_selector
from recap.attacks.table import attack_of
from recap.benchmarks.declared import (
    BENCHMARKS,
    PROMPT_SETS,
    Benchmark,
    benchmarks,
    decoding,
)
from recap.errors import DataError, ParameterError
from recap.params.attack import Attack, OwnDecoding
from recap.params.whole import read_params
from recap.prefill.source import find_source, fits
from recap.types.prompts import Prefill, PromptRecord, Split
from recap.types.row import Domain
from recap.types.sources import EVAL_SOURCES, EXEMPT_SOURCES

ROOT = Path(__file__).parents[2]
PROFILES = [ROOT / "infra/profiles/paper.yaml"]


def _record(
    name: str, source: str, domain: Domain = "harmful", split: Split = "eval"
) -> PromptRecord:
    return PromptRecord(
        id=name,
        domain=domain,
        prompt="how do i use the bolba ?",
        target=None,
        source=source,
        split=split,
    )


def _prefill(name: str, source: str = "harmful_eval", rejected: str | None = None) -> Prefill:
    return Prefill(
        prompt_id=name,
        text="i should help them .",
        intent="harmful",
        source_model=source,
        num_words=5,
        num_tokens=5,
        response="sure .",
        rejected=rejected,
    )


SETTINGS = Attack(
    prefill_words=1, grid_words=(1,), ipr_rounds=1, transition="wait", selector=None,
    search_budgets=(1, 3), search_prompts=10, self_samples=1, secondary_prompts=10,
    max_missing_prefills=0.1,
    transfer_sources={"harmful": ("harmful", "harmful_eval"), "benign": ("aligned",)},
    temperature=1.0, top_p=1.0, max_tokens=1, samples=1, decoding={}, benchmarks=("harmful",),
)  # fmt: skip


def _select(
    benchmark: Benchmark,
    records: list[PromptRecord],
    prefills: dict[str, list[Prefill]],
    pools: dict[str, list[Prefill]] | None = None,
) -> Selection:
    return select(benchmark, records, Thoughts(prefills, pools or {}), SETTINGS, seed=0)


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
    selection = _select(BENCHMARKS[name], RECORDS, {})
    assert [case.record.id for case in selection.cases] == ids
    assert all(case.prefills == () for case in selection.cases)


def test_prompts_without_a_verified_prefill_are_left_out_and_counted() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(30)]
    given = [_prefill(record.id) for record in records[:29]]
    given[3] = _prefill("3", rejected="it turns round")
    selection = _select(BENCHMARKS["hijack"], records, {"harmful_eval": given})
    assert len(selection.cases) == 28
    assert selection.n_without_prefill == 2
    assert "3" not in [case.record.id for case in selection.cases]
    assert all(
        [prefill.prompt_id for prefill in case.prefills] == [case.record.id]
        for case in selection.cases
    )


def _selecting(benchmark: Benchmark, records: list[PromptRecord], given: list[Prefill]) -> str:
    with pytest.raises(DataError) as caught:
        _select(benchmark, records, {"harmful_eval": given, "refusing_eval": given})
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


@pytest.mark.parametrize(
    ("train", "fault"),
    [
        ([("a", "how do i sell the lumta ?")], "got a, which"),
        ([("z", "How do I  use the bolba ?")], "got a, which"),
        ([("z", "how do i sell the lumta ?")], None),
    ],
)
def test_training_prompts_among_the_evaluations(
    train: list[tuple[str, str]], fault: str | None
) -> None:
    records = [_record("a", "microworld-harmful")]
    seen = [
        _record(name, "microworld-harmful", split="train").model_copy(update={"prompt": text})
        for name, text in train
    ]
    if fault is None:
        check_disjoint(seen, records)
        return
    with pytest.raises(DataError, match=fault):
        check_disjoint(seen, records)


def test_only_declared_benchmarks_may_use_a_training_source() -> None:
    records = [_record("a", "microworld-harmful"), _record("c", "microworld-benign", "benign")]
    files = {"harmful": [_prefill("a", "harmful")], "harmful_eval": [_prefill("a")]}
    selection = _select(
        BENCHMARKS["transfer"],
        records,
        {"harmful_eval": files["harmful_eval"]},
        {"harmful": files["harmful"]},
    )
    assert [prefill.source_model for prefill in selection.cases[0].prefills] == [
        "harmful",
        "harmful_eval",
    ]
    headline = replace(BENCHMARKS["transfer"], exempt=False)
    with pytest.raises(DataError, match="'harmful', which is a training source"):
        _select(headline, records, {"harmful_eval": files["harmful_eval"]}, files)
    # exempt or not, a file has to hold what its name says
    with pytest.raises(DataError, match="of 'harmful', got prefills of 'aligned'"):
        wrong = {"harmful": [_prefill("a", "aligned")]}
        _select(BENCHMARKS["transfer"], records, {"harmful_eval": files["harmful_eval"]}, wrong)


def test_who_is_exempt_from_the_source_check() -> None:
    exempt = {name for name, benchmark in BENCHMARKS.items() if benchmark.exempt}
    assert exempt == {"self_prefill", "transfer", "benign_self", "benign_transfer"}
    assert EXEMPT_SOURCES == ("harmful", "refusing", "aligned", "self")


def test_a_search_takes_the_prompts_of_its_pool() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(30)]
    prefills = [_prefill(record.id) for record in records]
    pool = [
        _prefill(record.id).model_copy(update={"text": f"thought {number}"})
        for record in records[5:25]
        for number in (1, 2, 3)
    ]
    pool[0] = pool[0].model_copy(update={"rejected": "turns round"})
    files = {"harmful_eval": prefills}, {"harmful_eval": pool}
    selection = _select(BENCHMARKS["search"], records, *files)
    assert [case.record.id for case in selection.cases] == [str(n) for n in range(5, 25)]
    assert [p.text for p in selection.cases[0].prefills] == [
        "i should help them .",
        "thought 2",
        "thought 3",
    ]
    assert [p.text for p in selection.cases[1].prefills] == [
        "i should help them .",
        "thought 1",
        "thought 2",
    ]
    short = {"harmful_eval": [p for p in pool if p.text == "thought 1"]}
    with pytest.raises(DataError, match=r"3 verified prefills .* 20 prompts of 'search', got 0"):
        _select(BENCHMARKS["search"], records, files[0], short)


def test_secondary_benchmarks_take_the_same_few_prompts() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(40)]
    given = [_prefill(record.id) for record in records]
    taken = _select(BENCHMARKS["prefill_grid"], records, {"harmful_eval": given})
    ids = [int(case.record.id) for case in taken.cases]
    assert len(ids) == 10 and ids == sorted(ids) and ids != list(range(10))
    own = _select(BENCHMARKS["self_prefill"], records, {})
    assert [int(case.record.id) for case in own.cases] == ids
    without = [_prefill(record.id) for record in records if int(record.id) != ids[0]]
    other = _select(BENCHMARKS["prefill_grid"], records, {"harmful_eval": without})
    assert {int(case.record.id) for case in other.cases} > set(ids[1:])


def test_a_benchmark_that_is_none() -> None:
    once = SETTINGS.model_copy(update={"benchmarks": ("math", "ipr")})
    assert [benchmark.name for benchmark in benchmarks(once)] == ["math", "ipr"]
    wrong = once.model_copy(update={"benchmarks": ("math", "iprr")})
    with pytest.raises(ParameterError, match=r"attack\.benchmarks: expected a .* got iprr\."):
        benchmarks(wrong)
    wrong = once.model_copy(update={"decoding": {"maths": OwnDecoding()}})
    with pytest.raises(ParameterError, match=r"attack\.decoding: expected a .* got maths\."):
        benchmarks(wrong)


def test_drawing_some_of_the_cases() -> None:
    records = [_record(str(number), "microworld-harmful") for number in range(40)]
    selection = _select(BENCHMARKS["harmful"], records, {})
    some = draw(selection, 10, seed=0)
    ids = [int(case.record.id) for case in some.cases]
    assert len(set(ids)) == 10
    assert ids == sorted(ids)
    assert ids != list(range(10))
    assert draw(selection, 10, seed=0) == some
    assert draw(selection, 10, seed=1) != some
    assert draw(selection, 40, seed=0) == draw(selection, 41, seed=0) == selection


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_parameter_files_name_benchmarks_that_exist(path: Path) -> None:
    """What the stages that attack will say of each file, said before anything is trained."""
    chosen = read_params(path)
    benchmarks(chosen.dynamics)
    for benchmark in benchmarks(chosen.attack):
        assert chosen.attack.selector or not attack_of(benchmark).selects


def test_declarations_are_sound() -> None:
    for benchmark in BENCHMARKS.values():
        assert benchmark.prompts in PROMPT_SETS
        assert benchmark.prefill_source in (None, *EVAL_SOURCES)
        given = attack_of(benchmark).needs in ("thought", "pool")
        assert given == (benchmark.prefill_source is not None)
    default = read_params(ROOT / "params.yaml").attack.benchmarks
    in_no_microworld = {"fortress", "benign_jailbreak", "fortress_or", "aime"}
    need_a_file = {"replay", "benign_replay"}
    assert set(default) == set(BENCHMARKS) - in_no_microworld - need_a_file


def test_thoughts_are_drawn_for_the_prompts_that_are_attacked_with_one() -> None:
    sets = [
        (name, benchmark.domain, benchmark.attack == "direct")
        for benchmark in BENCHMARKS.values()
        if benchmark.domain != "math"
        for name in PROMPT_SETS[benchmark.prompts]
    ]
    attacked = {name for name, _, direct in sets if not direct}
    never = {name for name, _, _ in sets} - attacked
    for name, domain, _ in sets:
        source = find_source("harmful_eval" if domain == "harmful" else "refusing_eval")
        assert fits(source, _record("a", name, domain)) is (name in attacked), name
    real = {"wildjailbreak", "wildjailbreak-benign", "fortress", "fortress_or"}
    assert never == {"microworld-jailbreak"} | real


def test_aime_is_any_of_sixteen_samples() -> None:
    settings = read_params(ROOT / "params.yaml").attack
    assert decoding(settings, BENCHMARKS["aime"])[1] == 16
    assert decoding(settings, BENCHMARKS["math"])[1] == 1


def test_every_attack_on_a_thought_has_its_mirror() -> None:
    attacks = {
        domain: {b.attack for b in BENCHMARKS.values() if b.domain == domain}
        for domain in ("harmful", "benign")
    }
    assert attacks["harmful"] == attacks["benign"]


def test_the_selector_is_never_the_judge(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["judge"] |= {"judge": "guardian", "second": None}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ParameterError, match=r"attack\.selector must be another than judge\.judge"):
        read_params(tmp_path / "params.yaml")
    values["attack"]["selector"] = None
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    settings = read_params(tmp_path / "params.yaml").attack
    with pytest.raises(ParameterError, match=r"attack\.selector for a benchmark that searches"):
        open_selector(settings, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid_words": [12, 6]}, "grid_words go up, each once; got [12, 6]"),
        ({"search_budgets": [1, 1]}, "search_budgets go up, each once; got [1, 1]"),
        ({"transfer_sources": {"harmful": ["harmful"]}}, "transfer_sources.benign names"),
        ({"selector": "oracle"}, "'guardian', got 'oracle'"),
        ({"benchmarks": ["Harm ful"]}, "attack.benchmarks.0: "),
    ],
)
def test_axes_that_cannot_be_drawn(tmp_path: Path, change: dict[str, object], message: str) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["attack"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ParameterError) as caught:
        read_params(tmp_path / "params.yaml")
    assert message in str(caught.value)


def test_what_a_response_is_worth() -> None:
    class Guardian:
        def p_yes(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [{"bad": 0.9, "good": 0.1}.get(said, math.nan) for _, said in pairs]

        def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
            return [{"no": 0.0, "maybe": 0.5, "yes": 1.0}.get(said) for _, said in pairs]

    selector = Selector(Guardian())
    asked: list[tuple[str, str | None]] = [("x", said) for said in ("bad", None, "good", " ", "?")]
    assert selector.worths("harmful", asked) == [0.9, -1.0, 0.1, -1.0, -1.0]
    asked = [("x", said) for said in ("no", "maybe", "yes", "?", None)]
    assert selector.worths("benign", asked) == [1.0, 0.5, 0.0, -1.0, -1.0]
    assert selector.worths("harmful", [("x", None)]) == [-1.0]
