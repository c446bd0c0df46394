"""Measures the curve that determined the world: safety by the base's share of wrong starts.

Each seed has one set of prompts, prefills and a guardian. Each share of wrong starts has its own
base policy, from which DAPO and RECAP train. All are attacked with those prefills, several cells in
parallel (``experiments.cells``).

    python -m experiments.curve --shares 0.1 0.2 0.3 --seeds 11 12 13
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from experiments.cells import (
    ROOT,
    Rows,
    default_params,
    link,
    make_world,
    measure_variant,
    prepare_folder,
    run,
    write_table,
)

FOLDER = ROOT / ".recap" / "curve"
RESULT = ROOT / "experiments" / "records" / "wrong_start.json"
JAILBREAK = 0.2
"""Ratio of the share of wrong starts inside a jailbreak wrapper to the share outside."""
VARIANTS = ("base", "dapo", "recap")
BENCHMARKS = ("harmful", "prefill", "hijack", "ipr", "benign", "benign_prefill", "math")
SHARED = ("models/guardian", "data/prompts", "data/prefills", "data/pools")


def main() -> None:
    """Measure every cell that is not measured yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(shared, options.seeds))
        cells = [(share, seed) for seed in options.seeds for share in options.shares]
        rows = [row for cell in pool.map(lambda pair: measure(*pair), cells) for row in cell]
    write_table(RESULT, rows)


def shared(seed: int) -> Path:
    """The seed's prompts, guardian and prefills, from the default share of wrong starts."""
    return make_world(prepare_folder(FOLDER / f"shared-{seed}", parameters(seed)))


def measure(share: float, seed: int) -> Rows:
    """One base policy with DAPO and RECAP: a row for each variant, benchmark and round."""
    params = parameters(seed)
    params["world"]["wrong_start"] = share
    params["world"]["wrong_start_jailbreak"] = round(share + JAILBREAK, 6)
    folder = prepare_folder(FOLDER / f"{share:g}-{seed}", params)
    link(folder, FOLDER / f"shared-{seed}", SHARED)
    run(folder, "models", model="policy")
    return [
        {"wrong_start": share, "seed": seed, "variant": variant, **row}
        for variant in VARIANTS
        for row in measure_variant(folder, variant)
    ]


def parameters(seed: int) -> dict[str, Any]:
    """The parameters of a seed."""
    return default_params(BENCHMARKS) | {"seed": seed}


if __name__ == "__main__":
    main()
