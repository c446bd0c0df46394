"""What the bench prints: tables, verdicts, and their place in a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import stages
from tests.bench.page import BEGIN, END, Table, Target, replace_between_markers, summary


def test_a_table_is_markdown() -> None:
    table = Table("Speed", ("what", "tokens/s"), [["a", "1"], ["b", "22"]])
    assert str(table) == ("**Speed**\n\n| what | tokens/s |\n| --- | ---: |\n| a | 1 |\n| b | 22 |")


@pytest.mark.parametrize(
    "measured, bounds, met",
    [
        (2.0, {"at_least": 2.0}, True),
        (1.99, {"at_least": 2.0}, False),
        (0.1, {"at_most": 0.1}, True),
        (0.11, {"at_most": 0.1}, False),
    ],
)
def test_a_target_is_met_or_not(measured: float, bounds: dict[str, float], met: bool) -> None:
    assert Target("x", measured, **bounds).met is met


def test_the_summary_counts_and_names_what_was_missed() -> None:
    targets = [
        Target("rollouts", 5.123, at_least=3.0),
        Target("other", 0.125, at_most=0.1, percent=True),
    ]
    assert summary(targets) == (
        "Targets met: 1 of 2. rollouts 5.12 x (>= 3.00 x): met; other 12.5% (<= 10.0%): MISSED."
    )


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_between_markers(page, "new")
    replace_between_markers(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"no end\n{BEGIN}\n")
    with pytest.raises(ValueError, match="found no such pair"):
        replace_between_markers(page, "new")
    assert page.read_text() == f"no end\n{BEGIN}\n"


def test_a_light_stages_start_is_measured_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"prepare": 0.3, "judge": 1.6, "evaluate": 0.4, "gate": 0.7, "report": 0.7}
    monkeypatch.setattr(stages, "start_seconds", lambda _, stage: seconds[stage])
    target = stages.start_target(Path())
    assert str(target) == "start of a light stage 1.60 s (<= 1.50 s): MISSED"


def test_the_stage_table_has_the_module_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings = tmp_path / "timings.json"
    timings.write_text('{"judge@a-0": {"seconds": 4.0, "startup": 1.0}}')
    monkeypatch.setattr(stages, "import_seconds", lambda *_: 5.0)
    monkeypatch.setattr(stages, "start_seconds", lambda *_: 0.24)
    table = stages.stage_table(tmp_path, timings)
    assert table.columns[3] == "module alone"
    assert table.rows[0] == ["judge@a-0", "4.0", "1.0", "0.2", "", ""]
