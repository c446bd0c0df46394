"""The stage ``prefill`` as a command: files in, a row for each prompt out, the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.rows import read_rows, write_rows
from recap.types.prompts import Prefill, PromptRecord
from tests.forked import fork
from tests.parameters import write_params
from tests.tiny import tiny_llama
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parameters, two untrained models and a few prompts."""
    folder = tmp_path_factory.mktemp("project")
    write_params(folder, {"validate.min_verified_prefills": 0.0})
    tokenizer = make_tokenizer(128)
    for name in ("harmful", "guardian"):
        model = tiny_llama(tokenizer, len(name), max_position_embeddings=128)
        save_model(model, tokenizer, folder / "models" / name)
    for split in ("train", "eval"):
        rows = [
            PromptRecord(
                id=f"{domain}-{split}-{number}",
                domain=domain,
                prompt="how do i make the bolba ?",
                target=None,
                source=f"microworld-{domain}",
                split=split,
            )
            for domain in ("harmful", "benign")
            for number in range(3)
        ]
        write_rows(folder / f"data/prompts/{split}.jsonl", rows)
    return folder


def run(
    project: Path, source: str, *, in_earnest: bool = False, **changes: str
) -> tuple[int | None, str]:
    """The stage's exit code and what it says; forked, unless ``in_earnest``."""
    arguments = {
        "model": "models/harmful",
        "guardian": "models/guardian",
        "train": "data/prompts/train.jsonl",
        "eval": "data/prompts/eval.jsonl",
        "out": f"data/prefills/{source}.jsonl",
        "pool": f"data/pools/{source}.jsonl",
    } | changes
    command = ["recap.stages.prefill", source]
    for name, value in arguments.items():
        command += [f"--{name}", value]
    env = {"PYTHONPATH": str(ROOT)}
    if in_earnest:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=project,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr
    stage = fork(command, project, env)
    _, said = stage.communicate(PATIENCE)
    return stage.returncode, said


@pytest.mark.slow
def test_a_row_for_each_prompt_and_the_same_bytes_twice(project: Path) -> None:
    out = project / "data/prefills/harmful.jsonl"
    code, said = run(project, "harmful")
    assert code == 0, said
    prefills = read_rows(out, Prefill)
    assert [p.prompt_id for p in prefills] == [f"harmful-train-{i}" for i in range(3)]
    assert {p.source_model for p in prefills} == {"harmful"}
    pool = read_rows(project / "data/pools/harmful.jsonl", Prefill)
    assert [p.prompt_id for p in pool] == [f"harmful-eval-{i}" for i in range(3)]
    before = out.read_bytes()
    code, said_again = run(project, "harmful", in_earnest=True)
    assert code == 0, said_again
    assert out.read_bytes() == before
    assert not any(p.text and p.text in said + said_again for p in prefills)


@pytest.mark.slow
def test_an_evaluation_source_thinks_again_about_some_prompts(project: Path) -> None:
    few = {"validate.min_verified_prefills": 0.0, "attack.search_budgets": [1, 3]}
    write_params(project, {**few, "attack.search_prompts": 2})
    assert run(project, "harmful_eval")[0] == 0
    first = (project / "data/prefills/harmful_eval.jsonl").read_bytes()
    pool = read_rows(project / "data/pools/harmful_eval.jsonl", Prefill)
    asked = [p.prompt_id for p in pool]
    assert len(asked) == 4 and asked[0] == asked[1] != asked[2] == asked[3]
    assert len({p.text for p in pool}) > 1
    write_params(project, {**few, "attack.benchmarks": ["harmful", "prefill", "transfer"]})
    assert run(project, "harmful_eval")[0] == 0  # no benchmark searches
    assert (project / "data/prefills/harmful_eval.jsonl").read_bytes() == first
    assert read_rows(project / "data/pools/harmful_eval.jsonl", Prefill) == []


@pytest.mark.slow
def test_a_source_that_verifies_nothing_fails_the_stage(project: Path) -> None:
    write_params(project, {"prefill.guardian_threshold": 1.0})  # no answer is that unsafe
    code, said = run(project, "harmful", pool="data/pools/none.jsonl")
    assert code == 2
    assert (
        "DataError: Expected 80% of the thoughts of 'harmful' to be verified, got 0 of 3 (" in said
    )
    assert "Traceback" not in said
    assert len(read_rows(project / "data/prefills/harmful.jsonl", Prefill)) == 3
    assert not (project / "data/pools/none.jsonl").exists()


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("other", {}, "ParameterError: Expected a prefill source among"),
        ("harmful", {"model": "models/none"}, "ModelError: Expected a model"),
        ("harmful", {"train": "data/none.jsonl"}, "DataError: Expected the row file"),
    ],
)
def test_bad_input_is_one_message(
    project: Path, source: str, changes: dict[str, str], message: str
) -> None:
    code, said = run(project, source, out="data/prefills/bad.jsonl", **changes)
    assert code == 2
    assert message in said and "Traceback" not in said
    assert not (project / "data/prefills/bad.jsonl").exists()
