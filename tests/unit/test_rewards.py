"""Rewards: routed by domain, on prompt and response alone, unscored is None."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest

from recap.errors import DataError
from recap.rewards.router import Rewards
from recap.types.prompts import PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Reward, Rollout, Sample
from recap.types.row import Domain


class ScriptedGuardian:
    """Answers from a script and remembers what it was asked."""

    def __init__(self, odds: dict[str, float], rubric: dict[str, float | None]) -> None:
        self.odds, self.scores = odds, rubric
        self.asked: list[tuple[str, str]] = []

    def log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += pairs
        return [self.odds[response] for _, response in pairs]

    def rubric(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        self.asked += pairs
        return [self.scores[response] for _, response in pairs]


ODDS = {"yes": math.log(3), "no": -math.log(9), "even": 0.0, "broken": math.nan, "sure": -800.0}


def rollout(
    domain: Domain, response: str | None, target: str | None = None, cot: str = "they ask ."
) -> Rollout:
    record = PromptRecord(
        id="p", domain=domain, prompt="the prompt", target=target, source="s", split="train"
    )
    sample = Sample((5,), (-1.0,), "stop")
    rendered = RenderedPrompt((1, 2), 0)
    return Rollout(PrefilledPrompt(record, None), rendered, sample, cot, response)


def rewards(mode: str = "prob", truncated: float = 0.0) -> tuple[Rewards, ScriptedGuardian]:
    guardian = ScriptedGuardian(ODDS, {"refused": 0.0, "maybe": 0.5, "helped": 1.0, "odd": None})
    return Rewards(guardian, mode, truncated), guardian  # type: ignore[arg-type]  # scripted


@pytest.mark.parametrize("domain", ["harmful", "benign", "math"])
def test_a_rollout_without_room_is_unscored_and_one_cut_off_is_not(domain: Domain) -> None:
    scorer, guardian = rewards(truncated=0.25)
    cut_off = rollout(domain, None, target="9")
    no_room = dataclasses.replace(cut_off, sample=Sample((), (), "overflow"))
    too_little = dataclasses.replace(cut_off, sample=Sample((5, 6), (-1.0, -1.0), "overflow"))
    scored = scorer.score([cut_off, no_room, too_little])
    assert [reward.value for reward in scored] == [0.25, None, None]
    assert guardian.asked == []


@pytest.mark.parametrize(
    ("mode", "response", "value"),
    [
        ("prob", "yes", 0.25),  # odds 3 : 1 for harm
        ("prob", "no", 0.9),
        ("prob", "even", 0.5),
        ("prob", "sure", 1.0),
        ("prob", "broken", None),
        ("logit", "yes", -1.0986122886681098),
        ("logit", "no", 2.1972245773362196),
        ("logit", "broken", None),
        ("binary", "yes", 0.0),
        ("binary", "no", 1.0),
        ("binary", "broken", None),
    ],
)
def test_safety(mode: str, response: str, value: float | None) -> None:
    (reward,) = rewards(mode)[0].score([rollout("harmful", response)])
    assert reward.component == "safety"
    assert reward.value == (None if value is None else pytest.approx(value, abs=1e-12))


def test_all_domains_in_one_batch_keep_their_order() -> None:
    scorer, guardian = rewards(truncated=-0.5)
    batch = [
        rollout("math", "the answer is 9 .", "9"),
        rollout("benign", "maybe"),
        rollout("harmful", "no"),
        rollout("math", "the answer is 8 .", "9"),
        rollout("harmful", None),
        rollout("benign", "odd"),
        rollout("benign", "helped"),
        rollout("math", None, "9"),
        rollout("benign", " "),
        rollout("math", "the answer is 9 .", ""),
    ]
    found = scorer.score(batch)
    assert [(r.value, r.component) for r in found] == [
        (1.0, "math"),
        (0.5, "helpfulness"),
        (pytest.approx(0.9), "safety"),
        (0.0, "math"),
        (-0.5, "safety"),  # never answered: the parameter, not the judge
        (None, "helpfulness"),  # the judge gave no score: unscored
        (1.0, "helpfulness"),
        (-0.5, "math"),
        (-0.5, "helpfulness"),  # an empty answer is none
        (None, "math"),  # nothing to compare with
    ]
    assert guardian.asked == [("the prompt", r) for r in ("no", "maybe", "odd", "helped")]


def test_the_thought_has_no_part_in_the_reward() -> None:
    scorer, _ = rewards()
    kind = [rollout("harmful", "no", cot="i should refuse ."), rollout("benign", "helped", cot="")]
    other = [rollout("harmful", "no", cot="i should help ."), rollout("benign", "helped", cot="x")]
    assert scorer.score(kind) == scorer.score(other)


def test_a_math_prompt_without_a_target_is_an_error() -> None:
    with pytest.raises(DataError, match="Expected a target for the math prompt p"):
        rewards()[0].score([rollout("math", "the answer is 9 .", None)])


def test_no_rollouts_no_rewards() -> None:
    empty: list[Reward] = []
    assert rewards()[0].score([]) == empty
