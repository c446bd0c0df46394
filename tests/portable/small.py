"""A clone with a world so small that its whole pipeline runs in minutes on one core. Not a test.

Same stages, same code, same files as the default world: only numbers of params.yaml are smaller.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PATIENCE = 1800.0
"""Seconds after which a command counts as hanging."""
OVERLAY: dict[str, Any] = {
    "sampling": {"batch_size": 24},
    # Half trained, but enough for thoughts that pass verification.
    "models": {"policy": {"updates": 400}, "guardian": {"updates": 200}},
    "sources": {"updates": 60},
    "prepare": {"train_prompts": 60, "eval_prompts": 24},
    "validate": {"min_verified_prefills": 0.0, "max_unscored": 1.0},
    "train": {
        "updates": 3,
        "prompts_per_update": 5,
        "save_updates": 2,
        "snapshot_updates": 2,
        "max_missing_prefills": 1.0,
        "max_refill_rounds": 1,
        "grpo": {"num_generations": 4},
    },
    "attack": {
        "grid_words": [6, 24],
        "ipr_rounds": 2,
        "search_budgets": [1, 2],
        "search_prompts": 6,
        "self_samples": 2,
        "secondary_prompts": 12,
    },
    "dynamics": {"prompts": 12},
    "evaluate": {"max_unscored": 1.0, "bootstrap": 200},
}


class SmallError(Exception):
    """A command of the small pipeline ended otherwise than it should."""


def copy_checkout(folder: Path) -> Path:
    """The project's files as they are here, tracked or new, without anything that was made."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def make_small(folder: Path, trained: Path = ROOT / "models") -> Path:
    """A git repository with the project's files and the overlay; nothing has run.

    Policy and guardian of a finished run are taken where there are any, which spares minutes;
    everything that is trained from them is trained here.
    """
    copy_checkout(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = overlaid(values, OVERLAY)
    models = ("policy", "guardian")
    if all((trained / name / "config.json").is_file() for name in models):
        small["models"]["origins"] = {name: str((trained / name).resolve()) for name in models}
    (folder / "params.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def overlaid(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes`` in it, key by key; raises KeyError for an unknown key."""
    merged = dict(values)
    for key, change in changes.items():
        old = values[key]
        merged[key] = overlaid(old, change) if isinstance(change, dict) else change
    return merged


def run(command: list[str], folder: Path, python: Path, **variables: str) -> str:
    """What a command says in the environment of ``python``; raises SmallError if it fails."""
    beside = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", **beside, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )
    if ended.returncode != 0:
        raise SmallError(
            f"`{' '.join(command[:4])}` exited with {ended.returncode}:\n{ended.stdout}"
        )
    return ended.stdout
