"""Who does which part, which launches are refused, and which process is to blame."""

from __future__ import annotations

import random
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recap import processes
from recap.errors import ParameterError
from recap.params.train import Launch
from recap.rl import launch
from recap.rl.batch import dealt
from tests.golden.rl_cases import train_section


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
        processes.joined(2),
    ):
        raise AssertionError("went on")
    assert processes.count() == 1


@pytest.mark.parametrize(("size", "expected"), [("3", 2), ("1", 2), ("2", 1)])
def test_a_result_is_not_recorded_with_another_number_of_processes(monkeypatch, size, expected):
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "outer")
    message = f"Expected {expected} processes in all, as train.launch has it, got {size} from"
    with pytest.raises(ParameterError, match=message), processes.joined(expected):
        raise AssertionError("went on")


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_accelerate_is_not_to_shard(monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    refusal = pytest.raises(ParameterError, match=rf"train\.launch\.shard, got {kind} from accel")
    with refusal, processes.joined(1):
        raise AssertionError("went on")


def test_several_machines_need_an_outer_launcher(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "recap.stages.train", "--seed", "0"])
    asked = Launch(processes=8, nodes=4, shard="fsdp2")
    with pytest.raises(ParameterError) as refused:
        launch.run_ranks(asked, "recap-0", tmp_path / "train")
    assert (
        "\n  torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 "
        "--rdzv-id recap-0 -m recap.stages.train --seed 0\n"
    ) in str(refused.value)
    assert not (tmp_path / "train").exists()


def test_fewer_gpus_than_processes_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ParameterError, match=r"train\.launch\.processes 2, got 1\. Lower it"):
        launch.run_ranks(Launch(processes=2, nodes=1, shard="none"), "recap-0", tmp_path)


@pytest.mark.parametrize(
    ("ended", "rank"),
    [
        ([(100, 1), (101, 28)], 0),  # the earlier one
        ([(100, 1), (100, 28)], 1),  # at the same time: who did not just lose a peer
        ([(100, -15), (100, -9)], 1),
        ([(100, -9), (101, 1)], 0),
        ([(100, 1), (100, 1)], 0),
    ],
)
def test_the_first_to_fail_is_named(ended, rank):
    failures = {
        number: SimpleNamespace(timestamp=when, exitcode=code)
        for number, (when, code) in enumerate(ended)
    }
    assert launch.first_failed(failures) == rank


def test_a_world_of_one_needs_no_launcher(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with processes.joined(1):
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
    hands = [dealt(whole, tokens, index, count) for index in range(count)]
    assert {len(hand) for hand in hands} == {len(hands[0])}  # or one would wait for the others
    seen = []
    for hand in hands:
        weights = [weight for _, weight in hand]
        assert weights[:-1] == [1] * (len(hand) - 1)  # at most the last pass only keeps step
        for part, weight in hand:
            if weight:
                seen += part["advantages"].tolist()
            else:
                assert len(part["advantages"]) == 1
            assert part["num_tokens"] == whole["num_tokens"]
    assert sorted(seen) == whole["advantages"].tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"method": "sft", "launch": {"processes": 2, "nodes": 1, "shard": "none"}},
            r"method sft trains in one process, got 2 in launch \(set launch: \{processes: 1,",
        ),
        (
            {"engine": "server", "launch": {"processes": 2, "nodes": 2, "shard": "fsdp2"}},
            r"launch\.nodes 2 needs servers that every node reaches, .*elsewhere: true",
        ),
    ],
)
def test_a_launch_that_a_training_would_not_follow_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        train_section(**changes)
    servers = {"count": 1, "tensor_parallel": 1, "elsewhere": True}
    sharded = {"processes": 2, "nodes": 2, "shard": "fsdp2"}
    assert train_section(engine="server", servers=servers, launch=sharded).processes == 4
