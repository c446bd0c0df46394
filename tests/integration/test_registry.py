"""Tracking and registry on a real SQLite store: idempotent, recoverable, promotion by the rules.

Locks: 1. publishing twice changes nothing; 2. a lost store is made anew; 3. a version per content,
challenger only if it passed; 4. promotion refuses what did not pass, what is worse and what has no
equal evidence, unless overridden; rollback walks back, every move is on record; 5. a store that is
down is one clear error, and the stage ``register`` succeeds without it; 6. no prompt, completion,
verdict or page is ever published.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
import yaml

from recap.cli import publish as publishing
from recap.errors import GateError, TrackingError
from recap.params.whole import read_params
from recap.runtime.child import environment
from recap.tracking import registry
from recap.tracking.entries import read_moves
from recap.tracking.history import Move, champions
from recap.tracking.manifest import Provenance
from recap.tracking.runs import open_store
from recap.tracking.versions import read_provenance
from tests.integration.registry_project import (
    CELLS,
    NAME,
    ROOT,
    make_registry_project,
    register,
)

DOWN = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def project(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a finished run, and an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    return make_registry_project(tmp_path)


def publish_candidate(root: Path, **candidate: object) -> str:
    register(root, **candidate)  # type: ignore[arg-type]
    version = publishing.publish(root).version
    assert version is not None
    return version


def promote(root: Path, version: str | None = None, override: str | None = None) -> Move:
    params = read_params(root / "params.yaml")
    with open_store(root) as client:
        return registry.promote(client, root, params, version, override)


def rollback(root: Path) -> Move:
    with open_store(root) as client:
        return registry.rollback(client, root, NAME)


def aliases(root: Path) -> dict[str, str]:
    with open_store(root) as client:
        found = client.get_registered_model(NAME).aliases
        return {alias: str(version) for alias, version in found.items()}


def test_publishing_twice_changes_nothing(project: Path) -> None:
    assert publishing.last_receipt(project) is None
    first = publishing.publish(project)
    assert publishing.last_receipt(project) == first
    assert publishing.publish(project) == first
    assert first.aliases == ("challenger",)
    assert sorted(first.runs) == sorted(CELLS)
    with open_store(project) as client:
        experiment = client.get_experiment_by_name("recap").experiment_id
        assert len(client.search_runs([experiment])) == 3
        assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
        run = client.get_run(first.runs["recap-0"])
        history = client.get_metric_history(run.info.run_id, "reward")
        curve = client.get_metric_history(run.info.run_id, "dynamics/prefill/safe")
        version = client.get_model_version(NAME, "1")
    assert run.info.status == "FINISHED"
    assert [(point.step, point.value) for point in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (2, 0.75), (3, 0.875)]
    assert "loss" not in run.data.metrics
    measured = {name: value for name, value in run.data.metrics.items() if "/" in name}
    assert measured == {
        "prefill/safe": 0.98, "prefill/safe_low": 0.97, "prefill/safe_high": 0.99,
        "prefill/safe_pass_at_2": 0.99, "reflection/harmful_prefilled": 0.98,
        "dynamics/prefill/safe": 0.875, "dynamics/prefill/reflection": 0.875,
    }  # fmt: skip
    assert run.data.params["train.alpha"] == "0.5"
    assert {"git_commit", "dvc_lock", "stage.train", "stage.prepare"} <= run.data.tags.keys()
    assert run.info.run_name == f"recap-0-{run.data.tags['fingerprint'][:8]}"
    assert {"gate", "git_commit", "dvc_lock", "stage.train"} <= version.tags.keys()
    assert version.tags["gate"] == "passed"
    provenance = read_provenance(version)
    settings = provenance.params
    assert {key.split(".")[0] for key in settings} == set(
        yaml.safe_load((ROOT / "params.yaml").read_text())
    )
    assert settings["train.alpha"] == "0.5" and settings["gate.baseline"] == "dapo"
    assert settings["attack.max_tokens"] == "96" and settings["models.policy.updates"] == "1050"
    assert provenance.data == {"data/prompts/eval.jsonl": "eval-1"}


def test_a_run_of_earlier_times_gets_a_name_of_its_own(project: Path) -> None:
    run = publishing.publish(project).runs["recap-0"]
    with open_store(project) as client:
        name = client.get_run(run).info.run_name
        client.update_run(run, name="recap-0")
    assert publishing.publish(project).runs["recap-0"] == run
    with open_store(project) as client:
        assert client.get_run(run).info.run_name == name != "recap-0"


def test_a_lost_store_is_made_anew(project: Path) -> None:
    before = publishing.publish(project)
    left = project / "left"  # a process keeps a file that is deleted open, and would write there
    shutil.copytree(
        project, left, ignore=shutil.ignore_patterns("left", "mlflow.db", "mlartifacts")
    )
    assert publishing.last_receipt(left) is None
    after = publishing.publish(left)
    assert (left / "mlflow.db").is_file()
    assert (after.version, after.aliases) == (before.version, before.aliases)
    assert after.runs.keys() == before.runs.keys()


def test_a_version_for_each_content(project: Path) -> None:
    assert publish_candidate(project, weights="one") == "1"
    assert publish_candidate(project, weights="two", passed=False) == "2"
    assert aliases(project) == {"challenger": "1"}
    assert publish_candidate(project, weights="three") == "3"
    assert aliases(project) == {"challenger": "3"}
    assert publish_candidate(project, weights="one") == "1"


def test_promotion_and_rollback(project: Path) -> None:
    for move in (promote, rollback):
        with pytest.raises(GateError, match=f"Expected the registered model {NAME}, found none"):
            move(project)
    with open_store(project) as client:
        assert client.search_registered_models() == []
    publish_candidate(project, weights="one")
    publish_candidate(project, weights="refused", passed=False)
    with pytest.raises(GateError, match=r"2 to be fit for champion, got: prefill: 98 %, requ"):
        promote(project, "2")
    with pytest.raises(GateError, match="earlier champion"):
        rollback(project)
    assert promote(project).version == "1"
    assert aliases(project) == {"champion": "1"}
    for named in ("1", None):  # the second says so too, not that nobody challenges
        with pytest.raises(GateError, match="Version 1 is the champion already"):
            promote(project, named)
    publishing.publish(project)
    publish_candidate(project, weights="one")
    assert aliases(project) == {"champion": "1"}  # a champion does not challenge itself

    assert publish_candidate(project, weights="two") == "3"
    assert (promote(project).previous, aliases(project)) == ("1", {"champion": "3"})
    assert rollback(project).version == "1"
    assert aliases(project) == {"champion": "1"}
    with pytest.raises(GateError, match="earlier champion"):
        rollback(project)
    with open_store(project) as client:
        moves = read_moves(client, NAME).told
    assert [(move.action, move.version, move.previous) for move in moves] == [
        ("promote", "1", None),
        ("promote", "3", "1"),
        ("rollback", "1", "3"),
    ]


def test_no_text_of_a_model_is_published(project: Path) -> None:
    """A text is planted in each file that holds some, and looked for in the store."""
    planted = b"a-text-that-stays-at-home"
    for name in (
        "data/prompts/eval.jsonl", "data/prefills/harmful_eval.jsonl",
        "data/completions/recap-0.jsonl", "data/verdicts/recap-0.jsonl",
        "data/second_verdicts/recap-0.jsonl", "results/outcomes/recap-0.jsonl",
        "results/agreement/recap-0.json", "reports/index.html", "reports/report.md",
        "reports/tables.json",
    ):  # fmt: skip
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(planted)
    assert publishing.publish(project).version == "1"
    published = [project / "mlflow.db", *(project / "mlartifacts").rglob("*")]
    files = [path for path in published if path.is_file()]
    assert [path for path in files if b"thing-" in path.read_bytes()] == []  # what is asked for
    assert {path.name for path in files} >= {
        "mlflow.db",
        "recap-0.json",
        "manifest.json",
        "evidence.json",
    }
    assert [path for path in files if planted in path.read_bytes()] == []
    # rates alone, not results of other kinds that bear the same name
    kept = [path for path in files if path.name == "recap-0.json"]
    assert all(b"mean_cot_tokens" in path.read_bytes() for path in kept)


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ({"safe": 0.05}, r"prefill not below version 1: 5\.0% against 98\.0%: -93\.0 points"),
        ({"safe": 0.93}, r"harmful not below version 1: 93\.0% against 98\.0%"),
        ({"data": "eval-2"}, r"equal evidence: data/prompts/eval.jsonl differs"),
        ({"prompts": 99}, r"not measured: Expected outcomes of the same prompts in both cells"),
    ],
)
def test_what_is_worse_or_measured_otherwise_is_refused(
    project: Path, candidate: dict[str, object], said: str
) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    publish_candidate(project, weights="two", **candidate)
    with pytest.raises(GateError, match=said):
        promote(project)
    assert aliases(project) == {"champion": "1", "challenger": "2"}
    moved = promote(project, "2", override="the old one is wrong about medicine")
    assert aliases(project) == {"champion": "2"}
    with open_store(project) as client:
        told = read_moves(client, NAME).told[-1]
    assert told == moved
    assert moved.reason == "the old one is wrong about medicine"
    assert any(re.search(said, reason) for reason in moved.refused)
    assert moved.by is not None and "@" in moved.by and moved.at.startswith("20")


def test_an_override_needs_words_and_is_kept_only_where_it_was_needed(project: Path) -> None:
    publish_candidate(project, weights="one", passed=False)
    with pytest.raises(GateError, match="Expected the reason of the override, got none"):
        promote(project, "1", override=" ")
    assert promote(project, "1", override="the only one there is").reason is not None
    publish_candidate(project, weights="two")
    move = promote(project, override="to be sure")
    assert (move.reason, move.refused) == (None, ())


@pytest.mark.parametrize("lost", ["champion", "candidate"])
@pytest.mark.parametrize("file", ["manifest.json", "evidence.json"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_version_whose_artifacts_are_lost_is_refused(
    project: Path, lost: str, file: str, how: str
) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    publish_candidate(project, weights="two")
    with open_store(project) as client:
        version = client.get_model_version(NAME, {"champion": "1", "candidate": "2"}[lost])
    path = Path(url2pathname(urlparse(version.source).path)) / file
    if how == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("recap-0", "dapo-0").replace("0", "1"))
    number = version.version
    with pytest.raises(GateError, match=rf"version {number}.* carries no evidence: Expected"):
        promote(project)
    assert aliases(project) == {"champion": "1", "challenger": "2"}


def test_a_version_of_plain_dvc_repro_is_compared_all_the_same(project: Path) -> None:
    """The stage register knows no provenance; what a promotion needs is in the artifact."""
    publish_candidate(project, weights="one")
    promote(project)
    manifest = register(project, weights="two", safe=0.05)
    with open_store(project) as client:
        evidence = project / publishing.EVIDENCE
        number = registry.ensure_registered(client, project, manifest, evidence, Provenance())
        assert number == "2"
        assert read_provenance(client.get_model_version(NAME, "2")) == Provenance()
    with pytest.raises(GateError, match=r"5\.0% against 98\.0%"):
        promote(project)


def test_a_champion_without_its_alias_is_champion_all_the_same(project: Path) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    with open_store(project) as client:
        client.delete_registered_model_alias(NAME, "champion")
    publish_candidate(project, weights="two", safe=0.05)
    with pytest.raises(GateError, match=r"5\.0% against 98\.0%"):
        promote(project)


@pytest.mark.parametrize(
    ("moves", "line"),
    [
        ([], []),
        ([("promote", "1")], ["1"]),
        ([("promote", "1"), ("promote", "1")], ["1"]),
        ([("promote", "1"), ("promote", "2"), ("rollback", "1")], ["1"]),
        ([("promote", "1"), ("promote", "2"), ("rollback", "1"), ("promote", "3")], ["1", "3"]),
        (
            [("promote", "1"), ("promote", "2"), ("promote", "3"), ("rollback", "2")],
            ["1", "2"],
        ),
        ([("promote", "1"), ("promote", "2"), ("rollback", "1"), ("rollback", "1")], ["1"]),
        ([("register", "1"), ("promote", "1"), ("register", "2")], ["1"]),
    ],
)
def test_the_line_of_champions(moves: list[tuple[str, str]], line: list[str]) -> None:
    history = [
        Move.model_validate({"action": a, "version": v, "previous": None, "at": ""})
        for a, v in moves
    ]
    assert champions(history) == line


def test_a_store_that_is_down_is_one_clear_error(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=rf"Expected the tracking store {DOWN} to answer"):
        publishing.publish(project)


def test_the_stage_register_needs_no_registry(project: Path) -> None:
    (project / "data/prompts").mkdir()
    (project / "data/prompts/eval.jsonl").write_text("{}\n")

    def run(uri: str) -> tuple[bytes, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "recap.stages.register", "--policy", "models/trained"),
                *("--decision", "results/decision.json", "--rates", "results/rates"),
                *("--outcomes", "results/outcomes", "--verdicts", "data/verdicts"),
                *("--attacked-with", "data/prompts/eval.jsonl"),
                *("--out", "results/again.json", "--evidence", "results/again_evidence.json"),
            ],
            cwd=project,
            env=environment(
                PYTHONPATH=str(ROOT),
                MLFLOW_TRACKING_URI=uri,
                MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            ),
            capture_output=True,
            text=True,
            check=True,
        )
        return (project / "results/again.json").read_bytes(), done.stderr

    with_store, said = run(f"sqlite:///{project / 'other.db'}")
    without, _ = run(DOWN)
    assert with_store == without
    fingerprint = json.loads(with_store)["fingerprint"]
    assert said.splitlines()[-1] == f"{NAME}: manifest {fingerprint}"
    assert not (project / "other.db").exists()
