"""Counted operations: against torch's own counter, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM

from recap.rl.flops import forward_flops, gemm_peak, generation_flops, is_counted
from recap.types.prompts import PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Rollout, RolloutGroup, Sample

PROMPT = PrefilledPrompt(
    PromptRecord(id="p", domain="math", prompt="", target=None, source="s", split="train"), None
)


def config(**changes: int) -> LlamaConfig:
    sizes = {
        "vocab_size": 50,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    return LlamaConfig(**{**sizes, **changes})


@pytest.mark.parametrize(
    "changes", [{}, {"num_key_value_heads": 4}, {"head_dim": 6, "num_hidden_layers": 1}]
)
def test_a_forward_pass_costs_what_torch_counts(changes: dict[str, int]) -> None:
    model = LlamaForCausalLM(config(**changes))
    model.set_attn_implementation("eager")  # computes all pairs, and so do we here
    tokens = 7
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(tokens)[None])
    ours = forward_flops(model.config, tokens=tokens, keys=tokens**2, predictions=tokens)
    # torch also counts the product that spreads positions over rotary angles: one per pair
    rotary = 2 * tokens * model.config.head_dim // 2
    assert counter.get_total_flops() - rotary == ours


def test_generation_reads_a_prompt_once_and_never_the_last_token() -> None:
    ones = config(
        vocab_size=1,
        hidden_size=1,
        intermediate_size=1,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=1,
    )
    # weights 2 + 2 + 3 = 7 for a token, 4 for a key, 2 for a prediction
    assert forward_flops(ones, tokens=1, keys=1, predictions=1) == 14 + 4 + 2
    # Prompt of 3, rollouts of 3 and 1: reads 3 + 2 + 0 = 5 tokens. Keys: the prompt 1 + 2 + 3,
    # the first rollout's 4 + 5. Predictions: after the prompt, after the two that were read.
    assert generation_flops(ones, [group(3, [3, 1])]) == 14 * 5 + 4 * 15 + 2 * 3
    assert generation_flops(ones, [group(3, [3, 1]), group(3, [0, 0])]) == 14 * 5 + 4 * 15 + 2 * 3
    assert generation_flops(ones, []) == 0


def test_only_llamas_are_counted() -> None:
    assert is_counted(config())
    assert not is_counted(GPT2Config())


def test_the_peak_is_that_of_a_matrix_product() -> None:
    peak = gemm_peak(torch.device("cpu"), torch.get_num_threads())
    assert 1e8 < peak < 1e15
    assert gemm_peak(torch.device("cpu"), torch.get_num_threads()) == peak  # measured once


def group(prompt: int, lengths: list[int]) -> RolloutGroup:
    rendered = RenderedPrompt(tuple(range(prompt)), 0)
    rollouts = tuple(
        Rollout(PROMPT, rendered, Sample((5,) * n, (0.0,) * n, "stop"), "", None) for n in lengths
    )
    return RolloutGroup(PROMPT, rollouts, (), 1)
