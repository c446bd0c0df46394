"""``python -m flows.clone``: bring this clone to the newest commit of its branch, or say why not.

``update`` is the nightly deployment's pull step (infra/prefect.yaml). Prefect loads the flow after
it, in the same process: nothing of ``recap`` is imported here before the pull, which therefore runs
in a child.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def update() -> None:
    """Pull in a child; raises RuntimeError with its message, so that the run crashes."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.clone"], capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())


def pull(root: Path) -> str:
    """``git pull --ff-only``; returns the commit that is checked out then.

    Raises BusyError while a run is under way, whose code would change under it, and PipelineError
    where tracked files have changes, or git refuses.
    """
    from recap.runtime.locks import sole_run

    with sole_run(root):
        if dirty := _git(root, "status", "--porcelain", "--untracked-files=no"):
            raise _error(
                f"Expected {root} without changes, so that it can follow its branch, got:\n"
                f"{dirty}\nCommit or `git restore` them."
            )
        _git(root, "pull", "--ff-only", "--quiet")
        return _git(root, "log", "-1", "--format=%h %s")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},  # nobody is there to type a password
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _error(
            f"Expected `git {' '.join(arguments)}` to succeed in {root}, got:\n"
            f"{done.stderr.strip()}"
        )
    return done.stdout.rstrip()


def _error(message: str) -> Exception:
    from recap.errors import PipelineError

    return PipelineError(message)


if __name__ == "__main__":
    from recap.errors import RecapError

    try:
        print(f"The clone is at {pull(Path.cwd())}")
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
