"""A policy shared out over processes that talk over gloo, against one process with all of it.

1. losses agree to 1e-5 and every count is equal, for each loss, with a KL term and with LoRA
2. each process holds its part of parameters, moments and reference, and no parameter whole
3. the policy's folder and every process's rollout copy have the same bits
4. a state continues to the bit in as many processes, and but for rounding in another number
5. of processes with the whole policy each, one that lacks memory makes all repeat the step smaller
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rl_cases import make_trainer, train_section
from safetensors.torch import load_file
from sharded_cases import CASES, RUN, go_on, run_case
from transformers import AutoModelForCausalLM

from recap.errors import ModelError, TrainingError
from recap.rl import sharding
from recap.rl.checkpoint import CheckpointFolder
from recap.runtime.child import environment
from recap.runtime.ports import free_port
from tests.forked import fork
from tests.rounding import adam_rounding
from tests.tiny import tiny_policy
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NEAR = 1e-5
FOUR = ["dapo", "lora_kl"]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Every case in this process, unsharded."""
    out = tmp_path_factory.mktemp("one")
    for name in CASES:
        run_case(name, out)
    return out


def launched(count, out, one, names):
    """The cases in ``count`` processes that find each other as torchrun's do."""
    command = ["sharded_cases", str(count), str(out), str(one), *names]
    world = {"WORLD_SIZE": str(count), "TORCHELASTIC_RUN_ID": "test"}
    world |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    ranks = [
        fork(command, ROOT / "tests/golden", environment(**world, RANK=str(n), LOCAL_RANK=str(n)))
        for n in range(count)
    ]
    try:
        for rank in ranks:
            _, said = rank.communicate(timeout=PATIENCE)
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:  # one that failed leaves the others waiting for it
            rank.kill()
    return out


@pytest.fixture(scope="module")
def two(tmp_path_factory, one):
    return launched(2, tmp_path_factory.mktemp("two"), one, list(CASES))


def assert_near(mine, theirs):
    """Counts and what is undefined are equal, losses to 1e-5, and other floats but for rounding."""
    near = adam_rounding(tiny_policy(), tokens=4 * 3 * 12)
    for line, other in zip(mine, theirs, strict=True):
        assert line.keys() == other.keys()
        assert other["loss"] == pytest.approx(line["loss"], rel=0, abs=NEAR)
        for name, value in line.items():
            exact = value is None or isinstance(value, int)
            assert other[name] == (value if exact else pytest.approx(value, rel=near, abs=near))


def metrics(out, name):
    return json.loads((out / f"{name}.json").read_text())


@pytest.mark.parametrize("name", [name for name in CASES if name != "bfloat16"])
def test_two_processes_give_one_processs_losses(one, two, name):
    lines = metrics(one, name)
    assert len(lines) == 2
    assert lines[0]["clip_high"] + lines[0]["clip_low"] > 0
    assert lines[0]["skipped_steps"] == 0 and lines[0]["grad_norm"] > 0
    assert_near(lines, metrics(two, name))


def test_four_processes_as_well(one, tmp_path):
    out = launched(4, tmp_path, one, FOUR)
    for name in FOUR:
        assert_near(metrics(one, name), metrics(out, name))
        held = [json.loads((out / f"{name}-shares-{rank}.json").read_text()) for rank in range(4)]
        assert {share["own"] for share in held} == {held[0]["all"] // 4}
        assert_near(metrics(one, name), metrics(out / "from-one", name))
        assert_same_state(out, out / "again", name)


def test_bfloat16_is_near_as_well(one, two):
    """Products in 8 bits of mantissa, in other places: autocast's here, FSDP's there."""
    lines, other = metrics(one, "bfloat16"), metrics(two, "bfloat16")
    assert other[0]["skipped_steps"] == 0
    assert other[0]["entropy"] == pytest.approx(lines[0]["entropy"], rel=2**-6)
    assert other[0]["entropy"] != pytest.approx(metrics(one, "dapo")[0]["entropy"], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_each_process_holds_half(two, name):
    tiny, lora = 34848, 1792
    adapted = name.startswith("lora")
    whole = tiny * (2 if name == "kl" else 1) + (lora if adapted else 0)
    for rank in range(2):
        shares = json.loads((two / f"{name}-shares-{rank}.json").read_text())
        moments = (lora if adapted else tiny) // 2
        assert shares == {"all": whole, "own": whole // 2, "moments": moments, "whole": []}


@pytest.mark.parametrize("name", CASES)
def test_the_policy_is_a_plain_folder_and_what_rollouts_come_from(one, two, name):
    saved = AutoModelForCausalLM.from_pretrained(two / name)
    assert json.loads((two / name / "config.json").read_text())["architectures"] == [
        "LlamaForCausalLM"
    ]
    mine = load_file(two / name / "model.safetensors")
    assert mine.keys() == load_file(one / name / "model.safetensors").keys()
    for rank in range(2):
        copy = load_file(two / f"{name}-copy-{rank}.safetensors")
        assert copy.keys() == mine.keys()
        assert all(torch.equal(value, mine[key]) for key, value in copy.items())
    moved = tiny_policy().get_parameter("model.layers.0.mlp.down_proj.weight")
    assert not torch.equal(saved.get_parameter("model.layers.0.mlp.down_proj.weight"), moved)
    if name.startswith("lora"):
        files = [out / name / "adapter/adapter_model.safetensors" for out in (one, two)]
        first, second = map(load_file, files)
        assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()}


def assert_same_state(out, again, name):
    first, second = (
        CheckpointFolder(folder / f"{name}-states", "recap-0", RUN).load()
        for folder in (out, again)
    )
    assert (first.update, second.update) == (2, 2)
    assert first.metrics == second.metrics
    for mine, other in ((first.model, second.model), *moments(first, second)):
        assert mine.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in mine.items())


def moments(first, second):
    assert first.optimizer["state"]
    return [
        (first.optimizer["state"][n], second.optimizer["state"][n])
        for n in first.optimizer["state"]
    ]


@pytest.mark.parametrize("name", ["dapo", "lora_kl"])
def test_a_state_continues_to_the_bit_and_in_any_number_of_processes(one, two, name, tmp_path):
    assert_same_state(two, two / "again", name)
    assert_near(metrics(one, name), metrics(two / "from-one", name))
    go_on(name, two / f"{name}-states", tmp_path)
    assert_near(metrics(one, name), metrics(tmp_path, name))


def test_one_process_short_of_memory_makes_all_of_them_start_the_step_smaller(two):
    for rank in range(2):
        enough, short = (
            json.loads((two / f"{name}-{rank}.json").read_text()) for name in ("enough", "short")
        )
        assert (enough["retries"], short["retries"]) == (0, 1)
        assert short["metrics"] == enough["metrics"]
        assert short["metrics"]["skipped_steps"] == 0
        for step in range(2):
            mine, other = (
                load_file(two / f"{name}-{place}-{step}.safetensors")
                for name, place in (("short", rank), ("enough", 0))
            )
            assert mine.keys() == other.keys()
            assert all(torch.equal(value, other[key]) for key, value in mine.items())
            assert any(value.any() for value in mine.values())


def test_what_is_whole_is_refused():
    """``fully_shard`` that did nothing, as accelerate's does on CPUs."""
    with pytest.raises(TrainingError, match=r"divided between 1 processes, got model\.embed"):
        sharding.check_sharded(tiny_policy())


def test_a_model_without_named_layers_is_refused():
    policy = tiny_policy()
    policy._no_split_modules = None
    with pytest.raises(ModelError, match=r"LlamaForCausalLM without .*shard: none"):
        sharding.decoder_layers(policy)


def test_a_sharded_trainer_needs_something_to_sample():
    train = {"launch": {"processes": 2, "nodes": 1, "shard": "fsdp2"}}
    assert train_section(**train).launch.world == 2
    with pytest.raises(AssertionError, match="nobody can sample"):
        make_trainer(tiny_policy(), lambda _: [], **train)
