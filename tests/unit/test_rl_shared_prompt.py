"""How rollouts of shared prompts become one sequence, and that attention sees the right keys."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recap.errors import ModelError
from recap.rl.shared_prompt import attend, pack, shared_prompt_attention, unpack
from tests.rounding import logprob_rounding

# Two rollouts of the prompt 7 8 9 and one of the prompt 5.
PROMPTS = torch.tensor([[7, 8, 9], [0, 0, 5], [7, 8, 9]])
PROMPT_MASK = torch.tensor([[1, 1, 1], [0, 0, 1], [1, 1, 1]])
IDS = torch.tensor([[11, 12, 0], [13, 0, 0], [14, 15, 16]])
MASK = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])


def test_a_prompt_is_packed_once_and_each_own_token_predicts_the_next():
    packing = pack(PROMPTS, PROMPT_MASK, IDS, MASK)
    # the shared prompt but for its last token, then the rollouts from that token on
    assert packing.input_ids.tolist() == [[7, 8, 9, 11, 5, 9, 14, 15]]
    assert packing.labels.tolist() == [[-100, -100, 11, 12, 13, 14, 15, 16]]
    assert packing.position_ids.tolist() == [[0, 1, 2, 3, 0, 2, 3, 4]]


def test_own_tokens_see_their_prompt_and_their_own_past():
    packing = pack(PROMPTS, PROMPT_MASK, IDS, MASK)
    seen = []
    for row in range(3):
        for step in range(int(MASK[row].sum())):
            keys = packing.key_places[row][packing.own_bias[row, 0, step] == 0]
            seen.append(packing.input_ids[0][keys].tolist())
    assert seen == [
        [7, 8, 9], [7, 8, 9, 11],
        [5],
        [7, 8, 9], [7, 8, 9, 14], [7, 8, 9, 14, 15],
    ]  # fmt: skip


def test_values_come_back_in_their_rows():
    packing = pack(PROMPTS, PROMPT_MASK, IDS, MASK)
    values = torch.arange(8.0)[None]
    assert unpack(values, packing).tolist() == [[2, 3, 0], [4, 0, 0], [5, 6, 7]]


@pytest.mark.parametrize("heads", [(2, 2), (4, 2)])
def test_hidden_states_equal_those_of_each_row_alone(heads):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=20,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=heads[0],
            num_key_value_heads=heads[1],
            initializer_range=0.5,
        )
    )
    packing = pack(PROMPTS, PROMPT_MASK, IDS, MASK)
    with shared_prompt_attention(model):
        packed = model.model(
            input_ids=packing.input_ids,
            position_ids=packing.position_ids,
            packing=packing,
            use_cache=False,
        ).last_hidden_state[0]
    rows = [[7, 8, 9, 11], [5], [7, 8, 9, 14, 15]]
    places = [[0, 1, 2, 3], [4], [0, 1, 5, 6, 7]]
    for ids, where in zip(rows, places, strict=True):
        alone = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        torch.testing.assert_close(packed[where], alone, atol=logprob_rounding(model), rtol=0)


def test_a_model_with_other_attention_is_refused():
    packing = pack(PROMPTS, PROMPT_MASK, IDS, MASK)
    states = torch.zeros(1, 2, 8, 4)
    with pytest.raises(ModelError, match="plain causal attention, got one with sliding_window"):
        attend(
            torch.nn.Module(), states, states, states, None,
            scaling=0.5, packing=packing, sliding_window=4,
        )  # fmt: skip
