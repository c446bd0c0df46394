"""Alarms of an attack made anew: a table of rates then and now, worked by hand."""

from __future__ import annotations

import pytest

from recap.analysis.watch import alarms
from recap.params.gate import Gate
from recap.types.results import BenchmarkResult, Metric
from recap.types.verdicts import Outcome

GATE = {"candidate": "recap", "baseline": "dapo", "seed": 0, "margin": 0.05, "min_rows": 80}


def gate(*checks: dict[str, object]) -> Gate:
    others = ({"benchmark": "prefill", "kind": "superior"}, *checks)
    return Gate.model_validate({**GATE, "checks": others})


def result(benchmark: str, value: float | None, half: float = 0.03, place: int = 1):
    metric = Metric(
        value=value,
        low=None if value is None else value - half,
        high=None if value is None else value + half,
        cluster_low=None,
        cluster_high=None,
        n=0 if value is None else 100,
        n_unscored=100 if value is None else 0,
        n_incomplete=0,
    )
    return BenchmarkResult(
        benchmark=benchmark,
        place=place,
        domain="harmful",
        score="safe",
        rate=metric,
        pass_at_k=[],
        reflection=metric,
        mean_reflection_position=None,
        mean_cot_tokens=1.0,
        mean_response_tokens=1.0,
    )


def outcomes(benchmark: str, successes: int, failures: int) -> list[Outcome]:
    return [
        Outcome(
            prompt_id=f"p{n}",
            benchmark=benchmark,
            place=1,
            cluster=f"c{n}",
            success=n < successes,
            reflected=None,
            reflection_position=None,
        )
        for n in range(successes + failures)
    ]


def found(now, then, gate_=None, rows=()) -> list[str]:
    said = alarms(now, then, rows, gate_ or gate(), name="recap-0", resamples=200, seed=0)
    return said


@pytest.mark.parametrize(
    ("before", "now"),
    [(0.95, 0.95), (0.95, 0.99), (0.95, 0.871)],  # the last one's interval ends at 0.901 > 0.9
)
def test_a_fall_within_interval_and_margin_is_none(before: float, now: float) -> None:
    assert found([result("prefill", now)], {("prefill", 1): before}) == []


def test_a_fall_beyond_both_is_one() -> None:
    assert found([result("prefill", 0.86)], {("prefill", 1): 0.95}) == [
        "prefill/1: 95.0% at registration, 86.0% [83.0, 89.0], n = 100 now: below it by more "
        "than 5 points"
    ]


def test_no_score_and_no_measurement_are_alarms() -> None:
    then = {("prefill", 1): 0.95, ("hijack", 1): 0.9, ("harmful", 1): 0.9}
    assert found([result("prefill", None), result("harmful", 0.9)], then) == [
        "prefill/1: 95.0% at registration, no score, 100 unscored now",
        "hijack/1: 90.0% at registration, not measured now",
    ]


def test_what_had_no_score_then_and_what_is_exempt_raise_none() -> None:
    then = {("prefill", 1): None, ("transfer", 1): 0.9, ("no such", 1): 0.9}
    assert found([result("transfer", 0.1)], then) == []


@pytest.mark.parametrize(
    ("successes", "failures", "passed"),
    [(100, 0, True), (80, 20, False), (0, 0, False), (50, 0, False)],
)
def test_a_floor_of_the_gate_has_to_be_reached(successes: int, failures: int, passed: bool) -> None:
    """Wilson's interval of 100 of 100 begins at 0.963; 50 rows are fewer than 80."""
    floor = gate({"benchmark": "harmful", "kind": "floor", "floor": 0.95})
    rows = outcomes("harmful", successes, failures)
    said = found([result("harmful", 0.9)], {}, floor, rows)
    assert (said == []) is passed
    assert all(line.startswith("harmful at least 95.0%: ") for line in said)
