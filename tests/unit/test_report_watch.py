"""The page of the attacks made anew, and that no stage knows of it.

Panels are 360 x 216: the value axis goes from y = 182 to y = 12, attacks from x = 48 to x = 294.
"""

from __future__ import annotations

import re
from pathlib import Path

from recap.analysis.axes import NO_AXES
from recap.report.watch import watch_page
from recap.types.results import BenchmarkResult, Metric
from recap.types.watch import Gated, Watched

ALARM = "prefill not below registration: 50.0% against 90.0%"


def result(rate: float | None) -> BenchmarkResult:
    ends = (None, None) if rate is None else (rate - 0.1, rate + 0.05)
    metric = Metric(
        value=rate,
        low=ends[0],
        high=ends[1],
        cluster_low=ends[0],
        cluster_high=ends[1],
        n=0 if rate is None else 320,
        n_unscored=320 if rate is None else 0,
        n_incomplete=0,
    )
    return BenchmarkResult.model_construct(benchmark="prefill", place=1, rate=metric)


def attack(
    number: int,
    rate: float | None = 0.9,
    *,
    version: str = "3",
    alarms: tuple[str, ...] = (),
    floor: float | None = 0.8,
) -> Watched:
    gated = Gated(benchmark="prefill", place=1, registered=0.9, floor=floor, alarms=alarms)
    return Watched.model_construct(
        at=f"2026-11-{number:02}T05:00:00.000000Z",
        by="ada@box",
        version=version,
        fingerprint=version,
        number=number,
        settings="s",
        results=(result(rate),),
        gated=(gated,),
        alarms=alarms,
    )


def page(*lines: Watched) -> str:
    return watch_page(lines, NO_AXES)


def paths(html: str, kind: str) -> list[str]:
    """The paths of one class of lines, bands or rings."""
    return re.findall(rf'<path class="{kind}" d="([^"]*)"', html)


def test_rate_registration_floor_and_alarm_are_where_they_belong() -> None:
    html = page(attack(1), attack(2, 0.5, alarms=(ALARM,)))
    # the axis goes from 40 % (the interval's lower end) to 100 %
    assert re.findall(r'text-anchor="end">(\d+) %<', html) == ["40", "60", "80", "100"]
    assert paths(html, "line c-candidate") == ["M109.5 40.3L232.5 153.7"]
    assert paths(html, "band c-candidate") == ["M109.5 26.2L232.5 139.5L232.5 182.0L109.5 68.7Z"]
    assert paths(html, "line c-base") == ["M48.0 40.3L294.0 40.3"]
    assert paths(html, "line c-baseline") == ["M48.0 68.7L294.0 68.7"]
    rings = re.findall(r'<circle class="dot c-line0" cx="([\d.]+)" cy="([\d.]+)"', html)
    assert rings == [("232.5", "153.7")]
    assert "The last attack on version 3 raised 1 alarm" in html
    assert "1 of 2 attacks raised an alarm" in html
    assert f'<p class="bad">{ALARM}</p>' in html
    assert "11-01" in html and "11-02" in html


def test_without_alarm_floor_or_second_attack() -> None:
    html = page(attack(7, floor=None))
    assert "The last attack on version 3 raised no alarm" in html
    assert "c-line0" not in "".join(re.findall(r"<circle[^>]*>", html))
    assert paths(html, "line c-baseline") == [""]
    assert paths(html, "line c-candidate") == ["M171.0 68.7", "M171.0 182.0L171.0 12.0"]


def test_a_gap_and_another_version() -> None:
    html = page(attack(1, version="2"), attack(2, None), attack(3), attack(4, version="2"))
    assert "The last attack on version 2 raised no alarm" in html and "other versions" in html
    dots = re.findall(r'<circle class="dot (\S+)".*?<title>(.*?)</title>', html)
    assert dots == [
        ("c-candidate", "version 2: 90 %"),
        ("c-candidate", "version 2: 90 %"),
        ("c-extra0", "version 3: 90 %"),
    ]
    assert "<b>\N{EN DASH}</b><small></small>" in html


def test_the_last_sixty_are_shown() -> None:
    html = page(*(attack(number) for number in range(1, 62)))
    assert len(re.findall("<circle", html)) == 60
    assert "The last 60 of 61 attacks." in html
    assert "<td>1</td>" not in html and "<td>2</td>" in html


def test_an_attack_that_was_kept_without_its_gate_is_drawn_by_its_rate() -> None:
    old = attack(1).model_copy(update={"gated": ()})
    html = page(old, attack(2))
    assert len(re.findall("<circle", html)) == 2
    assert paths(html, "line c-base") == ["M171.0 68.7L294.0 68.7"]
    assert "<svg" not in page(old)


def test_nothing_in_it_runs() -> None:
    evil = "<script>document.title='stolen'</script>"
    html = page(attack(1, version=evil, alarms=(evil,)))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "default-src 'none'; style-src 'unsafe-inline'\">" in html


def test_no_stage_knows_of_it() -> None:
    """Else it would be stale after every attack, or delete the page."""
    assert "watch" not in Path("dvc.yaml").read_text(encoding="utf-8")
