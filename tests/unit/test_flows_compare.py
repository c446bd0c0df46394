"""Equal updates, equal tokens: what the second run is planned for, and what a row says."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from experiments import cells, compare

TOKENS = {"recap": [40, 30, 20, 10], "curriculum": [50, 50, 50, 50]}
"""Generated in each update. ``recap`` is the cheaper one: 100 tokens, two updates of the other."""


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Stages that write what the table reads; the curriculum's second run is dearer by a token."""
    done: list[tuple[str, ...]] = []

    def run(folder: Path, stage: str, **item: str) -> None:
        done.append((folder.name, stage, *item.values()))
        if stage not in ("train", "evaluate"):
            return
        variant = item["variant"]
        params = yaml.safe_load((folder / "params.yaml").read_text())
        updates = params["variants"][variant].get("updates")
        spent = [n + (updates is not None) for n in TOKENS[variant][:updates]]
        if stage == "train":
            file = folder / f"results/train/{variant}-0.jsonl"
            text = "".join(json.dumps({"tokens": n}) + "\n" for n in spent)
        else:
            file = folder / f"results/rates/{variant}-0.json"
            names = [("harmful", 1), ("ipr", 1), ("ipr", 3)]
            rate = {"value": len(spent) / 10, "n": 5}
            results = [{"benchmark": n, "place": r, "rate": rate} for n, r in names]
            text = json.dumps({"results": results})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    monkeypatch.setattr(cells, "run", run)
    monkeypatch.setattr(compare, "FOLDER", tmp_path)
    return done


def test_everyone_gets_the_same_updates_then_the_same_tokens(
    stages: list[tuple[str, ...]], tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as pool:
        rows = compare.compare([7], ["recap", "curriculum"], pool)
    assert [
        (
            r["budget"],
            r["seed"],
            r["variant"],
            r["updates"],
            r["tokens"],
            r["benchmark"],
            r["value"],
        )
        for r in rows
    ] == [
        ("updates", 7, "recap", 4, 100, "harmful", 0.4),
        ("updates", 7, "recap", 4, 100, "ipr", 0.4),
        ("updates", 7, "curriculum", 4, 200, "harmful", 0.4),
        ("updates", 7, "curriculum", 4, 200, "ipr", 0.4),
        ("tokens", 7, "recap", 4, 100, "harmful", 0.4),  # the cheapest: one and the same run
        ("tokens", 7, "recap", 4, 100, "ipr", 0.4),
        ("tokens", 7, "curriculum", 2, 102, "harmful", 0.2),  # what it really generated
        ("tokens", 7, "curriculum", 2, 102, "ipr", 0.2),
    ]
    trained = [(folder, variant) for folder, stage, variant, *_ in filter(is_training, stages)]
    assert trained.count(("tokens-7-curriculum", "curriculum")) == 1
    second = tmp_path / "tokens-7-curriculum"
    assert (second / "models/policy").resolve() == tmp_path / "seed-7/models/policy"
    assert yaml.safe_load((second / "params.yaml").read_text())["seed"] == 7
    assert compare.summary(rows).splitlines()[3] == (
        "tokens  curriculum    0k tokens  harmful 0.200  ipr 0.200"
    )


def is_training(call: tuple[str, ...]) -> bool:
    return call[1] == "train"


@pytest.mark.parametrize(
    ("spent", "budget", "updates"),
    [
        ([10, 10, 10], 30, 3),
        ([10, 10, 10], 29, 2),
        ([10, 10, 10], 10, 1),
        ([10, 10, 10], 9, 1),
        ([10, 10, 10], 99, 3),
    ],
)
def test_what_a_budget_affords(spent: list[int], budget: int, updates: int) -> None:
    assert compare.affordable(spent, budget) == updates
