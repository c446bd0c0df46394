"""The curriculum's rule: worked by hand, in bounds, monotone; resting where nothing was seen."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.prefill.inject import Injection
from recap.rl.curriculum import adapt, at_levels, levels, numbers
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord
from recap.types.rollouts import Reward, RolloutGroup

START = Injection({"harmful": 0.5, "benign": 0.4}, "bernoulli", (20, 80), "words")
GIVEN = Prefill(
    prompt_id="p", text="i should help .", intent="harmful", source_model="harmful", num_words=4,
    num_tokens=4, response="", rejected=None,
)  # fmt: skip


def settings_of(target=0.5, step=0.1, bounds=(0.25, 0.75)):
    """The keys of a ``train`` section that matter here; a reward of exactly tau is not solved."""
    return SimpleNamespace(
        curriculum_target=target, curriculum_step=step, curriculum_alpha=bounds, tau=0.9
    )


def group(domain, *rewards, prefilled=True):
    record = PromptRecord(id="p", domain=domain, prompt="x", target=None, source="s", split="train")
    prompt = PrefilledPrompt(record, GIVEN if prefilled else None)
    return RolloutGroup(prompt, (), tuple(Reward(value, "safety") for value in rewards), 1)


SOLVED, FAILED = group("harmful", 1.0, 1.0), group("harmful", 0.0, 0.0)


@pytest.mark.parametrize(
    ("groups", "alpha", "length"),
    [
        # 3 of 4 solved: 0.5 + 0.1 * (0.75 - 0.5); 50 + 0.1 * 0.25 * 60
        ([group("harmful", 1.0, 0.95, 0.91, 0.9)], 0.525, 51.5),
        ([SOLVED, FAILED], 0.5, 50.0),
        ([SOLVED], 0.55, 53.0),
        ([FAILED], 0.45, 47.0),
        # unscored ones are left out: 1 of 2
        ([group("harmful", 1.0, None, None, 0.0)], 0.5, 50.0),
        # rollouts count, not groups: 1 of 4
        ([group("harmful", 1.0), group("harmful", 0.0, 0.2, 0.0)], 0.475, 48.5),
        # nothing to go by: no prefilled rollout, of this domain, with a score
        ([], 0.5, 50.0),
        ([group("harmful", 1.0, 1.0, prefilled=False)], 0.5, 50.0),
        ([group("harmful", None, None)], 0.5, 50.0),
        ([group("benign", 1.0, 1.0)], 0.5, 50.0),
    ],
)
def test_one_step_by_hand(groups, alpha, length):
    start = at_levels(START, levels(START) | {"length_harmful": 50.0})
    moved = adapt(start, groups, settings_of())
    assert moved.alphas["harmful"] == pytest.approx(alpha, abs=1e-12)
    assert moved.longest_of("harmful") == pytest.approx(length, abs=1e-12)
    assert (moved.mode, moved.lengths, moved.unit) == (START.mode, START.lengths, START.unit)


def test_domains_move_apart():
    moved = adapt(START, [FAILED, group("benign", 1.0)], settings_of())
    assert levels(moved) == {
        "alpha_harmful": pytest.approx(0.45),
        "alpha_benign": pytest.approx(0.45),
        "length_harmful": pytest.approx(77),
        "length_benign": 80,
    }
    assert START.longest == {} and START.alphas["harmful"] == 0.5


def test_where_nothing_moved_it_begins_as_the_fixed_schedule():
    assert levels(START) == {
        "alpha_harmful": 0.5, "alpha_benign": 0.4, "length_harmful": 80, "length_benign": 80,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "alpha", "length"), [([SOLVED], 0.75, 80), ([FAILED], 0.25, 20)]
)
def test_it_ends_at_its_bounds(groups, alpha, length):
    now = START
    for _ in range(50):
        now = adapt(now, groups, settings_of())
    assert (now.alphas["harmful"], now.longest_of("harmful")) == (alpha, length)
    assert (now.alphas["benign"], now.longest_of("benign")) == (0.4, 80)


def test_a_domain_that_is_never_prefilled_stays_so():
    off = Injection({"harmful": 0.5, "benign": 0.0}, "bernoulli", (20, 80), "words")
    groups = [SOLVED, group("benign", 1.0, prefilled=False)]
    assert adapt(off, groups, settings_of()).alphas["benign"] == 0.0


rewards = st.lists(st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0, None]), max_size=6)
shares = st.floats(0.01, 1.0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(rewards, max_size=8), shares, st.floats(0.01, 0.99), shares, shares,
    st.integers(1, 90), st.integers(0, 90),
)  # fmt: skip
def test_bounds_hold_whatever_comes(updates, step, target, one, other, low, wide):
    bounds = (min(one, other), max(one, other))
    now = Injection(
        {"harmful": bounds[0], "benign": bounds[1]}, "bernoulli", (low, low + wide), "words"
    )
    for values in updates:
        groups = [group("harmful", *values), group("benign", *values)]
        now = adapt(now, groups, settings_of(target, step, bounds))
        assert all(bounds[0] <= alpha <= bounds[1] for alpha in now.alphas.values())
        assert all(low <= now.longest_of(domain) <= low + wide for domain in now.alphas)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 16), st.integers(0, 16), shares, st.floats(0.25, 0.75), st.floats(20, 80))
def test_the_better_it_is_solved_the_harder_it_gets(few, many, step, alpha, length):
    few, many = min(few, many), max(few, many)
    start = at_levels(START, levels(START) | {"alpha_harmful": alpha, "length_harmful": length})

    def after(solved):
        values = [1.0] * solved + [0.0] * (16 - solved)
        return levels(adapt(start, [group("harmful", *values)], settings_of(step=step)))

    less, more = after(few), after(many)
    assert all(less[name] <= more[name] for name in less)
    for name, then in {"alpha_harmful": alpha, "length_harmful": length}.items():
        assert few > 8 or less[name] <= then  # the target is 8 of 16
        assert many < 8 or more[name] >= then


def test_levels_come_back_as_they_were():
    moved = adapt(START, [FAILED, group("benign", 1.0, 0.0, 0.0)], settings_of(step=0.07))
    again = at_levels(START, levels(moved))
    assert levels(again) == levels(moved)
    assert again.longest_of("benign") == moved.longest_of("benign")


def test_an_update_tells_the_levels_it_was_drawn_at():
    groups = [SOLVED, FAILED, FAILED, group("benign", None)]
    assert numbers(START, groups, tau=0.9) == {
        "alpha_harmful": 0.5, "alpha_benign": 0.4, "length_harmful": 80, "length_benign": 80,
        "solved_prefilled_harmful": pytest.approx(1 / 3), "solved_prefilled_benign": None,
    }  # fmt: skip
