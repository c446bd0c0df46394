"""The rows that the bench measures with: as many as asked, in order, and the oracle knows them."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path

from recap.evaluation.metrics import outcomes
from recap.judges.oracle import OracleJudge
from recap.microworld.grammar import World
from recap.params.whole import read_params
from tests.bench.rows import PER_PROMPT, SAMPLES, Cost, _step, completions

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def test_rows_are_what_the_attack_stage_would_leave() -> None:
    world = World(PARAMS.world, PARAMS.seed)
    rows = list(completions(world, 6 * PER_PROMPT + 1, words=0))
    assert len(rows) == 6 * PER_PROMPT == 6 * 10 * SAMPLES
    places = [key for key, _ in groupby(rows, key=lambda row: (row.benchmark, row.place))]
    assert len(places) == len(set(places)) == 10
    prompts: dict[str, set[str]] = {}
    for row in rows:
        prompts.setdefault(row.prompt_id, set()).add(row.prompt)
    assert all(len(texts) == 1 for texts in prompts.values())
    verdicts = OracleJudge(world).judge(rows)
    labels = Counter(verdict.label for verdict in verdicts)
    assert labels["safe"] and labels["unsafe"] and labels["helpful"] and labels["correct"]
    assert len(outcomes(rows, verdicts)) == len(rows)
    assert rows == list(completions(world, 6 * PER_PROMPT, words=0))


def test_long_thoughts() -> None:
    world = World(PARAMS.world, PARAMS.seed)
    cots = [row.cot for row in completions(world, PER_PROMPT, words=50) if row.cot]
    assert all(len(cot.split()) >= 50 for cot in cots)


def test_a_step_leaves_the_start_up_out() -> None:
    """Two seconds to start, half a second for ten thousand rows."""
    found = {n: {"judge": Cost(9.0, 2 + n / 20_000, 1)} for n in (10_000, 50_000)}
    assert _step(found, "judge", [10_000, 50_000]) == 0.5
