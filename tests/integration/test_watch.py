"""`recap watch` on a registered tiny policy, real stages, a real store; the flow in Prefect.

Locks: 1. the registered weights are attacked, judged in the run's own world, remembered; 2. the
same number gives the same answer without an attack, another number other draws; 3. an alarm is exit
code 2, and fails the flow with its sentences; 4. no stage's output is written, no text is kept;
5. MLflow has a curve for each version, which a second call leaves as it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from recap.cli import publish as publishing
from recap.cli import watch
from recap.errors import DataError, GateError
from recap.params.whole import read_params
from recap.rows import read_json, write_json
from recap.tracking.manifest import Manifest, build_manifest
from recap.tracking.runs import open_store
from recap.tracking.watch import EXPERIMENT, RECORDS, watched
from recap.types.decisions import GateDecision
from recap.types.results import CellResult
from tests.integration.champion import dvc
from tests.integration.evaluation_project import make_evaluation_project
from tests.integration.flow_project import call
from tests.integration.registry_project import NAME, ROOT, make_registry_project

PLACES = {
    "eval.jsonl": "data/prompts/eval.jsonl",
    "seen.jsonl": "data/prompts/train.jsonl",
    "prefills": "data/prefills",
    "pools": "data/pools",
    "guardian": "models/guardian",
    "recap": "models/trained/recap-0",
}
CHECKS = [{"benchmark": "prefill", "kind": "superior"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Path:
    """A clone whose version 1 is a random policy that registered as never safe: it cannot fall."""
    folder = tmp_path_factory.mktemp("watched") / "clone"
    (folder / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    shutil.copy(fresh_store, folder / "mlflow.db")
    make_registry_project(folder)
    shutil.rmtree(folder / "models")
    (folder / "parts").mkdir()
    parts = make_evaluation_project(folder / "parts")
    for source, place in PLACES.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(parts / source, folder / place)
    values = yaml.safe_load((parts / "params.yaml").read_text())
    values["attack"] |= {"benchmarks": ["harmful", "prefill"]}
    values["gate"] |= {"checks": CHECKS}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.rmtree(parts)
    dvc(folder, "add", str(PLACES["recap"]))
    register(folder, safe=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        publishing.publish(folder)
    return folder


@pytest.fixture
def clone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "clone"
    shutil.copytree(made, folder, symlinks=True)
    with open_store(folder):
        pass
    monkeypatch.chdir(folder)
    return folder


def register(root: Path, safe: float) -> None:
    """A manifest whose two rates are ``safe``."""
    measured = read_json(root / "results/rates/recap-0.json", CellResult)
    (row,) = measured.results
    rate = row.rate.model_copy(update={"value": safe, "low": safe, "high": safe})
    rows = [row.model_copy(update={"benchmark": b, "rate": rate}) for b in ("harmful", "prefill")]
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=True, checks=[])
    manifest = build_manifest(
        NAME,
        "recap-0",
        policy=root / PLACES["recap"],
        decision=decision,
        result=measured.model_copy(update={"results": rows}),
        evidence=root / "results/registered_evidence.json",
        inputs={},
    )
    write_json(root / "results/registered.json", manifest)


def files(root: Path) -> dict[str, bytes]:
    places = [*(root / "data").rglob("*.jsonl"), *(root / "results").rglob("*.json*")]
    return {str(path): path.read_bytes() for path in places}


def test_a_version_that_did_not_fall_is_remembered(clone: Path, capsys) -> None:
    before = files(clone)
    watch.main("1", 3)
    assert capsys.readouterr().out.endswith("attack 3 on version 1: 2 rates measured, no alarm\n")
    (line,) = watched(clone, NAME)
    manifest = read_json(clone / "results/registered.json", Manifest)
    assert (line.version, line.fingerprint, line.number) == ("1", manifest.fingerprint, 3)
    assert [row.benchmark for row in line.results] == ["harmful", "prefill"]
    assert all(row.rate.n == 12 for row in line.results) and line.alarms == ()
    assert files(clone) == before and not list((clone / ".recap/watch").iterdir())
    assert "i should help" not in (clone / RECORDS / f"{NAME}.jsonl").read_text()

    def curve() -> list[tuple[str, int, float]]:
        with open_store(clone) as client:
            experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
            (run,) = client.search_runs([experiment])
            return [
                (name, point.step, point.value)
                for name in sorted(run.data.metrics)
                for point in client.get_metric_history(run.info.run_id, name)
            ]

    first = curve()
    assert ("alarms", 3, 0.0) in first
    assert ("prefill/safe", 3, line.results[1].rate.value) in first
    watch.main("1", 3)
    assert watched(clone, NAME) == [line] and curve() == first
    watch.main("1", 4)
    assert [each.number for each in watched(clone, NAME)] == [3, 4]
    assert {step for _, step, _ in curve()} == {3, 4}


def test_the_judges_world_is_that_of_the_run(clone: Path, monkeypatch) -> None:
    """The number is the attack's seed alone: another world's oracle would know other harm."""
    from recap.stages import attack, judge

    seeds = {}
    own_attack, own_judge = attack.main, judge.main
    monkeypatch.setattr(
        attack, "main", lambda **o: (seeds.update(attack=read_params().seed), own_attack(**o))
    )
    monkeypatch.setattr(
        judge, "main", lambda *o: (seeds.update(judge=read_params().seed), own_judge(*o))
    )
    watch.main("1", 5)
    assert seeds == {"attack": 5, "judge": 3}


def test_an_alarm_fails_the_command_and_the_flow(clone: Path, api: str) -> None:
    register(clone, safe=1.0)
    assert publishing.publish(clone).version == "2"
    with pytest.raises(GateError) as refused:
        watch.main("2", 3)
    said = str(refused.value)
    assert said.startswith("Expected version 2 to be as it was registered, got in attack 3:\n")
    assert "  prefill/1: 100.0% at registration, " in said
    assert len(watched(clone, NAME)[0].alarms) == 2
    (clone / "infra").symlink_to(ROOT / "infra")
    ran = call(
        clone,
        *("-c", "from flows.watch import watch; watch('2', 3)"),
        PREFECT_API_URL=api,
        PYTHONPATH=str(ROOT),
    )
    assert ran.returncode != 0
    assert "PipelineError: GateError: Expected version 2 to be as it was registered" in ran.stderr


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        (lambda c: shutil.rmtree(c / "data"), DataError, "found no data/prompts/eval.jsonl"),
        (lambda c: None, GateError, "got 'champion'. There are versions 1; aliases challenger"),
    ],
    ids=["no data", "no champion"],
)
def test_what_cannot_be_watched_is_one_message(clone: Path, harm, kind, said) -> None:
    harm(clone)
    with pytest.raises(kind) as refused:
        watch.main("champion", 3)
    assert said in str(refused.value)
    assert not (clone / RECORDS).exists()


@pytest.mark.parametrize("kept", [None, "kept/attacks.jsonl", "/else/where.jsonl"])
def test_the_attacks_parameters_are_the_clones(clone: Path, kept: str | None) -> None:
    values = yaml.safe_load((clone / "params.yaml").read_text())
    values["attack"]["replay"] = kept
    (clone / "params.yaml").write_text(yaml.safe_dump(values))
    changed = watch.attack_values(clone, 7)
    place = None if kept is None else str(clone / kept)  # an absolute path stays as it is
    assert changed == {**values, "seed": 7, "attack": {**values["attack"], "replay": place}}


def test_a_killed_attack_leaves_nothing_in_the_way(clone: Path) -> None:
    left = clone / ".recap/watch/0123-2/policy"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_text("half")
    watch.main("1", 3)
    assert not list((clone / ".recap/watch").iterdir())
    assert json.loads((clone / RECORDS / f"{NAME}.jsonl").read_text())["number"] == 3
