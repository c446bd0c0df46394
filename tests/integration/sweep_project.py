"""A clone whose sweep is of stages that take no time, for tests and benchmarks of what runs them.

Not a test: ``params.yaml`` is the project's own but for the sweep, ``dvc.yaml`` has the stages'
names and outputs, and every stage is sweep_work.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from recap.sweeps.project import SHARED_STAGES
from tests.integration.flow_project import ROOT, child_environment, make_project
from tests.waiting import PATIENCE

SWEEP = {
    "around": "recap",
    "design": "one_at_a_time",
    "axes": {"alpha": [0.0, 0.5]},
    "seeds": [0, 1],
}
CELLS = ("recap-0", "dapo-0", "recap-1", "dapo-1")
WORK = "recap/work.py"
CELL = "${item.variant}-${item.seed}"


def make_sweep_project(folder: Path, **changes: Any) -> Path:
    """A repository in which nothing has run; ``changes`` are of the section ``sweep``."""
    (folder / "recap").mkdir(parents=True)
    shutil.copy(ROOT / "tests/integration/sweep_work.py", folder / WORK)
    (folder / "hold").mkdir()
    (folder / "log.txt").touch()
    make_project(folder, yaml.safe_dump({"stages": sweep_stages()}, sort_keys=False, width=1000))
    set_sweep(folder, **changes)
    return folder


def set_sweep(folder: Path, **changes: Any) -> None:
    """Write the section ``sweep``: four cells, with ``changes``."""
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["sweep"] = SWEEP | changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def sweep_stages() -> dict[str, Any]:
    """The stages of dvc.yaml, as they are for all cells."""

    def stage(name: str, deps: list[str], outs: list[str]) -> dict[str, Any]:
        return {"cmd": f"python -P {WORK} {name}", "deps": [WORK, *deps], "outs": outs}

    def of_cell(name: str, deps: list[str], outs: list[str], *params: str) -> dict[str, Any]:
        return {
            "matrix": {"variant": "${matrix.variants}", "seed": "${matrix.seeds}"},
            "cmd": f"python -P {WORK} {name} ${{item.variant}} ${{item.seed}}",
            "params": list(params),
            "deps": [WORK, *deps],
            "outs": outs,
        }

    weights, completions = f"models/trained/{CELL}", f"data/completions/{CELL}.jsonl"
    verdicts, rates = f"data/verdicts/{CELL}.jsonl", f"results/rates/{CELL}.json"
    prompts, valid = "data/prompts/train.jsonl", "data/validated/prompts.json"
    prefills = "data/prefills/harmful.jsonl"
    own = ("seed", "train", "variants.${item.variant}")
    return {
        "models": stage("models", [], ["models/policy"]),
        "sources": stage("sources", [], ["models/sources"]),
        "prepare": stage("prepare", [], [prompts]),
        "validate": stage("validate", [prompts], [valid]),
        "prefill": stage("prefill", ["models/sources", valid], [prefills]),
        "train": of_cell(
            "train", ["models/policy", prefills], [weights, f"results/train/{CELL}.jsonl"], *own
        ),
        "dynamics": of_cell("dynamics", [weights], [f"results/dynamics/{CELL}.json"]),
        "attack": of_cell("attack", [weights], [completions]),
        "judge": of_cell("judge", [completions], [verdicts]),
        "evaluate": of_cell("evaluate", [verdicts], [rates, f"results/outcomes/{CELL}.jsonl"]),
    }


def surroundings(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of whatever runs in the project."""
    return child_environment(
        folder, RUN_LOG=str(folder / "log.txt"), HOLD=str(folder / "hold"), **variables
    )


def start_recap(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """``recap ARGUMENTS…`` in the project, in a process group of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("recap")), *arguments],
        cwd=folder,
        env=surroundings(folder, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def recap(folder: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    """What ``recap ARGUMENTS…`` says; it has to end with ``code``."""
    process = start_recap(folder, *arguments, **variables)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return said


def log(folder: Path, event: str = "end") -> list[str]:
    """Stages that have ended (or started), in order."""
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if line.startswith(event)]


def stages_of(*cells: str) -> list[str]:
    """All stages of some cells, sorted."""
    return sorted(f"{name}@{c}" for c in cells for name in ("train", "attack", "judge", "evaluate"))


def processes(folder: Path) -> list[tuple[int, str]]:
    """Living processes that were started, at any depth, in the project, with their commands."""
    mark = f"RUN_LOG={folder / 'log.txt'}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append((int(entry.name), command))
        except OSError:  # gone meanwhile
            continue
    return found


SHARED = sorted(SHARED_STAGES)
