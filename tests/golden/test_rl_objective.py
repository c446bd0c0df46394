"""J_RECAP, written out in plain torch from the paper, against the trainer's loss and gradients.

1. clean and prefilled rows of unequal lengths in one batch, old policy far enough to clip both ways
2. four ways to average: the batch's optimised tokens (DAPO), each group's own (the paper's letter),
   each sequence's own (GRPO), a constant (Dr. GRPO); the clip is asymmetric for the first two
3. several optimizer steps on one generation batch, in mini-batches of unequal sizes
4. a prefill token has no loss; the normaliser counts generated tokens only
5. an unscored rollout moves nothing, neither itself nor its group's baseline
6. a batch that is short of groups makes its share of a full batch's gradient
7. a token's gradient carries the importance weight of the policy that sampled it
"""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch
from rl_cases import group, make_trainer, random_ids
from torch.nn.utils import parameters_to_vector

from recap.rl.batch import to_batch
from recap.types.rollouts import Rollout, RolloutGroup
from tests.rounding import adam_rounding, gradient_rounding, relative_gap
from tests.tiny import tiny_policy

LOW, HIGH = 0.2, 0.28
LONGEST = 12
"""``max_completion_length`` of the section in rl_cases."""
AVERAGES = {
    "batch_tokens": {},
    "group_tokens": {"aggregation": "group_tokens"},
    "grpo": {"optimizer": "grpo"},
    "dr_grpo": {"optimizer": "dr_grpo"},
}
"""Ways to average, with what of the section they change."""


def groups_with_distance(seed: int, distance: float) -> list[RolloutGroup]:
    """Two clean and two prefilled prompts, 3 rollouts each, old log-probs off by up to distance."""
    rng = random.Random(seed)
    policy = tiny_policy()
    made = []
    for number, (prompt_len, prefill_len) in enumerate([(5, 0), (9, 4), (3, 0), (6, 11)]):
        prompt, prefill = random_ids(rng, prompt_len), random_ids(rng, prefill_len)
        completions = [random_ids(rng, rng.randint(1, 12)) for _ in range(3)]
        logprobs = []
        for ids in completions:
            true = token_logprobs(policy, [*prompt, *prefill], ids).tolist()
            logprobs.append([value + rng.uniform(-distance, distance) for value in true])
        rewards: list[float | None] = [rng.random(), rng.random(), rng.random()]
        if number == 2:
            rewards[1] = None
        made.append(
            group(
                number,
                prompt=prompt,
                prefill=prefill,
                completions=completions,
                logprobs=logprobs,
                rewards=rewards,
            )
        )
    return made


def token_logprobs(policy: torch.nn.Module, context: list[int], ids: list[int]) -> torch.Tensor:
    """Log pi(ids_t | context, ids_<t), one row at a time, without padding."""
    logits = policy(input_ids=torch.tensor([[*context, *ids]])).logits[0]
    predicted = torch.log_softmax(logits[len(context) - 1 : -1], dim=-1)
    return predicted[torch.arange(len(ids)), torch.tensor(ids)]


def surrogate(policy: torch.nn.Module, rollout: Rollout, advantage: float, high: float):
    """Sum over t >= t0 of min(r A, clip(r, 1 - low, 1 + high) A)."""
    ids, context = list(rollout.sample.token_ids), list(rollout.rendered.token_ids)
    old = torch.tensor(rollout.sample.sampling_logprobs)
    ratio = (token_logprobs(policy, context, ids) - old).exp()
    clipped = ratio.clamp(1 - LOW, 1 + high)
    return torch.minimum(ratio * advantage, clipped * advantage).sum()


def weights(groups: list[RolloutGroup], average: str) -> list[float]:
    """What the sum over a rollout's tokens counts for in J, for each rollout."""
    lengths = [[len(rollout.sample.token_ids) for rollout in one.rollouts] for one in groups]
    rows = sum(map(len, lengths))
    return [
        {
            "batch_tokens": 1 / sum(map(sum, lengths)),
            "group_tokens": 1 / len(groups) / sum(group),
            "grpo": 1 / rows / length,
            "dr_grpo": 1 / rows / LONGEST,
        }[average]
        for group in lengths
        for length in group
    ]


def advantages(groups: list[RolloutGroup], average: str) -> list[float]:
    """R - mean R, divided by std R but for Dr. GRPO, for each rollout."""
    found = []
    for one in groups:
        scored = [reward.value for reward in one.rewards if reward.value is not None]
        mean = statistics.mean(scored)
        std = 1.0 if average == "dr_grpo" else statistics.stdev(scored) + 1e-4
        found += [0.0 if r.value is None else (r.value - mean) / std for r in one.rewards]
    return found


def j_terms(policy: torch.nn.Module, groups: list[RolloutGroup], average: str):
    """J of the paper (to be maximised) as one term for each rollout."""
    rollouts = [rollout for one in groups for rollout in one.rollouts]
    high = HIGH if average.endswith("tokens") else LOW
    rows = zip(rollouts, advantages(groups, average), weights(groups, average), strict=True)
    return [
        weight * surrogate(policy, rollout, advantage, high) for rollout, advantage, weight in rows
    ]


def batch_of(groups: list[RolloutGroup], average: str):
    aggregation = "group_tokens" if average == "group_tokens" else "batch_tokens"
    return to_batch(
        groups, aggregation, pad_token_id=0, full=len(groups), scaled=average != "dr_grpo"
    )


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("distance", [0.0, 0.8])
def test_loss_and_gradient_equal_the_paper(average, distance):
    groups = groups_with_distance(1, distance)
    reference = tiny_policy()
    objective = sum(j_terms(reference, groups, average))
    (-objective).backward()
    trainer = make_trainer(tiny_policy(), lambda _: groups, **AVERAGES[average])
    # A generation batch taken as one step of two: the step's normaliser is half of the batch's.
    loss = trainer.backward(batch_of(groups, average)) / 2
    near = gradient_rounding(reference, tokens=12 * 12)
    assert loss.item() == pytest.approx(-objective.item(), rel=near, abs=near)
    for (name, ours), theirs in zip(
        trainer.policy.named_parameters(), reference.parameters(), strict=True
    ):
        assert relative_gap(ours.grad / 2, theirs.grad) < near, name


@pytest.mark.parametrize("average", AVERAGES)
def test_an_update_takes_the_papers_steps(average):
    """12 rows in 5 steps (3, 3, 2, 2, 2), each of them away from the policy that sampled."""
    groups = groups_with_distance(1, 0.2)
    inner = {"steps_per_generation": 5, "learning_rate": 4e-3}
    trainer = make_trainer(tiny_policy(), lambda _: groups, grpo=inner, **AVERAGES[average])
    dealt, steps, optimise = [], [], trainer.optimise

    def record(part):
        dealt.append(
            [
                row[mask.bool()].tolist()
                for row, mask in zip(part["completion_ids"], part["completion_mask"], strict=True)
            ]
        )
        steps.append(optimise(part))
        return steps[-1]

    trainer.optimise = record
    trainer.update(1)
    assert [len(rows) for rows in dealt] == [3, 3, 2, 2, 2]

    completions = [list(rollout.sample.token_ids) for one in groups for rollout in one.rollouts]
    assert sorted(row for rows in dealt for row in rows) == sorted(completions)
    reference = tiny_policy()
    optimizer = torch.optim.AdamW(reference.parameters(), lr=4e-3, weight_decay=0.0)
    start = parameters_to_vector(reference.parameters()).detach()
    near = adam_rounding(reference, tokens=12 * 12)
    for rows, ours in zip(dealt, steps, strict=True):
        optimizer.zero_grad()
        terms = j_terms(reference, groups, average)
        loss = -5 * sum(terms[completions.index(row)] for row in rows)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        optimizer.step()
        assert ours.loss == pytest.approx(loss.item(), rel=near, abs=near)
        assert ours.grad_norm == pytest.approx(norm.item(), rel=near)
    assert max(ours.clip_low + ours.clip_high for ours in steps) > 0.1
    moved = [parameters_to_vector(one.parameters()) - start for one in (trainer.policy, reference)]
    assert relative_gap(*moved) < near


def test_the_cases_clip_on_both_sides():
    groups = groups_with_distance(1, 0.8)
    policy = tiny_policy()
    low = high = 0
    for one in groups:
        mean = statistics.mean(r.value for r in one.rewards if r.value is not None)
        for rollout, reward in zip(one.rollouts, one.rewards, strict=True):
            if reward.value is None:
                continue
            ids, context = list(rollout.sample.token_ids), list(rollout.rendered.token_ids)
            old = torch.tensor(rollout.sample.sampling_logprobs)
            ratio = (token_logprobs(policy, context, ids) - old).exp()
            low += int((ratio < 1 - LOW).sum()) if reward.value < mean else 0
            high += int((ratio > 1 + HIGH).sum()) if reward.value > mean else 0
    assert low > 3
    assert high > 3


@pytest.mark.parametrize("average", AVERAGES)
def test_micro_batches_change_nothing(average, monkeypatch):
    groups = groups_with_distance(2, 0.5)
    gradients = []
    for budget in (1, 10_000):
        monkeypatch.setattr("recap.rl.trainer.MICRO_BATCH_TOKENS", budget)
        trainer = make_trainer(tiny_policy(), lambda _: groups, **AVERAGES[average])
        loss = trainer.backward(batch_of(groups, average))
        gradients.append((loss, [p.grad for p in trainer.policy.parameters()]))
    near = gradient_rounding(tiny_policy(), tokens=12 * 12)
    assert float(gradients[0][0]) == pytest.approx(float(gradients[1][0]), rel=near, abs=near)
    for one, other in zip(gradients[0][1], gradients[1][1], strict=True):
        assert relative_gap(one, other) < near


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("kept", [1, 3])
def test_a_batch_short_of_groups_makes_its_share_of_a_step(average, kept):
    """The section asks for 4 groups; those that are missing have no advantage."""
    groups = groups_with_distance(1, 0.3)[:kept]
    reference = tiny_policy()
    objective = kept / 4 * sum(j_terms(reference, groups, average))
    (-objective).backward()
    trainer = make_trainer(tiny_policy(), lambda _: groups, **AVERAGES[average])
    loss = trainer.backward(trainer.collect()) / 2
    near = gradient_rounding(reference, tokens=12 * 3 * kept)
    assert loss.item() == pytest.approx(-objective.item(), rel=near, abs=near)
    for (name, ours), theirs in zip(
        trainer.policy.named_parameters(), reference.parameters(), strict=True
    ):
        assert relative_gap(ours.grad / 2, theirs.grad) < near, name


def test_a_gradient_carries_the_importance_weight():
    """Old log-probabilities lower by 0.1 throughout: every gradient is e^0.1 times as large."""
    gradients = []
    for lower in (0.0, 0.1):
        policy = tiny_policy()
        ids = [[50, 51, 52], [53, 54], [55, 56, 57, 58]]
        logprobs = [(token_logprobs(policy, [4, 5], one) - lower).tolist() for one in ids]
        made = group(0, prompt=[4, 5], completions=ids, logprobs=logprobs, rewards=[0.0, 1.0, 0.5])
        trainer = make_trainer(policy, lambda _, made=made: [made])
        trainer.backward(batch_of([made], "batch_tokens"))
        gradients.append({name: p.grad.clone() for name, p in policy.named_parameters()})
    for name, on_policy in gradients[0].items():
        near = gradient_rounding(tiny_policy(), tokens=9)
        assert relative_gap(gradients[1][name], math.exp(0.1) * on_policy) < near, name


def test_prefill_tokens_are_neither_optimised_nor_counted():
    groups = groups_with_distance(3, 0.0)
    batch = to_batch(groups, "batch_tokens", pad_token_id=0, full=4)
    generated = sum(len(r.sample.token_ids) for one in groups for r in one.rollouts)
    assert int(batch["num_tokens"]) == generated == int(batch["completion_mask"].sum())
    prefilled = groups[3].rollouts[0].rendered
    row = batch["prompt_ids"][9][batch["prompt_mask"][9].bool()].tolist()
    assert row == list(prefilled.token_ids)
    assert prefilled.num_prefill_tokens == 11


def test_an_unscored_rollout_moves_nothing():
    with_gap = groups_with_distance(1, 0.0)[2]
    assert with_gap.rewards[1].value is None
    advantages = to_batch([with_gap], "batch_tokens", 0, full=1)["advantages"].tolist()
    first, second = with_gap.rewards[0].value, with_gap.rewards[2].value
    # Two scored members stand half their distance from the mean; their std is distance / sqrt 2.
    distance = first - second
    expected = distance / 2 / (abs(distance) / 2**0.5 + 1e-4)
    assert advantages == pytest.approx([expected, 0.0, -expected], rel=1e-6)


@pytest.mark.parametrize("average", ["batch_tokens", "grpo", "dr_grpo"])
def test_the_kl_term_is_against_the_base_policy(average):
    """And it is averaged as the rest of the loss is."""
    groups = groups_with_distance(4, 0.3)
    policy = tiny_policy(seed=1)
    trainer = make_trainer(policy, lambda _: groups, grpo={"beta": 0.2}, **AVERAGES[average])
    policy.load_state_dict(tiny_policy().state_dict())  # as if it had been trained away from base
    loss = trainer.backward(batch_of(groups, average)) / 2
    base, policy = tiny_policy(seed=1), tiny_policy()
    divergence = 0.0
    rollouts = [rollout for one in groups for rollout in one.rollouts]
    for rollout, weight in zip(rollouts, weights(groups, average), strict=True):
        ids, context = list(rollout.sample.token_ids), list(rollout.rendered.token_ids)
        now = token_logprobs(policy, context, ids)
        gap = token_logprobs(base, context, ids) - now
        ratio = (now - torch.tensor(rollout.sample.sampling_logprobs)).exp()
        divergence += weight * float((ratio * (gap.exp() - gap - 1)).sum().detach())
    expected = -float(sum(j_terms(policy, groups, average)).detach()) + 0.2 * divergence
    assert divergence > 0.1
    near = gradient_rounding(policy, tokens=12 * 12)
    assert loss.item() == pytest.approx(expected, rel=near, abs=near)
