"""Cells measured outside the pipeline: runs dvc.yaml's commands, each cell in its own folder.

A finished stage runs again only if its command, parameters, code or inputs have changed. Leaves out
DVC's cache, because these cells are measurements, not products.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recap.rows import write_json
from recap.sweeps.fingerprint import CODE, content_digest, filled, lookup
from recap.types.sources import SOURCES

ROOT = Path(__file__).parents[1]
Rows = list[dict[str, Any]]


HEADLINES = ("harmful", "jailbreak", "prefill", "hijack", "ipr", "benign", "benign_prefill", "math")
ROUNDS = 3
"""The number of reset rounds in all tables of the experiments so far."""
MADE = ".made"
"""In a cell's folder, the record of each finished stage's dependencies."""


def default_params(benchmarks: Sequence[str] = HEADLINES) -> dict[str, Any]:
    """The repository's params.yaml with these benchmarks, unchecked: the stages check it."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["attack"] |= {"benchmarks": list(benchmarks), "ipr_rounds": ROUNDS}
    return params


def prepare_folder(folder: Path, params: dict[str, Any]) -> Path:
    """A folder with its own params.yaml; stages with changed parameters will run again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def make_world(folder: Path) -> Path:
    """The folder's models, prompts and prefills."""
    run(folder, "models", model="guardian")
    run(folder, "models", model="policy")
    run(folder, "prepare")
    for source in SOURCES:
        run(folder, "sources", source=source)
        run(folder, "prefill", source=source)
    return folder


def link(folder: Path, world: Path, names: Sequence[str]) -> None:
    """Link these names in the folder to another folder."""
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(world / name)


def measure_variant(folder: Path, variant: str) -> Rows:
    """Train, attack, judge and evaluate; a row for each benchmark (resets: the last round)."""
    for stage in ("train", "attack", "judge", "evaluate"):
        run(folder, stage, variant=variant, seed="0")
    rates = json.loads((folder / f"results/rates/{variant}-0.json").read_text())
    return [
        {
            "benchmark": result["benchmark"],
            "value": result["rate"]["value"],
            "n": result["rate"]["n"],
        }
        for result in rates["results"]
        if result["benchmark"] != "ipr" or result["place"] == ROUNDS
    ]


def write_table(path: Path, rows: Rows) -> None:
    """Write a JSON list with one row per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} rows in {path}")


def run(folder: Path, stage: str, **item: str) -> None:
    """Run one stage of dvc.yaml in the folder, unless its outputs exist and are up to date."""
    spec = filled(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage], item)
    label = " ".join([folder.name, stage, *item.values()])
    record = folder / MADE / f"{'@'.join([stage, *item.values()])}.json"
    wanted = made_with(folder, spec)
    if all((folder / out).exists() for out in spec["outs"]):
        known = json.loads(record.read_text()) if record.is_file() else {}
        if known == wanted:
            return
        other = [what for what in wanted if wanted[what] != known.get(what)]
        print(f"again: {label}, since {' and '.join(other)} changed", flush=True)
    record.unlink(missing_ok=True)  # so that a killed run does not count as finished
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(
            spec["cmd"], shell=True, cwd=folder, env=environment, stdout=log, stderr=log
        )
    if done.returncode:
        sys.exit(f"{label} failed with exit code {done.returncode}; see {folder / 'log.txt'}")
    write_json(record, wanted)
    print(f"done: {label}", flush=True)


def made_with(folder: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    """All dependencies of a stage's outputs, as plain values; a missing input is null."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    code = {path: content_digest(ROOT / path) for path in spec["deps"] if _is_code(path)}
    inputs = [folder / path for path in spec["deps"] if not _is_code(path)]
    return {
        "command": spec["cmd"],
        "parameters": {key: lookup(params, key) for key in spec["params"]},
        "code": code,
        "inputs": {
            path.relative_to(folder).as_posix(): content_digest(path) if path.exists() else None
            for path in inputs
        },
    }


def _is_code(path: str) -> bool:
    return path.startswith(f"{CODE}/")
