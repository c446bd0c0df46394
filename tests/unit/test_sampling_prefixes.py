"""A conversation reads nothing twice: the same logits, the same samples, fewer positions.

1. A decoder that knows some prompts' beginnings gives the model's own logits, step by step.
2. Every call of a conversation draws what a sampler that reads all anew draws.
3. k rounds of resets put fewer positions through the model than k evaluations that read again.
4. What is kept is of the last call alone, and within bounds.
"""

from __future__ import annotations

import pytest
import torch

from recap.sampling.llama_decoder import LlamaDecoder
from recap.sampling.llama_weights import fuse
from recap.sampling.prefixes import PrefixMemory
from recap.sampling.sampler import Sampler
from recap.sampling.torch_sampler import TorchSampler
from recap.types.rollouts import Decoding, Sample
from tests.rounding import logprob_rounding
from tests.unit.test_sampling_torch import EOS, PAD, full_logits, llama, rendered

TRANSITION, PREFILL = (30, 31, 32), (33, 34, 35, 36)
PROMPTS = [(5, 6, 7), (8, 9, 10, 11, 12), (16,), (5, 6, 9)]


@pytest.mark.parametrize("options", [{}, {"num_key_value_heads": 2}], ids=["plain", "gqa"])
def test_known_beginnings_change_no_logits(options: dict[str, object]) -> None:
    model = llama(**options)
    with torch.inference_mode():
        first = LlamaDecoder(fuse(model), PROMPTS[:2], torch.tensor([0, 1, 1]))
        sequences = [list(PROMPTS[0]), list(PROMPTS[1]), list(PROMPTS[1])]
        for step in range(18):  # beyond one block of the cache
            tokens = [(7 * step + row) % 40 for row in range(3)]
            first.step(torch.tensor(tokens), torch.ones(3, dtype=torch.bool))
            for sequence, token in zip(sequences, tokens, strict=True):
                sequence.append(token)
        memory = PrefixMemory()
        for prompt, sequence, cached in zip(
            (PROMPTS[0], PROMPTS[1], PROMPTS[1]), sequences, first.cached([0, 1, 2]), strict=True
        ):
            assert cached[0].shape[2] == len(sequence)
            memory.add(prompt, sequence[len(prompt) :], *cached)
        memory.turn()
        prompts = [
            (*sequences[0][:9], 20, 21),  # goes on from inside a row
            tuple(sequences[1]),  # a whole row: one position is read all the same
            (1, 2, 3),  # unknown
            (*sequences[2], *TRANSITION),
            (*PROMPTS[1], 39),  # the prompt of two rows, and no token of theirs
        ]
        known = [memory.find(prompt) for prompt in prompts]
        assert [prefix and prefix.length for prefix in known] == [9, 22, None, 22, 5]
        decoder = LlamaDecoder(fuse(model), prompts, torch.tensor([0, 1, 2, 2, 3, 4]), known)
        rows = [list(prompts[owner]) for owner in (0, 1, 2, 2, 3, 4)]
        for step in range(4):
            expected = torch.stack([full_logits(model, row) for row in rows])
            torch.testing.assert_close(
                decoder.logits, expected, atol=logprob_rounding(model), rtol=0
            )
            if step == 1:
                decoder.keep(torch.tensor([0, 3, 4, 5]))
                rows = [rows[row] for row in (0, 3, 4, 5)]
            tokens = [(step + 11 * row) % 40 for row in range(len(rows))]
            decoder.step(torch.tensor(tokens), torch.ones(len(rows), dtype=torch.bool))
            for row, token in zip(rows, tokens, strict=True):
                row.append(token)


def _resets(sampler: Sampler, rounds: int) -> list[list[Sample]]:
    """Iterative resets on all prompts, two rows of each; the samples of every round."""
    contexts = [prompt for prompt in PROMPTS for _ in range(2)]
    found = []
    for number in range(rounds):
        groups = sampler.sample(
            rendered(contexts), Decoding(1.0, 0.9, 9), num_samples=1, seed=number
        )
        found.append([sample for (sample,) in groups])
        contexts = [
            (*context, *sample.token_ids[:6], *TRANSITION, *PREFILL)
            for context, sample in zip(contexts, found[-1], strict=True)
        ]
    return found


@pytest.mark.parametrize("batch_size", [3, 64])
@pytest.mark.parametrize("options", [{}, {"attention_bias": True}], ids=["fused", "forward"])
def test_a_conversation_draws_the_same_samples(batch_size: int, options: dict[str, object]) -> None:
    model = llama(**options)
    sampler, near = TorchSampler(model, [EOS], PAD, batch_size), logprob_rounding(model)
    anew, conversation = _resets(sampler, 4), _resets(sampler.conversation(), 4)
    assert any(sample.finish_reason == "stop" for samples in anew for sample in samples)
    for expected, found in zip(anew, conversation, strict=True):
        assert [sample.token_ids for sample in found] == [sample.token_ids for sample in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=near)


def test_rounds_cost_less_than_as_many_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = 0
    project = LlamaDecoder._project

    def counting(self: LlamaDecoder, layer: object, hidden: torch.Tensor, turns: object):  # type: ignore[no-untyped-def]
        nonlocal positions
        positions += len(hidden)
        return project(self, layer, hidden, turns)  # type: ignore[arg-type]

    monkeypatch.setattr(LlamaDecoder, "_project", counting)

    def cost(sampler: Sampler, rounds: int) -> int:
        nonlocal positions
        positions = 0
        _resets(sampler, rounds)
        return positions

    sampler = TorchSampler(llama(), [EOS], PAD, batch_size=64)
    one = cost(sampler, 1)
    assert cost(sampler.conversation(), 1) == one  # nothing is known yet
    anew, conversing = cost(sampler, 4), cost(sampler.conversation(), 4)
    assert conversing < 0.6 * anew
    # Each further round reads at most: the thought's last token, the sentence, the prefill.
    decoded = 2 * 8 * 9 * 3  # layers, rows, tokens at most, rounds
    assert conversing <= one + decoded + 3 * 2 * 8 * (1 + len(TRANSITION) + len(PREFILL))


def test_the_memory_is_of_the_last_call_and_bounded() -> None:
    memory = PrefixMemory(max_bytes=2 * 2 * 4 * 6)
    keys = torch.zeros(1, 1, 6, 2)
    memory.add((1, 2, 3), (4, 5, 6, 7), keys, keys)
    memory.add((1, 9), (4, 5, 6, 7), keys, keys)  # beyond the bound
    assert memory.find((1, 2, 3, 4)) is None  # of the present call
    memory.turn()
    found = memory.find((1, 2, 3, 4, 5, 8))
    assert found is not None and found.length == 5
    assert memory.find((1, 9, 4)) is None
    assert memory.find((1, 2, 4)) is None  # its prompt is no beginning
    memory.turn()
    assert memory.find((1, 2, 3, 4)) is None
