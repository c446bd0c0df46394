"""The torch sampler: exact logits, shared prompts, finished rows, determinism, limits."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from recap.errors import ParameterError
from recap.sampling.llama_decoder import LlamaDecoder
from recap.sampling.llama_weights import fuse, is_plain_llama
from recap.sampling.model_decoder import ModelDecoder
from recap.sampling.torch_sampler import CANDIDATES, TorchSampler, draw, nucleus
from recap.types.prompts import RenderedPrompt
from recap.types.rollouts import Decoding
from tests.rounding import logprob_rounding
from tests.tiny import tiny_llama, tiny_sizes

VOCABULARY = 40
PAD, EOS = 0, 1
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
}
PROMPTS = [(5, 6, 7), (8, 9, 10, 11, 12, 13, 14, 15), (16,), (5, 6, 7)]


def llama(**options: Any) -> LlamaForCausalLM:
    """A random Llama whose weights are large enough for far from uniform logits."""
    model = tiny_llama(VOCABULARY, seed=3, **(SIZES | options)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    return model


def full_logits(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    """The model's own logits after ``tokens``, without cache, batch or padding."""
    with torch.inference_mode():
        return model(input_ids=torch.tensor([tokens])).logits[0, -1]


def rendered(prompts: list[tuple[int, ...]]) -> list[RenderedPrompt]:
    return [RenderedPrompt(prompt, 0) for prompt in prompts]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "tie_word_embeddings": True},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
        {"head_dim": 16, "rms_norm_eps": 1e-3},
    ],
    ids=["plain", "gqa", "mqa-tied", "theta", "head-size-epsilon"],
)
def test_decoder_gives_the_models_logits(options: dict[str, object]) -> None:
    model = llama(**options)
    assert is_plain_llama(model)
    prompts = PROMPTS[:3]
    owners = [0, 0, 1, 2, 2, 2]
    sequences = [list(prompts[owner]) for owner in owners]
    generator = torch.Generator().manual_seed(0)
    near = logprob_rounding(model)
    with torch.inference_mode():
        decoder = LlamaDecoder(fuse(model), prompts, torch.tensor(owners))
        for step in range(20):
            expected = torch.stack([full_logits(model, tokens) for tokens in sequences])
            torch.testing.assert_close(decoder.logits, expected, atol=near, rtol=0)
            if step == 4:  # prompt 1 disappears, the others lose rows
                decoder.keep(torch.tensor([1, 3, 5]))
                sequences = [sequences[row] for row in (1, 3, 5)]
            if step == 8:
                decoder.keep(torch.tensor([2]))
                sequences = sequences[2:]
            tokens = torch.randint(VOCABULARY, (len(sequences),), generator=generator)
            decoder.step(tokens, torch.ones(len(tokens), dtype=torch.bool))
            for sequence, token in zip(sequences, tokens.tolist(), strict=True):
                sequence.append(token)


@pytest.mark.parametrize("kind", ["llama3-rope", "biases", "bfloat16", "qwen2"])
def test_other_models_go_through_their_own_forward(kind: str) -> None:
    if kind == "llama3-rope":
        model = llama(
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        )
    elif kind == "biases":
        model = llama(attention_bias=True)
    elif kind == "bfloat16":
        model = llama().to(torch.bfloat16)
    else:
        sizes = tiny_sizes(VOCABULARY, num_hidden_layers=2, max_position_embeddings=64)
        model = Qwen2ForCausalLM(Qwen2Config(**sizes)).eval()
    assert not is_plain_llama(model)
    near = logprob_rounding(model)
    owners = [0, 1, 1, 2]
    sequences = [list(PROMPTS[owner]) for owner in owners]
    with torch.inference_mode():
        decoder = ModelDecoder(model, PAD, PROMPTS[:3], torch.tensor(owners))
        for step in range(6):
            expected = torch.stack([full_logits(model, tokens) for tokens in sequences]).float()
            torch.testing.assert_close(decoder.logits, expected, atol=near, rtol=0)
            if step == 3:
                decoder.keep(torch.tensor([0, 2]))
                sequences = [sequences[0], sequences[2]]
            tokens = torch.tensor([20 + step] * len(sequences))
            decoder.step(tokens, torch.ones(len(tokens), dtype=torch.bool))
            for sequence in sequences:
                sequence.append(20 + step)


@pytest.mark.parametrize("model", [llama(), llama(attention_bias=True)], ids=["fused", "forward"])
def test_sampling_logprobs_are_the_models_at_the_temperature_before_top_p(
    model: LlamaForCausalLM,
) -> None:
    sampler, near = TorchSampler(model, [EOS], PAD, batch_size=5), logprob_rounding(model, 0.7)
    groups = sampler.sample(rendered(PROMPTS), Decoding(0.7, 0.8, 10), num_samples=3, seed=4)
    assert [len(group) for group in groups] == [3, 3, 3, 3]
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for sample in group:
            tokens = list(prompt)
            for token, logprob in zip(sample.token_ids, sample.sampling_logprobs, strict=True):
                expected = (full_logits(model, tokens) / 0.7).log_softmax(-1)[token]
                assert logprob == pytest.approx(expected.item(), abs=near)
                tokens.append(token)


def test_rows_end_with_eos_or_at_the_limit() -> None:
    sampler = TorchSampler(llama(), [EOS], PAD, batch_size=64)
    groups = sampler.sample(rendered(PROMPTS), Decoding(1.5, 1.0, 20), num_samples=16, seed=0)
    samples = [sample for group in groups for sample in group]
    assert {sample.finish_reason for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert EOS not in sample.token_ids[:-1]
        stopped = sample.token_ids[-1] == EOS
        assert sample.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(sample.token_ids) == 20


def test_batching_has_no_part_in_what_is_drawn() -> None:
    prompts, decoding = rendered(PROMPTS), Decoding(1.0, 1.0, 12)
    drawn = [
        TorchSampler(llama(), [EOS], PAD, batch_size).sample(
            prompts, decoding, num_samples=6, seed=9
        )
        for batch_size in (64, 64, 5, 1)
    ]
    tokens = [[s.token_ids for group in groups for s in group] for groups in drawn]
    assert tokens[0] == tokens[1] == tokens[2] == tokens[3]
    assert drawn[0] == drawn[1]
    # The same prompt twice (rows 0 and 3 of PROMPTS) is two draws, not one repeated.
    assert drawn[0][0] != drawn[0][3]
    other = TorchSampler(llama(), [EOS], PAD, 64).sample(prompts, decoding, num_samples=6, seed=10)
    assert [s.token_ids for group in other for s in group] != tokens[0]


def test_more_tokens_only_continue_a_sample() -> None:
    sampler = TorchSampler(llama(), [EOS], PAD, 64)
    short, long = (
        sampler.sample(rendered(PROMPTS), Decoding(1.0, 1.0, n), num_samples=4, seed=2)
        for n in (4, 9)
    )
    for short_group, long_group in zip(short, long, strict=True):
        for a, b in zip(short_group, long_group, strict=True):
            assert a.token_ids == b.token_ids[:4]


@pytest.mark.parametrize("model", [llama(), llama(attention_bias=True)], ids=["fused", "forward"])
def test_the_context_bounds_generation(model: LlamaForCausalLM) -> None:
    lengths = {64: 0, 70: 0, 63: 1, 60: 4, 10: 20}
    prompts = [tuple([5] * length) for length in lengths]
    sampler = TorchSampler(model, stop_ids=[], pad_token_id=PAD, batch_size=3)
    groups = sampler.sample(rendered(prompts), Decoding(1.0, 1.0, 20), num_samples=2, seed=0)
    for generated, group in zip(lengths.values(), groups, strict=True):
        for sample in group:
            assert len(sample.token_ids) == len(sample.sampling_logprobs) == generated
            assert sample.finish_reason == ("length" if generated == 20 else "overflow")


def test_weights_are_read_at_each_call_and_the_mode_is_put_back() -> None:
    model = llama().train()
    sampler = TorchSampler(model, [EOS], PAD, 8)
    decoding = Decoding(1.0, 1.0, 8)
    before = sampler.sample(rendered(PROMPTS), decoding, num_samples=2, seed=0)
    assert model.training
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(-1)
    assert sampler.sample(rendered(PROMPTS), decoding, num_samples=2, seed=0) != before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_draws_follow_the_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    uniforms = (torch.arange(1000) + 0.5) / 1000
    logits = probabilities.log().expand(1000, 5)
    tokens, logprobs = draw(logits, uniforms, Decoding(1.0, 1.0, 1))
    assert torch.bincount(tokens, minlength=5).tolist() == [500, 0, 300, 150, 50]
    assert logprobs[0].item() == pytest.approx(math.log(0.5), abs=1e-6)
    # Temperature 2 takes square roots: weights .7071, .5477, .3873, .2236 over their sum 1.8657.
    tokens, logprobs = draw(logits, uniforms, Decoding(2.0, 1.0, 1))
    assert torch.bincount(tokens, minlength=5).tolist() == [379, 0, 294, 207, 120]
    # top-p 0.7 keeps 0.5 and 0.3 (0.5 alone is short of it): 5/8 and 3/8; logprobs stay whole.
    tokens, logprobs = draw(logits, uniforms, Decoding(1.0, 0.7, 1))
    assert torch.bincount(tokens, minlength=5).tolist() == [625, 0, 375, 0, 0]
    assert logprobs[-1].item() == pytest.approx(math.log(0.3), abs=1e-6)


def test_the_largest_draw_stays_inside_the_vocabulary() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5000, 7) * 3
    largest = torch.full((5000,), (1 - 2.0**-24) * (1 - 2.0**-23))
    tokens, logprobs = draw(logits, largest, Decoding(1.0, 1.0, 1))
    assert int(tokens.max()) < 7 and torch.isfinite(logprobs).all()


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.95, 0.999999])
@pytest.mark.parametrize("vocabulary", [7, 4 * CANDIDATES, 5 * CANDIDATES])
def test_nucleus_is_that_of_a_sorted_vocabulary(vocabulary: int, top_p: float) -> None:
    generator = torch.Generator().manual_seed(0)
    # From rows that are sure of one token to rows that need nearly all.
    scales = torch.linspace(12.0, 0.1, 9)[:, None]
    weights = (torch.randn(9, vocabulary, generator=generator) * scales).softmax(-1)
    for row, kept in zip(weights, nucleus(weights, top_p), strict=True):
        ordered, tokens = row.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        wanted = torch.zeros_like(row)
        wanted[tokens[before < top_p]] = ordered[before < top_p]
        assert torch.equal(kept, wanted)


def test_nucleus_keeps_the_fewest_tokens_that_reach_the_share() -> None:
    weights = torch.tensor([[0.1, 0.6, 0.3], [0.25, 0.5, 0.25]])
    kept = nucleus(weights, 0.55)
    assert kept[0].tolist() == pytest.approx([0.0, 0.6, 0.0])
    assert sorted(kept[1].tolist()) == pytest.approx([0.0, 0.25, 0.5])


@pytest.mark.parametrize(
    ("decoding", "num_samples"),
    [
        (Decoding(0.0, 1.0, 5), 1),
        (Decoding(1.0, 0.0, 5), 1),
        (Decoding(1.0, 1.1, 5), 1),
        (Decoding(1.0, 1.0, 0), 1),
        (Decoding(1.0, 1.0, 5), 0),
    ],
)
def test_a_decoding_that_cannot_be_sampled_is_refused(decoding: Decoding, num_samples: int) -> None:
    with pytest.raises(ParameterError, match="Expected"):
        TorchSampler(llama(), [EOS], PAD, 4).sample([], decoding, num_samples=num_samples, seed=0)


def test_nothing_to_sample_gives_nothing() -> None:
    sampler = TorchSampler(llama(), [EOS], PAD, 4)
    assert sampler.sample([], Decoding(1.0, 1.0, 5), num_samples=2, seed=0) == []


@pytest.mark.parametrize("parts", [[(0, 2), (2, 4)], [(0, 1), (1, 1), (1, 4)]])
def test_parts_of_a_call_are_drawn_as_in_the_whole(parts: list[tuple[int, int]]) -> None:
    sampler, near = TorchSampler(llama(), [EOS], PAD, batch_size=8), logprob_rounding(llama())
    decoding = Decoding(1.0, 1.0, 12)
    whole = sampler.sample(rendered(PROMPTS), decoding, num_samples=3, seed=7)
    drawn = [
        group
        for part in parts
        for group in sampler.sample(
            rendered(PROMPTS), decoding, num_samples=3, seed=7, part=slice(*part)
        )
    ]
    assert len(drawn) == len(whole)
    for mine, other in zip(chain(*drawn), chain(*whole), strict=True):
        assert mine.token_ids == other.token_ids
        # Other rows stand in the batch: the logits are rounded differently.
        assert mine.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=near)


def test_samples_of_a_prompt_are_all_distinct_on_one_rank_and_on_two() -> None:
    """Sixteen of a near uniform policy, which draws one sequence twice once in 40^12 times."""
    model = llama(initializer_range=0.01)
    sampler = TorchSampler(model, stop_ids=[], pad_token_id=PAD, batch_size=64)
    same = rendered([(5, 6, 7)] * 4)
    drawn = [
        sample.token_ids
        for part in (slice(0, 2), slice(2, 4))
        for group in sampler.sample(same, Decoding(1.0, 1.0, 12), num_samples=16, seed=3, part=part)
        for sample in group
    ]
    assert len(drawn) == len(set(drawn)) == 64


def qwen() -> Qwen2ForCausalLM:
    """A random model that is decoded by its own forward."""
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


@pytest.mark.parametrize("model", [llama(), qwen()], ids=["llama", "qwen2"])
def test_each_stop_id_ends_a_text(model: LlamaForCausalLM | Qwen2ForCausalLM) -> None:
    """As the same draws without one, cut at the first; padding with one of them changes nothing."""
    decoding, stops = Decoding(1.0, 1.0, 24), (EOS, 7, 30)

    def drawn(stop_ids: tuple[int, ...], pad: int) -> list[tuple[int, ...]]:
        sampler = TorchSampler(model, stop_ids, pad, batch_size=64)
        groups = sampler.sample(rendered(PROMPTS), decoding, num_samples=8, seed=5)
        return [sample.token_ids for sample in chain(*groups)]

    endless, ended = drawn((), PAD), drawn(stops, PAD)
    ends = [next((i for i, t in enumerate(ids) if t in stops), 23) for ids in endless]
    assert ended == [ids[: end + 1] for ids, end in zip(endless, ends, strict=True)]
    assert {ids[-1] for ids in ended} >= set(stops)
    assert drawn(stops, EOS) == ended
