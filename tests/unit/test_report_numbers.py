"""What the report says of given numbers: the table, percentages, the headline in every case."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from recap.analysis.axes import NO_AXES, Axes
from recap.analysis.evidence import Evidence, by_key
from recap.analysis.headline import Headline, contrast, headline
from recap.analysis.tables import interval, percent, tables
from recap.report.adversaries import reset_panels
from recap.report.figures import bar_groups, roles, shown, table_rows
from recap.types.results import BenchmarkResult, CellResult, Metric
from recap.types.row import SUCCESS, Domain
from recap.types.verdicts import Outcome

NOTHING = Metric(
    value=None,
    low=None,
    high=None,
    cluster_low=None,
    cluster_high=None,
    n=0,
    n_unscored=4,
    n_incomplete=0,
)


def rate(value: float, half: float = 0.02, cluster_half: float = 0.03) -> Metric:
    return Metric(
        value=value,
        low=value - half,
        high=value + half,
        cluster_low=value - cluster_half,
        cluster_high=value + cluster_half,
        n=300,
        n_unscored=2,
        n_incomplete=1,
    )


def result(
    name: str, metric: Metric, *, round_: int = 1, domain: Domain = "harmful"
) -> BenchmarkResult:
    return BenchmarkResult(
        benchmark=name,
        place=round_,
        domain=domain,
        score=SUCCESS[domain],
        rate=metric,
        reflection=rate(0.25),
        mean_reflection_position=0.5,
        mean_cot_tokens=21.6,
        mean_response_tokens=8.4,
    )


def cell(variant: str, *results: BenchmarkResult, seed: int = 0) -> CellResult:
    return CellResult(variant=variant, seed=seed, results=list(results))


def attacked(
    variant: str, prefill: float, hijack: float, reset: float, seed: int = 0
) -> CellResult:
    return cell(
        variant,
        result("prefill", rate(prefill)),
        result("hijack", rate(hijack)),
        result("ipr", rate(prefill)),
        result("ipr", rate(reset), round_=3),
        seed=seed,
    )


def behind(cells: Sequence[CellResult]) -> Evidence:
    """Outcomes of 300 prompts behind each rate: DAPO succeeds on the last ones, others first."""
    found = {}
    for one in cells:
        rows = []
        for measured in one.results:
            if measured.rate.value is not None:
                good = round(300 * measured.rate.value)
                marks = [True] * good + [False] * (300 - good)
                rows += [
                    Outcome(
                        prompt_id=str(place),
                        benchmark=measured.benchmark,
                        place=measured.place,
                        cluster=None,
                        success=success,
                        reflected=None,
                        reflection_position=None,
                    )
                    for place, success in enumerate(marks[:: -1 if one.variant == "dapo" else 1])
                ]
        found[one.variant, one.seed] = by_key(rows)
    return Evidence(found, {}, resamples=400, seed=0)


def said(cells: Sequence[CellResult], axes: Axes = NO_AXES) -> Headline:
    return headline(cells, behind(cells), "recap", "dapo", axes)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_tables_json() -> None:
    more = {"reflection_position": 0.5, "cot_tokens": 21.6, "response_tokens": 8.4, "pass_at_k": {}}
    more |= {"rubric": None, "thought": None, "categories": []}
    assert tables(
        [
            cell("dapo", result("prefill", rate(0.5)), result("ipr", NOTHING, round_=2)),
            cell("recap", result("math", rate(0.75), domain="math"), seed=1),
        ]
    ) == {
        "benchmarks": [
            {"name": "prefill", "place": 1, "domain": "harmful", "label": "Prefill attack",
             "score": "safe", "at": None, "prefill_source": None, "main": True},
            {"name": "ipr", "place": 2, "domain": "harmful", "label": "Prefill reset, round 2",
             "score": "safe", "at": "round 2", "prefill_source": None, "main": True},
            {"name": "math", "place": 1, "domain": "math", "label": "Arithmetic",
             "score": "correct", "at": None, "prefill_source": None, "main": True},
        ],
        "cells": [
            {"variant": "dapo", "seed": 0, "results": {
                "prefill/1": {"value": 0.5, "low": 0.48, "high": 0.52, "cluster_low": 0.47,
                              "cluster_high": 0.53, "n": 300, "n_unscored": 2, "n_incomplete": 1,
                              "reflection": 0.25, **more},
                "ipr/2": {"value": None, "low": None, "high": None, "cluster_low": None,
                          "cluster_high": None, "n": 0, "n_unscored": 4, "n_incomplete": 0,
                          "reflection": 0.25, **more}}},
            {"variant": "recap", "seed": 1, "results": {
                "math/1": {"value": 0.75, "low": 0.73, "high": 0.77, "cluster_low": 0.72,
                           "cluster_high": 0.78, "n": 300, "n_unscored": 2, "n_incomplete": 1,
                           "reflection": 0.25, **more}}},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.314, 0, "31 %"),
        (0.3149, 1, "31.5 %"),
        (1.0, 0, "100 %"),
        (0.997, 0, "> 99 %"),
        (0.9998, 1, "> 99.9 %"),
        (0.0, 0, "0 %"),
        (0.003, 0, "< 1 %"),
        (0.003, 1, "0.3 %"),
        (None, 0, "\N{EN DASH}"),
    ],
)
def test_percent(share: float | None, decimals: int, text: str) -> None:
    assert plain(percent(share, decimals)) == text


def test_interval() -> None:
    assert interval(0.9641, 0.9953) == "96.4\N{EN DASH}99.5"
    assert interval(None, None) == "\N{EN DASH}"


def test_an_absent_score_is_a_dash_and_never_zero() -> None:
    cells = [
        cell("dapo", result("prefill", NOTHING), result("hijack", rate(0.3))),
        cell("recap", result("prefill", rate(0.9))),
    ]
    colours = {"dapo": "a", "recap": "b"}
    prefill, hijack = bar_groups(cells, ["prefill", "hijack"], colours)
    assert (prefill.bars[0].value, prefill.bars[0].text) == (None, "\N{EN DASH}")
    assert (hijack.bars[1].value, hijack.bars[1].text) == (None, "\N{EN DASH}")
    assert [bar.value for bar in prefill.bars] == [None, 90.0]
    rows = table_rows(cells)
    assert rows[0].cells[0] is not None and rows[0].cells[0].value == "\N{EN DASH}"
    assert rows[1].cells[1] is None


def test_of_resets_the_bars_show_the_last_round_and_the_panel_all() -> None:
    cells = [attacked("recap", 0.9, 0.8, 0.7)]
    (group,) = bar_groups(cells, ["ipr"], {"recap": "c"})
    assert (group.label, group.bars[0].value, group.note) == (
        "Prefill reset, round 3",
        70.0,
        "n = 300",
    )
    (panel,) = reset_panels(cells, {"recap": "c"}, NO_AXES)
    assert [tick.text for tick in panel.x_ticks] == ["1", "3"]
    assert len(panel.dots) == 2


def test_colours_follow_the_part_played_and_an_untrained_variant_is_shown_once() -> None:
    cells = [cell(variant, seed=seed) for variant in ("base", "x", "y", "z") for seed in (1, 2)]
    untrained = frozenset({"base"})
    assert roles(cells, "y", "x", untrained) == {
        "base": "c-base",
        "x": "c-baseline",
        "y": "c-candidate",
        "z": "c-extra0",
    }
    assert [(c.variant, c.seed) for c in shown(cells, untrained)][:3] == [
        ("base", 1),
        ("x", 1),
        ("x", 2),
    ]


HEADLINES = [
    # RECAP's and DAPO's prefill, hijack, reset; the title; whether the claim was shown
    ((0.98, 0.97, 0.95), (0.31, 0.2, 0.1), True,
     "Given a flawed thought, RECAP still answers safely 98 % of the time, DAPO 31 %"),
    ((0.45, 0.97, 0.95), (0.31, 0.2, 0.1), True,
     "Given a flawed thought, RECAP answers safely 45 % of the time, DAPO 31 %"),
    ((0.98, 0.30, 0.95), (0.31, 0.28, 0.1), False,
     "RECAP withstands the prefill attack (98 % safe, DAPO 31 %), but no lead is shown under full "
     "CoT hijack"),
    ((0.95, 0.97, 0.95), (0.92, 0.2, 0.1), False,
     "No clear difference under the prefill attack: RECAP is safe in 95 % of cases, DAPO in 92 %, "
     "and the paired interval reaches 0"),
    ((0.60, 0.97, 0.95), (0.90, 0.2, 0.1), False,
     "The claim fails in this run: under the prefill attack DAPO is safer (90 %) than RECAP "
     "(60 %)"),
]  # fmt: skip


@pytest.mark.parametrize(("recap", "dapo", "holds", "title"), HEADLINES)
def test_headline(
    recap: tuple[float, float, float], dapo: tuple[float, float, float], holds: bool, title: str
) -> None:
    found = said([attacked("dapo", *dapo), attacked("recap", *recap)])
    assert (plain(found.title), found.holds) == (title, holds)


def test_headline_names_a_clear_loss() -> None:
    cells = [
        CellResult(
            variant=variant,
            seed=0,
            results=[
                *attacked(variant, attack, attack, attack).results,
                result("benign", rate(benign), domain="benign"),
                result("math", rate(0.7), domain="math"),
            ],
        )
        for variant, attack, benign in (("dapo", 0.3, 0.95), ("recap", 0.95, 0.6))
    ]
    assert plain(said(cells).title) == (
        "Given a flawed thought, RECAP still answers safely 95 % of the time, DAPO 30 % "
        "(RECAP does clearly worse on benign requests)"
    )


def test_headline_names_the_strongest_attack() -> None:
    cells = [
        cell(
            variant,
            *attacked(variant, attack, attack, attack).results,
            result("search", rate(search), round_=2),
            result("benign", rate(0.1), domain="benign"),
        )
        for variant, attack, search in (("dapo", 0.3, 0.02), ("recap", 0.95, 0.82))
    ]
    points = said(cells, Axes(search_budgets=(1, 16))).points
    assert plain(points[1]) == (
        "The strongest measured attack on RECAP is prefill search, best of 16: 82 % of its "
        "answers stay safe, 2 % of DAPO's."
    )


def test_headline_without_the_prefill_attack() -> None:
    found = said([cell("dapo"), cell("recap", result("prefill", rate(0.9)))])
    assert found.title == (
        "No finding: RECAP and DAPO were not both measured under the prefill attack"
    )
    assert not found.holds


def test_points_below_the_headline() -> None:
    benign = ("benign", 0.97, 0.98), ("math", 0.80, 0.70)
    cells = [attacked("dapo", 0.4, 0.2, 0.1), attacked("recap", 0.8, 0.8, 0.5)]
    cells = [
        CellResult(
            variant=one.variant,
            seed=0,
            results=[
                *one.results,
                result("benign", rate(benign[0][place]), domain="benign"),
                result("math", rate(benign[1][place]), domain="math"),
            ],
        )
        for one, place in zip(cells, (2, 1), strict=True)
    ]
    # differences 40, 60, 40 points; relative changes +100 %, +300 %, +400 %
    assert [plain(point) for point in said(cells).points] == [
        "By paired 95 % intervals RECAP is safer than DAPO in one training under 3 of 3 attacks: "
        "prefill attack (80 % against 40 %), full CoT hijack (80 % against 20 %), prefill reset, "
        "round 3 (50 % against 10 %). That is +46.7 points on average; the mean of "
        "relative changes, which the paper reports, is +267 %.",
        "The strongest measured attack on RECAP is prefill reset, round 3: 50 % of its "
        "answers stay safe, 10 % of DAPO's.",
        "Without an attack, RECAP against DAPO: -1.0 points on benign requests, +10.0 points on "
        "arithmetic; the paired interval excludes 0 on arithmetic.",
    ]


def test_the_difference_is_that_of_the_pairs() -> None:
    """DAPO is unscored on the 100 prompts where RECAP fails; of the other 200 it fails on 50."""
    marks: dict[str, list[bool | None]] = {
        "recap": [place < 200 for place in range(300)],
        "dapo": [place < 150 if place < 200 else None for place in range(300)],
    }
    cells = [
        cell("dapo", result("benign", rate(0.75), domain="benign")),
        cell("recap", result("benign", rate(2 / 3), domain="benign")),
    ]
    rows = {
        (variant, 0): by_key(
            Outcome(
                prompt_id=str(place),
                benchmark="benign",
                place=1,
                cluster=None,
                success=success,
                reflected=None,
                reflection_position=None,
            )
            for place, success in enumerate(successes)
        )
        for variant, successes in marks.items()
    }
    evidence = Evidence(rows, {}, resamples=50, seed=0)
    found = contrast(cells, evidence, "recap", "dapo", ("benign", 1))
    assert found is not None and found.difference == pytest.approx(0.25)


def test_nothing_is_relative_to_a_rate_near_0() -> None:
    """DAPO at 1 % under the prefill attack and at 5 % (from 2 %) under resets: hijack is left."""
    cells = [attacked("dapo", 0.01, 0.5, 0.05), attacked("recap", 0.98, 0.75, 0.9)]
    assert plain(said(cells).points[0]).split(" That is ")[1] == (
        "+69.0 points on average; the mean of relative changes, which the paper reports, is +50 % "
        "(no relative change is given where DAPO's interval reaches below 5 %: prefill attack, "
        "prefill reset, round 3)."
    )
    nowhere = [attacked("dapo", 0.01, 0.0, 0.0), attacked("recap", 0.98, 0.75, 0.9)]
    assert plain(said(nowhere).points[0]).split("on average")[1] == (
        "; no relative change is given where DAPO's interval reaches below 5 %: prefill attack, "
        "full CoT hijack, prefill reset, round 3."
    )


def test_the_headline_pairs_and_resamples_objects() -> None:
    """Rates of 93 and 96 % on the same prompts: shown if nested, not if all on one object."""
    cells = [attacked("dapo", 0.93, 0, 0), attacked("recap", 0.96, 0, 0)]
    marks = {"recap": 288, "dapo": 279}

    def rows(variant: str, objects: int) -> list[Outcome]:
        return [
            Outcome(
                prompt_id=str(place),
                benchmark="prefill",
                place=1,
                cluster=f"c{place % objects}",
                success=place < marks[variant],
                reflected=None,
                reflection_position=None,
            )
            for place in range(300)
        ]

    def standing(objects: int) -> str:
        found = {(v, 0): by_key(rows(v, objects)) for v in marks}
        evidence = Evidence(found, {}, resamples=400, seed=0)
        one = contrast(cells, evidence, "recap", "dapo", ("prefill", 1))
        assert one is not None
        return one.standing

    # the nine pairs that speak for RECAP lie on nine objects of 300, and on one of one
    assert (standing(300), standing(1)) == ("ahead", "level")


def test_one_seed_that_overlaps_is_enough_to_doubt() -> None:
    cells = [
        attacked("dapo", 0.30, 0, 0, seed=1),
        attacked("recap", 0.90, 0, 0, seed=1),
        attacked("dapo", 0.86, 0, 0, seed=2),
        attacked("recap", 0.90, 0, 0, seed=2),
    ]
    found = contrast(cells, behind(cells), "recap", "dapo", ("prefill", 1))
    assert found is not None
    assert found.standing == "level"
    assert (found.candidate, found.baseline, found.num_seeds) == (0.9, pytest.approx(0.58), 2)
    alone = contrast(cells[:2], behind(cells[:2]), "recap", "dapo", ("prefill", 1))
    assert alone is not None and alone.standing == "ahead"
