"""What infra/ has for sweeps on a cluster: rendered as Prefect and SLURM would, and looked at."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseJobConfiguration

from tests.integration.flow_project import ROOT

TEMPLATE = ROOT / "infra/sweep-kubernetes.json"
SCRIPT = ROOT / "infra/sweep.slurm"
CHOSEN = {
    "repository": "https://git.example/recap.git",
    "image": "registry.example/recap:1",
    "secret": "dvc-remote",
}


class Job(BaseJobConfiguration):
    """The part of a Kubernetes worker's configuration that is looked at here."""

    namespace: str
    job_manifest: dict[str, Any]


def rendered(**values: Any) -> Job:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    no_api = object()  # nothing in the template is looked up at a server
    made = Job.from_template_and_values(template, CHOSEN | values, client=no_api)
    return asyncio.run(made)


def test_every_placeholder_is_a_variable_and_every_variable_is_used() -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    used = {found.name for found in find_placeholders(template["job_configuration"])}
    assert used == set(template["variables"]["properties"])
    assert set(template["variables"]["required"]) == set(CHOSEN)


def test_the_job_clones_the_drivers_commit_and_works_in_it() -> None:
    job = rendered(commit="abc123", name="recap-0-1", labels={"team": "a"})
    manifest = job.job_manifest
    assert not find_placeholders(manifest)
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    assert manifest["metadata"] == {
        "labels": {"team": "a"},
        "namespace": "default",
        "generateName": "recap-0-1-",
    }
    spec = manifest["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # the driver gives the cell to another, counted
    (clone,), (work,) = pod["initContainers"], pod["containers"]
    assert {one["name"]: one["value"] for one in clone["env"]} == {
        "REPOSITORY": CHOSEN["repository"],
        "COMMIT": "abc123",
    }
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (clone, work):
        assert container["image"] == CHOSEN["image"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert work["workingDir"] == work["env"]["RECAP_CLONE"] == work["env"]["PYTHONPATH"]
    assert work["workingDir"].startswith(work["volumeMounts"][0]["mountPath"] + "/")
    assert work["envFrom"] == [{"secretRef": {"name": "dvc-remote"}}]
    assert (
        work["resources"]["requests"]
        == work["resources"]["limits"]
        == {
            "cpu": "1",
            "memory": "8Gi",
        }
    )


def test_the_clone_command_clones(tmp_path: Path) -> None:
    """Run as the container would, in a folder that stands for its volume."""
    origin, first = repository(tmp_path / "origin")
    (clone,) = rendered(commit=first).job_manifest["spec"]["template"]["spec"]["initContainers"]
    script = clone["args"][0].replace("/clone", str(tmp_path / "volume"))
    subprocess.run(
        [*clone["command"], script],
        env={"PATH": "/usr/bin:/bin", "REPOSITORY": str(origin), "COMMIT": first},
        check=True,
    )
    assert (tmp_path / "volume/recap/file").read_text() == "first\n"


def test_a_gpu_and_a_variable_of_ones_own() -> None:
    job = rendered(
        resources={"cpu": "8", "nvidia.com/gpu": "1"}, env={"RECAP_CLONE": "/clone/recap", "A": "1"}
    )
    (work,) = job.job_manifest["spec"]["template"]["spec"]["containers"]
    assert work["resources"]["limits"] == {"cpu": "8", "nvidia.com/gpu": "1"}
    assert work["env"]["A"] == "1"


def test_slurm_starts_a_worker_in_a_clone_of_its_own(tmp_path: Path) -> None:
    origin, first = repository(tmp_path / "origin")
    place = tmp_path / "environment/bin"
    place.mkdir(parents=True)
    stub = place / "srun"
    stub.write_text('#!/bin/sh\necho "$PWD|$RECAP_CLONE|$PYTHONPATH|$OMP_NUM_THREADS|$*"\n')
    stub.chmod(0o755)
    (tmp_path / "scratch").mkdir()
    settings = {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(tmp_path / "scratch"),
        "PREFECT_API_URL": "http://127.0.0.1:4200/api",
        "RECAP_REPOSITORY": str(origin),
        "RECAP_COMMIT": first,
        "RECAP_POOL": "sweep",
        "RECAP_ENVIRONMENT": str(tmp_path / "environment"),
        "SLURM_JOB_ID": "8",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_CPUS_PER_TASK": "2",
    }
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    clone = str(tmp_path / "scratch/recap-7-3")
    worker = "prefect worker start --type process --pool sweep --name slurm-7-3 --limit 1"
    assert done.stdout.strip() == "|".join([clone, clone, clone, "2", worker])
    assert (Path(clone) / "file").read_text() == "first\n"


@pytest.mark.parametrize("missing", ["PREFECT_API_URL", "RECAP_COMMIT", "RECAP_ENVIRONMENT"])
def test_slurm_names_what_is_missing(missing: str) -> None:
    names = (
        "PREFECT_API_URL",
        "RECAP_REPOSITORY",
        "RECAP_COMMIT",
        "RECAP_POOL",
        "RECAP_ENVIRONMENT",
    )
    settings = {"PATH": "/usr/bin:/bin", **{name: "x" for name in names if name != missing}}
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"Expected {missing} in the job's environment, got nothing.")


def repository(folder: Path) -> tuple[Path, str]:
    """A repository with two commits, and the first one's name."""
    folder.mkdir()
    commits = []
    for content in ("first", "second"):
        (folder / "file").write_text(f"{content}\n")
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", content]):
            subprocess.run(
                ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *command],
                cwd=folder,
                check=True,
            )
        asked = ["git", "rev-parse", "HEAD"]
        commits.append(subprocess.run(asked, cwd=folder, capture_output=True, text=True).stdout)
    return folder, commits[0].strip()
