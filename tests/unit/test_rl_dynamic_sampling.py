"""Which groups are kept, and what advantage each member gets: tables worked by hand."""

from __future__ import annotations

import pytest

from recap.rl.dynamic_sampling import filter_group, group_advantages
from recap.types.rollouts import Reward

TAU, EPSILON = 0.9, 1e-6


def rewards(values):
    return [Reward(value, "safety") for value in values]


@pytest.mark.parametrize(
    ("values", "fate"),
    [
        ([0.0, 1.0], "kept"),
        ([0.0, 0.0], "failed"),
        ([0.0, 1e-6], "failed"),
        ([0.0, 2e-6], "kept"),
        ([1.0, 1.0], "solved"),
        ([0.91, 0.99], "solved"),
        ([0.9, 0.99], "kept"),  # not all exceed tau
        ([0.9, 0.9], "flat"),
        ([0.5, 0.5, 0.5], "flat"),
        ([0.5, 0.5 + 1e-7], "flat"),
        ([0.5, 0.5 + 1e-5], "kept"),
        ([-3.0, -1.0], "failed"),  # logit rewards: nothing above 0
        ([-3.0, 0.5], "kept"),
        ([2.0, 5.0], "solved"),
        # unscored members take no part
        ([None, None], "unscored"),
        ([None, 1.0], "unscored"),
        ([None, 0.0, 0.0], "failed"),
        ([None, 1.0, 0.95], "solved"),
        ([None, 0.0, 1.0], "kept"),
        ([None, 0.5, 0.5], "flat"),
    ],
)
def test_fate_of_a_group(values, fate):
    assert filter_group(rewards(values), tau=TAU, epsilon=EPSILON) == fate


def test_a_higher_tau_keeps_what_a_lower_one_discards():
    values = rewards([0.91, 0.99])
    assert filter_group(values, tau=0.9, epsilon=EPSILON) == "solved"
    assert filter_group(values, tau=0.95, epsilon=EPSILON) == "kept"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # mean 0.5, sample std sqrt(2 * 0.25 / 1) = 0.70711, plus 1e-4
        ([0.0, 1.0], [-0.5 / 0.7072068, 0.5 / 0.7072068]),
        # mean 0.25, sample std sqrt((3 * 0.0625 + 0.5625) / 3) = 0.5
        ([0.0, 0.0, 0.0, 1.0], [-0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, 0.75 / 0.5001]),
        ([0.5, 0.5], [0.0, 0.0]),
        # unscored: advantage 0, and the others as if it were not there
        ([0.0, None, 1.0], [-0.5 / 0.7072068, 0.0, 0.5 / 0.7072068]),
        ([None, 1.0], [0.0, 0.0]),
    ],
)
def test_advantages(values, expected):
    assert group_advantages(rewards(values)) == pytest.approx(expected, rel=1e-5)
