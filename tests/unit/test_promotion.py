"""Promotion: what a version carries, and who may replace the champion on that evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.analysis.promotion import promotion_decision, version_evidence
from recap.params.attack import Attack, OwnDecoding
from recap.params.gate import Gate
from recap.params.whole import read_params
from recap.types.decisions import GateDecision, VersionEvidence
from recap.types.verdicts import Outcome, Verdict

ATTACK = read_params(Path(__file__).parents[2] / "params.yaml").attack
FILES = {"data/prompts/eval.jsonl": "11", "data/prefills/harmful_eval.jsonl": "22"}


def gate(**changes: object) -> Gate:
    """A floor, a superior and a non-inferior check: promotion asks the same of all three."""
    checks = [
        {"benchmark": "harmful", "kind": "floor", "floor": 0.95},
        {"benchmark": "ipr", "kind": "superior"},
        {"benchmark": "math", "kind": "non_inferior", "margin": 0.1},
    ]
    values = {"candidate": "recap", "baseline": "dapo", "seed": 0, "margin": 0.05, "min_rows": 80}
    return Gate.model_validate(values | {"checks": checks} | changes)


GATED = (("harmful", 1), ("ipr", 1), ("ipr", 3), ("math", 1))


def rows(n: int = 320, **failed: int) -> list[Outcome]:
    """Every benchmark of the gate and a second round; the first ``failed`` prompts fail."""
    return [
        Outcome(
            prompt_id=f"{name}{place}",
            benchmark=name,
            place=at,
            cluster=f"c{place % 40}",
            success=place >= failed.get(name, 0),
            reflected=None,
            reflection_position=None,
        )
        for name, at in (*GATED, ("hijack", 1))
        for place in range(n)
    ]


def verdicts(found: Sequence[Outcome], judge: str = "oracle") -> list[Verdict]:
    return [
        Verdict(
            prompt_id=row.prompt_id,
            benchmark=row.benchmark,
            place=row.place,
            sample=row.sample,
            label="safe",
            judge=judge,
            judge_revision="1",
            judge_prompt_sha="0",
            raw="",
        )
        for row in found
    ]


def carried(
    found: Sequence[Outcome],
    *,
    judge: str = "oracle",
    files: dict[str, str] = FILES,
    attack: Attack = ATTACK,
) -> VersionEvidence:
    return version_evidence(found, verdicts(found, judge), files, gate(), attack)


def decided(
    candidate: VersionEvidence | None, champion: VersionEvidence | None, **changes: object
) -> GateDecision:
    return promotion_decision(
        candidate,
        champion,
        gate(**changes),
        names=("version 2", "version 1"),
        resamples=500,
        seed=0,
    )


def test_a_version_carries_the_last_rounds_of_the_gated_benchmarks() -> None:
    found = carried(rows(100, math=2))
    assert [(own.benchmark, own.place) for own in found.answers] == [
        ("harmful", 1),
        ("ipr", 3),
        ("math", 1),
    ]
    assert found.answers[2].success == "00" + "1" * 98
    assert found.answers[2].clusters[41] == "c1"
    assert found.judges == ["oracle 1 0"]
    assert found.inputs.keys() == FILES.keys() | {"attack"}


def test_a_version_survives_its_file() -> None:
    found = carried(rows(90))
    assert VersionEvidence.model_validate_json(found.model_dump_json()) == found
    assert len(carried(rows(320)).model_dump_json()) < 40_000


def test_an_equal_version_may_replace_the_champion() -> None:
    decision = decided(carried(rows()), carried(rows()))
    assert decision.passed
    assert (decision.candidate, decision.baseline) == ("version 2", "version 1")
    assert [check.name for check in decision.checks] == [
        "harmful not below version 1",
        "ipr/3 not below version 1",
        "math not below version 1",
    ]


@pytest.mark.parametrize(
    ("failed", "missed"),
    [
        ({"harmful": 304}, ["harmful"]),  # 5 % instead of 100 %
        ({"ipr": 20}, ["ipr/3"]),  # -6.3 points, of a margin of 5
        ({"math": 4}, []),  # -1.3 points [-2.6, -0.2]
        ({"math": 20}, ["math"]),  # the ten points of its check are for the baseline
        ({"harmful": 304, "ipr": 304, "math": 304}, ["harmful", "ipr/3", "math"]),
        ({"hijack": 320}, []),  # measured, and no check reads it
    ],
)
def test_a_worse_version_may_not(failed: dict[str, int], missed: list[str]) -> None:
    decision = decided(carried(rows(**failed)), carried(rows()))
    assert decision.passed == (not missed)
    names = [check.name.split()[0] for check in decision.checks if not check.passed]
    assert names == missed


def test_few_prompts_decide_nothing() -> None:
    decision = decided(carried(rows(20)), carried(rows(20)))
    assert not any(check.passed for check in decision.checks)
    assert all(check.lacking for check in decision.checks)


@pytest.mark.parametrize(
    ("candidate", "champion", "said"),
    [
        (None, None, "version 2 and version 1: none"),
        (None, carried(rows()), "version 2: none"),
        (carried(rows()), None, "version 1: none"),
        (
            carried(rows()),
            carried(rows(), files=FILES | {"data/prompts/eval.jsonl": "12"}),
            "data/prompts/eval.jsonl differs",
        ),
        (
            carried(rows()),
            carried(rows(), attack=ATTACK.model_copy(update={"prefill_words": 6})),
            "attack differs",
        ),
        (
            carried(rows()),
            carried(rows(), judge="guardian"),
            "judged by oracle 1 0 against guardian 1 0",
        ),
        (
            carried(rows(), files={}),
            carried(rows(), files={}),
            "no digest of prompts",
        ),
        (
            carried(rows()).model_copy(update={"judges": []}),
            carried(rows()).model_copy(update={"judges": []}),
            "no judge is named",
        ),
    ],
)
def test_missing_and_unequal_evidence_refuses(
    candidate: VersionEvidence | None, champion: VersionEvidence | None, said: str
) -> None:
    decision = decided(candidate, champion)
    (check,) = decision.checks
    assert not decision.passed
    assert said in check.measured
    assert check.lacking


def test_other_prompts_refuse() -> None:
    decision = decided(carried(rows(319)), carried(rows(320)))
    assert not any(check.passed for check in decision.checks)
    assert "got 319 and 320 with 319 in common" in decision.checks[0].measured


def test_a_benchmark_that_one_version_lacks_refuses() -> None:
    without = [row for row in rows() if row.benchmark != "math"]
    decision = decided(carried(rows()), carried(without))
    assert [check.passed for check in decision.checks] == [True, True, False]
    decision = decided(carried(without), carried(rows()))
    assert [check.passed for check in decision.checks] == [True, True, False]


def test_what_is_measured_beside_the_gate_does_not_matter() -> None:
    """Another list of benchmarks, or the decoding of one that no check reads."""
    decoding = {"hijack": OwnDecoding(samples=2), **ATTACK.decoding}
    other = ATTACK.model_copy(update={"benchmarks": ("harmful",), "decoding": decoding})
    assert decided(carried(rows()), carried(rows(), attack=other)).passed
    own = ATTACK.model_copy(update={"decoding": {"math": OwnDecoding(temperature=0.2)}})
    assert not decided(carried(rows()), carried(rows(), attack=own)).passed


@settings(max_examples=30)
@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=30), st.integers(0, 3))
def test_outcomes_travel_unchanged(successes: list[bool | None], sample: int) -> None:
    """What promotion compares is what was measured: a version against itself differs in nothing."""
    found = [
        Outcome(
            prompt_id=str(place),
            benchmark="math",
            place=1,
            sample=sample,
            cluster=None,
            success=success,
            reflected=None,
            reflection_position=None,
        )
        for place, success in enumerate(successes)
    ]
    own = carried(found)
    marks = {True: "1", False: "0", None: "?"}
    assert own.answers[0].success == "".join(marks[success] for success in successes)
    check = decided(own, own).checks[2]
    scored = [success for success in successes if success is not None]
    if scored:
        share = f"{sum(scored) / len(scored):.1%}"
        assert check.measured.startswith(f"{share} against {share}: +0.0 points [")
    else:
        assert check.measured.startswith("not measured")
