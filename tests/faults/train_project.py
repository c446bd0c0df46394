"""A folder in which the real stage ``train`` runs in seconds, by the command that DVC runs.

Not a test: tiny models, tables of a few rows, and the project's own params.yaml with small numbers.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.forked import Forked, fork
from tests.integration.flow_project import ROOT, child_environment
from tests.waiting import PATIENCE

UPDATES, SAVE = 12, 2
OUT = Path("models/trained/recap-0")
METRICS = Path("results/train/recap-0.jsonl")
SCRATCH = Path(".recap/train")
LIVE = SCRATCH / "recap-0.live.jsonl"
LOCK = SCRATCH / "recap-0.lock"


def make_train_project(folder: Path, updates: int = UPDATES) -> Path:
    """Everything that the stage reads; nothing has run."""
    from tests.tiny import write_training_inputs  # loads torch

    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"] |= {"updates": updates, "save_updates": SAVE, "prompts_per_update": 3}
    params["train"] |= {"reward_epsilon": 1e-6, "tau": 2.0}
    params["train"]["grpo"] |= {"num_generations": 4, "max_completion_length": 16}
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    write_training_inputs(folder)
    return folder


def stage_command() -> str:
    """The command of the cell recap-0 as dvc.yaml has it."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    command: str = stages["train"]["cmd"]
    return command.replace("${item.variant}", "recap").replace("${item.seed}", "0")


def start_stage(project: Path) -> Forked:
    """Start the stage, forked; what it says goes to ``stderr``."""
    python, m, *arguments = stage_command().split()
    assert (python, m) == ("python", "-m")
    return fork(arguments, project, child_environment(project))


def finish(project: Path) -> None:
    """Run the stage to its end."""
    stage = start_stage(project)
    _, said = stage.communicate(timeout=PATIENCE)
    assert stage.returncode == 0, said


def outputs(project: Path) -> dict[str, bytes]:
    """The stage's outputs: every file of the policy, and the metrics."""
    files = [METRICS, *(path.relative_to(project) for path in (project / OUT).iterdir())]
    return {str(path): (project / path).read_bytes() for path in files}


def leftovers(project: Path) -> list[str]:
    """Half-written files and states of training beside finished outputs."""
    found = [*project.rglob(".*.part"), *(project / SCRATCH).glob("recap-0-*")]
    return sorted(str(path.relative_to(project)) for path in found)


def live_lines(project: Path) -> int:
    """Updates that the running stage has finished, by its live file."""
    path = project / LIVE
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0


def holder(project: Path) -> int:
    """Process id of the trainer at work, 0 when there is none."""
    path = project / LOCK
    return int(path.read_text(encoding="utf-8") or 0) if path.exists() else 0
