"""Rows are padded, shuffled and cut without one being lost, changed or counted twice."""

from __future__ import annotations

import pytest
import torch

from recap.rl.batch import microbatches, minibatches, normaliser, to_batch
from recap.types.prompts import PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Reward, Rollout, RolloutGroup, Sample

PAD = 0


def group(prompt, completions, rewards):
    record = PromptRecord(id="p", domain="math", prompt="", target="1", source="s", split="train")
    prefilled = PrefilledPrompt(record, None)
    rollouts = tuple(
        Rollout(
            prefilled,
            RenderedPrompt(tuple(prompt), 0),
            Sample(tuple(ids), tuple(-0.1 * token for token in ids), "stop"),
            "",
            "",
        )
        for ids in completions
    )
    return RolloutGroup(prefilled, rollouts, tuple(Reward(r, "math") for r in rewards), 1)


GROUPS = [
    group([11, 12, 13], [[1, 2], [3, 4, 5, 6]], [0.0, 1.0]),
    group([21], [[7], [8, 9]], [1.0, 0.0]),
]
A = 0.5 / (0.5**0.5 + 1e-4)  # the advantage of either member of such a pair


def test_batch_is_padded_left_and_right():
    batch = to_batch(GROUPS, "batch_tokens", PAD, full=2)
    assert batch["prompt_ids"].tolist() == [[11, 12, 13]] * 2 + [[0, 0, 21]] * 2
    assert batch["prompt_mask"].tolist() == [[1, 1, 1]] * 2 + [[0, 0, 1]] * 2
    assert batch["completion_ids"].tolist() == [
        [1, 2, 0, 0], [3, 4, 5, 6], [7, 0, 0, 0], [8, 9, 0, 0],
    ]  # fmt: skip
    assert batch["completion_mask"].sum(1).tolist() == [2, 4, 1, 2]
    assert batch["sampling_logprobs"][0].tolist() == pytest.approx([-0.1, -0.2, 0.0, 0.0])
    assert batch["num_tokens"].item() == 9
    assert batch["advantages"].tolist() == pytest.approx([-A, A, A, -A])


def test_group_tokens_weighs_each_group_by_its_own_length():
    # 9 tokens in 2 groups: 9 / (2 * 6) for the first, 9 / (2 * 3) for the second
    batch = to_batch(GROUPS, "group_tokens", PAD, full=2)
    assert batch["advantages"].tolist() == pytest.approx([-A * 0.75, A * 0.75, A * 1.5, -A * 1.5])


def test_a_batch_short_of_groups_counts_as_a_full_one():
    batch = to_batch(GROUPS, "batch_tokens", PAD, full=6)
    assert batch["num_tokens"].item() == 3 * 9
    assert batch["num_rows"].item() == 3 * 4
    assert normaliser(batch, "dapo", steps=2, count=1) == 27 / 2
    assert normaliser(batch, "dapo", steps=2, count=2) == 27 / 4
    assert normaliser(batch, "grpo", steps=2, count=1) == 12 / 2
    assert normaliser(batch, "dr_grpo", steps=3, count=2) == 12 / 6
    assert batch["advantages"].tolist() == pytest.approx([-A, A, A, -A])


@pytest.mark.parametrize(("steps", "sizes"), [(1, [4]), (2, [2, 2]), (3, [2, 1, 1]), (9, [1] * 4)])
def test_minibatches_deal_every_row_once(steps, sizes):
    batch = to_batch(GROUPS, "batch_tokens", PAD, full=2)
    parts = minibatches(batch, steps, torch.Generator().manual_seed(3))
    assert [len(part["advantages"]) for part in parts] == sizes
    rows = sorted(row for part in parts for row in part["completion_ids"].tolist())
    assert rows == sorted(batch["completion_ids"].tolist())
    assert all(part["num_tokens"].item() == 9 for part in parts)


def test_minibatches_follow_their_generator():
    batch = to_batch(GROUPS, "batch_tokens", PAD, full=2)
    orders = [
        [
            part["completion_ids"].tolist()
            for part in minibatches(batch, 2, torch.Generator().manual_seed(seed))
        ]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("budget", [1, 4, 8, 9, 12, 13])
def test_microbatches_keep_rows_and_the_budget(budget):
    batch = to_batch(GROUPS, "batch_tokens", PAD, full=2)
    parts = list(microbatches(batch, budget))
    seen = []
    for part in parts:
        prompts = {tuple(row) for row in part["prompt_ids"].tolist()}
        real = sum(token != PAD for prompt in prompts for token in prompt)
        lengths = part["completion_mask"].sum(1)
        assert len(lengths) == 1 or real + int(lengths.sum()) <= budget
        assert part["prompt_mask"][:, 0].any()  # no column that is padding in every row
        assert part["completion_mask"][:, -1].any()
        for row in range(len(lengths)):
            kept = part["completion_mask"][row].bool()
            seen.append(
                (part["completion_ids"][row][kept].tolist(), part["advantages"][row].item())
            )
    expected = [([1, 2], -A), ([3, 4, 5, 6], A), ([7], A), ([8, 9], -A)]
    assert sorted(ids for ids, _ in seen) == sorted(ids for ids, _ in expected)
    assert {tuple(i): pytest.approx(a) for i, a in seen} == {tuple(i): a for i, a in expected}
    assert len(parts) == {1: 4, 4: 3, 8: 3, 9: 2, 12: 2, 13: 1}[budget]
