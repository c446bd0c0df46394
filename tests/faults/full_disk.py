"""Stages on a file system that is really full; run by test_train_stage.py in a mount namespace.

Prints what happened as JSON: for each step the exit code, what the stage said and the files there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.train_project import (
    SAVE,
    live_lines,
    outputs,
    start_stage,
)
from tests.integration.flow_project import child_environment
from tests.waiting import PATIENCE, until

SIZE = "16m"
OUTS = ("train", "eval", "quarantine", "counts")


def main() -> None:
    """Fill the disk before ``prepare`` and in the middle of ``train``."""
    mount = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", mount], check=True)
    project = Path(shutil.copytree(sys.argv[1], mount / "project"))
    seen: dict[str, object] = {}

    fill(mount, leave=8192)
    arguments = [f"--{name}=data/new/{name}.jsonl" for name in OUTS]
    prepare = subprocess.Popen(
        [sys.executable, "-m", "recap.stages.prepare", *arguments],
        cwd=project,
        env=child_environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = prepare.communicate(timeout=PATIENCE)
    seen["prepare"] = (prepare.returncode, said, files(project / "data/new"))
    make_room(mount)

    train = start_stage(project)
    until(lambda: live_lines(project) > SAVE, unless=lambda: train.poll() is not None)
    fill(mount, leave=8192)
    _, said = train.communicate(timeout=PATIENCE)
    seen["train"] = (train.returncode, said, files(project))
    make_room(mount)

    train = start_stage(project)
    _, said = train.communicate(timeout=PATIENCE)
    seen["with room"] = (train.returncode, said, files(project))
    seen["outputs"] = {name: content.hex() for name, content in outputs(project).items()}
    print(json.dumps(seen))


def fill(mount: Path, *, leave: int) -> None:
    """Take all of the disk but a few bytes."""
    with (mount / "filler").open("wb", buffering=0) as stream:
        while (free := shutil.disk_usage(mount).free) > leave:
            stream.write(bytes(min(free - leave, 1 << 20)))


def make_room(mount: Path) -> None:
    """Give it back."""
    (mount / "filler").unlink()


def files(folder: Path) -> list[str]:
    """Everything in a folder."""
    return sorted(str(path) for path in folder.rglob("*"))


if __name__ == "__main__":
    main()
