"""The files of a finished run, with weights of a few bytes, for tests of MLflow. Not a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from recap.analysis.promotion import version_evidence
from recap.params.whole import read_params
from recap.rows import read_rows, write_json, write_rows
from recap.tracking.manifest import Manifest, build_manifest, wordless
from recap.tracking.runs import open_store
from recap.types.decisions import GateCheck, GateDecision
from recap.types.results import (
    BenchmarkResult,
    CellResult,
    DynamicsResult,
    Metric,
    PassAtK,
    ReflectionSummary,
    SnapshotResult,
)
from recap.types.verdicts import Outcome, Verdict

ROOT = Path(__file__).parents[2]
NAME = "recap-policy"
CACHE = Path(".dvc/cache/files/md5")
CELLS = ("base-0", "dapo-0", "recap-0")


def make_registry_project(folder: Path) -> Path:
    """A candidate that passed its gate, beside its two baselines."""
    shutil.copy(ROOT / "params.yaml", folder)
    for cell in CELLS:
        write_json(folder / f"results/rates/{cell}.json", result(cell, safe=0.98))
    for cell in CELLS[1:]:
        write_lines(folder / f"results/train/{cell}.jsonl", 3)
        write_json(folder / f"results/dynamics/{cell}.json", dynamics(cell))
    write_lock(folder, "eval-1")
    register(folder, weights="one")
    return folder


def result(cell: str, safe: float) -> CellResult:
    variant, seed = cell.rsplit("-", 1)
    rate = Metric(
        value=safe,
        low=safe - 0.01,
        high=safe + 0.01,
        cluster_low=safe - 0.01,
        cluster_high=safe + 0.01,
        n=300,
        n_unscored=0,
        n_incomplete=0,
    )
    row = BenchmarkResult(
        benchmark="prefill",
        place=1,
        domain="harmful",
        score="safe",
        rate=rate,
        pass_at_k=[PassAtK(k=2, value=0.99, low=0.98, high=1.0, n_prompts=150)],
        reflection=rate,
        mean_reflection_position=0.5,
        mean_cot_tokens=20.0,
        mean_response_tokens=8.0,
    )
    pool = ReflectionSummary(domain="harmful", prefilled=True, rate=rate, mean_position=0.5)
    return CellResult(variant=variant, seed=int(seed), results=[row], reflection=[pool])


def dynamics(cell: str) -> DynamicsResult:
    variant, seed = cell.rsplit("-", 1)
    snapshots = [
        SnapshotResult(update=update, results=result(cell, safe).results)
        for update, safe in ((0, 0.5), (2, 0.75), (3, 0.875))
    ]
    return DynamicsResult(variant=variant, seed=int(seed), snapshots=snapshots)


def write_lines(path: Path, count: int, **more: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ({"update": n, "reward": n / 10, "loss": None, **more} for n in range(1, count + 1))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_lock(root: Path, prompts: str) -> None:
    """A dvc.lock whose evaluation prompts have the digest ``prompts``."""
    lock = {
        "prepare": {"outs": [{"path": "data/prompts/eval.jsonl", "md5": prompts}]},
        "train@recap-0": {"cmd": "train recap"},
        "train@dapo-0": {"cmd": "train dapo"},
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": lock}))


def write_answers(root: Path, cell: str, safe: float, prompts: int) -> None:
    """Outcomes and verdicts of a cell on every gated benchmark, the first of them successes."""
    gated = {check.benchmark for check in read_params(root / "params.yaml").gate.checks}
    outcomes = [
        Outcome(
            prompt_id=f"{name}-{n}",
            benchmark=name,
            place=1,
            cluster=f"thing-{n % 50}",
            success=n < round(safe * prompts),
            reflected=None,
            reflection_position=None,
        )
        for name in sorted(gated)
        for n in range(prompts)
    ]
    verdicts = [
        Verdict(
            prompt_id=row.prompt_id, benchmark=row.benchmark, place=1, sample=0,
            label="safe", judge="oracle", judge_revision="1", judge_prompt_sha="0", raw="safe",
        )
        for row in outcomes
    ]  # fmt: skip
    write_rows(root / f"results/outcomes/{cell}.jsonl", outcomes)
    write_rows(root / f"data/verdicts/{cell}.jsonl", verdicts)


def register(
    root: Path,
    *,
    weights: str | None,
    passed: bool = True,
    safe: float = 0.98,
    prompts: int = 100,
    data: str = "eval-1",
) -> Manifest:
    """Write the manifest of a candidate with these ``weights``, measured on ``prompts`` prompts.

    ``None`` takes the model that lies there.
    """
    policy = root / "models/trained/recap-0"
    if weights is not None:
        policy.mkdir(parents=True, exist_ok=True)
        (policy / "model.safetensors").write_text(weights)
    check = GateCheck(name="prefill", passed=passed, measured="98 %", required="above DAPO")
    decision = GateDecision(candidate="recap-0", baseline="dapo-0", passed=passed, checks=[check])
    measured = result("recap-0", safe)
    write_json(root / "results/decision.json", decision)
    write_json(root / "results/rates/recap-0.json", measured)
    write_answers(root, "recap-0", safe, prompts)
    params, evidence = read_params(root / "params.yaml"), root / "results/registered_evidence.json"
    found = version_evidence(
        read_rows(root / "results/outcomes/recap-0.jsonl", Outcome),
        read_rows(root / "data/verdicts/recap-0.jsonl", Verdict),
        {"data/prompts/eval.jsonl": data},
        params.gate,
        params.attack,
    )
    write_json(evidence, wordless(found))
    manifest = build_manifest(
        NAME,
        "recap-0",
        policy=policy,
        decision=decision,
        result=measured,
        evidence=evidence,
        inputs={"decision": root / "results/decision.json"},
    )
    write_json(root / "results/registered.json", manifest)
    for file in manifest.files:
        cached = root / CACHE / file.md5[:2] / file.md5[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        if not cached.exists():
            shutil.copyfile(policy / file.path, cached)
    return manifest


def copied(made: Path, folder: Path) -> Path:
    """A copy of such a clone, whose store knows where it lies now."""
    shutil.copytree(made, folder, symlinks=True)
    with open_store(folder):  # a copied clone's addresses are brought up to date
        pass
    return folder
