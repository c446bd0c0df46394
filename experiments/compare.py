"""Compares the adaptive curriculum and the turning reward with the fixed schedule, at equal cost.

Each seed has one world, in which every variant trains twice from the same base policy. In
``updates`` every variant makes ``train.updates`` updates. In ``tokens`` it makes as many updates as
its first run made within the cheapest variant's total tokens. The second run is a new run and not
the first one cut short, so that its learning rate also decays to the end. Its real number of tokens
is in the table. ``experiments.cells`` runs the cells.

    python -m experiments.compare --seeds 21 22 23
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from experiments.cells import (
    ROOT,
    Rows,
    default_params,
    link,
    make_world,
    measure_variant,
    prepare_folder,
    write_table,
)

FOLDER = ROOT / ".recap" / "compare"
RESULT = ROOT / "experiments" / "records" / "curriculum.json"
VARIANTS = ("recap", "recap_range", "curriculum", "turn_reward")
"""``recap_range`` has the curriculum's start values, fixed, so that it isolates the adaptation."""
WORLD = ("models/guardian", "models/policy", "data/prompts", "data/prefills", "data/pools")


def main() -> None:
    """Measure every cell that is not measured yet, write the table, print its means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.workers) as pool:
        rows = compare(options.seeds, options.variants, pool)
    write_table(RESULT, rows)
    print(summary(rows))


def compare(seeds: Sequence[int], variants: Sequence[str], pool: Executor) -> Rows:
    """A row for each budget, seed, variant and benchmark."""
    list(pool.map(world, seeds))
    cells = [(seed, variant) for seed in seeds for variant in variants]
    full = list(pool.map(lambda cell: measure("updates", cell, None), cells))
    spent = {cell: tokens(world_folder(cell[0]), cell[1]) for cell in cells}
    budgets = {seed: min(sum(spent[seed, variant]) for variant in variants) for seed in seeds}
    reach = {cell: affordable(spent[cell], budgets[cell[0]]) for cell in cells}
    equal = list(pool.map(lambda cell: measure("tokens", cell, reach[cell]), cells))
    return [row for cell in (*full, *equal) for row in cell]


def world(seed: int) -> Path:
    """The seed's base policy, guardian, prompts and prefills."""
    return make_world(prepare_folder(world_folder(seed), default_params() | {"seed": seed}))


def measure(budget: str, cell: tuple[int, str], updates: int | None) -> Rows:
    """A cell's rows; ``updates``: its planned number, ``None`` for ``train.updates``."""
    seed, variant = cell
    folder = world_folder(seed)
    if updates is not None and updates < len(tokens(folder, variant)):
        params = default_params() | {"seed": seed}
        params["variants"][variant]["updates"] = updates
        folder = prepare_folder(FOLDER / f"tokens-{seed}-{variant}", params)
        link(folder, world_folder(seed), WORLD)
    rows = measure_variant(folder, variant)
    spent = tokens(folder, variant)
    made = {"updates": len(spent), "tokens": sum(spent)}
    return [{"budget": budget, "seed": seed, "variant": variant, **made, **row} for row in rows]


def affordable(spent: Iterable[int], budget: int) -> int:
    """The number of updates within the budget, given the tokens of each; at least one."""
    return max(1, sum(total <= budget for total in accumulate(spent)))


def tokens(folder: Path, variant: str) -> list[int]:
    """The tokens that each update of a cell generated."""
    text = (folder / f"results/train/{variant}-0.jsonl").read_text()
    return [json.loads(line)["tokens"] for line in text.splitlines()]


def summary(rows: Rows) -> str:
    """Means over the seeds; every seed's own value is in the table."""
    cells = dict.fromkeys((row["budget"], row["variant"]) for row in rows)
    lines = []
    for budget, variant in cells:
        own = [row for row in rows if (row["budget"], row["variant"]) == (budget, variant)]
        shown = [f"{fmean(row['tokens'] for row in own) / 1000:.0f}k tokens"]
        for name in dict.fromkeys(row["benchmark"] for row in own):
            values = [row["value"] for row in own if row["benchmark"] == name]
            scored = [value for value in values if value is not None]
            shown.append(f"{name} {fmean(scored):.3f}" if scored else f"{name} unscored")
        lines.append(f"{budget:8}{variant:14}" + "  ".join(shown))
    return "\n".join(lines)


def world_folder(seed: int) -> Path:
    """The folder of a seed's world and its runs of equal updates."""
    return FOLDER / f"seed-{seed}"


if __name__ == "__main__":
    main()
