"""Coordinates of panels, curves from metrics, and which samples are drawn."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from recap.analysis.curves import WorldPoint, read_metrics, read_worlds
from recap.errors import DataError
from recap.report.curves import training_panels, world_panels
from recap.report.geometry import Point, Series, nice_ticks, panel, smoothed
from recap.report.samples import MAX_CHARACTERS, draw, shorten
from recap.types.attacks import Completion
from recap.types.row import SUCCESS
from recap.types.verdicts import Verdict
from tests.completions import make_completion


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 83, [0, 25, 50, 75, 100]),
        (0, 0.0063, [0, 0.002, 0.004, 0.006, 0.008]),
        (1, 80, [0, 20, 40, 60, 80]),
        (-0.3, 0.4, [-0.4, -0.2, 0, 0.2, 0.4]),
        (0, 0, [0, 0.25]),
        (5, 5, [4, 6]),
    ],
)
def test_nice_ticks(low: float, high: float, ticks: list[float]) -> None:
    found = nice_ticks(low, high)
    assert found == pytest.approx(ticks)


def test_smoothed_is_a_centred_mean_that_keeps_gaps() -> None:
    points = [Point(x, y) for x, y in enumerate([0.0, 3.0, 6.0, None, 2.0])]
    assert [point.y for point in smoothed(points, window=3)] == [1.5, 3.0, 4.5, None, 2.0]


def test_panel_coordinates() -> None:
    line = Series("RECAP", "c", (Point(0, 0.0), Point(1, None), Point(2, 1.0, 0.5, 1.0)))
    drawn = panel("t", [line], x_title="x", scale="whole", x_ticks=[0, 2])
    assert drawn is not None
    # x runs from 40 + 8 to 360 - 58 - 8, y from 216 - 34 up to 12; the gap breaks the line
    assert drawn.lines[0].d == "M48.0 182.0M294.0 12.0"
    assert drawn.bands[0].d == "M294.0 12.0L294.0 97.0Z"
    assert [(tick.y, tick.text) for tick in drawn.y_ticks][::4] == [(182.0, "0 %"), (12.0, "100 %")]
    assert [(mark.x, mark.y, mark.text) for mark in drawn.labels] == [(301.0, 12.0, "RECAP")]


def test_labels_never_overlap_and_stay_inside() -> None:
    lines = [Series(f"v{n}", "c", (Point(0, 0.01 * n), Point(1, 0.01 * n))) for n in range(4)]
    drawn = panel("t", lines, x_title="x", scale="whole")
    assert drawn is not None
    places = [mark.y for mark in drawn.labels]
    assert all(b - a >= 12.9 for a, b in itertools.pairwise(places))
    assert places[-1] <= 182.0


def test_a_long_name_is_cut_where_a_line_ends() -> None:
    drawn = panel(
        "t", [Series("Aligned prefills", "c", (Point(0, 1.0),))], x_title="x", scale="unit"
    )
    assert drawn is not None
    assert [mark.text for mark in drawn.labels] == ["Aligned …"]


def test_a_panel_without_values_is_none() -> None:
    assert panel("t", [Series("a", "c", (Point(1, None),))], x_title="x", scale="unit") is None


def test_training_panels_take_what_is_there() -> None:
    updates = [
        {"update": 1, "reward": 0.25, "groups_kept": 3, "groups_drawn": 12, "grad_norm": None},
        {"update": 2, "reward": 0.75, "groups_kept": 3, "groups_drawn": 0, "grad_norm": None},
    ]
    panels = training_panels({("recap", 0): updates}, {"recap": "c"})
    assert [found.title for found in panels] == ["Reward", "Groups kept by dynamic sampling"]
    raw, _ = panels[0].lines
    assert raw.d == "M48.0 139.5L294.0 54.5"  # 0.25 and 0.75 of the way from 182 to 12
    assert panels[1].lines[0].d == "M48.0 139.5"  # 0 groups drawn: no share, a gap


def test_supervised_cells_have_panels_of_their_own() -> None:
    supervised = {"update": 1, "loss": 0.5, "grad_norm": 0.2, "loss_harmful": 0.7}
    supervised["loss_math"] = None
    reinforced = {"update": 1, "loss": 0.0, "grad_norm": 0.4, "reward": 0.5}
    panels = training_panels(
        {("sft_star", 0): [supervised], ("recap", 0): [reinforced]},
        {"sft_star": "c-extra0", "recap": "c"},
    )
    shown = {found.title: {line.colour for line in found.lines} for found in panels}
    assert shown == {
        "Reward": {"c"},
        "Gradient norm": {"c", "c-extra0"},
        "Supervised loss, harmful prompts": {"c-extra0"},
    }


def test_metrics_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "recap-0.jsonl"
    path.write_text('{"update": 1}\n[]\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"recap-0\.jsonl:2: expected a JSON object with the key"):
        read_metrics(path)
    path.write_text('{"update": 1', encoding="utf-8")
    with pytest.raises(DataError, match=r"recap-0\.jsonl:1: expected a JSON object, but"):
        read_metrics(path)


def test_world_panel_shows_means_and_every_seed(tmp_path: Path) -> None:
    path = tmp_path / "worlds.json"
    path.write_text(
        '[{"turn_in_response":0.2,"seed":1,"world":"w","variant":"dapo","benchmark":"prefill","value":0.0,"n":9},'
        '{"turn_in_response":0.2,"seed":2,"world":"w","variant":"dapo","benchmark":"prefill","value":1.0,"n":9},'
        '{"turn_in_response":0.5,"seed":1,"world":"w","variant":"dapo","benchmark":"prefill","value":null,"n":0}]',
        encoding="utf-8",
    )
    (drawn,) = world_panels(read_worlds(path), {"dapo": "c"}, 0.35)
    assert drawn.lines[0].d == "M48.0 97.0"  # the mean of 0 and 1; no mean where nothing scored
    assert [(dot.y, dot.text) for dot in drawn.dots] == [
        (182.0, "DAPO: 0 %"),
        (12.0, "DAPO: 100 %"),
    ]
    assert drawn.rule is not None and drawn.rule.x == 171.0
    path.write_text('[{"turn_in_response": 0.2}]', encoding="utf-8")
    with pytest.raises(DataError, match=r"expected a list of points, but 0\.seed: Field required"):
        read_worlds(path)


def test_worlds_at_one_place_are_no_curve() -> None:
    points = [
        WorldPoint(
            turn_in_response=0.2,
            seed=seed,
            world="w",
            variant="dapo",
            benchmark="b",
            value=0.5,
            n=9,
        )
        for seed in (1, 2)
    ]
    assert world_panels(points, {"dapo": "c"}, 0.2) == []


def test_world_panels_of_no_points() -> None:
    points: list[WorldPoint] = []
    assert world_panels(points, {}, 0.2) == []


def make(prompt_id: str, round_: int = 1, sample: int = 0) -> Completion:
    return make_completion(
        "ok",
        prompt_id=prompt_id,
        benchmark="ipr",
        attack="ipr",
        place=round_,
        sample=sample,
        prompt=f"brew {prompt_id}",
        prefill="first",
        prefill_source="harmful_eval",
        num_prefill_tokens=1,
        cot=f"cot {round_}",
        num_cot_tokens=2,
    )


def judged(row: Completion, label: str | None) -> Verdict:
    return Verdict.model_validate(
        {
            "prompt_id": row.prompt_id,
            "benchmark": row.benchmark,
            "place": row.place,
            "sample": row.sample,
            "label": label,
            "judge": "oracle",
            "judge_revision": "1",
            "judge_prompt_sha": "",
            "raw": "",
        }
    )


def test_all_variants_answer_the_same_prompts_round_by_round() -> None:
    rows = [make(f"p{n}", round_, s) for round_ in (2, 1) for n in range(9) for s in (0, 1)]
    labels = [judged(row, None if row.place == 2 else "safe") for row in rows]
    cards = draw({"a": rows, "b": rows}, {"a": labels, "b": labels}, SUCCESS, count=3, seed=7)
    again = draw({"a": rows, "b": rows}, {"a": labels, "b": labels}, SUCCESS, count=3, seed=7)
    assert cards == again
    assert len({card.prompt_id for card in cards}) == 3
    assert all(card.veiled for card in cards)
    assert [column.variant for column in cards[0].columns] == ["a", "b"]
    assert [(t.place, t.cot, t.success) for t in cards[0].columns[0].turns] == [
        (1, "cot 1", True),
        (2, "cot 2", None),
    ]


def test_a_completion_without_a_verdict_is_an_error() -> None:
    with pytest.raises(DataError, match=r"Expected a verdict on ipr/p1, round 1, of a, found none"):
        draw({"a": [make("p1")]}, {"a": []}, SUCCESS, count=3, seed=0)


def test_drawing_from_many_completions_is_linear() -> None:
    def seconds(count: int) -> float:
        rows = [make(f"p{n}") for n in range(count)]
        labels = [judged(row, "safe") for row in rows]
        start = time.process_time()
        draw({"a": rows}, {"a": labels}, SUCCESS, count=8, seed=0)
        return time.process_time() - start

    assert seconds(24_000) < 40 * (seconds(1_500) + 0.005)


def test_shorten_says_how_much_it_cut() -> None:
    assert shorten("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    half = MAX_CHARACTERS // 2
    assert shorten("a" * half + "b" * 7 + "c" * half) == (
        "a" * half + " […7 characters…] " + "c" * half
    )
