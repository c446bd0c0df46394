"""Metrics are named as a person would say them, and few."""

from __future__ import annotations

import pytest

from recap.tracking.measures import named_rates, snapshot_lines
from recap.types.results import (
    BenchmarkResult,
    DynamicsResult,
    Metric,
    PassAtK,
    RubricScore,
    SnapshotResult,
)


def metric(value: float | None, unscored: int = 0) -> Metric:
    low, high = (None, None) if value is None else (value - 0.25, value + 0.25)
    return Metric(
        value=value,
        low=low,
        high=high,
        cluster_low=low,
        cluster_high=high,
        n=0 if value is None else 8,
        n_unscored=unscored,
        n_incomplete=0,
    )


def result(name: str, round_: int, score: str, rate: Metric, *pass_at: PassAtK) -> BenchmarkResult:
    return BenchmarkResult.model_validate(
        {
            "benchmark": name,
            "place": round_,
            "score": score,
            "rate": rate,
            "domain": {"safe": "harmful", "helpful": "benign", "correct": "math"}[score],
            "pass_at_k": list(pass_at),
            "reflection": metric(0.5),
            "mean_reflection_position": None,
            "mean_cot_tokens": None,
            "mean_response_tokens": None,
        }
    )


@pytest.mark.parametrize(
    ("results", "names"),
    [
        (
            [result("prefill", 1, "safe", metric(0.5))],
            {"prefill/safe": 0.5, "prefill/safe_low": 0.25, "prefill/safe_high": 0.75},
        ),
        (
            [result("ipr", 1, "safe", metric(0.5)), result("ipr", 3, "safe", metric(0.25))],
            {
                "ipr/round_1/safe": 0.5, "ipr/round_1/safe_low": 0.25,
                "ipr/round_1/safe_high": 0.75, "ipr/round_3/safe": 0.25,
                "ipr/round_3/safe_low": 0.0, "ipr/round_3/safe_high": 0.5,
            },
        ),
        ([result("benign", 1, "helpful", metric(None, 3))], {"benign/unscored": 3.0}),
        (
            [
                result(
                    "math", 1, "correct", metric(0.5, 1),
                    PassAtK(k=2, value=0.75, low=0.5, high=1.0, n_prompts=4),
                    PassAtK(k=4, value=None, low=None, high=None, n_prompts=0),
                )
            ],
            {
                "math/correct": 0.5, "math/correct_low": 0.25, "math/correct_high": 0.75,
                "math/unscored": 1.0, "math/correct_pass_at_2": 0.75,
            },
        ),
        (
            [
                result("fortress", 1, "safe", metric(None, 8)).model_copy(
                    update={"rubric": RubricScore(value=0.8, low=None, high=None, n=8)}
                )
            ],
            {"fortress/unscored": 8.0, "fortress/rubric_score": 0.8},
        ),
    ],
)  # fmt: skip
def test_the_names_of_rates(results: list[BenchmarkResult], names: dict[str, float]) -> None:
    assert dict(named_rates(results)) == names


def test_a_snapshot_is_a_line_of_values() -> None:
    rows = [result("prefill", 1, "safe", metric(0.5)), result("math", 1, "correct", metric(None))]
    dynamics = DynamicsResult(
        variant="dapo", seed=0, snapshots=[SnapshotResult(update=40, results=rows)]
    )
    assert snapshot_lines(dynamics) == [
        {
            "update": 40.0,
            "dynamics/prefill/safe": 0.5,
            "dynamics/prefill/reflection": 0.5,
            "dynamics/math/reflection": 0.5,
        }
    ]
