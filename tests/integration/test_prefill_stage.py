"""The stage ``prefill`` as a command: files in, a row for each prompt out, the same every time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.rows import read_rows, write_rows
from recap.types.prompts import Prefill, PromptRecord
from tests.tiny import tiny_llama

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parameters, two untrained models and a few prompts."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", folder)
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


def run(project: Path, source: str, **changes: str) -> subprocess.CompletedProcess[str]:
    arguments = {
        "model": "models/harmful",
        "guardian": "models/guardian",
        "train": "data/prompts/train.jsonl",
        "eval": "data/prompts/eval.jsonl",
        "out": f"data/prefills/{source}.jsonl",
        "pool": f"data/pools/{source}.jsonl",
    } | changes
    command = [sys.executable, "-m", "recap.stages.prefill", source]
    for name, value in arguments.items():
        command += [f"--{name}", value]
    return subprocess.run(
        command,
        cwd=project,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.slow
def test_a_row_for_each_prompt_and_the_same_bytes_twice(project: Path) -> None:
    out = project / "data/prefills/harmful.jsonl"
    first = run(project, "harmful")
    assert first.returncode == 0, first.stderr
    prefills = read_rows(out, Prefill)
    assert [p.prompt_id for p in prefills] == [f"harmful-train-{i}" for i in range(3)]
    assert {p.source_model for p in prefills} == {"harmful"}
    pool = read_rows(project / "data/pools/harmful.jsonl", Prefill)
    assert [p.prompt_id for p in pool] == [f"harmful-eval-{i}" for i in range(3)]
    before = out.read_bytes()
    assert run(project, "harmful").returncode == 0
    assert out.read_bytes() == before
    assert not any(p.text and p.text in first.stderr for p in prefills)


@pytest.mark.slow
def test_an_evaluation_source_thinks_again_about_some_prompts(project: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["attack"] |= {"search_budgets": [1, 3], "search_prompts": 2}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    assert run(project, "harmful_eval").returncode == 0
    first = (project / "data/prefills/harmful_eval.jsonl").read_bytes()
    pool = read_rows(project / "data/pools/harmful_eval.jsonl", Prefill)
    asked = [p.prompt_id for p in pool]
    assert len(asked) == 4 and asked[0] == asked[1] != asked[2] == asked[3]
    assert len({p.text for p in pool}) > 1
    values["attack"] |= {"search_budgets": [1], "search_prompts": 3}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    assert run(project, "harmful_eval").returncode == 0
    assert (project / "data/prefills/harmful_eval.jsonl").read_bytes() == first
    assert read_rows(project / "data/pools/harmful_eval.jsonl", Prefill) == []


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
    done = run(project, source, out="data/prefills/bad.jsonl", **changes)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (project / "data/prefills/bad.jsonl").exists()
