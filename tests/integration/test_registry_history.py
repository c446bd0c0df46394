"""The registry over several machines and after losses; real processes, real stores.

Locks: 1. two clones that register one content at once make one version; 2. a lost store gets back
versions, moves and champion from the clone's file, which `make clean` spares; 3. each clone's file
has the moves of all; 4. a clone that was moved, or copied, reads and writes its own artifacts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recap.cli import publish as publishing
from recap.errors import DataError, GateError
from recap.runtime.child import environment
from recap.tracking import entries, history, registry
from recap.tracking.entries import read_moves
from recap.tracking.history import RECORDS, History
from recap.tracking.runs import open_store
from tests.integration.flow_project import call
from tests.integration.registry_project import NAME, ROOT, make_registry_project
from tests.integration.test_registry import aliases, promote, publish_candidate, rollback

RACE = """
import os, sys
from pathlib import Path
import mlflow  # once, for all: each is a process with a client of its own
from recap.cli import publish as publishing
from recap.tracking import registry
from recap.tracking.manifest import Manifest, Provenance
from recap.rows import read_json
from recap.tracking.runs import open_store
from tests.integration.registry_project import register

def publish(clone, begin):
    manifest = read_json(clone / publishing.REGISTERED, Manifest)
    with open_store(clone) as client:
        os.read(begin, 1)  # until both are there
        evidence = clone / publishing.EVIDENCE
        origin = Provenance()
        print(registry.ensure_registered(client, clone, manifest, evidence, origin), flush=True)

clones = [Path("a"), Path("b")]
for number in range(4):
    begin, go = os.pipe()
    for clone in clones:
        register(clone, weights=f"content {number}")
        if os.fork() == 0:
            os.close(go)
            publish(clone, begin)
            os._exit(0)
    os.close(begin)
    os.close(go)
    if any([os.wait()[1] for _ in clones]):
        sys.exit(1)
"""


@pytest.fixture
def project(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a finished run, and an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(fresh_store, folder / "mlflow.db")
    return make_registry_project(folder)


def moves(root: Path) -> list[tuple[str, str, str | None]]:
    with open_store(root) as client:
        told = read_moves(client, NAME).told
    return [(move.action, move.version, move.previous) for move in told]


def without_store(project: Path) -> Path:
    """The clone elsewhere: this process would write on into a file that is deleted."""
    left = project.with_name("left")
    shutil.copytree(project, left, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return left


@pytest.mark.slow
def test_two_clones_that_register_one_content_at_once_make_one_version(
    tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As machines do: one store for both, and no lock that both of them see; four times."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    shutil.copy(fresh_store, tmp_path / "shared.db")
    for name in "ab":
        (tmp_path / name).mkdir()
        make_registry_project(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", RACE],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    numbers = done.stdout.split()
    assert [numbers[n] == numbers[n + 1] for n in range(0, 8, 2)] == [True] * 4
    with open_store(tmp_path / "a") as client:
        found = client.search_model_versions(f"name = '{NAME}'")
        contents = [version.tags["fingerprint"] for version in found]
        latest = client.get_registered_model(NAME).aliases["challenger"]
    assert len(contents) == len(set(contents)) == 4
    assert str(latest) == numbers[-1]


def test_a_lost_store_gets_versions_moves_and_champion_back(project: Path) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    publish_candidate(project, weights="two", safe=0.99)
    promote(project)
    publish_candidate(project, weights="refused", passed=False)
    promote(project, "3", override="a trial")
    rollback(project)
    publish_candidate(project, weights="four")
    before, told = aliases(project), moves(project)
    assert before == {"champion": "2", "challenger": "4"}
    assert told == [
        ("promote", "1", None), ("promote", "2", "1"),
        ("promote", "3", "2"), ("rollback", "2", "3"),
    ]  # fmt: skip
    project = without_store(project)
    assert publishing.publish(project).version == "4"
    assert (aliases(project), moves(project)) == (before, told)
    with open_store(project) as client:
        last = read_moves(client, NAME).told[2]
    assert last.reason == "a trial" and len(last.refused) == 1
    publishing.publish(project)
    assert (aliases(project), moves(project)) == (before, told)
    assert promote(project).previous == "2"  # what it is compared with was restored as well


@pytest.mark.slow
def test_each_clone_keeps_the_moves_of_all_and_of_this_store_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_candidate(project, weights="at home")
    promote(project)
    shutil.copytree(project, tmp_path / "other", ignore=shutil.ignore_patterns("records", "ml*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    publish_candidate(project, weights="one")  # a store of its own: no champion comes with it
    assert aliases(project) == {"challenger": "1"}
    promote(project)
    other = tmp_path / "other"
    assert publish_candidate(other, weights="one") == "1"
    store = registry.store_name(other)
    (mine,), (theirs,) = (
        [move for move in History(root, NAME, store).moves() if move.action == "promote"]
        for root in (project, other)
    )
    assert mine == theirs
    (tmp_path / "shared.db").unlink()
    uri = f"sqlite:///{tmp_path}/shared.db"
    again = call(other, "-m", "recap", "publish", MLFLOW_TRACKING_URI=uri, timeout=300)
    assert again.returncode == 0, again.stderr
    assert f"{NAME} version 1 (champion)" in again.stdout


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_clone_that_lies_elsewhere_reads_and_writes_its_own_artifacts(
    project: Path, tmp_path: Path, how: str
) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    elsewhere = tmp_path / "else where"
    shutil.copytree(project, elsewhere)
    if how == "moved":
        shutil.rmtree(project)
    assert publish_candidate(elsewhere, weights="two") == "2"
    assert promote(elsewhere).previous == "1"
    with open_store(elsewhere) as client:
        experiment = client.get_experiment_by_name("recap")
        places = [v.source for v in client.search_model_versions(f"name = '{NAME}'")]
        places += [run.info.artifact_uri for run in client.search_runs([experiment.experiment_id])]
        places.append(experiment.artifact_location)
    assert len(places) == 6
    assert all(place.startswith(f"{elsewhere.as_uri()}/mlartifacts/") for place in places)
    assert project.exists() == (how == "copied")
    kept = len(list(elsewhere.rglob("manifest.json"))) - len(list((project).rglob("manifest.json")))
    assert kept == (4 if how == "moved" else 2)  # two versions each, an artifact and a record


def test_make_clean_spares_the_history(project: Path) -> None:
    publish_candidate(project, weights="one")
    promote(project)
    shutil.copy(ROOT / "Makefile", project)
    subprocess.run(["make", "clean"], cwd=project, check=True, capture_output=True)
    assert not (project / "mlflow.db").exists() and not (project / "results").exists()
    lines = (project / RECORDS / f"{NAME}.jsonl").read_text().splitlines()
    assert [json.loads(line)["move"]["action"] for line in lines] == ["register", "promote"]
    project = make_registry_project(without_store(project))
    assert publishing.publish(project).aliases == ("champion",)


@pytest.mark.parametrize(
    ("theirs", "outcome"),
    [
        (0.96, [("promote", "1", None), ("promote", "3", "1"), ("promote", "2", "3")]),
        (1.0, [("promote", "1", None), ("promote", "3", "1")]),
    ],
)
def test_who_is_overtaken_by_another_clone_decides_again(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theirs: float,
    outcome: list[tuple[str, str, str | None]],
) -> None:
    """Between decision and entry another clone promotes: against the better one, 2 is too weak."""
    publish_candidate(project, weights="one", safe=0.96)
    promote(project)
    publish_candidate(project, weights="two", safe=0.96)
    publish_candidate(project, weights="three", safe=theirs)
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("ml*", ".recap"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    write = entries.follow

    def overtaken(*arguments: object) -> bool:
        monkeypatch.setattr(registry, "follow", write)
        assert promote(other, "3").previous == "1"
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "follow", overtaken)
    if len(outcome) == 3:
        assert promote(project, "2").previous == "3"
    else:
        with pytest.raises(GateError, match=r"2 to be fit for champion.* not below version 3"):
            promote(project, "2")
    assert moves(project) == outcome
    assert aliases(project)["champion"] == outcome[-1][1]
    mine = History(project, NAME, registry.store_name(project)).moves()
    assert [m.version for m in mine if m.action == "promote"] == ["1", "2"][: len(outcome) - 1]


def test_an_alias_that_lags_behind_is_put_right_and_a_deleted_entry_is_noticed(
    project: Path,
) -> None:
    """A process may die between entry and alias; the gate reads the entries."""
    publish_candidate(project, weights="one")
    promote(project)
    publish_candidate(project, weights="two")
    with open_store(project) as client:
        last = read_moves(client, NAME)
        move = last.told[-1].model_copy(update={"version": "2", "at": history.now()})
        assert entries.follow(client, NAME, move, last.last)
        assert not entries.follow(client, NAME, move, last.last)  # too late: void
    assert aliases(project) == {"champion": "1", "challenger": "2"}
    publish_candidate(project, weights="three")
    assert aliases(project) == {"champion": "2", "challenger": "3"}
    assert promote(project).previous == "2"
    with open_store(project) as client:
        client.delete_model_version(f"{NAME}.moves", "2")
    with pytest.raises(DataError, match="without a gap, found no number 2: somebody deleted it"):
        promote(project, "1")


@pytest.mark.slow
def test_the_own_store_moves_to_a_server_with_history_and_aliases(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions get other numbers there, because somebody else's was first."""
    publish_candidate(project, weights="one")
    publish_candidate(project, weights="two")
    for version in "12":
        promote(project, version)
    rollback(project)
    publish_candidate(project, weights="three")
    assert aliases(project) == {"champion": "1", "challenger": "3"}
    with pytest.raises(GateError, match="MLFLOW_TRACKING_URI to name a server, found the clone's"):
        publishing.adopt(project)
    other, uri = tmp_path / "other", f"sqlite:///{tmp_path}/server.db"
    other.mkdir()
    make_registry_project(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    publish_candidate(other, weights="another's")
    for _ in range(2):  # a second time changes nothing
        said = call(project, "-m", "recap", "services", "import", MLFLOW_TRACKING_URI=uri)
        assert said.stdout == "The server holds 3 moves of the champion and 3 runs\n", said.stderr
        assert aliases(project) == {"champion": "2", "challenger": "4"}
        assert moves(project) == [
            ("promote", "2", None),
            ("promote", "3", "2"),
            ("rollback", "2", "3"),
        ]
        lines = History(project, NAME, registry.store_name(project)).moves()
        assert sorted(line.version for line in lines if line.action == "register") == [
            "2",
            "3",
            "4",
        ]
    assert promote(project).previous == "2"
    with pytest.raises(GateError, match="without moves of its own, found 1, the last on 20"):
        publishing.adopt(project)


def test_moves_stay_in_order_whatever_the_clocks_say() -> None:
    ahead = history.move_now("promote", "1", "f", None).model_copy(
        update={"at": "2999-12-31T23:59:59.999999Z"}
    )
    assert history.move_now("promote", "2", "f", "1", [ahead]).at == "3000-01-01T00:00:00.000000Z"
