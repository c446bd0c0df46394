"""Tracking and registry on a real SQLite store: idempotent, recoverable, promotion by the rules.

Locks: 1. publishing twice changes nothing; 2. a lost store is made anew; 3. a version per content,
challenger only if it passed; 4. promotion refuses what did not pass or is clearly worse, rollback
walks back, every move is on record; 5. a live mirror becomes the finished run; 6. a store that is
down is one clear error, and the stage ``register`` succeeds without it; 7. no prompt, completion,
verdict or page is ever published.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recap import publishing, registry
from recap.child import environment
from recap.errors import GateError, TrackingError
from recap.registry import Move, champions, worse_rates
from recap.tracking import open_store
from tests.integration.registry_project import (
    CELLS,
    NAME,
    ROOT,
    make_registry_project,
    register,
    write_lines,
)

DOWN = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture(scope="module")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty store to copy: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder):
        pass
    return folder / "mlflow.db"


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


def promote(root: Path, version: str | None = None) -> Move:
    with open_store(root) as client:
        return registry.promote(client, root, NAME, version)


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
        curve = client.get_metric_history(run.info.run_id, "dynamics.prefill.1.value")
        version = client.get_model_version(NAME, "1")
    assert run.info.status == "FINISHED"
    assert [(point.step, point.value) for point in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (2, 0.75), (3, 0.875)]
    assert "loss" not in run.data.metrics
    assert run.data.metrics["prefill.1.value"] == 0.98
    assert run.data.metrics["prefill.1.n_unscored"] == 0
    assert run.data.metrics["prefill.1.pass_at_2"] == 0.99
    assert run.data.metrics["reflection.harmful.prefilled"] == 0.98
    assert run.data.params["train.alpha"] == "0.5"
    assert {"git_commit", "dvc_lock", "stage.train", "stage.prepare"} <= run.data.tags.keys()
    assert {"gate", "git_commit", "dvc_lock", "params", "data", "rates"} <= version.tags.keys()
    assert version.tags["gate"] == "passed"
    settings = json.loads(version.tags["params"])
    assert {key.split(".")[0] for key in settings} == set(
        yaml.safe_load((ROOT / "params.yaml").read_text())
    )
    assert settings["train.alpha"] == "0.5" and settings["gate.baseline"] == "dapo"
    assert settings["attack.max_tokens"] == "96" and settings["models.policy.updates"] == "1050"
    assert json.loads(version.tags["data"]) == {"data/prompts/eval.jsonl": "eval-1"}


def test_a_lost_store_is_made_anew(project: Path) -> None:
    before = publishing.publish(project)
    (project / "mlflow.db").unlink()
    assert publishing.last_receipt(project) is None
    after = publishing.publish(project)
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
    with pytest.raises(GateError, match=r"got version 2: prefill: 98 %, required above DAPO"):
        promote(project, "2")
    with pytest.raises(GateError, match="earlier champion"):
        rollback(project)
    assert promote(project).version == "1"
    assert aliases(project) == {"champion": "1"}
    with pytest.raises(GateError, match="champion already"):
        promote(project, "1")
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
        moves = registry.history(client.get_registered_model(NAME).tags)
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
    assert {path.name for path in files} >= {"mlflow.db", "recap-0.json"}
    assert [path for path in files if planted in path.read_bytes()] == []
    # rates alone, not results of other kinds that bear the same name
    kept = [path for path in files if path.name == "recap-0.json"]
    assert all(b"mean_cot_tokens" in path.read_bytes() for path in kept)


def test_a_clearly_worse_version_is_refused(project: Path) -> None:
    publish_candidate(project, weights="one", safe=0.98)
    promote(project)
    publish_candidate(project, weights="two", safe=0.90)
    with pytest.raises(GateError, match=r"prefill/1 at most 91.0% against at least 97.0%"):
        promote(project)
    assert aliases(project) == {"champion": "1", "challenger": "2"}


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
    ],
)
def test_the_line_of_champions(moves: list[tuple[str, str]], line: list[str]) -> None:
    history = [
        Move.model_validate({"action": a, "version": v, "previous": None, "at": ""})
        for a, v in moves
    ]
    assert champions(history) == line


@pytest.mark.parametrize(
    ("mine", "theirs", "data", "worse"),
    [
        (
            (0.90, 0.92),
            (0.95, 0.99),
            ("a", "a"),
            ["prefill/1 at most 92.0% against at least 95.0%"],
        ),
        ((0.90, 0.95), (0.95, 0.99), ("a", "a"), []),
        ((0.90, 0.92), (0.95, 0.99), ("a", "b"), []),
        ((None, None), (0.95, 0.99), ("a", "a"), []),
    ],
)
def test_worse_is_below_with_intervals_apart(
    mine: tuple[float | None, float | None],
    theirs: tuple[float | None, float | None],
    data: tuple[str, str],
    worse: list[str],
) -> None:
    tags = [
        {
            "data": json.dumps({"data/prompts/eval.jsonl": md5}),
            "rates": json.dumps(
                {"prefill/1": {"value": 0.9, "low": low, "high": high, "n": 9, "n_unscored": 0}}
            ),
        }
        for (low, high), md5 in zip((mine, theirs), data, strict=True)
    ]
    assert worse_rates(tags[0], tags[1]) == worse


def test_a_live_mirror_becomes_the_finished_run(project: Path) -> None:
    live = project / ".recap/train/recap-0.live.jsonl"
    write_lines(live, 1, tokens_per_second=7000.0)
    looks = iter([False, False, True])
    grown = iter([2, 3, 3])

    def stopped() -> bool:
        write_lines(live, next(grown, 3), tokens_per_second=7000.0)
        return next(looks, True)

    publishing.follow(project, stopped, pytest.fail)
    receipt = publishing.publish(project)
    with open_store(project) as client:
        experiment = client.get_experiment_by_name("recap").experiment_id
        runs = client.search_runs([experiment], "tags.cell = 'recap-0'")
        speeds = client.get_metric_history(receipt.runs["recap-0"], "tokens_per_second")
        rewards = client.get_metric_history(receipt.runs["recap-0"], "reward")
    assert [run.info.run_id for run in runs] == [receipt.runs["recap-0"]]
    assert [(point.step, point.value) for point in speeds] == [(n, 7000.0) for n in (1, 2, 3)]
    assert [(point.step, point.value) for point in rewards] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_an_unfinished_mirror_is_closed_and_not_taken(project: Path) -> None:
    with open_store(project) as client:
        experiment = registry.experiment_id(client, project)
        stale = client.create_run(experiment, tags={"cell": "recap-0"}).info.run_id
    receipt = publishing.publish(project)
    with open_store(project) as client:
        assert client.get_run(stale).info.status == "KILLED"
    assert receipt.runs["recap-0"] != stale


def test_a_store_that_is_down_is_one_clear_error(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=rf"Expected the tracking store {DOWN} to answer"):
        publishing.publish(project)


def test_the_stage_register_needs_no_registry(project: Path) -> None:
    def run(uri: str) -> tuple[bytes, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "recap.stages.register", "--policy", "models/trained"),
                *("--decision", "results/decision.json", "--rates", "results/rates"),
                *("--out", "results/again.json"),
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

    with_store, said = run(f"sqlite:///{project / 'mlflow.db'}")
    assert f"{NAME} version 1 (challenger)" in said
    without, said = run(DOWN)
    assert "Warning: not registered yet. Expected the tracking store" in said
    assert with_store == without
