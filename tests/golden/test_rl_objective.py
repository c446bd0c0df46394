"""J_RECAP, written out in plain torch from the paper, against the trainer's loss and gradients.

1. clean and prefilled rows of unequal lengths in one batch, old policy far enough to clip both ways
2. both aggregations: the batch's optimised tokens, and each group's own (the paper's letter)
3. a prefill token has no loss; the normaliser counts generated tokens only
4. an unscored rollout moves nothing, neither itself nor its group's baseline
"""

from __future__ import annotations

import random
import statistics

import pytest
import torch
from rl_cases import group, make_trainer, random_ids, tiny_policy
from transformers import LlamaForCausalLM

from recap.rl.batch import to_batch
from recap.types import RolloutGroup

LOW, HIGH = 0.2, 0.28


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


def j_recap(policy: torch.nn.Module, groups: list[RolloutGroup], aggregation: str) -> torch.Tensor:
    """The objective as the paper writes it, to be maximised."""
    terms, lengths = [], []
    for one in groups:
        scored = [reward.value for reward in one.rewards if reward.value is not None]
        mean, std = statistics.mean(scored), statistics.stdev(scored)
        total = torch.zeros(())
        for rollout, reward in zip(one.rollouts, one.rewards, strict=True):
            advantage = 0.0 if reward.value is None else (reward.value - mean) / (std + 1e-4)
            ids, context = list(rollout.sample.token_ids), list(rollout.rendered.token_ids)
            old = torch.tensor(rollout.sample.sampling_logprobs)
            ratio = (token_logprobs(policy, context, ids) - old).exp()
            clipped = ratio.clamp(1 - LOW, 1 + HIGH)
            total = total + torch.minimum(ratio * advantage, clipped * advantage).sum()
        terms.append(total)
        lengths.append(sum(len(rollout.sample.token_ids) for rollout in one.rollouts))
    if aggregation == "batch_tokens":
        return sum(terms) / sum(lengths)
    return sum(term / length for term, length in zip(terms, lengths, strict=True)) / len(terms)


@pytest.mark.parametrize("aggregation", ["batch_tokens", "group_tokens"])
@pytest.mark.parametrize("distance", [0.0, 0.8])
def test_loss_and_gradient_equal_the_paper(aggregation, distance, tmp_path):
    groups = groups_with_distance(1, distance)
    reference = tiny_policy()
    objective = j_recap(reference, groups, aggregation)
    (-objective).backward()
    trainer = make_trainer(tiny_policy(), lambda _: groups, tmp_path, aggregation=aggregation)
    batch = to_batch(groups, aggregation, pad_token_id=0)
    # A generation batch taken as one step of two: TRL divides by half of the batch's tokens.
    loss = trainer.training_step(trainer.policy, batch) / 2
    assert loss.item() == pytest.approx(-objective.item(), abs=1e-6)
    for (name, ours), theirs in zip(
        trainer.policy.named_parameters(), reference.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad / 2, theirs.grad, atol=2e-6, rtol=1e-4, msg=name)


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


def test_micro_batches_change_nothing(tmp_path, monkeypatch):
    groups = groups_with_distance(2, 0.5)
    gradients = []
    for budget in (1, 10_000):
        monkeypatch.setattr("recap.rl.trainer.MICRO_BATCH_TOKENS", budget)
        trainer = make_trainer(tiny_policy(), lambda _: groups, tmp_path)
        loss = trainer.training_step(trainer.policy, to_batch(groups, "batch_tokens", 0))
        gradients.append((loss, [p.grad for p in trainer.policy.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_prefill_tokens_are_neither_optimised_nor_counted():
    groups = groups_with_distance(3, 0.0)
    batch = to_batch(groups, "batch_tokens", pad_token_id=0)
    generated = sum(len(r.sample.token_ids) for one in groups for r in one.rollouts)
    assert int(batch["num_items_in_batch"]) == generated == int(batch["completion_mask"].sum())
    prefilled = groups[3].rollouts[0].rendered
    row = batch["prompt_ids"][9][batch["prompt_mask"][9].bool()].tolist()
    assert row == list(prefilled.token_ids)
    assert prefilled.num_prefill_tokens == 11


def test_an_unscored_rollout_moves_nothing():
    with_gap = groups_with_distance(1, 0.0)[2]
    assert with_gap.rewards[1].value is None
    advantages = to_batch([with_gap], "batch_tokens", 0)["advantages"].tolist()
    first, second = with_gap.rewards[0].value, with_gap.rewards[2].value
    # Two scored members stand half their distance from the mean; their std is distance / sqrt 2.
    distance = first - second
    expected = distance / 2 / (abs(distance) / 2**0.5 + 1e-4)
    assert advantages == pytest.approx([expected, 0.0, -expected], rel=1e-6)


def test_the_kl_term_is_against_the_base_policy(tmp_path):
    groups = groups_with_distance(4, 0.3)
    tiny_policy(seed=1).save_pretrained(tmp_path / "base")
    policy = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    trainer = make_trainer(policy, lambda _: groups, tmp_path, grpo={"beta": 0.2})
    policy.load_state_dict(tiny_policy().state_dict())  # as if it had been trained away from base
    loss = trainer.training_step(policy, to_batch(groups, "batch_tokens", 0)) / 2
    base, policy = tiny_policy(seed=1), tiny_policy()
    divergence, tokens = 0.0, 0
    for one in groups:
        for rollout in one.rollouts:
            ids, context = list(rollout.sample.token_ids), list(rollout.rendered.token_ids)
            now = token_logprobs(policy, context, ids)
            gap = token_logprobs(base, context, ids) - now
            ratio = (now - torch.tensor(rollout.sample.sampling_logprobs)).exp()
            divergence += float((ratio * (gap.exp() - gap - 1)).sum().detach())
            tokens += len(ids)
    expected = -float(j_recap(policy, groups, "batch_tokens").detach()) + 0.2 * divergence / tokens
    assert divergence / tokens > 0.1
    assert loss.item() == pytest.approx(expected, rel=1e-4)
