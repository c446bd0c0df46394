"""A small DVC project of shell stages, for tests of flows and the command line.

Not a test: it makes the folder in which a real ``dvc``, a real Prefect and a real MLflow run. The
parameter file is the project's own, so that everything that reads it works.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from recap.runtime.child import environment, start
from recap.runtime.ports import free_port
from tests.waiting import PATIENCE, until_served

ROOT = Path(__file__).parents[2]
CHAIN = """\
stages:
  first:
    matrix:
      letter: [a, b]
    cmd: echo working on ${item.letter} && echo ${item.letter} ${seed} > ${item.letter}.txt
    params: [seed]
    outs:
      - ${item.letter}.txt
  last:
    cmd: cat a.txt b.txt > all.txt
    deps:
      - a.txt
      - b.txt
    outs:
      - all.txt
"""

FORGET = """
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    for automation in client.read_automations():
        client.delete_automation(automation.id)
"""
"""A script: the server of several tests has no automation any more."""


def make_project(folder: Path, stages: str = CHAIN) -> Path:
    """A git and DVC repository with ``stages`` as its dvc.yaml; nothing has run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("params.yaml", "constraints.txt", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    (folder / "dvc.yaml").write_text(stages, encoding="utf-8")
    git(folder, "init", "-q")
    commit(folder, "start")
    return folder


def git(folder: Path, *arguments: str) -> None:
    """Run ``git ARGUMENTS…`` in a folder."""
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def commit(folder: Path, subject: str) -> None:
    """Commit everything that is not ignored."""
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", subject)


def call(
    folder: Path, *arguments: str, timeout: float = PATIENCE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS…`` in the project to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=child_environment(folder, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def child_environment(folder: Path, **variables: str) -> dict[str, str]:
    """An environment in which this checkout is imported and no outer server is used."""
    env = environment(**{"PYTHONPATH": str(ROOT), **variables})
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        if name not in variables:
            env.pop(name, None)
    env["HOME"] = str(folder)
    return env


@contextlib.contextmanager
def prefect_api(folder: Path, *, whole: bool = False) -> Iterator[str]:
    """One Prefect API for many flows, which then start none of their own: its address.

    It asks for no password. ``whole``: it also starts what is due by a schedule.
    """
    port = free_port()
    url, log = f"http://127.0.0.1:{port}/api", folder / "server.log"
    uvicorn = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--port", str(port)]
    ephemeral = {} if whole else {"PREFECT__SERVER_EPHEMERAL": "1"}
    with log.open("w", encoding="utf-8") as stream:
        server = start(
            ["-m", *uvicorn, "--host", "127.0.0.1", "--timeout-graceful-shutdown", "3"],
            env=child_environment(
                folder, PREFECT_HOME=str(folder), PREFECT_UI_ENABLED="0", **ephemeral
            ),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        until_served(f"{url}/health", server, log)
        yield url
    finally:
        server.terminate()  # not SIGINT, which a shell's background jobs ignore
        server.wait(60)


def lock_of(folder: Path) -> dict[str, object]:
    """``dvc.lock`` as parsed YAML."""
    return dict(yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8")))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")
