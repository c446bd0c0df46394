"""Kubernetes' own schema accepts the jobs of infra/; a JobSet's own keys are not in that schema."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_validate import ValidationError, validate

from tests.unit.test_infra_sweep import rendered
from tests.unit.test_infra_train import documents

VERSION = "1.37"


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each job with its name: the stages', those of the JobSet, and a sweep's cell."""
    train, stages = documents()
    yield "stages", stages
    for each in train["spec"]["replicatedJobs"]:
        head = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": each["name"]}}
        yield each["name"], head | each["template"]
    cell = copy.deepcopy(rendered(commit="abc123", name="recap-0-1").job_manifest)
    (container,) = cell["spec"]["template"]["spec"]["containers"]
    # Prefect's worker makes this list of the variables before it asks for the job.
    container["env"] = [{"name": k, "value": v} for k, v in container["env"].items()]
    yield "cell", cell


def test_there_are_four() -> None:
    assert [name for name, _ in jobs()] == ["stages", "node", "servers", "cell"]


@pytest.mark.parametrize("job", [pytest.param(job, id=name) for name, job in jobs()])
def test_the_schema_accepts_it_and_no_misspelt_field(job: dict[str, Any]) -> None:
    validate(job, VERSION, strict=True)
    wrong = copy.deepcopy(job)
    wrong["spec"]["template"]["spec"]["restartPolcy"] = "Never"
    with pytest.raises(ValidationError, match="'restartPolcy' was unexpected"):
        validate(wrong, VERSION, strict=True)
