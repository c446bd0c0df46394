"""The estimate of what samples: memory, tokens and hours of prefills and attacks, and the profiles.

1. A stage that does not fit is refused with the batch that would.
2. Texts, tokens and seconds of hand-worked cases.
3. Each profile for GPUs fits the hardware that its name says.
"""

from __future__ import annotations

import pytest

from recap.cli.profile import profile_values
from recap.estimate.hardware import Hardware, read_hardware
from recap.estimate.memory import Models, parts
from recap.estimate.sampling import refused, sampled, written
from recap.estimate.shape import PUBLISHED
from recap.estimate.work import Assumed, devices_of, training_work
from recap.params.sampling import Servers
from recap.params.train import Launch
from recap.params.values import strictly
from recap.params.whole import Params
from tests.unit.test_estimate import H100, LLAMA, ROOT, printed, train_of


def test_stages_that_sample_are_refused_with_the_batch_that_fits() -> None:
    """Attack: fp32 weights of 32.1 GB, rows of 256 + 540 + 7000 tokens of 262 144 bytes."""
    params = strictly(Params, profile_values(ROOT, "paper"))
    sampling = params.sampling.model_copy(update={"engine": "torch", "batch_size": 64})
    params = params.model_copy(update={"sampling": sampling})
    stages = sampled(params, LLAMA, {}, (LLAMA,))
    assert [(stage.stage, stage.tokens, stage.scorers) for stage in stages] == [
        ("attack", 7796, ())  # nobody searches, so that no guardian is asked
    ]
    (said,) = refused(params, stages, Hardware(1, "H100", H100))
    assert said.startswith("Expected attack to fit into 73.6 GB, got 162.9 GB: fp32 weights 32.1")
    assert said.endswith("64 rows of 7796 tokens. Set sampling.batch_size: 20.")
    engine = params.sampling.model_copy(update={"engine": "vllm"})
    params = params.model_copy(update={"sampling": engine})
    stages = sampled(params, LLAMA, {"harmful": LLAMA}, (LLAMA,))
    (said,) = refused(params, stages, Hardware(1, "H100", H100))
    assert said.startswith("Expected guardian and rubric of prefill@harmful to fit beside vLLM")
    assert "into 8.0 GB, got 16.1 GB. Set sampling.engine: torch, or" in said


@pytest.mark.parametrize(
    ("count", "devices", "said"),
    [
        (7, 8, None),
        (8, 8, "into 8.0 GB, got 16.1 GB. Set sampling.engine: server with 7 servers or fewer"),
        (4, 2, "Expected 4 devices for the vLLM servers of prefill@harmful, got 2."),
    ],
)
def test_servers_leave_the_guardian_a_device(count: int, devices: int, said: str | None) -> None:
    params = strictly(Params, profile_values(ROOT, "paper"))
    served = {"engine": "server", "servers": Servers(count=count, tensor_parallel=1)}
    sampling = params.sampling.model_copy(update=served)
    params = params.model_copy(update={"sampling": sampling})
    stages = sampled(params, LLAMA, {"harmful": LLAMA}, (LLAMA,))[:1]
    found = list(refused(params, stages, Hardware(devices, "H100", H100)))
    assert (said is None) == (not found)
    assert all(said in fault for fault in found)


@pytest.mark.parametrize(
    ("profile", "hardware", "total"),
    [
        ("gpu-1.5b-lora", "RTX4090", "16.9"),
        ("h100-8b-lora", "H100", "61.7"),
        ("node-8b", "8xH100", "65.4"),
        ("cluster-8b", "40xA100", "65.6"),
        ("cluster-14b", "72xA100", "68.5"),
    ],
)
def test_each_profile_fits_the_hardware_of_its_name(
    profile: str, hardware: str, total: str
) -> None:
    said = printed(profile, hardware)
    assert f"all                                             │ {total} │" in said
    assert "ParameterError" not in said


def test_tokens_of_prefills_and_attacks_by_hand() -> None:
    """Texts of half the longest length, of the published sets.

    Harmful: 313 + 2000 + 500 direct, 313 x (1 + 1 + 3), 250 x (4 + 3); benign: 250 + 210 + 500,
    250 x (1 + 1 + 3 + 4 + 3); 1819 sums, and 30 x 16.
    """
    params = strictly(Params, profile_values(ROOT, "paper"))
    stages = sampled(params, LLAMA, {"aligned": LLAMA, "harmful_eval": LLAMA}, ())
    aligned, harmful, attack = written(params, stages, H100, 9)
    assert (aligned.stage, aligned.times, aligned.tokens) == ("prefill@aligned", 1, 2000 * 1024)
    assert harmful.tokens == 2813 * 1024
    assert (attack.times, attack.tokens) == (9, 12_387 * 3500)
    # vLLM, 256 rows that see 7796 - 7000 + 1750 tokens of 131 072 bytes, at 3 TB/s
    seconds = (16_060_522_496 + 256 * 2546 * 131_072) / 3e12
    assert attack.seconds == pytest.approx(12_387 * 3500 / (0.6 * 256 / seconds))


def test_attacks_on_a_core_take_longer_than_worked_out() -> None:
    """SmolLM2's took 21 to 22 minutes for 500 texts of a policy (docs/results/smollm2.md).

    The estimate counts no reading of prompts and no start, and says two thirds of that.
    """
    params = strictly(Params, profile_values(ROOT, "smollm2"))
    shape = PUBLISHED["smollm2-135m-instruct"]
    core = read_hardware(ROOT, "core")
    (attack,) = written(params, sampled(params, shape, {}, ()), core.device, 3)
    assert attack.tokens == 500 * 112
    assert attack.seconds / (21.5 * 60) == pytest.approx(0.67, abs=0.07)


def test_servers_write_beside_the_trainers() -> None:
    """Two servers of two GPUs each write twice as fast as two engines of one GPU each."""
    served = {"engine": "server", "servers": Servers(count=2, tensor_parallel=2)}
    train = train_of("paper", launch=Launch(processes=2, nodes=1, shard="fsdp2"), **served)
    alone = train.model_copy(update={"engine": "torch"})
    hardware = Hardware(2, "H100", H100)
    assert devices_of(train) == 6
    assert devices_of(alone) == 2
    assumed = Assumed(100, 0.5)
    ours, theirs = (training_work(each, LLAMA, hardware, assumed) for each in (train, alone))
    assert ours.rollout_seconds == pytest.approx(theirs.rollout_seconds / 2)
    assert ours.training_seconds == theirs.training_seconds
    assert "rollout engine (weights, KV cache)" not in parts(train, Models(LLAMA, ()), H100)
