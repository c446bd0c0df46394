"""The judges without a model against tables of cases, written without a look at the rules."""

from __future__ import annotations

from tests.golden.judge_cases import CASES, Outcome, read, run, sum_label


def _sums(name: str) -> Outcome:
    return run(read(CASES / name), sum_label)


def test_sums_of_development() -> None:
    outcome = _sums("sums_dev.jsonl")
    assert outcome.kinds.total() == 148
    assert outcome.agreement > 0.98, "\n".join(outcome.lines())
    assert [miss.id for miss in outcome.misses if miss.got == "correct"] == []


def test_sums_held_back_until_the_rules_were_done() -> None:
    """The one refusal with a number that counts as an answer is known (docs/LOG.md)."""
    outcome = _sums("sums_held_out.jsonl")
    assert outcome.kinds.total() == 156
    assert outcome.agreement > 0.94, "\n".join(outcome.lines())
    assert [miss.id for miss in outcome.misses if miss.got == "correct"] == ["s254"]


def test_a_miss_is_counted_with_its_direction() -> None:
    table = [
        {"id": "1", "kind": "a", "expected": "wrong", "said": "correct"},
        {"id": "2", "kind": "a", "expected": "not correct", "said": "unscored"},
        {"id": "3", "kind": "b", "expected": "correct", "said": "wrong"},
        {"id": "4", "kind": "b", "expected": "refused|unscored", "said": "unscored"},
    ]
    outcome = run(table, lambda line: line["said"])
    assert outcome.agreement == 0.5
    assert outcome.directions() == {"wrong called correct": 1, "correct called wrong": 1}
    assert [miss.id for miss in outcome.misses] == ["1", "3"]
