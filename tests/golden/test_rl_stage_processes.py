"""Two processes, stopped and started again, give what one gives; sharding them is refused."""

from __future__ import annotations

import json
import os
import socket
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

from recap.errors import ParameterError
from recap.sampling.torch_sampler import TorchSampler
from tests.forked import fork
from tests.rounding import adam_rounding, relative_gap
from tests.tiny import tiny_policy

pytestmark = pytest.mark.integration

LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Tiny models and tables in a folder of their own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_stage_project(tmp_path)


def stage_arguments(out, metrics):
    return [
        "--variant", "recap", "--seed", "0", "--policy", "models/policy",
        "--guardian", "models/guardian", "--prompts", "data/prompts/train.jsonl",
        "--prefills", "data/prefills", "--out", out, "--metrics", metrics,
        "--snapshots", "models/snapshots/launched",
    ]  # fmt: skip


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def launch(*, out, metrics, **environment):
    """The stage on recorded rollouts, as two processes that find each other over loopback.

    Their exit code and what they said. Forked, with the variables of torch's launcher.
    """
    env = os.environ | {"RECORDED": "recorded.json"} | environment
    env |= {"TORCHELASTIC_RUN_ID": "forked", "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}
    env |= {"MASTER_PORT": free_port(), "LOCAL_WORLD_SIZE": "2"}
    arguments = ["tests.golden.replayed_train", *stage_arguments(out, metrics)]
    both = [fork(arguments, Path(), env | {"RANK": n, "LOCAL_RANK": n}) for n in ("0", "1")]
    try:
        said = [stage.communicate(timeout=300)[1] for stage in both]
    finally:
        for stage in both:
            stage.kill()
    (code,) = {stage.returncode for stage in both}
    return code, "".join(said)


def launch_in_earnest(*, out, metrics):
    """As a user launches it."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "infra/accelerate/data_parallel.yaml"),
        "--num_processes", "2", "--main_process_port", free_port(),
        str(ROOT / "tests/golden/replayed_train.py"), *stage_arguments(out, metrics),
    ]  # fmt: skip
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RECORDED": "recorded.json"}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | env,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def assert_equal_numbers(one, two, near):
    """Counts are equal, and so is what is undefined; floats but for rounding."""
    assert len(one) == len(two)
    for mine, other in zip(one, two, strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            exact = value is None or isinstance(value, int)
            assert other[name] == (value if exact else pytest.approx(value, rel=near, abs=near))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "interrupted", "adapter"),
    [("dapo", True, None), ("grpo", False, None), ("dapo", True, LORA)],
    ids=["dapo", "grpo", "lora"],
)
def test_two_processes_give_what_one_gives(project, monkeypatch, optimizer, interrupted, adapter):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"] |= {"refill": "expected", "prompts_per_update": 4, "save_updates": 100}
    params["train"] |= {"optimizer": optimizer, "aggregation": "batch_tokens"}
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
    done = 0
    if interrupted:
        # one of them is asked to stop: both finish the update, and its state is saved
        code, said = launch(out="two/model", metrics="two/metrics.jsonl", STOPPED="1")
        assert code == 143, said
        assert os.listdir("two") == []
        done = live.read_text().count("\n")
        assert done == 1
    again = launch if adapter or optimizer == "grpo" else launch_in_earnest
    code, said = again(out="two/model", metrics="two/metrics.jsonl")
    assert code == 0, said
    assert said.count(f"continuing after update {done}\n") == interrupted
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
    arguments = ["tests.golden.replayed_train", *stage_arguments("one/model", "one/metrics.jsonl")]
    stage = fork(arguments, Path(), os.environ | {"RECORDED": "recorded.json"} | left_over)
    _, said = stage.communicate(timeout=240)
    assert stage.returncode == 2
    assert "unset WORLD_SIZE RANK" in said


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_launch_that_shards_the_policy_is_refused(project, monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ParameterError, match=f"got {kind}: .*data_parallel.yaml"):
        run("recap")
