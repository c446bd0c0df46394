"""What a DVC remote has of a project's stages, and sending it what it lacks.

``dvc push`` sends the run cache before the data it speaks of, and trusts its own notes on what the
remote has: a push that was cut off can pass for whole. Here the data goes first, every object is
looked for on the remote, those in folders too, and the run cache, which makes a stage count as
done elsewhere, goes last.

    python -m flows.remote FOLDER push STAGE…    prints what is locked of the stages, as JSON
    python -m flows.remote FOLDER lacks          reads that JSON; prints what is not there

A process of its own: file systems keep threads and listings. Leaves out restoring: ``dvc repro
--pull`` does (flows/stage_run.py).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recap.errors import PipelineError
from recap.runtime import child
from recap.sweeps.project import locked

Entries = dict[str, Any]
"""Stages as lock files have them, by address."""


def push(folder: Path, stages: Sequence[str]) -> Entries:
    """Bring the outputs and the run cache of finished stages to the remote of ``folder``.

    Returns their entries in lock files. Raises PipelineError where the remote cannot be reached or
    does not keep what it is given.
    """
    return dict(_ask(folder, ["push", *stages], ""))


def lacks(folder: Path, entries: Entries) -> list[str]:
    """The objects that these stages made and that the remote does not have."""
    return list(_ask(folder, ["lacks"], json.dumps(entries)))


def _ask(folder: Path, arguments: Sequence[str], question: str) -> Any:
    process = child.start(
        ["-m", "flows.remote", str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    answer, complaint = process.communicate(question)
    if process.returncode != 0:
        raise PipelineError(
            f"Expected the DVC remote of {folder} to answer, got:\n{complaint.strip()[-2000:]}\n"
            "Check `dvc remote list` and the credentials in the environment; what is computed is "
            "kept, run again to go on."
        )
    return json.loads(answer.splitlines()[-1])


class _Remote:
    """A project and its default remote."""

    def __init__(self, folder: Path) -> None:
        from dvc.repo import Repo

        self._folder = folder
        self._repo = Repo(str(folder))
        self._near = self._repo.cache.local
        self._far = self._repo.cloud.get_remote_odb(None, "push")

    def push(self, stages: Sequence[str]) -> Entries:
        known = locked(self._folder, stages)
        entries = {stage: known[stage] for stage in stages}
        with contextlib.chdir(self._folder):  # DVC reads targets from there
            self._repo.push(targets=list(stages))
        missing = self.lacks(entries)
        # What names a folder's files goes after them: it must never be there without them.
        for oids in (
            [oid for oid in missing if not oid.endswith(".dir")],
            [oid for oid in missing if oid.endswith(".dir")],
        ):
            paths = [self._near.oid_to_path(oid) for oid in oids]
            self._far.add(paths, self._near.fs, oids)
        if missing:
            print(f"completed {len(missing)} objects of {', '.join(stages)}", file=sys.stderr)
        if still := self.lacks(entries):
            raise PipelineError(
                f"Expected the remote to keep {len(still)} objects it was given, but it does not "
                f"have them: {', '.join(still[:5])}. Check its permissions and its space."
            )
        self._repo.stage_cache.push(None)
        return entries

    def lacks(self, entries: Entries) -> list[str]:
        outs = [out["md5"] for entry in entries.values() for out in entry.get("outs", [])]
        folders = [oid for oid in outs if oid.endswith(".dir")]
        inside = {file["md5"] for oid in folders for file in self._listing(oid)}
        wanted = sorted({*outs, *inside})
        there = set(self._far.list_oids_exists(wanted))
        return [oid for oid in wanted if oid not in there]

    def _listing(self, oid: str) -> list[Mapping[str, str]]:
        """A folder's files; none where neither side has the list, which is itself missing then."""
        for side in (self._near, self._far):
            if side.exists(oid):
                with side.fs.open(side.oid_to_path(oid), "r", encoding="utf-8") as stream:
                    return list(json.load(stream))
        return []


def _main(folder: str, command: str, *stages: str) -> None:
    from dvc.exceptions import DvcException

    try:
        remote = _Remote(Path(folder))
        answer = remote.push(stages) if command == "push" else remote.lacks(json.load(sys.stdin))
    except (DvcException, PipelineError, OSError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        sys.exit(f"{type(error).__name__}: {error}{cause}")
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
