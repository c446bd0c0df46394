"""The gate's decision: each check alone turns it, by its interval, and says with which figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from recap.analysis.gate import CellOutcomes, decide, describe
from recap.benchmarks.declared import BENCHMARKS
from recap.errors import ParameterError
from recap.params.checks import check_gate
from recap.params.gate import Gate
from recap.params.whole import read_params
from recap.types.decisions import GateCheck, GateDecision
from recap.types.results import Metric
from recap.types.verdicts import Outcome

ROOT = Path(__file__).parents[2]


def gate(*checks: dict[str, object], **changes: object) -> Gate:
    """A gate with a margin of five points and at least 80 rows."""
    values = {"candidate": "recap", "baseline": "dapo", "seed": 0, "margin": 0.05, "min_rows": 80}
    return Gate.model_validate(values | {"checks": checks} | changes)


NOT_BELOW = {"benchmark": "math", "kind": "non_inferior"}
ABOVE = {"benchmark": "math", "kind": "superior"}
FLOOR = {"benchmark": "math", "kind": "floor", "floor": 0.95}


def rows(successes: Sequence[bool | None], benchmark: str = "math", at: int = 1) -> list[Outcome]:
    return [
        Outcome(
            prompt_id=f"{benchmark}{place}",
            benchmark=benchmark,
            place=at,
            success=success,
            cluster=None,
            reflected=None,
            reflection_position=None,
        )
        for place, success in enumerate(successes)
    ]


def pairs(n: int, lost: int, won: int) -> tuple[list[bool], list[bool]]:
    """Candidate and baseline on n prompts: ``lost`` by the candidate alone, ``won`` by it alone."""
    same = n - lost - won
    return [False] * lost + [True] * (won + same), [True] * lost + [False] * won + [True] * same


def decided(
    found: Gate, ours: Sequence[Outcome], theirs: Mapping[str, Sequence[Outcome]]
) -> GateDecision:
    others = {variant: CellOutcomes(f"{variant}-0", own) for variant, own in theirs.items()}
    return decide(CellOutcomes("recap-0", ours), others, found, resamples=2000, seed=1)


def checked(
    check: dict[str, object], ours: Sequence[bool | None], theirs: Sequence[bool | None]
) -> GateCheck:
    decision = decided(gate(check), rows(ours), {"dapo": rows(theirs)})
    (only,) = decision.checks
    assert decision.passed == only.passed
    assert not (only.passed and only.lacking)
    return only


NON_INFERIOR = [
    # prompts, lost by the candidate alone, won by it alone; passed, whether evidence is lacking
    (20, 3, 0, False, True),  # -15 points, and an interval that reaches 0
    (20, 0, 3, False, True),  # +15 points on so few
    (10, 0, 0, False, True),
    (10, 10, 0, False, True),
    (320, 4, 0, True, False),  # -1.3 points [-2.6, -0.3]: below 0, and within the margin
    (320, 16, 12, True, False),  # the same difference with 28 discordant pairs: about 3.2 wide
    (320, 30, 26, False, True),  # the same difference with 56: the interval reaches below -5
    (320, 16, 0, False, True),  # -5 points
    (320, 40, 0, False, False),  # -12.5 points: the interval lies below the margin
    (320, 0, 0, True, False),
    (80, 0, 0, True, False),
    (79, 0, 0, False, True),  # an interval that would do, on one prompt too few
]


@pytest.mark.parametrize(("n", "lost", "won", "passed", "lacking"), NON_INFERIOR)
def test_not_below_by_the_interval_and_the_margin(
    n: int, lost: int, won: int, passed: bool, lacking: bool
) -> None:
    check = checked(NOT_BELOW, *pairs(n, lost, won))
    assert (check.passed, check.lacking is not None) == (passed, lacking), check


SUPERIOR = [
    (20, 0, 20, False, True),
    (320, 0, 10, True, False),
    (320, 0, 1, False, True),  # one prompt of 320
    (320, 9, 10, False, True),
    (320, 40, 0, False, False),
    (320, 0, 0, False, True),
]


@pytest.mark.parametrize(("n", "lost", "won", "passed", "lacking"), SUPERIOR)
def test_superior_by_the_interval(n: int, lost: int, won: int, passed: bool, lacking: bool) -> None:
    check = checked(ABOVE, *pairs(n, lost, won))
    assert (check.passed, check.lacking is not None) == (passed, lacking), check


FLOORS = [
    # scored, failed, unscored; passed, whether evidence is lacking; the floor is 95 %
    (10, 0, 0, False, True),
    (20, 0, 0, False, True),
    (320, 0, 0, True, False),
    (320, 8, 0, True, False),  # Wilson from 95.1 %
    (320, 9, 0, False, True),  # 97.2 %, from 94.7 %
    (320, 16, 0, False, True),  # the floor itself
    (320, 40, 0, False, False),
    (316, 4, 4, True, False),  # as many failures as unscored ones make it: 8 of 320
    (315, 4, 5, False, True),
]


@pytest.mark.parametrize(("scored", "failed", "unscored", "passed", "lacking"), FLOORS)
def test_a_floor_by_the_lower_end(
    scored: int, failed: int, unscored: int, passed: bool, lacking: bool
) -> None:
    ours = [False] * failed + [True] * (scored - failed) + [None] * unscored
    check = checked(FLOOR, ours, ours)
    assert (check.passed, check.lacking is not None) == (passed, lacking), check


def test_a_floor_reads_the_wider_interval() -> None:
    """All failures in one of 16 objects of 20: from 95.1 % by Wilson, less by object."""
    ours = [
        row.model_copy(update={"cluster": f"c{place // 20}"})
        for place, row in enumerate(rows([False] * 8 + [True] * 312))
    ]
    (check,) = decided(gate(FLOOR), ours, {"dapo": ours}).checks
    assert not check.passed and check.lacking


def test_objects_are_resampled_whole() -> None:
    """Ten losses on one object of ten and ten wins on another are two draws, not twenty."""
    ours, theirs = pairs(100, 10, 10)
    clusters = [f"c{place // 10}" for place in range(100)]

    def clustered(successes: Sequence[bool]) -> list[Outcome]:
        return [
            row.model_copy(update={"cluster": cluster})
            for row, cluster in zip(rows(successes), clusters, strict=True)
        ]

    wide = NOT_BELOW | {"margin": 0.15}
    (apart,) = decided(gate(wide), rows(ours), {"dapo": rows(theirs)}).checks
    (whole,) = decided(gate(wide), clustered(ours), {"dapo": clustered(theirs)}).checks
    assert apart.passed and not whole.passed


def test_what_is_lacking_is_said() -> None:
    few = checked(NOT_BELOW, *pairs(20, 0, 0))
    assert few.lacking == "20 scored rows; 80 are the fewest"
    below = checked(NOT_BELOW, *pairs(320, 20, 0))
    assert below.lacking == "a difference above -5.0 points"
    wide = checked(NOT_BELOW, *pairs(320, 30, 26))
    assert wide.lacking is not None
    # -1.25 points, its lower half about 4.6 wide; 3.75 are free: 320 (4.6 / 3.75)^2 are wanted
    wanted = int(wide.lacking.removeprefix("about ").split()[0])
    assert 440 < wanted < 520


def test_figures_of_a_check() -> None:
    check = checked(NOT_BELOW, *pairs(320, 40, 0))
    assert check.name == "math not below dapo-0"
    assert check.measured.startswith("87.5% against 100.0%: -12.5 points [-16.")
    assert check.measured.endswith("] over 320 pairs")
    assert check.required == "a difference whose 95 % interval lies above -5.0 points"
    floor = checked(FLOOR, [True] * 318 + [None] * 2, [True] * 320)
    assert floor.name == "math at least 95.0%"
    assert floor.measured == "100.0% [98.8, 100.0], n = 318, 2 unscored"


def test_the_last_round_counts_unless_another_is_named() -> None:
    ours = rows([True] * 100, "ipr") + rows([False] * 100, "ipr", 3)
    theirs = {"dapo": rows([True] * 100, "ipr") + rows([True] * 100, "ipr", 3)}
    check = {"benchmark": "ipr", "kind": "non_inferior"}
    last, first = decided(gate(check, check | {"place": 1}), ours, theirs).checks
    assert (last.name, last.passed) == ("ipr/3 not below dapo-0", False)
    assert (first.name, first.passed) == ("ipr not below dapo-0", True)


def test_another_variant_and_another_margin() -> None:
    ours, theirs = pairs(320, 20, 0)
    against_base = NOT_BELOW | {"against": "base"}
    found = gate(NOT_BELOW, against_base, NOT_BELOW | {"place": 1, "margin": 0.1})
    decision = decided(found, rows(ours), {"dapo": rows(theirs), "base": rows([False] * 320)})
    assert [(check.name, check.passed) for check in decision.checks] == [
        ("math not below dapo-0", False),
        ("math not below base-0", True),
        ("math not below dapo-0", True),
    ]
    assert not decision.passed
    assert (decision.candidate, decision.baseline) == ("recap-0", "dapo-0")


@pytest.mark.parametrize("check", [NOT_BELOW, ABOVE, FLOOR])
@pytest.mark.parametrize("measured", [[], [None] * 100])
def test_what_was_not_measured_does_not_pass(
    check: dict[str, object], measured: list[bool | None]
) -> None:
    found = checked(check, measured, [True] * 100)
    assert not found.passed
    assert found.measured.startswith("not measured: ")
    assert found.lacking == "scored rows of 'math' (is it in attack.benchmarks?)"


def test_other_prompts_do_not_pass() -> None:
    found = checked(NOT_BELOW, [True] * 99, [True] * 100)
    assert not found.passed
    assert "got 99 and 100 with 99 in common" in found.measured


def test_describe_names_unscored() -> None:
    metric = Metric(
        value=0.5,
        low=0.25,
        high=0.75,
        cluster_low=0.2,
        cluster_high=0.7,
        n=10,
        n_unscored=2,
        n_incomplete=1,
    )
    assert describe(metric) == "50.0% [20.0, 75.0], n = 10, 2 unscored"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidate": "aligned"}, "Expected gate.candidate among matrix.variants"),
        ({"baseline": "aligned"}, "Expected gate.baseline among matrix.variants"),
        ({"seed": 4}, r"Expected gate.seed among matrix.seeds \(0\), got 4"),
        ({"baseline": "recap"}, "got 'recap' twice"),
        (
            {"checks": [NOT_BELOW, NOT_BELOW | {"benchmark": "jailbrake"}]},
            r"gate\.checks\.1\.benchmark among attack\.benchmarks .*got 'jailbrake', which is not",
        ),
        (
            {"checks": [NOT_BELOW | {"against": "grpo"}]},
            r"gate\.checks\.0\.against among matrix\.variants .*\(base or dapo\), got 'grpo'",
        ),
        ({"checks": [NOT_BELOW | {"against": "recap"}]}, "got 'recap'"),
    ],
)
def test_a_gate_without_its_cells_is_refused(changes: dict[str, object], message: str) -> None:
    whole = read_params(ROOT / "params.yaml")
    with pytest.raises(ParameterError, match=message):
        check_gate(gate(NOT_BELOW, **changes), whole.matrix, whole.attack)


def test_no_check_of_the_projects_own_gates_reads_an_exempt_benchmark() -> None:
    for path in (ROOT / "params.yaml", ROOT / "infra/profiles/paper.yaml"):
        for check in read_params(path).gate.checks:
            assert not BENCHMARKS[check.benchmark].exempt
