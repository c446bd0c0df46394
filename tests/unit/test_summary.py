"""The table, the claims and the advice that end a run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from recap.cli.publish import Receipt
from recap.cli.summary import DASH, claims_line, rate_text, rates_table, show_summary
from recap.rows import write_json
from recap.types.decisions import GateDecision

RATE = {"value": 0.9719, "low": 0.9462, "high": 0.9851, "n": 320, "n_unscored": 0}
TABLES = {
    "benchmarks": [
        {"name": "prefill", "place": 1, "domain": "harmful", "label": "Prefill", "score": "safe",
         "main": True},
        {"name": "transfer", "place": 1, "domain": "harmful", "label": "Other", "score": "safe",
         "main": False},
        {"name": "math", "place": 1, "domain": "math", "label": "Sums", "score": "correct",
         "main": True},
    ],
    "claims": [{"verdict": "holds"}, {"verdict": "not measured"}, {"verdict": "holds"}],
    "cells": [
        {"variant": "dapo", "seed": 0, "results": {"prefill/1": {**RATE, "value": 0.015}}},
        {"variant": "recap", "seed": 0, "results": {"prefill/1": RATE, "math/1": RATE}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (RATE, "97.2 \\[94.6, 98.5] 320"),
        ({**RATE, "n_unscored": 3}, "97.2 \\[94.6, 98.5] 320 (3 unscored)"),
        ({"value": None, "low": None, "high": None, "n": 0, "n_unscored": 9}, "– (9 unscored)"),  # noqa: RUF001 - an en dash is meant
        (None, DASH),
    ],
)
def test_a_rate_in_the_table(rate: dict[str, float | int | None] | None, text: str) -> None:
    assert rate_text(rate, wide=True) == text


@pytest.mark.parametrize(
    ("aliases", "advised"),
    [(("challenger",), {"promote"}), (("champion",), {"rollback"}), ((), set()), (None, set())],
)
def test_only_what_applies_is_advised(
    aliases: tuple[str, ...] | None, advised: set[str], tmp_path: Path
) -> None:
    write_json(tmp_path / "reports/tables.json", TABLES)
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=True, checks=[])
    write_json(tmp_path / "results/decision.json", decision)
    receipt = Receipt(state="", runs={}, model="m", version="1", aliases=aliases or ())
    console = Console(width=120, record=True, file=io.StringIO())
    show_summary(tmp_path, None if aliases is None else receipt, console)
    said = console.export_text()
    assert {word for word in ("promote", "rollback") if f"recap {word} " in said} == advised


def test_the_table_has_a_row_for_each_benchmark() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(rates_table(TABLES, wide=True))
    lines = console.export_text(clear=False).splitlines()
    rows = [re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in lines]
    assert ["benchmark", "success", "DAPO", "RECAP"] in rows
    assert ["Prefill", "safe", "1.5 [94.6, 98.5] 320", "97.2 [94.6, 98.5] 320"] in rows
    assert ["Sums", "correct", DASH, "97.2 [94.6, 98.5] 320"] in rows
    assert "Other" not in console.export_text(clear=False)
    assert any("and 1 more rates, on the page" in line for line in lines)


def test_the_claims_are_counted() -> None:
    assert claims_line(TABLES) == "The paper's 3 claims, tested here: holds 2, not measured 1"


@pytest.mark.parametrize(
    ("folder", "advised"),
    [
        (".recap/smollm2", "recap report --profile smollm2 --open"),
        (".recap/smollm2-quick", "recap report --profile smollm2 --quick --open"),
        ("clone", "recap report --open"),
    ],
)
def test_the_advice_works_where_the_user_is(folder: str, advised: str, tmp_path: Path) -> None:
    place = tmp_path / folder
    write_json(place / "reports/tables.json", TABLES)
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=True, checks=[])
    write_json(place / "results/decision.json", decision)
    console = Console(width=120, record=True, file=io.StringIO())
    show_summary(place, None, console)
    said = " ".join(console.export_text().split())
    assert advised in said
    assert ("make run SEED=1" in said) == (folder == "clone")


@pytest.mark.parametrize("attacked", [False, True])
def test_the_page_of_the_attacks_is_named_once_there_is_one(attacked: bool, tmp_path: Path) -> None:
    write_json(tmp_path / "reports/tables.json", TABLES)
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=True, checks=[])
    write_json(tmp_path / "results/decision.json", decision)
    if attacked:
        (tmp_path / "reports/watch.html").touch()
    console = Console(width=300, record=True, file=io.StringIO())
    show_summary(tmp_path, None, console)
    said = f"Watching:   {tmp_path / 'reports/watch.html'}\n"
    assert (said in console.export_text()) is attacked
