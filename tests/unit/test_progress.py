"""The time left: in proportion to the work, also where pieces cost unlike or are drawn again."""

from __future__ import annotations

import pytest

from recap.runtime import progress
from recap.runtime.progress import Progress, Redraws


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the module sees; its only element."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_pieces_of_one_size(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress("update", 10)
    clock[0] += 20
    shown.step(2, "reward 0.61")
    assert said(capsys) == "update 2/10  reward 0.61  1m20s left"
    clock[0] += 1
    shown.step(3)
    assert said(capsys) == ""  # too soon after the last line
    shown.step(10)
    assert said(capsys) == "update 10/10"


def test_a_resumed_run_counts_its_own_pieces(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Progress("update", 10, done=6)
    clock[0] += 4
    shown.step(7)
    assert said(capsys) == "update 7/10  12s left"


def test_nothing_done_says_no_time(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress("row", 10)
    clock[0] += 5
    shown.step(0)
    assert said(capsys) == "row 0/10"


@pytest.mark.parametrize(
    ("failed", "left"),
    [
        # By verified thoughts the time left rose here: 48 s, 1m36s, 2m24s, 3m12s.
        ([10, 10, 10, 10], ["14s left", "10s left", "5s left", ""]),
        ([4, 2, 1, 0], ["3s left", "1s left", "0s left", ""]),
    ],
)
def test_failures_are_drawn_again(
    failed: list[int],
    left: list[str],
    clock: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A draw takes 0.48 s, so that the first rows tell exactly the time it still takes."""
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    shown, draws, drawn = Progress("thought", 10), Redraws(4), 10
    for number, expected in zip(failed, left, strict=True):
        clock[0] += 0.48 * drawn
        shown.step(10 - number, effort=draws.after_round(drawn, number))
        assert said(capsys) == f"thought {10 - number}/10  {expected}".rstrip()
        drawn = number


def test_redraws_by_hand() -> None:
    draws = Redraws(3)
    assert draws.after_round(8, 4) == (8, 6.0)  # 4 and 2 more
    assert draws.after_round(4, 1) == (12, 1.0)
    assert draws.after_round(1, 1) == (13, 0)
