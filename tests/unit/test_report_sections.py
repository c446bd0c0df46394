"""The page's smaller figures: adversaries' axes, brittleness, Pareto, dials, budgets, judges."""

from __future__ import annotations

import pytest

from recap.analysis.axes import NO_AXES, Axes, benchmark_label
from recap.analysis.evidence import Evidence
from recap.analysis.replicates import Replicates
from recap.analysis.tables import NBSP
from recap.report.adversaries import grid_panels, reset_panels, search_panels
from recap.report.beta import betas
from recap.report.brittleness import matrices
from recap.report.budget import token_groups
from recap.report.categories import categories
from recap.report.figures import bar_groups, reflections
from recap.report.judges import judges, merged
from recap.report.pareto import label_heights, pareto
from recap.report.seeds import seed_rows
from recap.report.sweeps import sweep_panels
from recap.types.results import (
    Agreement,
    BenchmarkResult,
    CalibrationBin,
    CategoryResult,
    CellAgreement,
    CellResult,
    Confusion,
    Metric,
)
from recap.types.verdicts import Outcome
from tests.unit.test_report_evidence import rows, settings
from tests.unit.test_report_numbers import NOTHING, cell, rate, result

AXES = Axes(
    grid_words=(6, 24),
    search_budgets=(1, 4, 16),
    sources={"transfer": ("harmful", "harmful_eval")},
)
DASH = "\N{EN DASH}"


def sourced(name: str, value: float, round_: int, source: str) -> BenchmarkResult:
    return result(name, rate(value), round_=round_).model_copy(update={"prefill_source": source})


@pytest.mark.parametrize(
    ("name", "round_", "label"),
    [
        ("ipr", 3, "Prefill reset, round 3"),
        ("benign_ipr", 2, "Benign, reset, round 2"),
        ("prefill_grid", 2, "Prefill by length, 24 words"),
        ("search", 3, "Prefill search, best of 16"),
        ("search", 4, "Prefill search, budget 4"),  # beyond what the parameters list
        ("transfer", 1, "Prefill by source, harmful"),
        ("hijack", 1, "Full CoT hijack"),
        ("of_my_own", 1, "of_my_own"),
    ],
)
def test_labels_say_the_place_on_the_axis(name: str, round_: int, label: str) -> None:
    assert benchmark_label(name, round_, AXES) == label


def test_the_search_curve_is_the_attackers_on_a_log_axis() -> None:
    safe = [result("search", rate(value), round_=n) for n, value in ((1, 1.0), (2, 0.75), (3, 0.5))]
    (panel,) = search_panels([cell("recap", *safe)], {"recap": "c"}, AXES)
    assert [tick.text for tick in panel.x_ticks] == ["1", "4", "16"]
    first, middle, last = (tick.x for tick in panel.x_ticks)
    assert middle - first == pytest.approx(last - middle)  # log2: 0, 2, 4
    # success of the attack is 0, 25 and 50 % of the way from 182 up to 12
    assert panel.lines[0].d == "M48.0 182.0L171.0 139.5L294.0 97.0"
    assert "178.6" in panel.bands[0].d  # 1 - high: safe at most 100 %, so 0 + 2 points


def test_the_grid_is_in_words_and_what_was_not_measured_has_no_panel() -> None:
    cells = [
        cell(
            "recap", result("prefill_grid", rate(0.9)), result("prefill_grid", rate(0.8), round_=2)
        )
    ]
    (panel,) = grid_panels(cells, {"recap": "c"}, AXES)
    assert [tick.text for tick in panel.x_ticks] == ["6", "24"]
    assert search_panels(cells, {"recap": "c"}, AXES) == []
    assert reset_panels(cells, {"recap": "c"}, AXES) == []
    unscored = [cell("recap", result("search", NOTHING))]
    assert search_panels(unscored, {"recap": "c"}, AXES) == []


def test_the_brittleness_matrix_marks_what_training_may_know() -> None:
    policies = [
        cell(
            variant,
            result("harmful", rate(0.9)),
            sourced("transfer", low, 1, "harmful"),
            sourced("transfer", 0.5, 2, "harmful_eval"),
            sourced("self_prefill", 0.7, 1, "self"),
        )
        for variant, low in (("dapo", 0.04), ("recap", 0.96))
    ]
    (matrix,) = matrices([*policies, cell("base", result("harmful", NOTHING))], AXES)
    assert [(row.label, row.marked) for row in matrix.rows] == [
        ("None (original)", False),
        ("The harmful source of training", True),
        ("The harmful source of evaluation", False),
        ("The policy itself", True),
    ]
    assert [found.shade for found in matrix.rows[1].cells] == [4, 96, None]
    assert [found.text for found in matrix.rows[0].cells][2] == DASH
    assert matrices([cell("recap", result("harmful", rate(0.9)))], AXES) == []


def test_bars_of_a_policys_own_thoughts_are_marked() -> None:
    cells = [cell("recap", sourced("self_prefill", 0.7, 1, "self"), result("hijack", rate(0.5)))]
    own, other = bar_groups(cells, ["self_prefill", "hijack"], {"recap": "c"})
    assert (own.marked, other.marked) == (True, False)


def outcomes(cells: dict[str, dict[str, list[bool | None]]]) -> Evidence:
    found: dict[tuple[str, int], dict[tuple[str, int], list[Outcome]]] = {
        (variant, 0): {(name, 1): rows((name, 1), values) for name, values in benchmarks.items()}
        for variant, benchmarks in cells.items()
    }
    return Evidence(found, {}, resamples=300, seed=0)


@pytest.mark.parametrize(
    ("ys", "heights"),
    [
        ([30, 100, 200], [26, 92, 192]),  # 8 above the dot, not above the drawing
        ([26, 27, 28], [26, 39, 52]),  # pushed down
        ([212, 212, 212], [192, 205, 218]),  # and back up from the axis at 222
        ([150, 218, 220, 221], [142, 192, 205, 218]),
    ],
)
def test_labels_stand_apart_and_above_the_axis(ys: list[float], heights: list[float]) -> None:
    assert label_heights(ys) == heights


def test_pareto_takes_the_attacks_that_all_measured() -> None:
    cells = [
        cell(
            "dapo",
            result("prefill", rate(0.5)),
            result("hijack", rate(0.5)),
            result("benign", rate(0.9), domain="benign"),
        ),
        cell("recap", result("prefill", rate(1.0)), result("benign", rate(0.8), domain="benign")),
    ]
    evidence = outcomes({"dapo": {"prefill": [True, False] * 6}, "recap": {"prefill": [True] * 12}})
    drawn = pareto(cells, evidence, {"dapo": "a", "recap": "b"}, NO_AXES)
    assert drawn is not None
    assert drawn.attacks == ("Prefill attack",)
    safe, less = drawn.dots
    assert (safe.label.text, less.label.text) == ("RECAP", "DAPO")
    assert safe.y < less.y and safe.x < less.x
    assert safe.bottom > safe.y  # all of twelve is not certainty
    assert less.left < less.x < less.right
    assert pareto(cells[:1], outcomes({"dapo": {}}), {"dapo": "a"}, NO_AXES) is None


def test_a_dial_needs_three_values() -> None:
    def policy(variant: str, value: float) -> CellResult:
        return cell(
            variant, result("prefill", rate(value)), result("math", rate(0.7), domain="math")
        )

    measured = [policy("dapo", 0.1), policy("recap", 0.9), policy("alpha_100", 0.95)]
    assert sweep_panels(measured[:2], settings("dapo", "recap")) == []
    (panel,) = sweep_panels(measured, settings("dapo", "recap", "alpha_100"))
    assert [tick.text for tick in panel.x_ticks] == ["0", "0.5", "1"]
    assert sorted(mark.text for mark in panel.labels) == ["math", "prefill"]
    assert len(panel.dots) == 6


def test_the_beta_line_joins_clean_and_prefilled() -> None:
    evidence = outcomes(
        {
            "dapo": {"harmful": [True] * 12, "prefill": [True] * 3 + [False] * 9},
            "recap": {"harmful": [True] * 12, "prefill": [True] * 12},
        }
    )
    (beta,) = betas(evidence, settings("dapo", "recap"), {"dapo": "a", "recap": "b"}, frozenset())
    assert beta.panel.lines[0].d == "M48.0 12.0L294.0 139.5"  # from 100 % to 25 %
    assert [(row.label, row.slope) for row in beta.rows] == [
        ("DAPO", "\N{MINUS SIGN}75.0"),
        ("RECAP", "+0.0"),
        ("RECAP less DAPO", "+75.0"),
    ]


def test_token_bars_have_one_scale_and_no_zero_for_what_was_not_measured() -> None:
    long = result("math", rate(0.7), domain="math").model_copy(
        update={"mean_cot_tokens": 60.0, "mean_response_tokens": 40.0}
    )
    cells = [cell("dapo", result("harmful", rate(0.9))), cell("recap", long)]
    harmful, math = token_groups(cells, {"dapo": "a", "recap": "b"}, NO_AXES)
    assert [(bar.thought, bar.response, bar.text) for bar in harmful.bars] == [
        (21.6, 8.4, "22 + 8"),
        (None, None, DASH),
    ]
    assert (math.bars[1].thought, math.bars[1].response) == (60.0, 40.0)


def agreed(kappa: float | None, *, empty: bool = False) -> CellAgreement:
    interval = None if kappa is None else kappa - 0.1, None if kappa is None else kappa + 0.1
    found = Agreement(
        domain="harmful",
        first="oracle",
        second="guardian",
        n=100,
        n_unscored=2,
        accuracy=0.98,
        kappa=kappa,
        kappa_low=interval[0],
        kappa_high=interval[1],
        confusion=[
            Confusion(first="safe", second="safe", count=60),
            Confusion(first="safe", second="unsafe", count=2),
            Confusion(first="unsafe", second="unsafe", count=38),
        ],
    )
    bins = [
        CalibrationBin(low=0.0, high=0.5, mean_score=0.25, unsafe=counted(15, 30)),
        CalibrationBin(low=0.5, high=0.7, mean_score=None, unsafe=NOTHING),
        CalibrationBin(low=0.7, high=0.9, mean_score=0.75, unsafe=counted(40, 40)),
        CalibrationBin(low=0.9, high=1.0, mean_score=1.0, unsafe=counted(40, 40)),
    ]
    return CellAgreement(
        variant="recap",
        seed=0,
        agreements=[] if empty else [found],
        calibration=[] if empty else bins,
        brier=None if empty else 0.0123,
    )


def test_two_judges() -> None:
    shown = judges([agreed(0.8)], {"recap": "c"})
    assert shown is not None
    assert (shown.first, shown.second) == ("oracle", "guardian")
    (row,) = shown.rows
    assert row.cells[0] is not None
    assert (row.cells[0].kappa, row.cells[0].interval) == ("0.80", f"0.70{DASH}0.90")
    (grid,) = shown.confusion
    assert grid.rows == (("safe", (60, 2)), ("unsafe", (0, 38)))
    assert shown.calibration is not None
    assert [(dot.x, dot.y) for dot in shown.calibration.dots] == [
        (109.5, 97.0),
        (232.5, 12.0),
        (294.0, 12.0),
    ]
    assert (shown.uncalibrated, shown.smallest) == ("", 30)
    assert shown.brier == (("RECAP", "0.012"),)


def counted(unsafe: int, n: int) -> Metric:
    value = unsafe / n
    return rate(value).model_copy(update={"value": value, "n": n})


def tenths(*sizes: tuple[int, int]) -> list[CalibrationBin]:
    """Bins with so many unsafe answers of so many, each at its middle."""
    return [
        CalibrationBin(
            low=place / 10,
            high=(place + 1) / 10,
            mean_score=place / 10 + 0.05 if n else None,
            unsafe=counted(unsafe, n) if n else NOTHING,
        )
        for place, (unsafe, n) in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("sizes", "points"),
    [
        ([(0, 60), (30, 60)], [(0.05, 0.0), (0.15, 0.5)]),
        # 20 at 0.15 and 20 at 0.25, of which 10 are unsafe
        ([(0, 30), (4, 20), (6, 20)], [(0.05, 0.0), (0.2, 0.25)]),
        # one answer is no dot of its own: it joins the bin on its left
        ([(0, 30), (0, 0), (30, 30), (1, 1)], [(0.05, 0.0), (0.2532258, 1.0)]),
        ([(0, 29)], []),
        ([(0, 0), (0, 0)], []),
    ],
)
def test_bins_are_taken_together_until_there_are_enough_answers(
    sizes: list[tuple[int, int]], points: list[tuple[float, float]]
) -> None:
    assert [(p.x, p.y) for p in merged(tenths(*sizes))] == [pytest.approx(p) for p in points]


def test_the_interval_of_bins_taken_together_is_that_of_their_answers() -> None:
    (point,) = merged(tenths((4, 20), (6, 20)))
    assert (point.low, point.high) == pytest.approx((0.1418710, 0.4019396), abs=1e-6)


def test_a_judge_that_is_always_sure_has_a_sentence_and_no_plot() -> None:
    sizes = [(3, 300), (1, 1), *[(0, 0)] * 7, (99, 99)]
    cell = agreed(0.8).model_copy(update={"calibration": tenths(*sizes)})
    shown = judges([cell], {"recap": "c"})
    assert shown is not None and shown.calibration is None
    assert shown.uncalibrated.replace(NBSP, " ") == (
        "The judge guardian gave 400 probabilities, > 99 % of them below 10 % or above 90 %: "
        "between these ends there are too few for a plot. Of the answers below 10 %, oracle "
        "calls 1.0 % unsafe. Of the answers above 90 %, oracle calls 100.0 % unsafe."
    )


def test_without_a_second_judge_there_is_no_section() -> None:
    assert judges([agreed(0.8, empty=True)], {"recap": "c"}) is None
    constant = judges([agreed(None)], {"recap": "c"})
    assert constant is not None and constant.rows[0].cells[0] is not None
    assert constant.rows[0].cells[0].kappa == DASH


def test_seeds_have_a_mean_and_a_spread_or_none() -> None:
    one = Replicates("recap", "prefill", 1, 0.95, None, 1)
    assert seed_rows([one], {"recap": "c"}, NO_AXES) is None
    two = [
        Replicates("recap", "prefill", 1, 0.95, 0.021, 2),
        Replicates("dapo", "prefill", 1, None, None, 0),
    ]
    table = seed_rows(two, {"dapo": "b", "recap": "c"}, NO_AXES)
    assert table is not None
    assert table.columns == ("dapo", "recap")
    assert table.rows[0].cells == (DASH, "95.0 ± 2.1")


def test_bars_of_reflection_are_for_what_happens_at_times() -> None:
    def turned(share: float, high: float) -> Metric:
        return rate(share).model_copy(update={"low": 0.0, "high": high, "n": 320})

    measured = {
        "harmful": turned(0.0, 0.012),
        "jailbreak": turned(0.01, 0.03),
        "benign": turned(0.03, 0.06),
        "prefill": turned(0.0, 0.0),
    }
    made = cell(
        "recap",
        *(
            result(name, rate(0.5)).model_copy(update={"reflection": found})
            for name, found in measured.items()
        ),
    )
    plain, planted = reflections([made], {"recap": "c"})
    assert [group.label for group in plain.groups] == ["Benign requests"]
    assert [label.replace(NBSP, " ") for label in plain.rare] == [
        "Harmful requests (n = 320)",
        "Jailbreaks (n = 320)",
    ]
    assert (plain.most.replace(NBSP, " "), planted.most.replace(NBSP, " ")) == ("1 %", "0 %")
    assert (planted.groups, len(planted.rare)) == ((), 1)


def by_category(variant: str, **rates: float) -> CellResult:
    """A cell with the prefill benchmark; ``other`` is the rate without a category."""
    found = [
        CategoryResult(category=None if name == "other" else name, rate=rate(value))
        for name, value in rates.items()
    ]
    return cell(variant, result("prefill", rate(0.5)).model_copy(update={"categories": found}))


def test_categories_stand_in_the_order_in_which_the_baseline_succeeds() -> None:
    cells = [
        by_category("dapo", denial=0.4, fiction=0.9, other=0.95),
        by_category("recap", denial=1.0, fiction=0.8, trust=0.7),
    ]
    (drawn,) = categories(cells, "dapo", {"dapo": "a", "recap": "b"})
    assert (drawn.title, drawn.score) == ("Prefill attack", "safe")
    assert [
        (group.label, [bar.text.replace(NBSP, " ") for bar in group.bars]) for group in drawn.groups
    ] == [
        ("fiction", ["90 %", "80 %"]),
        ("denial", ["40 %", "100 %"]),
        ("trust", [DASH, "70 %"]),
        ("without a category", ["95 %", DASH]),
    ]


def test_a_category_of_a_few_answers_is_left_out() -> None:
    few = rate(1.0).model_copy(update={"n": 4})
    found = [
        CategoryResult(category=name, rate=metric)
        for name, metric in (("denial", rate(0.5)), ("trust", few))
    ]
    cells = [cell("dapo", result("prefill", rate(0.5)).model_copy(update={"categories": found}))]
    (drawn,) = categories(cells, "dapo", {"dapo": "a"})
    assert [group.label for group in drawn.groups] == ["denial"]


def test_a_search_has_no_categories_for_it_chooses_its_thoughts() -> None:
    found = [CategoryResult(category="denial", rate=rate(0.5))]
    searched = result("search", rate(0.5)).model_copy(update={"categories": found})
    assert categories([cell("dapo", searched)], "dapo", {"dapo": "a"}) == []


def test_without_categories_there_is_no_section_of_them() -> None:
    assert categories([cell("dapo", result("prefill", rate(0.5)))], "dapo", {"dapo": "a"}) == []
