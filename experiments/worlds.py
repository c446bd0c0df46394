"""Measures worlds: base, DAPO and RECAP under attack, by how often the base turns round.

Each world seed has models, prompts and prefills of its own. Stages that are up to date in
``.recap/worlds`` are not computed again. A row of the record names the shares, grammar and words of
its world by a digest. The record keeps one kind of world: rows of another kind leave it.

    python -m experiments.worlds                          # the ten seeds that decide
    python -m experiments.worlds --turns 0.18 0.4 --seeds 23 101
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from experiments.cells import (
    ROOT,
    Rows,
    default_params,
    make_world,
    measure_variant,
    prepare_folder,
    write_table,
)
from recap.sweeps.fingerprint import content_digest

FOLDER = ROOT / ".recap" / "worlds"
RECORD = ROOT / "experiments" / "records" / "worlds.json"
TURN = "turn_in_response"
DECIDING = tuple(range(301, 311))
"""World seeds that decide (``experiments.bars``): fixed before any of them was measured."""
VARIANTS = ("base", "dapo", "recap")
BENCHMARKS = (
    "harmful",
    "jailbreak",
    "prefill",
    "hijack",
    "ipr",
    "benign",
    "benign_prefill",
    "math",
)


def main() -> None:
    """Measure every world that is asked for and put its rows into the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=float, nargs="+", default=[default_turn()])
    parser.add_argument("--seeds", type=int, nargs="+", default=DECIDING)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    worlds = [(turn, seed) for turn in options.turns for seed in options.seeds]
    with ThreadPoolExecutor(options.workers) as pool:
        measured = [row for rows in pool.map(lambda world: measure(*world), worlds) for row in rows]
    known: Rows = json.loads(RECORD.read_text()) if RECORD.is_file() else []
    write_table(RECORD, merged(known, measured))


def merged(known: Rows, measured: Rows) -> Rows:
    """The rows of both, by turn and seed; ``measured`` replaces its worlds and other kinds."""
    kinds = {row["world"] for row in measured}
    again = {(row[TURN], row["seed"]) for row in measured}
    kept = [r for r in known if r["world"] in kinds and (r[TURN], r["seed"]) not in again]
    return sorted(kept + measured, key=lambda row: (row[TURN], row["seed"]))


def default_turn() -> float:
    """The share of the default world."""
    return float(default_params()["world"][TURN])


def digest(shares: Mapping[str, Any]) -> str:
    """One kind of world: these shares (``world`` in params.yaml), grammar and words.

    The share of turns is left out: it is what ``--turns`` varies within one kind.
    """
    others = {name: value for name, value in shares.items() if name != TURN}
    parts = [json.dumps(others, sort_keys=True)]
    parts += [content_digest(ROOT / f"recap/microworld/{name}.py") for name in ("grammar", "words")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def measure(turn: float, seed: int) -> Rows:
    """One world: a row for each variant and benchmark."""
    params = default_params(BENCHMARKS) | {"seed": seed}
    params["world"][TURN] = turn
    folder = make_world(prepare_folder(FOLDER / f"{turn:g}-{seed}", params))
    return [
        {TURN: turn, "seed": seed, "world": digest(params["world"]), "variant": variant, **row}
        for variant in VARIANTS
        for row in measure_variant(folder, variant)
    ]


if __name__ == "__main__":
    main()
