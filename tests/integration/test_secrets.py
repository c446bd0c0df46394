"""Secrets of the environment, planted: a run, a publication and a promotion leave none of them.

Every file of the project is read: parameters, DVC's lock and cache, MLflow's database and
artifacts, the database and log of the command's Prefect, records, and all that was printed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.integration.flow_project import call, make_project
from tests.integration.registry_project import write_lock
from tests.integration.test_flows import FAILING
from tests.integration.test_registry import aliases, promote, publish_candidate

PLANTED = {
    "RECAP_PLANTED_KEY": "sk-planted-judge-5c1e",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-5c1e",
    "HF_TOKEN": "hf_planted5c1e",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-5c1e",
}


@pytest.mark.slow
def test_none_is_found_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = make_project(tmp_path / "project", FAILING)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["judge"]["api"]["key"] = "RECAP_PLANTED_KEY"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    said = call(project, "-m", "flows", "reproduce")
    assert "Stage bad failed (exit code 2)" in said.stderr
    write_lock(project, "eval-1")
    publish_candidate(project, weights="one")
    promote(project)
    assert aliases(project)["champion"] == "1"
    printed = said.stdout + said.stderr
    assert [value for value in PLANTED.values() if value in printed] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    read = {path.relative_to(project).as_posix(): path.read_bytes() for path in files}
    assert {"dvc.lock", "mlflow.db", ".recap/prefect/prefect.db"} <= read.keys()
    assert any(b"RECAP_PLANTED_KEY" in content for content in read.values())  # the name alone
    found = {
        name
        for name, content in read.items()
        if any(value.encode() in content for value in PLANTED.values())
    }
    assert found == set()
