"""Who does which part; and the launch configurations, read by accelerate itself."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch
from accelerate import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from hypothesis import given, settings
from hypothesis import strategies as st

from recap import processes
from recap.errors import ParameterError
from recap.rl.batch import dealt

CONFIGS = Path(__file__).parents[2] / "infra/accelerate"


@pytest.mark.parametrize(
    ("items", "count", "parts"),
    [
        (5, 1, [(0, 5)]),
        (4, 2, [(0, 2), (2, 4)]),
        (5, 2, [(0, 2), (2, 5)]),
        (1, 3, [(0, 0), (0, 0), (0, 1)]),
        (15, 4, [(0, 3), (3, 7), (7, 11), (11, 15)]),
    ],
)
def test_parts_cover_everything_once(monkeypatch, items, count, parts):
    monkeypatch.setattr(processes, "count", lambda: count)
    for index, (first, end) in enumerate(parts):
        monkeypatch.setattr(processes, "index", lambda index=index: index)
        assert processes.part_of(items) == slice(first, end)


@pytest.mark.parametrize("size", ["2", "", "x"])
def test_a_launchers_variables_without_a_launcher_are_refused_at_once(monkeypatch, size):
    left_over = {"RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in left_over.items() | {("WORLD_SIZE", size)}:
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with (
        pytest.raises(ParameterError, match=f"WORLD_SIZE={size} without one .*unset WORLD_SIZE"),
        processes.joined(),
    ):
        raise AssertionError("went on")
    assert processes.count() == 1


def test_a_world_of_one_needs_no_launcher(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with processes.joined():
        assert processes.count() == 1


def batch(rows, seed):
    rng = random.Random(seed)
    lengths = [rng.randint(1, 9) for _ in range(rows)]
    mask = torch.tensor([[int(t < length) for t in range(9)] for length in lengths])
    prompts = torch.tensor([[rng.randint(4, 6), 7] for _ in range(rows)])
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": torch.arange(rows)[:, None] * mask,  # says which row it is
        "completion_mask": mask,
        "sampling_logprobs": -1.0 * mask,
        "advantages": torch.arange(rows) / 10,
        "num_tokens": torch.tensor(sum(lengths)),
    }


@settings(deadline=None)
@given(
    rows=st.integers(1, 12),
    count=st.integers(1, 5),
    tokens=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_micro_batches_are_dealt_whole_and_once(rows, count, tokens, seed):
    whole = batch(rows, seed)
    seen = []
    for index in range(count):
        mine = dealt(whole, tokens, index, count)
        assert mine  # every process makes a backward pass, or the others would wait for it
        for part, weight in mine:
            if weight:
                seen += part["advantages"].tolist()
            else:
                assert (len(mine), len(part["advantages"])) == (1, 1)
            assert part["num_tokens"] == whole["num_tokens"]
    assert sorted(seen) == whole["advantages"].tolist()


def launch_arguments(name, *more):
    """What ``accelerate launch`` makes of a configuration file and the command line."""
    command = ["--config_file", str(CONFIGS / f"{name}.yaml"), *more, "-m", "recap.stages.train"]
    arguments, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    if defaults is not None and name == "zero3":
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    return arguments


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path):
    config = ClusterConfig.from_yaml_file(str(path))  # raises on one that it does not know
    assert config.num_machines == 1
    assert config.main_process_ip == "127.0.0.1"
    assert launch_arguments(path.stem, "--num_processes", "3").num_processes == 3


def test_fsdp2_shards_decoder_layers_in_bf16(monkeypatch):
    arguments = launch_arguments("fsdp2")
    assert arguments.mixed_precision == "bf16"
    environment = prepare_multi_gpu_env(arguments)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    monkeypatch.setattr(os, "environ", environment)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert "transformer_auto_wrap_policy" in str(plugin.auto_wrap_policy)
    assert not plugin.activation_checkpointing
    assert not plugin.cpu_ram_efficient_loading


def test_zero3_shards_parameters_in_bf16(monkeypatch):
    arguments = launch_arguments("zero3")
    assert arguments.mixed_precision == "bf16"
    _, environment = prepare_deepspeed_cmd_env(arguments)
    assert environment["ACCELERATE_USE_DEEPSPEED"] == "true"
    monkeypatch.setattr(os, "environ", environment)
    plugin = DeepSpeedPlugin()
    assert plugin.zero_stage == 3
    assert plugin.deepspeed_config["zero_optimization"]["stage"] == 3
    assert plugin.deepspeed_config["gradient_accumulation_steps"] == 1
