"""Numbers across cells: over training seeds, and over benchmarks as the paper averages them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.analysis.relative import Changes, changes
from recap.analysis.replicates import Replicates, replicates
from recap.errors import DataError
from recap.types.results import BenchmarkResult, CellResult, Metric


def _metric(value: float | None) -> Metric:
    return Metric(
        value=value,
        low=value,
        high=value,
        cluster_low=None,
        cluster_high=None,
        n=0 if value is None else 100,
        n_unscored=0 if value is not None else 100,
        n_incomplete=0,
    )


def _cell(variant: str, seed: int, **rates: float | None) -> CellResult:
    results = [
        BenchmarkResult(
            benchmark=name,
            place=1,
            domain="harmful",
            score="safe",
            rate=_metric(value),
            reflection=_metric(None),
            mean_reflection_position=None,
            mean_cot_tokens=1.0,
            mean_response_tokens=1.0,
        )
        for name, value in rates.items()
    ]
    return CellResult(variant=variant, seed=seed, results=results)


def test_mean_and_deviation_over_seeds() -> None:
    cells = [
        _cell("recap", 0, prefill=0.9, hijack=0.5),
        _cell("dapo", 0, prefill=0.2),
        _cell("recap", 1, prefill=0.8, hijack=None),
        _cell("recap", 2, prefill=1.0, hijack=None),
    ]
    found = replicates(cells)
    assert [(row.variant, row.benchmark, row.num_seeds) for row in found] == [
        ("recap", "prefill", 3),
        ("recap", "hijack", 1),
        ("dapo", "prefill", 1),
    ]
    assert found[0].mean == pytest.approx(0.9)
    assert found[0].sd == pytest.approx(0.1)  # sqrt((0 + 0.01 + 0.01) / 2); by n it were 0.082
    assert found[1] == Replicates("recap", "hijack", 1, mean=0.5, sd=None, num_seeds=1)


def test_seeds_that_scored_nothing_are_no_zero() -> None:
    (found,) = replicates([_cell("recap", 0, prefill=None), _cell("recap", 1, prefill=None)])
    assert (found.mean, found.sd, found.num_seeds) == (None, None, 0)


# Table 2 of the paper (percent), DAPO then RECAP: 8B, then 14B.
TABLE_2 = {
    "direct": [(96.81, 99.68), (79.23, 98.70), (99.04, 99.04), (80.51, 98.08)],
    "jailbreak": [(72.90, 88.75), (68.86, 86.84), (77.60, 91.65), (67.85, 80.17)],
    "overrefusal": [(78.00, 91.87), (82.80, 91.80), (96.80, 96.80), (95.00, 97.60)],
}
# Worked by hand, in percent: the sum of the four RECAP / DAPO - 1, by four.
RELATIVE = {
    "direct": (2.9646 + 24.5740 + 0 + 21.8234) / 4,  # 12.3
    "jailbreak": (21.7421 + 26.1109 + 18.1057 + 18.1577) / 4,  # 21.0
    "overrefusal": (17.7821 + 10.8696 + 0 + 2.7368) / 4,  # 7.8
}
POINTS = {
    "direct": (2.87 + 19.47 + 0 + 17.57) / 4,
    "jailbreak": (15.85 + 17.98 + 14.05 + 12.32) / 4,
    "overrefusal": (13.87 + 9.00 + 0 + 2.60) / 4,
}


@pytest.mark.parametrize("family", list(TABLE_2))
def test_the_papers_way_on_the_papers_table(family: str) -> None:
    rows = dict(enumerate(TABLE_2[family]))
    dapo = {key: value for key, (value, _) in rows.items()}
    found = changes({key: recap for key, (_, recap) in rows.items()}, dapo, dapo)
    assert (found.num_benchmarks, found.num_relative) == (4, 4)
    assert found.mean_relative is not None
    assert 100 * found.mean_relative == pytest.approx(RELATIVE[family], abs=1e-3)
    assert found.mean_difference == pytest.approx(POINTS[family], abs=1e-9)


def test_neither_of_the_two_is_the_change_of_means() -> None:
    """0.1 to 0.2 and 0.9 to 0.9: doubled and unchanged, +50 %; the mean grew by 10 %."""
    found = changes({"a": 0.2, "b": 0.9}, {"a": 0.1, "b": 0.9}, {"a": 0.06, "b": 0.8})
    assert found.mean_relative == pytest.approx(0.5)
    assert found.mean_difference == pytest.approx(0.05)


def test_only_common_benchmarks_count() -> None:
    theirs = {"a": 0.25, "c": 0.1}
    assert changes({"a": 0.5, "b": 1.0}, theirs, theirs) == Changes(0.25, 1.0, 1, 1)


def test_nothing_is_relative_to_what_may_be_zero() -> None:
    """Three of 320: 0.9 %, from 0.3 %. From 1 to 99 % were +9800 %."""
    ours, theirs = {"a": 0.75, "b": 0.5}, {"a": 0.01, "b": 0.25}
    assert changes(ours, theirs, {"a": 0.003, "b": 0.2}) == Changes(0.495, 1.0, 2, 1)
    assert changes(ours, theirs, {"a": 0.003, "b": 0.04}) == Changes(0.495, None, 2, 0)
    assert changes(ours, theirs, {"a": 0.0, "b": 0.05}) == Changes(0.495, 1.0, 2, 1)


def test_no_common_benchmark() -> None:
    with pytest.raises(DataError, match="none in common"):
        changes({"a": 0.5}, {"b": 0.5}, {"b": 0.5})


RATES = st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 1)), min_size=1, max_size=8)


@given(RATES, st.floats(0.5, 200))
def test_units_and_exchange(rates: list[tuple[float, float]], unit: float) -> None:
    """Percent or shares: the relative change is the same; exchanged, the difference turns."""
    ours = {key: mine for key, (mine, _) in enumerate(rates)}
    theirs = {key: other for key, (_, other) in enumerate(rates)}
    found = changes(ours, theirs, theirs)
    scaled = changes(
        {key: unit * value for key, value in ours.items()},
        {key: unit * value for key, value in theirs.items()},
        theirs,
    )
    assert scaled.mean_relative == pytest.approx(found.mean_relative, abs=1e-9)
    assert scaled.mean_difference == pytest.approx(unit * found.mean_difference, abs=1e-9)
    assert changes(theirs, ours, ours).mean_difference == pytest.approx(-found.mean_difference)
