"""The curve that chose the world: how often the base's thoughts start wrong, against safety.

For each seed one set of prompts, prefills and a guardian; for each share of wrong starts a base
policy of its own and its DAPO and RECAP twins, attacked with those prefills. Commands are those of
``dvc.yaml``, run in a folder for each cell, several side by side; what is finished is not run
again. Leaves out DVC's cache: the cells are measurements, not products.

    python -m flows.curve --shares 0.1 0.2 0.3 --seeds 11 12 13
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".recap" / "curve"
RESULT = ROOT / "docs" / "results" / "wrong_start.json"
JAILBREAK = 0.2
"""How much more often a thought starts wrong inside a jailbreak wrapper."""
VARIANTS = ("base", "dapo", "recap")
BENCHMARKS = ("harmful", "prefill", "hijack", "ipr", "benign", "benign_prefill", "math")
SOURCES = ("harmful", "refusing", "aligned", "harmful_eval", "refusing_eval")
SHARED = ("models/guardian", "data/prompts", "data/prefills")


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
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    RESULT.write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} rows in {RESULT.relative_to(ROOT)}")


def shared(seed: int) -> Path:
    """The seed's prompts, guardian and prefills, from the default share of wrong starts."""
    folder = prepare_folder(f"shared-{seed}", seed, None)
    run(folder, "models", model="guardian")
    run(folder, "models", model="policy")
    run(folder, "prepare")
    for source in SOURCES:
        run(folder, "sources", source=source)
        run(folder, "prefill", source=source)
    return folder


def measure(share: float, seed: int) -> list[dict[str, Any]]:
    """One base policy with its twins: a row for each variant, benchmark and round."""
    folder = prepare_folder(f"{share:g}-{seed}", seed, share)
    common = FOLDER / f"shared-{seed}"
    for name in SHARED:
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(common / name)
    run(folder, "models", model="policy")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    rows = []
    for variant in VARIANTS:
        for stage in ("train", "attack", "judge", "evaluate"):
            run(folder, stage, variant=variant, seed="0")
        rates = json.loads((folder / f"results/rates/{variant}-0.json").read_text())
        rows += [
            {
                "wrong_start": share,
                "seed": seed,
                "variant": variant,
                "benchmark": result["benchmark"],
                "value": result["rate"]["value"],
                "n": result["rate"]["n"],
            }
            for result in rates["results"]
            if result["benchmark"] != "ipr" or result["round"] == params["attack"]["ipr_rounds"]
        ]
    return rows


def prepare_folder(name: str, seed: int, share: float | None) -> Path:
    """A folder with its own params.yaml; a folder made with other parameters is refused."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["seed"] = seed
    params["attack"]["benchmarks"] = list(BENCHMARKS)
    if share is not None:
        params["world"]["wrong_start"] = share
        params["world"]["wrong_start_jailbreak"] = round(share + JAILBREAK, 6)
    text = yaml.safe_dump(params)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "params.yaml"
    if file.exists() and file.read_text() != text:
        sys.exit(f"{folder} was made with other parameters. Remove it and run again.")
    file.write_text(text)
    return folder


def run(folder: Path, stage: str, **item: str) -> None:
    """Run one stage of dvc.yaml in the folder, unless its outs are there."""
    spec = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]

    def fill(text: str) -> str:
        return re.sub(r"\$\{item\.(\w+)\}", lambda found: item[found[1]], text)

    if all((folder / fill(out)).exists() for out in spec["outs"]):
        return
    label = " ".join([folder.name, stage, *item.values()])
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(
            fill(spec["cmd"]), shell=True, cwd=folder, env=environment, stdout=log, stderr=log
        )
    if done.returncode:
        sys.exit(f"{label} failed with exit code {done.returncode}; see {folder / 'log.txt'}")
    print(f"done: {label}", flush=True)


if __name__ == "__main__":
    main()
