"""No score is never 0: a cell that nobody could judge, through everything that shows numbers."""

from __future__ import annotations

import pytest

from recap.analysis.evidence import Evidence, by_key
from recap.analysis.gate import CellOutcomes, decide
from recap.analysis.headline import headline
from recap.analysis.replicates import replicates
from recap.analysis.tables import DASH, tables
from recap.cli.summary import rate_text
from recap.evaluation.metrics import cell_result, outcomes
from recap.params.evaluate import Evaluate
from recap.params.gate import Gate
from recap.report.figures import bar_groups, table_rows
from recap.tracking.manifest import Rate
from recap.tracking.measures import named_rates
from recap.types.results import CellResult
from recap.types.verdicts import Outcome, Verdict
from tests.completions import make_completion

SETTINGS = Evaluate(max_unscored=1.0, bootstrap=10)
NAMES = ("harmful", "prefill", "hijack", "ipr", "benign", "math")
GATE = Gate.model_validate(
    {
        "candidate": "recap",
        "baseline": "dapo",
        "seed": 0,
        "margin": 0.99,
        "min_rows": 1,
        "checks": [
            check | {"benchmark": name}
            for name in NAMES
            for check in ({"kind": "floor", "floor": 0.0}, {"kind": "non_inferior"})
        ],
    }
)


def _cell(variant: str) -> tuple[CellResult, list[Outcome]]:
    """Every benchmark of the gate, three prompts with two samples: all overflowed or unreadable."""
    rows = [
        make_completion(
            None,
            prompt_id=prompt,
            benchmark=name,
            sample=sample,
            prompt="p",
            finish_reason="overflow",
            num_response_tokens=0,
        )
        for name in NAMES
        for prompt in "abc"
        for sample in (0, 1)
    ]
    verdicts = [
        Verdict(
            prompt_id=row.prompt_id,
            benchmark=row.benchmark,
            place=1,
            sample=row.sample,
            label=None,
            judge="oracle",
            judge_revision="1",
            judge_prompt_sha="0",
            raw="overflow",
        )
        for row in rows
    ]
    found = outcomes(rows, verdicts)
    cell = cell_result(rows, found, variant=variant, replicate=0, settings=SETTINGS, seed=0)
    return cell, found


@pytest.fixture(scope="module")
def cells() -> list[tuple[CellResult, list[Outcome]]]:
    return [_cell("recap"), _cell("dapo")]


Cells = list[tuple[CellResult, list[Outcome]]]


def test_rates(cells: Cells) -> None:
    for row in cells[0][0].results:
        assert row.rate.model_dump() == {
            "value": None,
            "low": None,
            "high": None,
            "cluster_low": None,
            "cluster_high": None,
            "n": 0,
            "n_unscored": 6,
            "n_incomplete": 0,
        }
        assert row.reflection.value is None and row.mean_reflection_position is None
        assert (row.mean_cot_tokens, row.mean_response_tokens) == (None, None)
        assert [(each.k, each.value, each.n_prompts) for each in row.pass_at_k] == [
            (1, None, 0),
            (2, None, 0),
        ]
    assert cells[0][0].reflection == []


def test_the_gate_passes_nothing(cells: Cells) -> None:
    """Even with every floor at its lowest."""
    mine, theirs = (CellOutcomes(result.variant, found) for result, found in cells)
    decision = decide(mine, {"dapo": theirs}, GATE, resamples=10, seed=0)
    assert len(decision.checks) == 12
    assert not decision.passed
    assert not any(check.passed for check in decision.checks)


def test_what_is_shown(cells: Cells) -> None:
    results = [result for result, _ in cells]
    for row in table_rows(results):
        for cell in row.cells:
            assert cell is not None
            assert (cell.value, cell.interval, cell.clustered) == (DASH, DASH, DASH)
            assert (cell.tokens, cell.unscored) == (DASH, f"6 unscored: 0.0{DASH}100.0")
    assert bar_groups(results, ["prefill", "hijack"], {"recap": "a", "dapo": "b"}) == []
    shown = tables(results)["cells"][0]["results"]["prefill/1"]
    assert (shown["value"], shown["n"], shown["n_unscored"]) == (None, 0, 6)
    assert rate_text(shown, wide=True) == f"{DASH} (6 unscored)"
    outcomes = {(one.variant, one.seed): by_key(found) for one, found in cells}
    evidence = Evidence(outcomes, {}, resamples=10, seed=0)
    assert headline(results, evidence, "recap", "dapo").title.startswith("No finding")


def test_what_is_published(cells: Cells) -> None:
    """MLflow gets the counts and no rate; the manifest has its nulls."""
    names = dict(named_rates(cells[0][0].results))
    assert {name.split("/")[-1] for name in names} == {"unscored"}
    assert names["prefill/unscored"] == 6
    metric = cells[0][0].results[0].rate
    fields = {name: getattr(metric, name) for name in Rate.model_fields}
    assert Rate(**fields).value is None


def test_over_seeds(cells: Cells) -> None:
    assert all(row.mean is None for row in replicates([result for result, _ in cells]))
