"""Refill: discarded groups are replaced by fresh prompts, for so many rounds and no more.

With ``expected`` a round draws for what will be discarded too: no surplus is lost or used twice.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from recap.microworld.tokenizer import make_tokenizer
from recap.params.train import Train
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.rl.checkpoint import GROUPS
from recap.rl.collection import Collector
from recap.rl.metrics import Speed, StepResult, update_metrics, with_speed
from recap.rl.prompt_stream import PromptStream
from recap.sampling.torch_sampler import TorchSampler
from recap.tracking.live import lasting
from recap.types.prompts import Prefill, PromptRecord
from recap.types.rollouts import Reward, Sample

RENDERER = Renderer(make_tokenizer(128))
GOOD, FAILED, SOLVED, FLAT, GAP = (0.0, 1.0), (0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (None, 1.0)
CLEAN = Injection({}, "exact", (1, 1), "words")
RECORDS = [
    PromptRecord(id=f"{n}", domain="math", prompt="x", target="1", source="s", split="train")
    for n in range(80)
]


def train(max_refill_rounds, **changes):
    return Train.model_validate(
        {
            "method": "rl",
            "engine": "torch", "servers": {"count": 1, "tensor_parallel": 1},
            "optimizer": "dapo", "subset": "all", "alpha": 0.0, "alpha_mode": "exact",
            "prefill_source": "none", "prefill_length": 1, "prefill_unit": "words",
            "self_prefill_updates": 1, "self_prefill_prompts": 1, "curriculum": "none",
            "curriculum_target": 0.5, "curriculum_step": 0.1, "curriculum_alpha": (0.25, 0.75),
            "turn_reward": 0.0, "updates": 1,
            "prompts_per_update": 4, "epsilon_low": 0.2, "epsilon_high": 0.28, "tau": 0.9,
            "reward_epsilon": 1e-6, "max_refill_rounds": max_refill_rounds,
            "aggregation": "batch_tokens", "safety_reward": "prob", "truncated_reward": 0.0,
            "max_missing_prefills": 0.0, "save_updates": 1, "snapshot_updates": 1,
            "adapter": None, "checkpointing": False, "precision": "float32",
            "refill": "missing", "max_carry_age": 1,
            "launch": {"processes": 1, "nodes": 1, "shard": "none"},
            "grpo": {
                "num_generations": 2, "max_completion_length": 5, "steps_per_generation": 2,
                "learning_rate": 1.0, "temperature": 0.7, "beta": 0.0, "weight_decay": 0.0,
                "lr_scheduler_type": "constant", "max_grad_norm": 1.0,
            },
            "sft": {
                "traces": "plain", "attempts": 1, "batch_tokens": 64, "learning_rate": 1.0,
            },
            **changes,
        }
        | changes
    )  # fmt: skip


class ScriptedSampler:
    """Answers every prompt with `</think> no <eos>`, and notes what it was asked."""

    def __init__(self):
        self.calls = []

    def sample(self, prompts, decoding, *, num_samples, seed, part):
        assert prompts[part] == prompts
        self.calls.append((len(prompts), decoding, num_samples, seed))
        ids = (RENDERER.turn.close_id, 40, RENDERER.turn.end_id)
        return [[Sample(ids, (-1.0, -1.0, 0.0), "stop")] * num_samples for _ in prompts]


class ScriptedScorer:
    """Gives the groups, in the order they are drawn, these rewards."""

    def __init__(self, groups):
        self.values = itertools.chain.from_iterable(groups)

    def score(self, rollouts):
        return [Reward(next(self.values), "math") for _ in rollouts]


def make_collector(groups, section):
    stream = PromptStream(RECORDS, {}, injection=CLEAN, renderer=RENDERER, seed=3)
    sampler = ScriptedSampler()
    return Collector(stream, sampler, ScriptedScorer(groups), RENDERER, section, seed=5), sampler


def collect(groups, max_refill_rounds=2):
    collector, sampler = make_collector(groups, train(max_refill_rounds))
    return collector.collect(1), sampler, collector.stream


@pytest.mark.parametrize(
    ("groups", "rounds", "kept", "drawn"),
    [
        ([GOOD] * 4, [4], 4, 4),
        ([GOOD, FAILED, GOOD, SOLVED, GOOD, GOOD], [4, 2], 4, 6),
        ([FLAT] * 4 + [GOOD, GAP, GOOD, GOOD] + [GOOD], [4, 4, 1], 4, 9),
        ([FAILED] * 4 + [SOLVED] * 4 + [GOOD, FLAT, FLAT, FLAT], [4, 4, 4], 1, 12),
        ([FAILED] * 12, [4, 4, 4], 0, 12),
    ],
)
def test_refill(groups, rounds, kept, drawn):
    collection, sampler, stream = collect(groups)
    assert [count for count, *_ in sampler.calls] == rounds
    assert len(collection.batch) == len(collection.kept) == kept
    assert collection.carried_in == collection.carried_out == collection.too_old == []
    assert len(collection.groups) == drawn == stream.cursor
    assert all(
        [reward.value for reward in group.rewards] == list(GOOD) for group in collection.kept
    )


def test_no_refill_rounds_means_one_draw():
    collection, sampler, _ = collect([FAILED] * 4, max_refill_rounds=0)
    assert len(sampler.calls) == 1
    assert collection.kept == []


def test_rounds_have_seeds_of_their_own_and_the_trainings_decoding():
    _, sampler, _ = collect([FAILED] * 12)
    _, again, _ = collect([FAILED] * 12)
    seeds = [seed for *_, seed in sampler.calls]
    assert len(set(seeds)) == 3
    assert seeds == [seed for *_, seed in again.calls]
    assert sampler.calls[0][1].temperature == 0.7
    assert sampler.calls[0][1].max_tokens == 5
    assert sampler.calls[0][2] == 2


def test_a_refilled_prompt_draws_anew():
    """One prompt for ever, three rounds of it: no rollout is another's copy."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(RENDERER.tokenizer), hidden_size=16, intermediate_size=16,
            num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=128,
        )
    )  # fmt: skip
    stream = PromptStream(RECORDS[:1], {}, injection=CLEAN, renderer=RENDERER, seed=3)
    sampler = TorchSampler(model, RENDERER.turn.stop_ids, RENDERER.pad_id, 16)
    scorer = ScriptedScorer([FAILED] * 24)
    collector = Collector(stream, sampler, scorer, RENDERER, train(2), seed=5)
    drawn = [
        rollout.sample.token_ids
        for update in (1, 2)
        for group in collector.collect(update).groups
        for rollout in group.rollouts
        if len(rollout.sample.token_ids) == 5
    ]
    assert len(drawn) == len(set(drawn)) > 40


def test_rollouts_are_split_into_thought_and_response():
    collection, _, _ = collect([GOOD] * 4)
    rollout = collection.groups[0].rollouts[0]
    assert rollout.cot == ""
    assert rollout.response == RENDERER.tokenizer.convert_ids_to_tokens(40)


@pytest.mark.parametrize(
    ("groups", "rounds"),
    [
        # ceil(missing x drawn / kept), at most the batch of 4
        ([GOOD, GOOD, FAILED, FAILED, GOOD, GOOD, GOOD, FLAT], [4, 4]),  # 2 x 4 / 2
        ([GOOD, GOOD, GOOD, FAILED, GOOD, GOOD], [4, 2]),  # 1 x 4 / 3
        ([FAILED] * 4 + [GOOD, FLAT, GOOD, GOOD] + [GOOD] * 3, [4, 4, 3]),  # none kept; 1 x 8 / 3
        ([GOOD, FAILED, FAILED, FAILED] + [FLAT] * 8, [4, 4, 4]),  # 3 x 4 / 1, 3 x 8 / 1
    ],
)
def test_an_expected_round_draws_by_the_share_kept_so_far(groups, rounds):
    collector, sampler = make_collector(groups, train(2, refill="expected"))
    collector.collect(1)
    assert [count for count, *_ in sampler.calls] == rounds


def test_a_surplus_is_used_first_in_the_next_update():
    rewards = [GOOD, GOOD, FAILED, FAILED, GOOD, GOOD, GOOD, GOOD, GOOD, SOLVED, GOOD, GOOD]
    section = train(2, refill="expected")
    collector, sampler = make_collector(rewards, section)
    first, second = collector.collect(1), collector.collect(2)
    drawn = first.groups + second.groups
    assert [drawn.index(group) for group in first.batch] == [0, 1, 4, 5]
    assert first.carried_out == second.carried_in == first.groups[6:]
    assert [count for count, *_ in sampler.calls] == [4, 4, 2, 2]  # 2 missing; then 1 x 2 / 1
    assert [drawn.index(group) for group in second.batch] == [6, 7, 8, 10]
    assert second.carried_out == [drawn[11]] == collector.carried
    # The rollouts of a carried group keep the log-probabilities they were sampled with.
    assert [group.policy_version for group in second.batch] == [1, 1, 2, 2]
    line = update_metrics(
        2, second, [], batch_groups=4, tau=0.9, epoch=0.1, learning_rate=1e-4, carries=True
    )
    expected = {"kept": 3, "missing": 0, "carried_in": 2, "carried_out": 1, "too_old": 0}
    assert {name: line[f"groups_{name}"] for name in expected} == expected
    assert line["age"] == 0.5


def test_an_age_of_zero_carries_nothing():
    rewards = [GOOD, GOOD, FAILED, FAILED] + [GOOD] * 8
    collector, _ = make_collector(rewards, train(2, refill="expected", max_carry_age=0))
    first, second = collector.collect(1), collector.collect(2)
    assert len(first.carried_out) == 2
    assert second.too_old == first.carried_out
    assert second.carried_in == []
    assert second.batch == second.groups


@settings(max_examples=60, deadline=None)
@given(
    kept=st.lists(st.booleans(), min_size=4 * 5 * 4, max_size=4 * 5 * 4),
    size=st.integers(1, 5),
    refills=st.integers(0, 3),
    refill=st.sampled_from(["missing", "expected"]),
    max_age=st.integers(0, 2),
    resumed=st.booleans(),
)
def test_nothing_is_lost_used_twice_or_older_than_allowed(
    kept, size, refills, refill, max_age, resumed
):
    section = train(refills, prompts_per_update=size, refill=refill, max_carry_age=max_age)
    rewards = [GOOD if one else FAILED for one in kept]
    collector, sampler = make_collector(rewards, section)
    informative, used, too_old = [], [], []
    for update in range(1, 5):
        waiting = list(collector.carried)
        if resumed:  # as after a restart: equal groups, but not the same objects
            collector.carried = GROUPS.validate_json(GROUPS.dump_json(waiting))
        before = len(sampler.calls)
        collection = collector.collect(update)
        assert len(collection.batch) <= size
        assert 1 <= len(sampler.calls) - before <= 1 + refills
        assert all(count <= size for count, *_ in sampler.calls[before:])
        ages = [update - group.policy_version for group in collection.batch]
        assert ages == sorted(ages, reverse=True)
        assert max(ages, default=0) <= max_age
        assert all(update - group.policy_version > max_age for group in collection.too_old)
        informative += map(name, collection.kept)
        used += map(name, collection.batch)
        too_old += map(name, collection.too_old)
        if len(collection.batch) < size:
            assert collection.carried_out == []
        if refill == "missing":
            assert collection.carried_out == []
    accounted = used + too_old + [name(group) for group in collector.carried]
    assert sorted(accounted) == sorted(informative)
    assert len(set(accounted)) == len(accounted)


def name(group):
    """Unique: fewer prompts are drawn than there are."""
    return group.prompt.record.id


def test_metrics_of_an_update():
    groups = [GOOD, GOOD, FAILED, SOLVED, GAP, FLAT, SOLVED, SOLVED]
    collection, _, _ = collect(groups)
    steps = [
        StepResult(0.2, 1.0, 0.01, 0.02, 0.5, tokens=6, applied=True),
        StepResult(float("nan"), 1.0, 0.0, 0.0, 0.5, tokens=6, applied=False),
    ]
    assert len(collection.groups) == 8
    metrics = update_metrics(
        1, collection, steps, batch_groups=4, tau=0.9, epoch=0.16, learning_rate=1e-4
    )
    # 15 scored rewards: 1 + 1 + 0 + 2 + 1 + 1 + 2 + 2 = 10
    assert metrics["reward"] == metrics["reward_math"] == pytest.approx(10 / 15)
    assert metrics["reward_harmful"] is metrics["reward_prefilled"] is None
    assert metrics["solved_math"] == pytest.approx(9 / 15)
    expected = {"kept": 2, "failed": 1, "solved": 3, "unscored": 1, "flat": 1, "missing": 2}
    assert {name: metrics[f"groups_{name}"] for name in expected} == expected
    assert metrics["refill_rounds"] == 2
    assert metrics["unscored"] == 1
    assert metrics["tokens"] == 8 * 2 * 3
    assert metrics["completion_tokens"] == 3
    assert metrics["share_truncated"] == metrics["share_prefilled"] == 0
    assert metrics["optimised_tokens"] == 12
    assert metrics["skipped_steps"] == 1
    assert metrics["loss"] == 0.2
    assert not any("second" in name or "carried" in name for name in metrics)


SPENT = Speed(
    gemm_peak=1e3,
    total=2.0,
    generation=0.5,
    scoring=0.25,
    forward=0.25,
    backward=0.75,
    generation_flops=100,
    training_flops=300,
)


@pytest.mark.parametrize(
    ("curriculum", "alpha", "length"), [("none", 1, 4), ("adaptive", 0.95, 3.85)]
)
def test_a_curriculum_moves_after_the_update_that_it_saw(curriculum, alpha, length):
    section = train(
        0, curriculum=curriculum, curriculum_alpha=(0.25, 1.0), alpha=1.0, alpha_mode="bernoulli",
        prefill_length=(1, 4),
    )  # fmt: skip
    records = [record.model_copy(update={"domain": "harmful"}) for record in RECORDS]
    thoughts = {
        record.id: Prefill(
            prompt_id=record.id, text="i should", intent="harmful", source_model="harmful",
            num_words=2, num_tokens=2, response="", rejected=None,
        )
        for record in records
    }  # fmt: skip
    stream = PromptStream(
        records, thoughts, injection=Injection.of(section), renderer=RENDERER, seed=3
    )
    collector = Collector(
        stream, ScriptedSampler(), ScriptedScorer([FAILED] * 4), RENDERER, section, seed=5
    )
    collection = collector.collect(1)
    assert stream.injection.alphas["harmful"] == pytest.approx(alpha)
    assert stream.injection.longest_of("harmful") == pytest.approx(length)
    line = update_metrics(1, collection, [], batch_groups=4, tau=0.9, epoch=0, learning_rate=0)
    if curriculum == "none":
        assert collection.curriculum == {}
        assert not any("alpha" in name for name in line)
    else:  # the update's own levels, not the next one's
        assert (line["alpha_harmful"], line["length_harmful"]) == (1.0, 4)
        assert (line["solved_prefilled_harmful"], line["solved_prefilled_benign"]) == (0.0, None)


def test_speed_is_split_and_adds_up():
    line = with_speed({"tokens": 500}, SPENT)
    assert line == {
        "tokens": 500,
        "seconds": 2.0,
        "seconds_generation": 0.5,
        "seconds_scoring": 0.25,
        "seconds_forward": 0.25,
        "seconds_backward": 0.75,
        "seconds_other": 0.25,
        "time_share_generation": 0.25,
        "time_share_scoring": 0.125,
        "time_share_forward": 0.125,
        "time_share_backward": 0.375,
        "time_share_other": 0.125,
        "tokens_per_second": 250,
        "memory_retries": 0,
        "gemm_peak": 1e3,
        "gemm_share_generation": 0.2,
        "gemm_share_training": 0.3,
    }


@pytest.mark.parametrize("change", [{"gemm_peak": None}, {"forward": 0.0, "backward": 0.0}])
def test_a_share_of_the_peak_that_nobody_measured_is_none(change):
    line = with_speed({"tokens": 500}, replace(SPENT, **change))
    assert line["gemm_share_training"] is None


def test_speed_never_counts_as_a_lasting_number():
    assert set(lasting(with_speed({"tokens": 500}, SPENT))) == {"tokens"}
