"""The stage on tiny models: what it writes, what it refuses, what it leaves behind.

1. base is the policy, byte for byte, without TRL
2. a trained cell is a complete model directory with its snapshots beside it; the same command gives
   the same bytes, after a kill too
3. evaluation prefills, missing prefills, missing models, a second trainer, a full disk
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rl_stage_project import (
    ROOT,
    change,
    contents,
    make_stage_project,
    run,
)
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from recap.errors import BusyError, DataError, ModelError, ParameterError, SpaceError
from recap.rl import cell, space
from recap.rows import write_rows
from recap.runtime.locks import exclusive
from recap.stages import train as stage
from tests.tiny import prefills

pytestmark = pytest.mark.integration


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_stage_project(tmp_path)


def test_base_is_the_policy_byte_for_byte(project):
    command = [
        sys.executable, "-c",
        "import sys; from recap.stages.train import main; from pathlib import Path as P;"
        "main('base', 0, *map(P, ('models/policy', 'models/guardian', 'data/prompts/train.jsonl',"
        "'data/prefills', 'models/trained/base-0', 'results/train/base-0.jsonl',"
        "'models/snapshots/base-0')));"
        "print(sorted({'trl', 'torch', 'transformers'} & set(sys.modules)))",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"
    assert contents("models/trained/base-0") == contents("models/policy")
    assert Path("results/train/base-0.jsonl").read_bytes() == b""
    assert list(Path("models/snapshots/base-0").iterdir()) == []


def test_a_cell_is_a_whole_model_and_repeats_itself(project):
    run("recap")
    first = contents("models/trained/recap-0"), Path("results/train/recap-0.jsonl").read_bytes()
    AutoTokenizer.from_pretrained("models/trained/recap-0").apply_chat_template(
        [{"role": "user", "content": "what is"}]
    )
    AutoModelForCausalLM.from_pretrained("models/trained/recap-0")
    assert first[0].keys() == contents("models/policy").keys()
    assert first[0]["config.json"] == contents("models/policy")["config.json"]
    lines = [json.loads(line) for line in first[1].splitlines()]
    assert [line["update"] for line in lines] == [1, 2, 3, 4]
    assert sum(line["groups_kept"] for line in lines) > 3
    assert not any("second" in name for line in lines for name in line)
    assert not list(Path(".recap/train").glob("recap-0-*"))
    live = Path(".recap/train/recap-0.live.jsonl").read_text().splitlines()
    assert all(json.loads(line)["seconds"] > 0 for line in live)
    shutil.rmtree("models/trained")
    run("recap")
    assert first == (
        contents("models/trained/recap-0"),
        Path("results/train/recap-0.jsonl").read_bytes(),
    )


def test_snapshots_are_whole_models_and_survive_a_kill(project, monkeypatch):
    run("recap")
    kept = contents("models/snapshots/recap-0")
    assert sorted({name.split("/")[0] for name in kept}) == [
        "update-000001", "update-000002", "update-000003",
    ]  # fmt: skip
    names = contents("models/policy").keys()
    assert kept.keys() == {f"update-00000{n}/{name}" for n in (1, 2, 3) for name in names}
    weights = [kept[f"update-00000{n}/model.safetensors"] for n in (1, 2, 3)]
    assert len({*weights, contents("models/trained/recap-0")["model.safetensors"]}) == 4
    AutoModelForCausalLM.from_pretrained("models/snapshots/recap-0/update-000002")

    def killed(*_):
        raise KeyboardInterrupt

    for folder in ("models/trained", "models/snapshots", "results"):
        shutil.rmtree(folder)  # as DVC does before it runs the stage
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(cell, "write_metrics", killed)  # all but the last out is in place
        run("recap")
    shutil.rmtree("models/snapshots")
    run("recap")
    assert contents("models/snapshots/recap-0") == kept


def test_how_often_snapshots_are_taken_moves_no_weight(project):
    run("recap")
    trained = contents("models/trained/recap-0")
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["train"]["snapshot_updates"] = 4
    Path("params.yaml").write_text(yaml.safe_dump(values))
    run("recap")
    assert contents("models/trained/recap-0") == trained
    assert contents("models/snapshots/recap-0") == {}


def test_dapo_and_recap_draw_the_same_prompts(project, monkeypatch):
    from recap.rl.prompt_stream import PromptStream

    drawn = {}
    take = PromptStream.take
    for variant in ("dapo", "recap"):
        seen = drawn[variant] = []

        def spy(self, count, seen=seen):
            prompts = take(self, count)
            seen.extend(prompts)
            return prompts

        monkeypatch.setattr(PromptStream, "take", spy)
        run(variant)
    shortest = min(map(len, drawn.values()))
    ids = {name: [p.record.id for p in prompts[:shortest]] for name, prompts in drawn.items()}
    assert ids["dapo"] == ids["recap"]
    assert not any(p.prefill for p in drawn["dapo"])
    prefilled = [p.record.domain for p in drawn["recap"] if p.prefill]
    assert set(prefilled) == {"harmful", "benign"}


def test_the_policys_own_thoughts_are_sampled_and_given(project):
    for source in ("harmful", "refusing", "aligned"):
        Path(f"data/prefills/{source}.jsonl").unlink()  # not read
    change("prefill", guardian_threshold=0.0)  # every answer is unsafe
    change("train", self_prefill_updates=3)
    written = []
    for _ in range(2):
        run("self")
        written.append(Path("results/train/self-0.jsonl").read_bytes())
        shutil.rmtree("models/trained")
    assert written[0] == written[1]
    lines = [json.loads(line) for line in written[0].splitlines()]
    assert [line["self_asked"] > 0 for line in lines] == [True, False, False, True]
    assert lines[0]["self_pool"] > 0
    assert sum(line["share_prefilled"] for line in lines) > 0


@pytest.mark.parametrize(
    ("subset", "domains"), [("alignment", {"harmful", "benign"}), ("math", {"math"})]
)
def test_a_subset_is_all_that_is_trained_on(project, monkeypatch, subset, domains):
    from recap.rl.prompt_stream import PromptStream

    change("train", subset=subset, updates=1)
    seen, take = [], PromptStream.take
    monkeypatch.setattr(
        PromptStream, "take", lambda *a: seen.extend(prompts := take(*a)) or prompts
    )
    run("recap")
    assert {prompt.record.domain for prompt in seen} == domains


def test_a_domain_with_alpha_zero_needs_no_prefills(project):
    write_rows(Path("data/prefills/refusing.jsonl"), [])
    change("variants", recap={"alpha": {"harmful": 0.5, "benign": 0.0}}, other={"alpha": 0.5})
    change("train", updates=1)
    run("recap")
    with pytest.raises(DataError, match="of 6 prompts that may get one, but 3 have none"):
        run("other")


def test_evaluation_prefills_are_refused(project):
    write_rows(Path("data/prefills/harmful.jsonl"), prefills("harmful")[:-1])
    rows = [p.model_copy(update={"source_model": "harmful_eval"}) for p in prefills("harmful")]
    write_rows(Path("data/prefills/harmful.jsonl"), rows)
    with pytest.raises(ParameterError, match="kept for evaluation"):
        run("recap")


def test_too_few_prefills_are_an_error(project):
    write_rows(Path("data/prefills/harmful.jsonl"), prefills("harmful")[:1])
    with pytest.raises(DataError, match="2 have none"):
        run("recap")
    run("dapo")  # needs none


@pytest.mark.parametrize(("variant", "missing"), [("base", "policy"), ("recap", "guardian")])
def test_a_missing_model_is_named(project, variant, missing):
    shutil.rmtree(f"models/{missing}")
    with pytest.raises(ModelError, match=f"models/{missing}"):
        run(variant)
    assert not Path("models/trained").exists() or not list(Path("models/trained").iterdir())


def test_an_unknown_variant_is_refused(project):
    with pytest.raises(ParameterError, match="got 'recup'"):
        run("recup")


def test_a_second_trainer_leaves(project):
    with (
        exclusive(Path(".recap/train/recap-0.lock")),
        pytest.raises(BusyError, match=f"process {os.getpid()} is at it"),
    ):
        run("recap")


def test_too_little_space_is_found_before_training(project, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SpaceError, match="free in"):
        run("recap")


def test_the_command_has_the_arguments_of_the_pipeline():
    import typer

    app = typer.Typer()
    app.command()(stage.main)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name in ("variant", "seed", "policy", "guardian", "prompts", "prefills", "out", "metrics",
                 "snapshots"):  # fmt: skip
        assert f"--{name}" in shown
