"""What the pictures draw, read back from their panels; and that they look as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from recap.sweeps.curves import over_time, training
from recap.sweeps.design import Cell
from recap.sweeps.dials import dials, trainings
from recap.sweeps.drawing import Drawn, blank, palette, save, styled
from recap.sweeps.results import Results, read_results
from recap.sweeps.tables import Tables
from recap.types.results import CellResult, DynamicsResult, SnapshotResult
from tests.unit.sweep_ledger import clone, extend, record
from tests.unit.test_report_numbers import rate, result

pytestmark = pytest.mark.slow  # all of them together

SWEEP: dict[str, Any] = {
    "axes": {
        "alpha": [0.0, 0.5],
        "prefill_length": [16, 80],
        "safety_reward": ["prob", "logit"],
    },
    "brings": {"safety_reward": {"logit": {"truncated_reward": -10.0}}},
    "overlay": {"attack": {"benchmarks": ["prefill", "benign", "ipr"], "ipr_rounds": 3}},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """RECAP twice, DAPO and `logit` once each; curves of ten updates; nothing of the length 16."""
    root = clone(tmp_path_factory.mktemp("pictures") / "clone", **SWEEP)
    for at, prefill, reward in (
        (Cell("recap", 0), "1111", 0.5),
        (Cell("recap", 1), "1110", 0.7),
        (Cell("dapo", 0), "1000", 0.4),
        (Cell("logit", 0), "11", 2.5),
    ):
        record(root, at, prefill, "1" * len(prefill))
        snapshots = [
            SnapshotResult(update=update, results=[result("jailbreak", rate(update / 100))])
            for update in (20, 40)
        ]
        rates = [result("ipr", rate(reward / 5), round_=place) for place in (1, 2)]
        extend(
            root,
            at,
            curve={"reward": [reward] * 10, "reward_prefilled": [None] * 4 + [reward] * 6},
            dynamics=DynamicsResult(variant=at.variant, seed=at.seed, snapshots=snapshots),
            result=CellResult(variant=at.variant, seed=at.seed, results=rates),
        )
    return read_results(root)


def drawn(made: Drawn | None) -> Drawn:
    assert made is not None
    return made


def line(panel: Axes, colour: str, marker: str = "") -> list[tuple[float, float]]:
    """The points of the thick (or marked) line of this colour."""
    (found,) = (
        one
        for one in panel.get_lines()
        if one.get_color() == palette()[colour]
        and one.get_marker() in (marker or "None", marker)
        and (marker or one.get_linewidth() > 2)
    )
    xs, ys = (np.asarray(values, dtype=float) for values in (found.get_xdata(), found.get_ydata()))
    return [(round(float(x), 3), round(float(y), 3)) for x, y in zip(xs, ys, strict=True)]


def test_a_dial_has_means_here_and_the_papers_numbers_beside(results: Results) -> None:
    with styled():
        figure = drawn(dials(results, Tables(results))).figure
    alpha, paper, length, lengths = figure.get_axes()
    assert [y for _, y in line(alpha, "line0", "_")] == [25.0, 87.5]  # prefill: dapo, recap
    assert [y for _, y in line(alpha, "line2", "_")] == [100.0, 100.0]  # benign
    dots = [y for _, y in line(alpha, "line0", "o")]
    assert dots == [25.0, 100.0, 75.0]  # every training
    assert line(paper, "line0", "o") == [(0, 87.54), (1, 96.46)]
    assert [text.get_text() for text in paper.get_xticklabels()] == ["0", "0.5"]
    assert [y for _, y in line(length, "line0", "_")] == [87.5]  # of 16 words nothing is measured
    assert [text.get_text() for text in length.get_xticklabels()] == ["16", "80"]
    assert [text.get_text() for text in lengths.get_xticklabels()] == ["100", "500"]
    assert line(lengths, "line0", "o") == [(0, 92.97), (1, 98.39)]


def test_every_training_is_a_dot_in_its_variants_row(results: Results) -> None:
    with styled():
        figure = drawn(trainings(results, Tables(results))).figure
    prefill, resets, benign = figure.get_axes()
    names = [text.get_text() for text in prefill.get_yticklabels()]
    assert names == ["RECAP", "DAPO", "logit"]
    assert line(prefill, "candidate", "o") == [(100.0, 0.0), (75.0, 0.0)]
    assert line(prefill, "baseline", "o") == [(25.0, 1.0)]
    assert line(benign, "extra0", "o") == [(100.0, 2.0)]
    assert line(resets, "baseline", "o") == []  # no prompt of it was asked here


def test_rewards_in_another_unit_are_named_and_not_drawn(results: Results) -> None:
    with styled():
        made = drawn(training(results))
    assert made.caption.endswith("Not drawn, since its reward has another unit: `logit`.")
    alpha, prefilled, *_, reward, _ = made.figure.get_axes()
    assert line(alpha, "candidate") == [(float(n), 0.6) for n in range(1, 11)]
    assert line(alpha, "baseline") == [(float(n), 0.4) for n in range(1, 11)]
    assert line(prefilled, "candidate") == [(float(n), 0.6) for n in range(5, 11)]
    assert {one.get_color() for one in reward.get_lines()} == {palette()["candidate"]}


def test_safety_over_time_and_resets(results: Results) -> None:
    with styled():
        jailbreak, prefill, resets, paper = drawn(over_time(results)).figure.get_axes()
    assert line(jailbreak, "candidate") == [(20, 20.0), (40, 40.0)]
    assert line(prefill, "candidate") == []
    assert line(resets, "candidate") == [(1, 12.0), (2, 12.0)]
    assert line(resets, "baseline") == [(1, 8.0), (2, 8.0)]
    assert line(paper, "baseline", "o") == [(1, 79.23), (2, 70.29), (3, 69.65)]


def test_a_mean_has_a_gap_where_a_training_has_no_value() -> None:
    from recap.sweeps.curves import _lines

    panel = blank(2).subplots()
    _lines(panel, [{1.0: 0.2, 2.0: 0.4}, {1.0: 0.4}], palette()["line0"])
    thick = panel.get_lines()[-1].get_ydata()
    assert np.allclose(np.asarray(thick, dtype=float), [0.3, np.nan], equal_nan=True)


def test_nothing_measured_is_no_picture(tmp_path: Path) -> None:
    nothing = read_results(clone(tmp_path / "clone", **SWEEP))
    tables = Tables(nothing)
    assert [dials(nothing, tables), trainings(nothing, tables)] == [None, None]
    assert [training(nothing), over_time(nothing)] == [None, None]


def test_a_file_keeps_its_colours(tmp_path: Path) -> None:
    """The palette is small, but not so small that a line looks like another."""
    figure = blank(2)
    panel = figure.subplots()
    for y, name in enumerate(("candidate", "baseline", "line0", "line1", "line2", "extra4")):
        panel.axhspan(y, y + 1, color=palette()[name])
    save(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        found = {
            f"#{r:02x}{g:02x}{b:02x}"
            for _, (r, g, b) in picture.convert("RGB").getcolors(maxcolors=256) or ()
        }
    wanted = [palette()[name] for name in ("candidate", "baseline", "line0", "line1", "line2")]
    assert {*wanted, palette()["card"]} <= found
