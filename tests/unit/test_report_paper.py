"""The paper's numbers beside a run's: which benchmarks correspond, and both ways to average."""

from __future__ import annotations

import pytest

from recap.analysis.axes import NO_AXES
from recap.analysis.evidence import Evidence
from recap.analysis.paper import aggregates, gaps, numbers, paper_rows
from tests.unit.test_report_evidence import attacked
from tests.unit.test_report_numbers import cell, rate, result


def test_gaps_are_those_of_table_2() -> None:
    assert gaps("prefill") == pytest.approx((98.70 - 79.23, 98.08 - 80.51))
    assert gaps("benign") == pytest.approx((91.87 - 78.0, 0.0))


def test_every_table_that_a_claim_needs_is_there() -> None:
    assert numbers()["paper"] == "arXiv:2510.00938"
    for table in (
        "table2_main",
        "table3_full_cot_hijack",
        "table4_iterative_prefill_reset",
        "table7_binary_safety_reward",
        "table8_grpo_optimizer",
        "table11_tokens",
        "table12_ablation",
        "self_reflection_rate",
    ):
        assert table in numbers()


def test_a_row_has_this_run_and_both_models() -> None:
    cells = [
        cell("dapo", result("prefill", rate(0.4))),
        cell("recap", result("prefill", rate(0.9))),
    ]
    outcomes = {("dapo", 0): attacked(0.4), ("recap", 0): attacked(0.9)}
    evidence = Evidence(outcomes, {}, resamples=200, seed=0)
    (row,) = paper_rows(cells, evidence, "recap", "dapo", NO_AXES)
    assert (row.label, row.counterpart) == ("Prefill attack", "StrongREJECT-Prefill")
    (here,) = row.here
    assert (here.baseline, here.candidate, here.difference) == pytest.approx((40.0, 90.0, 50.0))
    assert here.low is not None and here.low < 50 < (here.high or 0)
    first, second = row.paper
    assert first is not None and second is not None
    assert (first.baseline, first.candidate) == (79.23, 98.70)
    assert second.difference == pytest.approx(17.57)


def test_averages_of_the_same_benchmarks_in_the_paper() -> None:
    cells = [
        cell("dapo", result("harmful", rate(0.8)), result("prefill", rate(0.4))),
        cell("recap", result("harmful", rate(0.8)), result("prefill", rate(0.6))),
    ]
    here, first, _ = aggregates(cells, "recap", "dapo")
    assert (here.family, here.where, here.benchmarks) == ("Safety", "here", ("harmful", "prefill"))
    assert here.changes.mean_difference == pytest.approx(0.1)  # (0 + 0.2) / 2
    assert here.changes.mean_relative == pytest.approx(0.25)  # (0 + 0.5) / 2
    # StrongREJECT and its prefilled twin alone, of DSLlama-8B
    assert first.changes.mean_difference == pytest.approx((0.9968 - 0.9681 + 0.987 - 0.7923) / 2)
    assert (here.changes.num_benchmarks, here.changes.num_relative) == (2, 2)
    assert first.changes.mean_relative == pytest.approx((0.9968 / 0.9681 + 0.987 / 0.7923 - 2) / 2)
