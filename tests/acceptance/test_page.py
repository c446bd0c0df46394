"""The finished run's page in a real browser, and what stands beside it (`make run` first).

Without a run, or without a browser that could have been installed, these are skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integration.chromium import chromium, missing

PAGE = Path(__file__).parents[2] / "reports/index.html"


@pytest.fixture(scope="module")
def page() -> Path:
    if not PAGE.is_file():
        if os.environ.get("CI"):
            pytest.fail("expected the outputs of `make run`, found none")
        pytest.skip("needs the outputs of `make run`")
    return PAGE


# No Chromium on this machine; what it lacks is the reason.
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_the_page_says_nothing_on_the_console_and_fits_a_phone(page: Path) -> None:
    assert page.stat().st_size < 5_000_000
    with chromium() as browser:
        browser.open(page, width=360)
        browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert browser.said == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
        empty = "[...document.querySelectorAll('figure')].filter(f => !f.querySelector('svg, td'))"
        assert browser.evaluate(f"{empty}.length") == 0


def test_every_claim_has_a_verdict_and_the_markdown_is_short(page: Path) -> None:
    tables = json.loads(page.with_name("tables.json").read_text(encoding="utf-8"))
    verdicts = {claim["number"]: claim["verdict"] for claim in tables["claims"]}
    assert sorted(verdicts) == list(range(1, 10))
    seen = ("seen in one training", "seen in two trainings", "holds")
    # The slope: what RECAP is for. One training shows no more than what was seen in it.
    assert verdicts[9] == seen[min(tables["trainings"], 3) - 1]
    assert len(page.with_name("report.md").read_text(encoding="utf-8")) < 20_000
