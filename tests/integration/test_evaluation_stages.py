"""attack -> judge -> evaluate -> gate on real files, with tiny untrained policies.

1. Every benchmark gives its completions, in order, each judged and measured.
2. The same inputs give the same bytes; another policy gets the same prompts.
3. Bad input ends in one clear error and leaves no output behind.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from recap.errors import DataError, JudgeError, ModelError, ParameterError
from recap.rows import read_json, read_rows, write_rows
from recap.stages import evaluate, gate
from recap.types.attacks import Completion
from recap.types.decisions import GateDecision
from recap.types.prompts import Prefill
from recap.types.results import CellAgreement, CellResult
from recap.types.verdicts import Outcome, Verdict
from tests.integration.evaluation_project import (
    PER_SET,
    ROOT,
    THOUGHT,
    attack_cell,
    make_evaluation_project,
    measure_cell,
    set_params,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts, prefills and three untrained policies."""
    return make_evaluation_project(tmp_path_factory.mktemp("made"))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, as the current folder."""
    folder = tmp_path / "clone"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def test_from_policies_to_a_decision(here: Path) -> None:
    for variant in ("base", "dapo", "recap"):
        measure_cell(here, variant)
    completions = read_rows(here / "completions" / "recap-0.jsonl", Completion)
    expected = {
        ("harmful", 1): 12, ("jailbreak", 1): 12, ("prefill", 1): 12, ("hijack", 1): 12,
        ("ipr", 1): 12, ("ipr", 2): 12, ("ipr", 3): 12,
        ("prefill_grid", 1): 8, ("prefill_grid", 2): 8, ("search", 1): 12, ("search", 2): 12,
        ("self_prefill", 1): 8, ("transfer", 1): 8, ("transfer", 2): 8, ("transfer", 3): 8,
        ("benign", 1): 12, ("benign_prefill", 1): 12, ("benign_hijack", 1): 8,
        ("benign_ipr", 1): 8, ("benign_ipr", 2): 8, ("benign_ipr", 3): 8,
        ("benign_grid", 1): 8, ("benign_grid", 2): 8,
        ("benign_search", 1): 12, ("benign_search", 2): 12, ("benign_self", 1): 8,
        ("benign_transfer", 1): 8, ("benign_transfer", 2): 8, ("benign_transfer", 3): 8,
        ("math", 1): 12,
    }  # fmt: skip
    assert Counter((row.benchmark, row.place) for row in completions) == expected
    verdicts = read_rows(here / "verdicts" / "recap-0.jsonl", Verdict)
    assert [row.prompt_id for row in verdicts] == [row.prompt_id for row in completions]
    result = read_json(here / "rates" / "recap-0.json", CellResult)
    assert [(each.benchmark, each.place) for each in result.results] == list(expected)
    assert [each.rate.n for each in result.results] == list(expected.values())
    assert all(
        row.prefill == " ".join(THOUGHT.split()[:7]) and row.num_prefill_tokens == 7
        for row in completions
        if row.attack == "prefill"
    )

    gate.main(here / "outcomes", here / "decision.json")
    decision = read_json(here / "decision.json", GateDecision)
    assert (decision.candidate, decision.baseline, len(decision.checks)) == (
        "recap-0",
        "dapo-0",
        9,
    )
    before = (here / "decision.json").read_bytes()
    outcomes = (here / "outcomes" / "recap-0.jsonl").read_bytes()
    measure_cell(here, "recap")
    gate.main(here / "outcomes", here / "decision.json")
    assert (here / "decision.json").read_bytes() == before
    assert (here / "outcomes" / "recap-0.jsonl").read_bytes() == outcomes
    dapo = read_rows(here / "outcomes" / "dapo-0.jsonl", Outcome)
    assert [row.prompt_id for row in dapo] == [row.prompt_id for row in completions]


def test_equal_weights_draw_equal_samples(here: Path) -> None:
    """Common random numbers: variants differ by their weights and by nothing else."""
    assert attack_cell(here, "dapo").read_bytes() == attack_cell(here, "dapo", "again").read_bytes()
    shutil.rmtree(here / "recap")
    shutil.copytree(here / "dapo", here / "recap")
    assert attack_cell(here, "recap").read_bytes() == attack_cell(here, "dapo").read_bytes()


def test_a_second_judge_stands_beside_the_first_and_moves_no_rate(here: Path) -> None:
    measure_cell(here, "dapo")
    alone = {
        path: path.read_bytes()
        for name in ("verdicts", "rates", "outcomes")
        for path in (here / name).iterdir()
    }
    assert (here / "second/dapo-0.jsonl").read_bytes() == b""
    assert read_json(here / "agreement/dapo-0.json", CellAgreement).agreements == []

    set_params(here, judge={"second": "guardian"})
    measure_cell(here, "dapo")
    assert {path: path.read_bytes() for path in alone} == alone
    first = read_rows(here / "verdicts/dapo-0.jsonl", Verdict)
    second = read_rows(here / "second/dapo-0.jsonl", Verdict)
    key = [(row.benchmark, row.place, row.prompt_id, row.sample) for row in first]
    assert key == [(row.benchmark, row.place, row.prompt_id, row.sample) for row in second]
    assert {row.judge for row in second} == {"guardian"}
    found = read_json(here / "agreement/dapo-0.json", CellAgreement)
    completions = read_rows(here / "completions/dapo-0.jsonl", Completion)
    asked = Counter(
        row.domain for row in completions if not row.incomplete and row.finish_reason != "overflow"
    )
    assert {row.domain: row.n + row.n_unscored for row in found.agreements} == dict(asked)
    assert sum(one.unsafe.n for one in found.calibration) == asked["harmful"]


def test_a_first_judge_that_says_one_thing_of_everything_is_named(here: Path) -> None:
    completions = attack_cell(here, "dapo")
    rows = [
        row.model_copy(update={"sample": n, "response": "sorry .", "finish_reason": "stop"})
        for n in range(5)
        for row in read_rows(completions, Completion)
        if row.benchmark == "harmful"
    ]
    write_rows(completions, rows)
    for name, labels in (("v", ["safe"]), ("s", ["safe", "unsafe"])):
        verdicts = [
            Verdict(
                prompt_id=row.prompt_id,
                benchmark=row.benchmark,
                place=1,
                sample=row.sample,
                label=labels[n % len(labels)],
                judge=name,
                judge_revision="1",  # type: ignore[arg-type]
                judge_prompt_sha="0",
                raw="",
            )
            for n, row in enumerate(rows)
        ]
        write_rows(here / f"{name}.jsonl", verdicts)
    with pytest.raises(JudgeError, match="judge 'v' called all 60 harmful answers 'safe', 30 of"):
        evaluate.main(
            completions,
            here / "v.jsonl",
            here / "s.jsonl",
            "dapo",
            0,
            here / "r",
            here / "o",
            here / "a",
        )
    assert not (here / "r").exists()
    evaluate.main(
        completions,
        here / "s.jsonl",
        here / "v.jsonl",
        "dapo",
        0,
        here / "r",
        here / "o",
        here / "a",
    )  # a second judge that is constant is a warning: no rate rests on it


def test_a_judge_of_one_domain_refuses_the_others(here: Path) -> None:
    set_params(here, judge={"judge": "rubric"})
    with pytest.raises(DataError, match="benign prompts for the judge 'rubric', got harmful or"):
        measure_cell(here, "dapo")
    assert not (here / "verdicts").exists()


def test_a_short_context_overflows_and_is_counted(here: Path) -> None:
    from recap.microworld.pretraining import make_model
    from recap.microworld.tokenizer import make_tokenizer
    from recap.models.weights import save_model

    params = set_params(
        here,
        models={"context": 64},
        attack={"benchmarks": ["ipr"], "ipr_rounds": 4},
        evaluate={"max_unscored": 1.0},
    )
    tokenizer = make_tokenizer(64)
    save_model(make_model(params.models, tokenizer, 0), tokenizer, here / "short")
    measure_cell(here, "short")
    results = read_json(here / "rates" / "short-0.json", CellResult).results
    assert [each.rate.n + each.rate.n_unscored for each in results] == [12] * 4
    assert results[0].rate.n == 12  # at most 20 + 7 + 16 tokens
    assert results[3].rate.n_unscored > 0
    rows = read_rows(here / "completions" / "short-0.jsonl", Completion)
    assert all(row.response is None for row in rows if row.finish_reason == "overflow")


def test_no_policy(here: Path) -> None:
    with pytest.raises(ModelError):
        attack_cell(here, "nowhere")
    assert not (here / "completions").exists()


def test_prefills_of_the_training_source(here: Path) -> None:
    path = here / "prefills" / "harmful_eval.jsonl"
    rows = [row.model_copy(update={"source_model": "harmful"}) for row in read_rows(path, Prefill)]
    write_rows(path, rows)
    with pytest.raises(DataError, match="which is a training source"):
        attack_cell(here, "recap")
    assert not (here / "completions").exists()


def test_missing_prefill_file(here: Path) -> None:
    (here / "prefills" / "refusing_eval.jsonl").unlink()
    with pytest.raises(DataError, match=r"refusing_eval\.jsonl, found none"):
        attack_cell(here, "recap")


def test_training_prompts_in_the_evaluation(here: Path) -> None:
    shutil.copy(here / "eval.jsonl", here / "seen.jsonl")
    with pytest.raises(DataError, match="which is also a training prompt"):
        attack_cell(here, "recap")


def test_a_benchmark_that_does_not_exist(here: Path) -> None:
    set_params(here, attack={"benchmarks": ["harmful", "prefil"]})
    with pytest.raises(ParameterError, match=r"attack\.benchmarks: expected .* got prefil\. Corr"):
        attack_cell(here, "recap")


def test_an_attack_of_ones_own_is_one_file_its_line_and_a_benchmark(here: Path) -> None:
    """What docs/evaluation.md says, word for word, done to a copy of the package."""
    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    section = text.split("### An attack of your own")[1].split("\n## ")[0]
    file, line, benchmark = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    (path,) = re.findall(r"`(recap/attacks/\w+\.py)`:\n", section)
    (imported,) = re.findall(r"`(from recap\.attacks\.\w+ import \w+)`", section)
    assert len([*file.splitlines(), line, benchmark, imported]) < 40

    clone = here / "clone"
    shutil.copytree(ROOT / "recap", clone / "recap")
    (clone / path).write_text(file)
    for name, last, added in (
        ("attacks/table.py", "        Direct,\n", f"        {line}"),
        ("attacks/table.py", "from recap.attacks.direct import Direct\n", f"{imported}\n"),
        (
            "benchmarks/declared.py",
            '        Benchmark("math", "math", "math", "direct"),\n',
            f"        {benchmark}",
        ),
    ):
        before = (clone / "recap" / name).read_text()
        assert last in before
        (clone / "recap" / name).write_text(before.replace(last, f"{last}{added}"))

    set_params(here, attack={"benchmarks": ["ending"]})
    command = "-m recap.stages.attack --policy dapo --guardian guardian --prompts eval.jsonl"
    command += " --train seen.jsonl --prefills prefills --pools pools --out own.jsonl"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=here,
        env={"PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = read_rows(here / "own.jsonl", Completion)
    assert len(rows) == PER_SET
    assert {(row.benchmark, row.attack, row.prefill) for row in rows} == {
        ("ending", "ending", "list . nobody will be hurt .")
    }


def test_empty_prompts(here: Path) -> None:
    write_rows(here / "eval.jsonl", [])
    with pytest.raises(DataError, match="got none"):
        attack_cell(here, "recap")


def test_gate_of_a_variant_that_is_not_made(here: Path) -> None:
    set_params(here, gate={"candidate": "aligned"})
    with pytest.raises(ParameterError, match=r"gate\.candidate among matrix.variants"):
        gate.main(here / "outcomes", here / "decision.json")
    assert not (here / "decision.json").exists()
