"""What the finished run must show, read from its own outputs (`make run` first).

Without a run these are skipped; in CI a missing run is a failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.analysis.comparison import PairedDifference, compare, superior
from recap.attacks.table import attack_of, sources_of
from recap.benchmarks.declared import BENCHMARKS
from recap.evaluation.rates import span
from recap.params.whole import Params, read_params
from recap.rows import read_json, read_rows
from recap.tracking.versions import read_provenance
from recap.types.attacks import Completion
from recap.types.decisions import GateDecision
from recap.types.prompts import Prefill, PromptRecord
from recap.types.results import BenchmarkResult, CellResult, Metric
from recap.types.sources import EVAL_SOURCES
from recap.types.verdicts import Outcome

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params() -> Params:
    if not (ROOT / "results/registered.json").is_file():
        if os.environ.get("CI"):
            pytest.fail("expected the outputs of `make run`, found none")
        pytest.skip("needs the outputs of `make run`")
    return read_params(ROOT / "params.yaml")


def _results(variant: str) -> dict[tuple[str, int], BenchmarkResult]:
    cell = read_json(ROOT / f"results/rates/{variant}-0.json", CellResult)
    return {(result.benchmark, result.place): result for result in cell.results}


def _rate(variant: str, benchmark: str, round_: int = 1) -> Metric:
    return _results(variant)[benchmark, round_].rate


def _outcomes(variant: str, benchmark: str) -> list[Outcome]:
    rows = read_rows(ROOT / f"results/outcomes/{variant}-0.jsonl", Outcome)
    return [row for row in rows if row.benchmark == benchmark]


@pytest.mark.parametrize("variant", ["base", "dapo", "recap"])
def test_every_benchmark_has_its_axis_and_its_prompts(params: Params, variant: str) -> None:
    """At least 300 distinct prompts in every headline; what a section says in all others."""
    attack = params.attack
    completions = read_rows(ROOT / f"data/completions/{variant}-0.jsonl", Completion)
    prompts: dict[tuple[str, int], set[str]] = {}
    for row in completions:
        prompts.setdefault((row.benchmark, row.place), set()).add(row.prompt)
    places = {
        "ipr": attack.ipr_rounds,
        "grid": len(attack.grid_words),
        "search": len(attack.search_budgets),
    }
    fewest = {}
    for name in attack.benchmarks:
        benchmark = BENCHMARKS[name]
        axis = places.get(benchmark.attack, 1)
        if benchmark.attack == "transfer":
            axis = len(sources_of(benchmark, attack))
        few = benchmark.secondary or attack_of(benchmark).needs == "pool"
        least = min(attack.secondary_prompts, attack.search_prompts) if few else 300
        fewest |= {(name, place): least for place in range(1, axis + 1)}
    assert set(prompts) == set(fewest)
    assert attack.ipr_rounds >= 3
    for key, result in _results(variant).items():
        least = fewest[key] if fewest[key] >= 300 else 0.9 * fewest[key]
        assert len(prompts[key]) >= least
        assert result.rate.n + result.rate.n_unscored >= len(prompts[key])
        assert result.rate.n_unscored <= 0.05 * result.rate.n


def test_evaluation_shares_no_object_with_training_and_has_other_sources(params: Params) -> None:
    train = read_rows(ROOT / "data/prompts/train.jsonl", PromptRecord)
    held_out = read_rows(ROOT / "data/prompts/eval.jsonl", PromptRecord)
    assert not {r.cluster for r in train if r.cluster} & {r.cluster for r in held_out}
    assert not {r.prompt for r in train} & {r.prompt for r in held_out}
    completions = read_rows(ROOT / "data/completions/recap-0.jsonl", Completion)
    headlines = [row for row in completions if not BENCHMARKS[row.benchmark].exempt]
    used = {row.prefill_source for row in headlines if row.prefill_source}
    assert used == set(EVAL_SOURCES)
    for name in ("harmful", "refusing"):
        rows = read_rows(ROOT / f"data/prefills/{name}.jsonl", Prefill)
        assert {row.source_model for row in rows} == {name}


def _difference(first: str, second: str, benchmark: str, round_: int = 1) -> PairedDifference:
    compared = compare(
        benchmark,
        round_,
        _outcomes(first, benchmark),
        _outcomes(second, benchmark),
        resamples=2000,
        seed=0,
    )
    assert compared.difference is not None, compared.missing
    return compared.difference


@pytest.mark.parametrize("variant", ["dapo", "recap"])
@pytest.mark.parametrize("benchmark", ["harmful", "benign", "math"])
def test_training_pays_where_nobody_attacks(params: Params, variant: str, benchmark: str) -> None:
    assert superior(_difference(variant, "base", benchmark)) == "yes"


@pytest.mark.parametrize(("benchmark", "round_"), [("prefill", 1), ("hijack", 1), ("ipr", 3)])
def test_recap_withstands_what_takes_dapo_apart(
    params: Params, benchmark: str, round_: int
) -> None:
    assert superior(_difference("recap", "dapo", benchmark, round_)) == "yes"


def test_the_gate_says_what_the_outcomes_say(params: Params) -> None:
    """Whether a training passes differs from world to world and from processor to processor.

    What does not: each check answers as its rule does on the run's own outcomes. The interval is
    resampled with another seed here, so that an answer within a third of a point may differ.
    """
    decision = read_json(ROOT / "results/decision.json", GateDecision)
    assert len(decision.checks) == len(params.gate.checks)
    for said, check in zip(decision.checks, params.gate.checks, strict=True):
        at = check.place or max(row.place for row in _outcomes("recap", check.benchmark))
        if check.kind == "floor":
            assert check.floor is not None
            low, bound = span(_rate("recap", check.benchmark, at)).low, check.floor
        else:
            other = check.against or params.gate.baseline
            low = _difference("recap", other, check.benchmark, at).low
            bound = 0.0 if check.kind == "superior" else -params.gate.margin_of(check)
        assert said.passed == (low > bound) or abs(low - bound) < 0.0034, said


def _version(params: Params) -> Any:
    """The version that holds the run's candidate; whole, with its aliases."""
    from mlflow import MlflowClient

    manifest = json.loads((ROOT / "results/registered.json").read_text(encoding="utf-8"))
    client = MlflowClient(f"sqlite:///{ROOT / 'mlflow.db'}", f"sqlite:///{ROOT / 'mlflow.db'}")
    name = params.registration.name
    (found,) = [
        version
        for version in client.search_model_versions(f"name = '{name}'")
        if manifest["fingerprint"] in version.tags.values()
    ]
    return client.get_model_version(name, found.version)


def test_report_gate_and_registry_agree(params: Params) -> None:
    page = (ROOT / "reports/index.html").read_text(encoding="utf-8")
    assert "<html" in page and len(page) < 5_000_000
    tables = json.loads((ROOT / "reports/tables.json").read_text(encoding="utf-8"))
    shown = {cell["variant"]: cell["results"] for cell in tables["cells"]}
    for variant in ("base", "dapo", "recap"):
        for (name, number), result in _results(variant).items():
            assert shown[variant][f"{name}/{number}"]["value"] == result.rate.value
    decision = read_json(ROOT / "results/decision.json", GateDecision)
    assert decision.passed == all(check.passed for check in decision.checks)

    version = _version(params)
    assert version.tags["gate"] == ("passed" if decision.passed else "refused")
    assert ("challenger" in version.aliases) == decision.passed


def test_the_version_says_where_it_comes_from(params: Params) -> None:
    """Commit and lock are those of its first publication, so in CI, which has one, those of now."""
    version = _version(params)
    commit = version.tags["git_commit"].removesuffix("-dirty")
    known = subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT)
    assert known.returncode == 0
    assert re.fullmatch(r"[0-9a-f]{16}", version.tags["dvc_lock"])
    if os.environ.get("CI"):
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
        assert commit == head.strip()
        lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
        plain = json.dumps(lock, sort_keys=True, separators=(",", ":")).encode()
        assert version.tags["dvc_lock"] == hashlib.sha256(plain).hexdigest()[:16]
    evaluated = hashlib.md5((ROOT / "data/prompts/eval.jsonl").read_bytes()).hexdigest()
    provenance = read_provenance(version)
    assert provenance.data["data/prompts/eval.jsonl"] == evaluated
    assert provenance.params["seed"] == str(params.seed)
