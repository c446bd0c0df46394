"""The curves over updates, and what is said of the paper's claim about them."""

from __future__ import annotations

import pytest

from recap.analysis.overtaking import overtaking
from recap.report.dynamics import dynamics_panels
from recap.types.results import BenchmarkResult, DynamicsResult, Metric, SnapshotResult

DAPO, RECAP = "dapo", "recap"


def measured(name: str, value: float | None, half: float = 0.05) -> BenchmarkResult:
    low, high = (None, None) if value is None else (value - half, value + half)
    rate = Metric(
        value=value,
        low=low,
        high=high,
        cluster_low=low,
        cluster_high=high,
        n=0 if value is None else 100,
        n_unscored=0,
        n_incomplete=0,
    )
    return BenchmarkResult(
        benchmark=name,
        place=1,
        domain="harmful",
        score="safe",
        rate=rate,
        reflection=rate,
        mean_reflection_position=None,
        mean_cot_tokens=1.0,
        mean_response_tokens=1.0,
    )


def cell(
    variant: str, curve: dict[int, float | None], seed: int = 0, name: str = "jailbreak"
) -> DynamicsResult:
    snapshots = [
        SnapshotResult(update=update, results=[measured(name, value)])
        for update, value in curve.items()
    ]
    return DynamicsResult(variant=variant, seed=seed, snapshots=snapshots)


def said(*cells: DynamicsResult) -> str:
    return overtaking(cells, RECAP, DAPO).text.replace("\N{NO-BREAK SPACE}", " ")


CLAIMS: list[tuple[dict[int, float | None], dict[int, float | None], str]] = [
    # DAPO's curve, RECAP's, what is said; intervals reach 5 points to either side
    ({0: 0.5, 20: 0.8, 40: 0.8}, {0: 0.5, 20: 0.6, 40: 0.95},
     "This holds here, in one training: DAPO leads at update 20 (80 % against 60 %) and RECAP "
     "leads at update 40 (95 % against 80 %), the intervals apart."),
    ({0: 0.5, 20: 0.6, 40: 0.95}, {0: 0.5, 20: 0.8, 40: 0.8},
     "The order is different here, in one training: DAPO leads at update 40 (95 % against 80 %) "
     "and RECAP leads at update 20 (80 % against 60 %), the intervals apart."),
    ({20: 0.8, 40: 0.6, 60: 0.8}, {20: 0.6, 40: 0.8, 60: 0.6},
     "The order is different here, in one training: DAPO leads at update 20 (80 % against 60 %), "
     "update 60 (80 % against 60 %) and RECAP leads at update 40 (80 % against 60 %), the "
     "intervals apart."),
    ({0: 0.5, 20: 0.8}, {0: 0.5, 20: 0.6},
     "At most half of it is shown here: DAPO leads at update 20 (80 % against 60 %), the intervals "
     "apart; RECAP leads nowhere."),
    ({0: 0.5, 20: 0.8}, {0: 0.5, 20: 0.95},
     "At most half of it is shown here: RECAP leads at update 20 (95 % against 80 %), the "
     "intervals apart; DAPO leads nowhere."),
    ({0: 0.5, 20: 0.8, 40: 0.9}, {0: 0.5, 20: 0.71, 40: 0.99},
     "Not shown here: at every update that was measured the intervals of DAPO and RECAP overlap."),
    ({20: None}, {20: 0.9},
     "Not measured here: DAPO and RECAP share no update with clean jailbreaks."),
    ({10: 0.1}, {20: 0.9},
     "Not measured here: DAPO and RECAP share no update with clean jailbreaks."),
]  # fmt: skip


@pytest.mark.parametrize(("dapo", "recap", "sentence"), CLAIMS)
def test_the_claim(
    dapo: dict[int, float | None], recap: dict[int, float | None], sentence: str
) -> None:
    assert said(cell(DAPO, dapo), cell(RECAP, recap)) == sentence


def test_a_lead_has_to_show_in_every_seed() -> None:
    first = [cell(DAPO, {20: 0.8, 40: 0.6}), cell(RECAP, {20: 0.6, 40: 0.9})]
    second = [cell(DAPO, {20: 0.7, 40: 0.6}, seed=1), cell(RECAP, {20: 0.65, 40: 0.8}, seed=1)]
    assert said(*first).startswith("This holds here, in one training")
    assert said(*first, *second) == (
        "At most half of it is shown here: RECAP leads at update 40 (85 % against 60 %), the "
        "intervals apart; DAPO leads nowhere."
    )


@pytest.mark.parametrize(
    ("trainings", "verdict"),
    [(1, "seen in one training"), (2, "seen in two trainings"), (3, "holds")],
)
def test_what_few_trainings_show_does_not_hold(trainings: int, verdict: str) -> None:
    cells = [
        cell(variant, curve, seed)
        for seed in range(trainings)
        for variant, curve in ((DAPO, {20: 0.8, 40: 0.8}), (RECAP, {20: 0.6, 40: 0.95}))
    ]
    assert overtaking(cells, RECAP, DAPO).verdict == verdict


def test_the_claim_is_about_clean_jailbreaks() -> None:
    cells = [cell(DAPO, {20: 0.1}, name="prefill"), cell(RECAP, {20: 0.9}, name="prefill")]
    assert said(*cells).startswith("Not measured here")


def test_a_panel_for_each_benchmark_with_a_line_and_a_band_for_each_cell() -> None:
    cells = [
        DynamicsResult(
            variant=variant,
            seed=seed,
            snapshots=[
                SnapshotResult(update=0, results=[measured("jailbreak", 0.5)]),
                SnapshotResult(
                    update=80, results=[measured("jailbreak", 0.8), measured("prefill", 0.9)]
                ),
            ],
        )
        for variant in (DAPO, RECAP)
        for seed in (0, 1)
    ]
    panels = dynamics_panels(cells, {DAPO: "a", RECAP: "b"})
    assert [panel.title for panel in panels] == ["Jailbreaks", "Prefill attack"]
    jailbreak, prefill = panels
    # x from 48 to 294, y from 182 (0 %) up to 12 (100 %), as in the geometry's own test
    assert {line.d for line in jailbreak.lines} == {"M48.0 97.0L294.0 46.0"}
    assert {band.d for band in jailbreak.bands} == {"M48.0 88.5L294.0 37.5L294.0 54.5L48.0 105.5Z"}
    assert [line.colour for line in jailbreak.lines] == ["a", "a", "b", "b"]
    assert [label.text for label in jailbreak.labels] == ["DAPO", "RECAP"]
    assert [tick.text for tick in jailbreak.x_ticks] == ["0", "80"]
    assert {line.d for line in prefill.lines} == {"M294.0 29.0"}


def test_nothing_measured_draws_nothing() -> None:
    assert dynamics_panels([], {}) == []
    assert dynamics_panels([cell(DAPO, {0: None})], {DAPO: "a"}) == []
