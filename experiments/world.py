"""One world over several seeds: base, DAPO and RECAP attacked, rates by family of the prefill.

Each world seed has models, prompts and prefills of its own.

    python -m experiments.world --name first --seeds 21 22 23 --set world.turn_decay=0.4
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from experiments.cells import (
    ROOT,
    Rows,
    default_params,
    make_world,
    measure_variant,
    prepare_folder,
    write_table,
)

FOLDER = ROOT / ".recap" / "worlds"
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
    """Measure every seed that is not measured yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value")
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.workers) as pool:
        tables = pool.map(
            lambda seed: measure(options.name, seed, options.set, options.variants), options.seeds
        )
        rows = [row for table in tables for row in table]
    write_table(FOLDER / options.name / "table.json", rows)


def measure(name: str, seed: int, settings: list[str], variants: tuple[str, ...]) -> Rows:
    """One world: a row for each variant and benchmark."""
    params: dict[str, Any] = default_params(BENCHMARKS) | {"seed": seed}
    for setting in settings:
        path, value = setting.split("=", 1)
        *above, last = path.split(".")
        section = params
        for key in above:
            section = section[key]
        section[last] = yaml.safe_load(value)
    folder = make_world(prepare_folder(FOLDER / name / str(seed), params))
    return [
        {"seed": seed, "variant": variant, **row}
        for variant in variants
        for row in measure_variant(folder, variant)
    ]


if __name__ == "__main__":
    main()
