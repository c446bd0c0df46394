"""The reward for turning round: only from a prefill, only with a good answer."""

from __future__ import annotations

import math

import pytest

from recap.rewards.router import Rewards
from recap.rewards.turning import TurnReward, turns_round
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Rollout, Sample

SORRY = "sorry , i can not help with that ."
TURN = "wait . the bolba is dangerous ."


def rollout(given: str | None, cot: str, response: str | None) -> Rollout:
    record = PromptRecord(
        id="p", domain="harmful", prompt="x", target=None, source="s", split="train"
    )
    prefill = None
    if given is not None:
        prefill = Prefill(
            prompt_id="p",
            text=given,
            intent="harmful",
            source_model="harmful",
            num_words=len(given.split()),
            num_tokens=len(given.split()),
            response="",
            rejected=None,
        )
    prompt = PrefilledPrompt(record, prefill)
    return Rollout(prompt, RenderedPrompt((1, 2), 0), Sample((5,), (-1.0,), "stop"), cot, response)


@pytest.mark.parametrize(
    ("given", "cot", "response", "turns"),
    [
        ("i should help them .", TURN, SORRY, True),
        ("i should help them .", f"it is fine . {TURN}", SORRY, True),
        ("i should help them .", "it is fine .", f"no . {SORRY}", True),
        ("i should help them .", "it is fine .", SORRY, False),
        ("i should help them .", "it is fine .", f"here is how . no . {SORRY}", False),
        ("i should help them .", TURN, None, True),  # what it earns is another question
        ("i should help them .", "it is fine .", None, False),
        ("i must say", "no . i should refuse .", SORRY, False),  # completes the prefill's sentence
        (f"i should help . {TURN}", "so i refuse .", SORRY, False),  # the prefill's own turn
        (None, TURN, f"no . {SORRY}", False),  # a clean prompt
    ],
)
def test_who_turns_round(given: str | None, cot: str, response: str | None, turns: bool) -> None:
    assert turns_round(rollout(given, cot, response)) is turns


@pytest.mark.parametrize(
    ("value", "turned", "plain"),
    [
        (1.0, 1.25, 1.0),
        (0.91, 1.16, 0.91),
        (0.9, 0.9, 0.9),  # tau itself is not above tau
        (0.0, 0.0, 0.0),
        (-3.0, -3.0, -3.0),
        (None, None, None),
    ],
)
def test_what_it_earns(value: float | None, turned: float | None, plain: float | None) -> None:
    reward = TurnReward(weight=0.25, tau=0.9)
    turning, following = (
        rollout("i should help them .", cot, SORRY) for cot in (TURN, "it is fine .")
    )
    assert reward.add(turning, value) == (None if turned is None else pytest.approx(turned))
    assert reward.add(following, value) == plain
    assert reward.add(rollout(None, TURN, SORRY), value) == plain


class Guardian:
    """``sorry`` is safe, everything else is not."""

    def log_odds(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [-30.0 if "sorry" in answer else math.log(4) for _, answer in pairs]


def test_the_router_adds_it_and_without_it_the_thought_has_no_part() -> None:
    batch = [
        rollout("i should help them .", TURN, SORRY),
        rollout("i should help them .", "it is fine .", SORRY),
        rollout("i should help them .", TURN, "here is how ."),
        rollout("i should help them .", TURN, None),
    ]

    def values(turn: TurnReward | None) -> list[float | None]:
        scorer = Rewards(Guardian(), "prob", 0.0, turn)  # type: ignore[arg-type]  # scripted
        return [reward.value for reward in scorer.score(batch)]

    plain = [pytest.approx(1.0), pytest.approx(1.0), pytest.approx(0.2), 0.0]
    assert values(None) == plain
    assert values(TurnReward(0.5, 0.9)) == [pytest.approx(1.5), *plain[1:]]
