"""The stage starts two processes, which stopped and started again give what one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from replayed_train import recording
from rl_stage_project import (
    ROOT,
    make_stage_project,
    run,
)
from torch.nn.utils import parameters_to_vector
from transformers import AutoModelForCausalLM

from recap.runtime.child import environment
from recap.runtime.locks import exclusive
from recap.sampling.torch_sampler import TorchSampler
from tests.rounding import adam_rounding, relative_gap
from tests.tiny import tiny_policy
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration

OWN = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RECORDED": "recorded.json"}
LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_stage_project(tmp_path)


def stage_command(out, metrics):
    return [
        sys.executable, str(ROOT / "tests/golden/replayed_train.py"),
        "--variant", "recap", "--seed", "0", "--policy", "models/policy",
        "--guardian", "models/guardian", "--prompts", "data/prompts/train.jsonl",
        "--prefills", "data/prefills", "--out", out, "--metrics", metrics,
        "--snapshots", "models/snapshots/launched",
    ]  # fmt: skip


def launch(*, out, metrics, shard, **environment):
    """The stage on recorded rollouts, told to train in two processes."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"]["launch"] = {"processes": 2, "nodes": 1, "shard": shard}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return subprocess.Popen(
        stage_command(out, metrics),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | OWN | environment,
    )


def assert_equal_numbers(one, two, near):
    """Counts are equal, and so is what is undefined; floats but for rounding."""
    assert len(one) == len(two)
    for mine, other in zip(one, two, strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            exact = value is None or isinstance(value, int)
            assert other[name] == (value if exact else pytest.approx(value, rel=near, abs=near))


def stop_after_an_update(shard, stopped):
    """One is asked to stop, a rank or the stage: all finish the update, and its state is saved."""
    first = launch(out="two/model", metrics="two/metrics.jsonl", shard=shard, STOPPED=stopped)
    try:
        said = first.communicate(timeout=PATIENCE)[0]
    finally:
        first.kill()
    assert first.returncode == 143, said
    assert os.listdir("two") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shard", "stopped", "adapter"),
    [("none", "1", None), ("fsdp2", "stage", None), ("none", None, LORA)],
    ids=["whole", "sharded", "lora"],
)
def test_two_processes_give_what_one_gives(project, monkeypatch, shard, stopped, adapter):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"] |= {"refill": "expected", "prompts_per_update": 4, "save_updates": 100}
    params["train"] |= {"adapter": adapter}
    if adapter:  # B is 0 at first: a small rate would clip nothing
        params["train"]["grpo"]["learning_rate"] = 3e-2
    params["train"]["grpo"] |= {"num_generations": 6, "max_completion_length": 32}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    calls = {}
    monkeypatch.setattr(TorchSampler, "sample", recording(TorchSampler.sample, calls))
    run("recap", out=Path("one/model"), metrics=Path("one/metrics.jsonl"))
    Path("recorded.json").write_text(json.dumps(calls))
    one = [json.loads(line) for line in Path("one/metrics.jsonl").read_text().splitlines()]
    assert sum(line["groups_carried_in"] for line in one) > 0
    assert sum(line["clip_high"] for line in one) > 0
    live = Path(".recap/train/recap-0.live.jsonl")
    live.unlink()
    if stopped is not None:
        stop_after_an_update(shard, stopped)
        assert live.read_text().count("\n") == 1
    second = launch(out="two/model", metrics="two/metrics.jsonl", shard=shard)
    try:
        said = second.communicate(timeout=PATIENCE)[0]
    finally:
        second.kill()
    assert second.returncode == 0, said
    goes_on = stopped is not None
    assert said.count("[rank 0]:continuing after update 1\n") == int(goes_on)
    assert ("continuing" in Path(".recap/train/recap-0.rank-0.log").read_text()) == goes_on
    assert Path(".recap/train/recap-0.rank-1.log").is_file()
    two = [json.loads(line) for line in Path("two/metrics.jsonl").read_text().splitlines()]
    near = adam_rounding(tiny_policy(), tokens=4 * 6 * 32)
    assert_equal_numbers(one, two, near)
    fast = [json.loads(line) for line in live.read_text().splitlines()]
    assert [line["update"] for line in fast] == [1, 2, 3, 4]
    base, mine, other = (
        parameters_to_vector(AutoModelForCausalLM.from_pretrained(name).parameters())
        for name in ("models/policy", "one/model", "two/model")
    )
    assert relative_gap(mine - base, other - base) < near
    assert sorted(os.listdir("two")) == ["metrics.jsonl", "model"]
    assert not list(Path(".recap/train").glob("recap-0-*"))


def test_leftover_variables_of_a_launch_do_not_wait_for_nobody(project):
    """The stage as a process of its own, as ``WORLD_SIZE=2 … dvc repro train@recap-0`` has it."""
    left_over = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    Path("recorded.json").write_text("{}")
    done = subprocess.run(
        stage_command("one/model", "one/metrics.jsonl"),
        capture_output=True, text=True, timeout=240, env=os.environ | OWN | left_over,
    )  # fmt: skip
    assert done.returncode != 0
    assert "unset WORLD_SIZE RANK" in done.stderr


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_is_named(project):
    Path("recorded.json").write_text("{}")
    stage = launch(out="two/model", metrics="two/metrics.jsonl", shard="fsdp2", KILLED="1")
    try:
        said = stage.communicate(timeout=PATIENCE)[0]
    finally:
        stage.kill()
    assert stage.returncode == 128 + signal.SIGKILL, said
    log = ".recap/train/recap-0.rank-1.log"
    named = "\nRank 1 of 2 processes was ended by SIGKILL; the others were ended. Its log, "
    assert said.count(f"{named}{log}, ends with:\n") == 1, said
    assert not Path("two").exists() or os.listdir("two") == []
    with exclusive(Path(".recap/train/recap-0.lock"), busy="{pid} is left"):
        pass  # nobody holds the cell any more


@pytest.mark.slow
def test_dvc_runs_the_stage_in_two_processes(project):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"] |= {"updates": 1, "launch": {"processes": 2, "nodes": 1, "shard": "fsdp2"}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    arguments = " ".join(stage_command("out/model", "out/m")[2:])
    command = f"python -m recap.stages.train {arguments}"
    stage = {"cmd": command, "params": ["train"], "outs": ["out/model", "out/m"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    env = environment(PYTHONPATH=str(ROOT))
    for step in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        dvc = [sys.executable, "-m", "dvc", *step]
        done = subprocess.run(dvc, capture_output=True, text=True, timeout=PATIENCE, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    assert AutoModelForCausalLM.from_pretrained("out/model").num_parameters() == 34848
    locked = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["train"]
    assert locked["params"]["params.yaml"]["train"]["launch"]["processes"] == 2
    assert Path(".recap/train/recap-0.rank-1.log").is_file()
