"""``recap exp``: DVC's experiments, in a repository of their own: ``.recap/exp``.

An experiment is a commit with its dvc.lock, which the clone's git ignores (decision 0021). Each run
copies the clone's files as they are into that repository and commits them there if they changed;
the cache is the clone's. The clone itself is only read. Leaves out what DVC does with experiments.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from recap.errors import DataError, PipelineError
from recap.pipeline.derived import derived_config
from recap.rows import atomic_path
from recap.runtime.child import start
from recap.runtime.locks import STATE, exclusive

FOLDER = STATE / "exp"
IGNORED = "/dvc.lock\n"
"""The line of .gitignore without which DVC reads a lock file in a git repository."""


def experiment(root: Path, arguments: Sequence[str]) -> int:
    """Run ``dvc exp ARGUMENTS…`` beside the clone in ``root``; returns its exit code.

    Raises BusyError while another experiment runs, DataError without git.
    """
    folder = root / FOLDER
    if arguments[:1] != ("run",) and (folder / ".git").is_dir():
        return _dvc_exp(folder, arguments)
    busy = "Expected no other experiment under way here, but process {pid} runs one. Wait for it."
    with exclusive(folder.with_suffix(".lock"), busy=busy):
        take_over(root, folder)
        return _dvc_exp(folder, arguments)


def take_over(root: Path, folder: Path) -> None:
    """Give ``folder`` the files of the clone in ``root`` and its dvc.lock, committed."""
    if not (folder / ".git").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _git(folder, "init", "-q", "-b", "clone")
        for name, value in (("name", "recap"), ("email", "recap@localhost")):
            _git(folder, "config", f"user.{name}", value)
        _git(folder, "commit", "-q", "--allow-empty", "-m", "Start")
    repository, top = (folder / ".git").resolve(), root.resolve()
    # The clone's own index and history stay out of it.
    of_clone = {
        "GIT_DIR": str(repository),
        "GIT_WORK_TREE": str(top),
        "GIT_INDEX_FILE": str(repository / "clone-index"),
    }
    _git(top, "add", "-A", **of_clone)
    if (top / "dvc.lock").is_file():
        _git(top, "add", "-f", "dvc.lock", **of_clone)
    seen = (top / ".gitignore").read_text(encoding="utf-8").replace(IGNORED, "")
    blob = _git(folder, "hash-object", "-w", "--stdin", given=seen)
    _git(top, "update-index", "--cacheinfo", f"100644,{blob},.gitignore", **of_clone)
    tree = _git(top, "write-tree", **of_clone)
    commit = "HEAD"
    if tree != _git(folder, "rev-parse", "HEAD^{tree}"):
        commit = _git(folder, "commit-tree", "-p", "HEAD", "-m", "The clone as it was", tree)
    _git(folder, "reset", "-q", "--hard", commit)
    with atomic_path(folder / ".dvc/config.local") as part:
        part.write_text(derived_config(root, no_scm=False), encoding="utf-8")


def _dvc_exp(folder: Path, arguments: Sequence[str]) -> int:
    process = start(["-m", "dvc", "exp", *arguments], cwd=folder)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # DVC got it too and puts its things in order
        process.wait()
        return 130
    return code if code >= 0 else 128 - code


def _git(where: Path, *arguments: str, given: str = "", **variables: str) -> str:
    """What git prints; raises PipelineError with git's own words when it fails."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=where,
            env={**others, **variables},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise DataError("Expected git for experiments, found none. Install git.") from None
    if done.returncode != 0:
        raise PipelineError(
            f"Expected `git {arguments[0]}` to work for {FOLDER}, got: {done.stderr.strip()}\n"
            f"`rm -rf {FOLDER}` starts anew, without the experiments made so far."
        )
    return done.stdout.strip()
