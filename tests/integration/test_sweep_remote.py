"""A DVC remote on an S3-compatible server: what was sent is there, and is missed when it is not.

Locks: 1. a push that was cut off passes for whole with DVC, and is found and completed; 2. an
object in a folder counts; 3. a remote that cannot be reached is said in words.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.remote import lacks, push
from recap.errors import PipelineError
from recap.sweeps.project import read_project, write_project
from tests.integration.flow_project import call
from tests.integration.pool_project import BUCKET, clone, make_origin, object_store, variables

CELL = "cells/recap-0/dvc.yaml"
STAGES = [
    *("models", "sources", "prepare", "validate", "prefill"),
    f"{CELL}:train",
    f"{CELL}:attack",
]


@pytest.mark.slow
def test_a_push_that_was_cut_off_is_found_and_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(name, value)
    with object_store() as (endpoint, store):
        worker = clone(make_origin(tmp_path / "origin", endpoint), tmp_path / "worker")
        folder = write_project(read_project(worker))
        ran = call(folder, "-m", "dvc", "repro", "-q", STAGES[-1], **variables(tmp_path))
        assert ran.returncode == 0, ran.stderr
        entries = push(folder, STAGES)
        assert set(entries) == set(STAGES)
        assert lacks(folder, entries) == []

        oid = entries[f"{CELL}:train"]["outs"][0]["md5"]
        cache = worker / ".dvc/cache/files/md5"
        listing = json.loads((cache / oid[:2] / oid[2:]).read_text())
        inside = next(file["md5"] for file in listing if file["relpath"] == "weights")
        runs = [
            row["Key"]
            for row in store.list_objects_v2(Bucket=BUCKET, Prefix="dvc/runs/")["Contents"]
        ]
        assert len(runs) == len(STAGES)
        store.delete_object(Bucket=BUCKET, Key=f"dvc/files/md5/{inside[:2]}/{inside[2:]}")
        store.delete_object(Bucket=BUCKET, Key=runs[0])
        assert lacks(folder, entries) == [inside]
        assert call(folder, "-m", "dvc", "push", "-q", **variables(tmp_path)).returncode == 0
        assert lacks(folder, entries) == [inside]  # DVC takes the folder for whole

        assert push(folder, STAGES) == entries
        assert lacks(folder, entries) == []
        again = store.list_objects_v2(Bucket=BUCKET, Prefix="dvc/runs/")["Contents"]
        assert [row["Key"] for row in again] == runs
    with pytest.raises(PipelineError, match=r"Expected the DVC remote of .* to answer"):
        lacks(folder, entries)
