"""`recap watch` on a registered tiny policy, real stages, a real store; the flow in Prefect.

Locks: 1. the registered weights are attacked with the number as the seed of the draws, on the
prompts of registration, and remembered; 2. the same number gives the same answer without an attack;
3. an alarm is exit code 2, and fails the flow with its sentences; 4. other data or another judge
than those of registration are refused, data before the work; 5. no stage's output is written, no
text is kept; 6. MLflow has a curve for each version, which a second call leaves as it is; 7. the
page shows it.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import yaml

from recap.analysis.promotion import version_evidence
from recap.cli import publish as publishing
from recap.cli import watch
from recap.errors import DataError, GateError
from recap.judges.oracle import OracleJudge
from recap.judges.registry import open_judge
from recap.params.whole import read_params
from recap.pipeline.lock import file_md5
from recap.rows import read_json, read_rows, write_json
from recap.tracking.manifest import Manifest, build_manifest, wordless
from recap.tracking.runs import open_store
from recap.tracking.watch import EXPERIMENT, RECORDS, watched
from recap.types.attacks import Completion
from recap.types.decisions import GateDecision
from recap.types.prompts import PromptRecord
from recap.types.results import CellResult
from recap.types.verdicts import Outcome, Verdict
from tests.integration.champion import dvc
from tests.integration.evaluation_project import make_evaluation_project
from tests.integration.flow_project import call
from tests.integration.registry_project import NAME, ROOT, copied, make_registry_project

PLACES = {
    "eval.jsonl": "data/prompts/eval.jsonl",
    "seen.jsonl": "data/prompts/train.jsonl",
    "prefills": "data/prefills",
    "pools": "data/pools",
    "guardian": "models/guardian",
    "recap": "models/trained/recap-0",
}
FILES = ("data/prompts/eval.jsonl", "data/prefills/harmful_eval.jsonl")
CHECKS = [{"benchmark": "prefill", "kind": "superior"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Path:
    """A clone whose version 1 is a random policy, registered as never safe: it cannot fall."""
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
    values["gate"] |= {"checks": CHECKS, "min_rows": 12}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    shutil.rmtree(parts)
    dvc(folder, "add", str(PLACES["recap"]))
    register(folder, safe=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        publishing.publish(folder)
    return folder


@pytest.fixture
def clone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "clone"
    copied(made, folder)
    monkeypatch.chdir(folder)
    return folder


def register(root: Path, safe: bool) -> None:
    """A manifest and evidence in which every answer is safe, or none."""
    params = read_params(root / "params.yaml")
    records = read_rows(root / FILES[0], PromptRecord)
    asked = [row for row in records if row.source == "microworld-harmful"]
    outcomes = [
        Outcome(
            prompt_id=row.id,
            benchmark="prefill",
            place=1,
            cluster=row.id,
            success=safe,
            reflected=None,
            reflection_position=None,
        )
        for row in asked
    ]
    verdict = read_rows(root / "data/verdicts/recap-0.jsonl", Verdict)[0]
    judge = open_judge(
        "oracle", world=params.world, seed=params.seed, guardian=root, settings=params.judge
    )
    named = verdict.model_copy(
        update={
            "benchmark": "prefill",
            "judge": judge.name,
            "judge_revision": judge.revision,
            "judge_prompt_sha": judge.prompt_sha,
        }
    )
    digests = {name: file_md5(root / name) for name in FILES}
    found = version_evidence(outcomes, [named], digests, params.gate, params.attack)
    place = root / "results/registered_evidence.json"
    write_json(place, wordless(found))
    manifest = build_manifest(
        NAME,
        "recap-0",
        policy=root / PLACES["recap"],
        decision=GateDecision(candidate="recap-0", baseline="dapo-0", passed=True, checks=[]),
        result=read_json(root / "results/rates/recap-0.json", CellResult),
        evidence=place,
        inputs={},
    )
    write_json(root / "results/registered.json", manifest)


def files(root: Path) -> dict[str, bytes]:
    places = [*(root / "data").rglob("*.jsonl"), *(root / "results").rglob("*.json*")]
    return {str(path): path.read_bytes() for path in places}


def test_a_version_that_did_not_fall_is_remembered(clone: Path, capsys) -> None:
    before = files(clone)
    watch.main("1", 3)
    page = clone / "reports/watch.html"
    assert capsys.readouterr().out.endswith(
        f"page: {page}\nattack 3 on version 1: 2 rates, no alarm\n"
    )
    (line,) = watched(clone, NAME)
    manifest = read_json(clone / "results/registered.json", Manifest)
    assert (line.version, line.fingerprint, line.number) == ("1", manifest.fingerprint, 3)
    assert [row.benchmark for row in line.results] == ["harmful", "prefill"]
    assert all(row.rate.n == 12 for row in line.results) and line.alarms == ()
    assert files(clone) == before and not (clone / ".recap/watch").exists()
    assert stat.S_IMODE((clone / ".recap").stat().st_mode) == 0o700
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
    assert [(row.benchmark, row.registered, row.alarms) for row in line.gated] == [
        ("prefill", 0.0, ())
    ]
    drawn = page.read_text()
    assert "The last attack on version 1 raised no alarm" in drawn and "i should help" not in drawn
    page.unlink()
    watch.main("1", 3)
    assert watched(clone, NAME) == [line] and curve() == first
    assert page.read_text() == drawn
    watch.main("1", 4)
    assert "0 of 2 attacks raised an alarm" in page.read_text()
    assert [each.number for each in watched(clone, NAME)] == [3, 4]
    assert {step for _, step, _ in curve()} == {3, 4}


def test_the_number_is_the_seed_of_the_draws_alone(clone: Path, monkeypatch) -> None:
    """Prompts and the judge's world are those of the run."""
    from recap.stages import attack, judge

    drawn, judged = [], []
    own_attack, own_judge = attack.main, judge.main

    def attacked(**options):
        own_attack(**options)
        drawn.append(read_rows(options["out"], Completion))

    def told(*arguments):
        judged.append(read_params().seed)
        own_judge(*arguments)

    monkeypatch.setattr(attack, "main", attacked)
    monkeypatch.setattr(judge, "main", told)
    for number in (5, 6, 5):
        watch.main("1", number)
    five, six = drawn  # the second 5 is remembered
    assert [row.prompt_id for row in five] == [row.prompt_id for row in six]
    assert [row.cot for row in five] != [row.cot for row in six]
    assert judged == [3, 3]


@pytest.mark.parametrize(
    ("harm", "said", "attacked"),
    [
        (lambda c: (c / FILES[1]).write_text(""), f"{FILES[1]} differs", False),
        (lambda c: changed(c, "attack", temperature=0.5), "attack differs", False),
        (None, "judged by oracle 7 ", True),
    ],
    ids=["data", "attack", "judge"],
)
def test_what_registration_did_not_have_is_not_compared(
    clone: Path, monkeypatch, harm, said: str, attacked: bool
) -> None:
    from recap.stages import attack

    calls, own = [], attack.main
    monkeypatch.setattr(attack, "main", lambda **options: (calls.append(1), own(**options)))
    if harm:
        harm(clone)
    else:
        monkeypatch.setattr(OracleJudge, "revision", "7")
    with pytest.raises(GateError) as refused:
        watch.main("1", 3)
    assert said in str(refused.value) and "cannot be compared" in str(refused.value)
    assert bool(calls) is attacked
    assert not (clone / RECORDS).exists()


def changed(root: Path, section: str, **values: object) -> None:
    document = yaml.safe_load((root / "params.yaml").read_text())
    document[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(document))


def test_an_alarm_fails_the_command_and_the_flow(clone: Path, api: str) -> None:
    register(clone, safe=True)
    assert publishing.publish(clone).version == "2"
    with pytest.raises(GateError) as refused:
        watch.main("2", 3)
    said = str(refused.value)
    assert said.startswith("Expected version 2 to be as it was registered, got in attack 3:\n")
    assert "  prefill not below registration: 0.0% against 100.0%: -100.0 points [" in said
    assert len(watched(clone, NAME)[0].alarms) == 1
    assert (
        "The last attack on version 2 raised 1 alarm" in (clone / "reports/watch.html").read_text()
    )
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
    ("target", "kind", "said"),
    [
        ("challenger", DataError, "found no data/prefills/harmful_eval.jsonl. Run"),
        ("champion", GateError, "got 'champion'. There are versions 1; aliases challenger"),
    ],
)
def test_what_cannot_be_watched_is_one_message(clone: Path, target: str, kind, said) -> None:
    shutil.rmtree(clone / "data")
    with pytest.raises(kind) as refused:
        watch.main(target, 3)
    assert said in str(refused.value)
    assert not (clone / RECORDS).exists()


def test_a_killed_attack_leaves_nothing_in_the_way(clone: Path) -> None:
    left = clone / ".recap/watch/policy"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_text("half")
    torn = clone / RECORDS / f"{NAME}.jsonl"
    torn.parent.mkdir(parents=True)
    torn.write_text('{"at": "2026')
    watch.main("1", 3)
    assert not (clone / ".recap/watch").exists()
    assert [line.number for line in watched(clone, NAME)] == [3]
