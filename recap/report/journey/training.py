"""Chapters on training: the cut prefill, the group of rollouts, the weights."""

from __future__ import annotations

from statistics import fmean, stdev

from recap.analysis.axes import variant_label
from recap.report.journey.markdown import chapter, said, table, value
from recap.report.journey.rows import Story
from recap.report.journey.shared import HEADER
from recap.rl.dynamic_sampling import group_advantages


def prefilled(story: Story) -> str:
    """The part of each thought that is used."""
    train = story.train
    harmful, benign = train.alphas["harmful"], train.alphas["benign"]
    share = f"{harmful:g}" if harmful == benign else f"{harmful:g} and {benign:g}"
    at_first = "At first a" if story.train.curriculum == "adaptive" else "A"
    shortest, longest = train.prefill_lengths
    length = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    cut = [row.group.prompt.prefill for row in story.trained]
    return chapter(
        "`PrefilledPrompt`",
        f"{at_first} share of {share} (alpha) of harmful and of benign prompts gets a "
        f"prefill, drawn anew each epoch and cut to its first {length} {train.prefill_unit}. "
        f"The record has both lengths: the limit is in {train.prefill_unit}, and t0 counts tokens.",
        table(
            HEADER,
            [
                ["the prompt with", *(value(p.text) if p else "no prefill" for p in cut)],
                ["`num_words`", *(value(p.num_words) if p else "" for p in cut)],
                ["`num_tokens`", *(value(p.num_tokens) if p else "" for p in cut)],
            ],
        ),
    )


def groups(story: Story) -> str:
    """Rollouts, rewards and advantages."""
    blocks = []
    scaled = story.train.optimizer != "dr_grpo"
    paid = story.train.turn_reward
    extra = (
        f", except for {paid:g} more if a good answer turns round from a prefill" if paid else ""
    )
    for row in story.trained:
        group = row.group
        advantages = group_advantages(group.rewards, scaled=scaled)
        lines = [
            [
                f"{number}",
                said(rollout.cot, rollout.response, continues=group.prompt.prefill is not None),
                value(reward.value),
                f"`{advantage:+.3f}`",
            ]
            for number, (rollout, reward, advantage) in enumerate(
                zip(group.rollouts, group.rewards, advantages, strict=True), start=1
            )
        ]
        scores = [reward.value for reward in group.rewards if reward.value is not None]
        spread = f"{stdev(scores):.3f}" if len(scores) > 1 else "none"
        summary = (
            f"mean `{fmean(scores):.3f}`, std `{spread}`" if scores else "nothing scored"
        ) + f", so dynamic sampling calls the group **{row.fate}**."
        component = group.rewards[0].component
        blocks.append(
            f"**{group.prompt.record.domain}**, rewarded for {component}\n\n"
            + table(["", "generated thought, then response", "`Reward`", "advantage"], lines)
            + f"\n\n{summary}"
        )
    return chapter(
        "`Rollout` → `Reward` → `RolloutGroup` → advantages",
        "Before its first update the policy continues from t0 several times. The reward reads only "
        f"prompt and response, never the thought{extra}. An advantage is a reward's distance from "
        f"its own group's mean{', in standard deviations' if scaled else ''}. "
        f"Training samples {story.train.grpo.num_generations} rollouts, and this page shows "
        f"{len(story.trained[0].group.rewards)}. "
        "It shows the first group of each domain that dynamic sampling keeps, if there is one.",
        *blocks,
    )


def weights(story: Story) -> str:
    """The result of training."""
    first, last = story.metrics[0], story.metrics[-1]
    names = ("reward", "reward_harmful", "reward_benign", "reward_math", "groups_kept")
    rows = [[f"`{name}`", value(first.get(name)), value(last.get(name))] for name in names]
    return chapter(
        "Weights",
        "Each optimised token of a rollout has the rollout's advantage in the clipped objective. "
        f"After {len(story.metrics)} updates {variant_label(story.candidate)} is trained:",
        table(["", "first update", "last update"], rows),
    )
