"""Where a version or a run comes from: model, data, code, parameters, prefills, as tracked.

Reads only. Leaves out what was never tracked, and the files of this clone: recap/pipeline/lock.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.errors import GateError
from recap.params.whole import read_params
from recap.tracking.licences import LICENCE
from recap.tracking.registry import check_store
from recap.tracking.runs import CELL, EXPERIMENT, SWEEP, SWEEP_EXPERIMENT, open_store
from recap.tracking.targets import find_version, offered, some
from recap.tracking.versions import read_manifest, read_provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Trace = dict[str, Any]
"""``model``, ``data``, ``code``, ``parameters``, ``prefills``, in this order; plain values."""
STAGE = "stage."
PREFILLING = ("alpha", "alpha_mode", "prefill_source", "prefill_length", "prefill_unit")
PREFILLS = "data/prefills/"


def trace(root: Path, target: str) -> Trace:
    """The lineage of a version (number, alias, address) or of a run (its id, or a cell's newest).

    Raises GateError, saying what there is, where nothing is called so.
    """
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        if version := find_version(client, name, target):
            return _of_version(version, dict(client.get_registered_model(name).aliases))
        named = [client.get_experiment_by_name(n) for n in (EXPERIMENT, SWEEP_EXPERIMENT)]
        known = [experiment.experiment_id for experiment in named if experiment]
        if run := _run(client, known, target):
            return _of_run(run)
        runs = client.search_runs(known, "attributes.status = 'FINISHED'") if known else []
        cells = sorted({run.data.tags[CELL] for run in runs if CELL in run.data.tags})
        raise GateError(
            f"Expected a version of {name}, an alias, a cell or a run's id, got '{target}'. "
            f"{offered(client, name)} There are cells {some(cells)}."
        )


def told(trace: Trace) -> Iterator[str]:
    """The same as lines of text, a heading for each part."""
    for part, values in trace.items():
        yield part
        for key, value in values.items():
            if isinstance(value, Mapping):
                yield f"  {key}"
                yield from (f"    {inner}: {text}" for inner, text in value.items())
            else:
                yield f"  {key}: {value}"


def _of_version(version: Any, aliases: Mapping[str, str]) -> Trace:
    tags = version.tags
    manifest, origin = read_manifest(version), read_provenance(version)
    return {
        "model": {
            "name": version.name,
            "version": str(version.version),
            "aliases": ", ".join(a for a, v in aliases.items() if str(v) == str(version.version)),
            "candidate": tags.get("candidate", "unknown"),
            "gate": tags.get("gate", "unknown"),
            "files": {file.path: file.md5 for file in manifest.files},
        },
        "licences": _licences(tags),
        "data": origin.data,
        "code": _code(tags),
        "parameters": origin.params,
        "prefills": _prefills(origin.params, origin.data),
    }


def _of_run(run: Run) -> Trace:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    data = {each.dataset.name: each.dataset.digest for each in inputs}
    tags = run.data.tags
    return {
        "model": {
            "run": run.info.run_id,
            "cell": tags.get(CELL, "unknown"),
            "seed": tags.get("replicate", "unknown"),
            "made from": tags.get("models", "unknown"),
        },
        "licences": _licences(tags),
        "data": data,
        "code": _code(tags),
        "parameters": dict(sorted(run.data.params.items())),
        "prefills": _prefills(run.data.params, data),
    }


def _licences(tags: Mapping[str, str]) -> dict[str, Any]:
    """Of data sets and models; empty for what was published before they were recorded."""
    return {key.removeprefix(LICENCE): tags[key] for key in sorted(tags) if key.startswith(LICENCE)}


def _code(tags: Mapping[str, str]) -> dict[str, Any]:
    stages = {key.removeprefix(STAGE): tags[key] for key in sorted(tags) if key.startswith(STAGE)}
    return {
        "git_commit": tags.get("git_commit", "unknown"),
        "dvc_lock": tags.get("dvc_lock", "unknown"),
        "stages": stages,
    }


def _prefills(parameters: Mapping[str, str], data: Mapping[str, str]) -> dict[str, Any]:
    """How prompts were prefilled in training, and with which files."""
    known = {key: parameters[f"train.{key}"] for key in PREFILLING if f"train.{key}" in parameters}
    return {
        **known,
        "files": {path: md5 for path, md5 in data.items() if path.startswith(PREFILLS)},
    }


def _run(client: MlflowClient, known: list[str], target: str) -> Run | None:
    """A run by its id, or a cell's newest finished one: of `recap run`, else of the sweep."""
    if not known:
        return None
    if re.fullmatch(r"[0-9a-f]{32}", target):
        runs = client.search_runs(known, f"attributes.run_id = '{target}'")
        return next(iter(runs), None)
    if not re.fullmatch(r"[\w/-]+", target):
        return None
    for name in (target, f"{SWEEP}/{target}"):
        query = f"tags.{CELL} = '{name}' and attributes.status = 'FINISHED'"
        order = ["attributes.start_time DESC"]
        if runs := client.search_runs(known, query, max_results=1, order_by=order):
            return runs[0]
    return None
