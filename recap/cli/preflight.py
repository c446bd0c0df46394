"""Checks before a run, within a second: params.yaml is valid, and the paths it names exist.

Loads no model. Leaves out checks of the data, which stages make.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recap.benchmarks.declared import benchmarks
from recap.errors import ParameterError
from recap.models.fingerprints import record_fingerprints
from recap.models.origins import folder_fault, guardian_fault, origin_fault
from recap.models.spelling import DATA_FORMS, clone_of, in_hub
from recap.params.checks import check_pipeline
from recap.params.whole import Params, read_params
from recap.runtime.child import start
from recap.sweeps.design import sweep_design
from recap.types.origins import PROVENANCE, RULES
from recap.types.sources import KEPT, SOURCES

WITHOUT_THOUGHTS = ("rubric",)
"""Models that need not open a thought, beside the guardian."""
READERS = ("guardian", "rubric")
"""Judges that read benign answers with the model of ``judge.rubric``."""


def check_run(root: Path) -> Params:
    """The parameters of the clone in ``root``.

    Raises ParameterError for a problem that would stop a run, and for an invalid sweep.
    """
    params = check_settings(root)
    missing = [f"  {key}: {fault}." for key, fault in absent(root, params)]
    if missing:
        raise ParameterError(
            "params.yaml names files, models or settings that are missing or do not fit:\n"
            + "\n".join(missing)
            + "\nCorrect them, or put the missing files there."
        )
    return params


def check_settings(root: Path) -> Params:
    """The parameters of the clone in ``root``, whatever is missing of the files that they name.

    Raises ParameterError for parameters that do not fit.
    """
    params = read_params(root / "params.yaml")
    check_pipeline(params)
    benchmarks(params.attack)
    benchmarks(params.dynamics)
    _check_registered(root)
    if params.sweep:
        sweep_design(params)
    return params


def prepare_run(root: Path) -> Params:
    """As ``check_run``; DVC is then told what the local origins hold now."""
    params = check_run(root)
    record_fingerprints(root, params)
    return params


def check_launch(params: Params, stale: Iterable[str]) -> None:
    """Raise ParameterError if a stage among ``stale`` is a training that a run cannot start."""
    for name in stale:
        if not name.startswith("train@"):
            continue
        train = params.for_variant(name.removeprefix("train@").rpartition("-")[0])
        nodes = train.launch.nodes if train.updates and train.processes > 1 else 1
        if nodes > 1:
            raise ParameterError(
                f"Expected train.launch.nodes 1, got {nodes} for {name}: `recap run` starts "
                "processes on this machine alone. infra/slurm/train.slurm and infra/k8s start them "
                "on several (docs/operations.md, Several nodes)."
            )


def _check_registered(root: Path) -> None:
    """Raise ParameterError for a judge, a loader or a reward that is not registered."""
    child = start(["-m", "recap.cli.names"], cwd=root, stderr=subprocess.PIPE)
    said = child.communicate()[1].strip()
    if child.returncode == ParameterError.exit_code:
        raise ParameterError(said)
    assert child.returncode == 0, f"recap.cli.names: {said}"


def absent(root: Path, params: Params) -> Iterator[tuple[str, str]]:
    """The keys of files, models and settings that are missing or do not fit, with the fault."""
    origins: dict[str, dict[Any, str]] = {
        "models": dict(params.models.origins),
        "sources": dict(params.sources.origins),
    }
    for section, named in origins.items():
        for name, origin in named.items():
            if (name, origin) == ("guardian", RULES):
                continue
            if name == "guardian":
                if fault := guardian_fault(root, origin, rubric=_reads_benign(params)):
                    yield "models.origins.guardian", fault
                continue
            taught = name == "policy" and params.models.warm_start is not None
            thinks = name not in WITHOUT_THOUGHTS and not taught
            fault = origin_fault(
                root,
                origin,
                params.models.reasoning if thinks else None,
                _longest(params, name) if thinks else 0,
            )
            if fault:
                yield f"{section}.origins.{name}", fault
    yield from _kept(root, params)
    warm = params.models.warm_start
    for data, place in warm.data.items() if warm else ():
        if not (root / place).is_dir():
            yield (
                f"models.warm_start.data.{data}",
                f"expected a folder, got '{place}', which is none",
            )
    for loader, folder in params.prepare.sources.items():
        if folder is not None and not (root / folder).is_dir() and not in_hub(folder):
            yield (
                f"prepare.sources.{loader}",
                f"expected {DATA_FORMS}, got '{folder}', which is neither",
            )
    rubric = params.judge.rubric
    if rubric is not None and {params.judge.judge, params.judge.second} & set(READERS):
        fault = _folder_fault(root / rubric, str(rubric))
        if fault:
            yield "judge.rubric", fault


def _kept(root: Path, params: Params) -> Iterator[tuple[str, str]]:
    """A missing file of kept attacks, where a benchmark replays them."""
    named = [*benchmarks(params.attack), *benchmarks(params.dynamics)]
    replaying = [benchmark.name for benchmark in named if benchmark.prompts == KEPT]
    file = params.attack.replay
    if replaying and (file is None or not (clone_of(root) / file).is_file()):
        yield (
            "attack.replay",
            f"expected a file of kept attacks for the benchmark '{replaying[0]}', got "
            f"{'null' if file is None else file}; `recap keep` makes one",
        )


def _reads_benign(params: Params) -> bool:
    """Whether the guardian itself has to say how far benign answers comply."""
    refusing = any(SOURCES[name].intent != "harmful" for name in params.matrix.sources)
    asked = refusing or params.prepare.mixture.benign > 0
    return asked and "rubric" not in params.models.origins


def _folder_fault(folder: Path, named: str) -> str | None:
    """What is wrong with a model that is read where it lies, or was taken from an origin."""
    if not folder.is_dir():
        return f"expected a model folder, got '{named}'"
    return None if (folder / PROVENANCE).is_file() else folder_fault(folder, named)


def _longest(params: Params, name: str) -> int:
    """The tokens that may follow a prompt: a prefill of one token a word, and a completion."""
    thought = params.prefill.max_tokens
    if name != "policy":
        return thought
    trained = [params.for_variant(variant) for variant in params.matrix.variants]
    prefilled = [each.prefill_lengths[1] for each in trained if any(each.alphas.values())]
    attack = params.attack
    given = [attack.prefill_words, *attack.grid_words]
    own = [each.max_tokens or attack.max_tokens for each in attack.decoding.values()]
    return max(
        max(prefilled, default=0) + max(each.grpo.max_completion_length for each in trained),
        max(given) + max([attack.max_tokens, *own]),
        thought,
    )
