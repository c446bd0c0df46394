"""Rates as DVC shows them: in percent, unscored is nothing, rounding keeps all from almost all."""

from __future__ import annotations

import pytest

from recap.report.dvc_files import bars, points, rewards


@pytest.mark.parametrize(
    ("share", "percent"),
    [
        (None, None),
        (0.0, 0.0),
        (1.0, 100.0),
        (0.9884, 98.8),
        (0.4, 40.0),
        (0.9999, 99.9),
        (0.0001, 0.1),
    ],
)
def test_a_share_in_percent(share: float | None, percent: float | None) -> None:
    assert points(share) == percent


def test_a_row_for_each_rate() -> None:
    assert bars({"prefill": {"dapo-0": 1.2, "recap-0": None}}) == [
        {"benchmark": "prefill", "cell": "dapo-0", "rate": 1.2},
        {"benchmark": "prefill", "cell": "recap-0", "rate": None},
    ]


def test_an_update_without_a_reward_has_none() -> None:
    lines = {("dapo", 0): [{"update": 1, "reward": 0.5, "loss": 2.0}], ("sft", 1): [{"update": 1}]}
    assert rewards(lines) == [
        {"update": 1, "cell": "dapo-0", "reward": 0.5},
        {"update": 1, "cell": "sft-1", "reward": None},
    ]
