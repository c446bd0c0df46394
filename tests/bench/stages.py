"""Seconds of each stage of the last run, and how much of them is start-up.

Start-up is DVC's, of that run, and the stage's own, measured here: a process that imports what the
stage imports, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.page import Table, Target
from tests.contract.stage_deps import stage_modules

LIGHT = ("prepare", "judge", "evaluate", "gate", "report")
"""Stages that need none of torch, Great Expectations and MLflow in a default run."""
START = 1.5
"""Seconds in which such a stage has started."""
HEAVY = ("vllm_sampler",)
"""Modules that a default run never imports."""


def stage_table(root: Path, timings: Path) -> Table:
    """Each stage's seconds in ``timings``, and the share of its start-up in them.

    A run that took less time than the imports did without some of them (the oracle needs no torch,
    the base policy no training); nobody knows which, so it has no share.
    """
    imports: dict[str, float] = {}
    alone: dict[str, float] = {}
    rows = []
    total = started = 0.0
    for name, entry in json.loads(timings.read_text(encoding="utf-8")).items():
        stage = name.split("@")[0]
        if stage not in imports:
            imports[stage] = import_seconds(root, stage)
            alone[stage] = start_seconds(root, stage)
        seconds, dvc, own = entry["seconds"], entry["startup"], imports[stage]
        known = dvc + own < seconds
        startup = dvc + own if known else dvc
        total, started = total + seconds, started + startup
        shown = [f"{own:.1f}", f"{startup / seconds:.0%}"] if known else ["", ""]
        rows.append([name, f"{seconds:.1f}", f"{dvc:.1f}", f"{alone[stage]:.1f}", *shown])
    rows.append(["all", f"{total:.1f}", "", "", f"{started:.1f}", f"{started / total:.0%}"])
    columns = ("stage", "seconds", "DVC", "module alone", "imports", "start-up share")
    return Table("Stages of the last run", columns, rows)


def start_target(root: Path) -> Target:
    """The slowest start of a stage that needs nothing heavy."""
    slowest = max(start_seconds(root, stage) for stage in LIGHT)
    return Target("start of a light stage", slowest, at_most=START, unit="s")


def start_seconds(root: Path, stage: str) -> float:
    """Wall-clock seconds of a process that imports the stage's own module, as a stage begins."""
    return _seconds(root, f"import recap.stages.{stage}")


def import_seconds(root: Path, stage: str) -> float:
    """Wall-clock seconds of a process that imports a stage's modules; the best of two."""
    modules = [m for m in stage_modules(stage) if not m.endswith(HEAVY)]
    return _seconds(root, "import " + ", ".join(modules))


def _seconds(root: Path, code: str) -> float:
    command = [sys.executable, "-c", code]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return min(taken)
