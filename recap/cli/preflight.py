"""What can be told in a second, before anything runs: params.yaml fits, and what it names is there.

Loads no model. Leaves out what stages check of the data itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recap.benchmarks.declared import benchmarks
from recap.errors import ParameterError
from recap.models.fingerprints import record_fingerprints
from recap.models.origins import origin_fault
from recap.params.checks import check_pipeline
from recap.params.whole import Params, read_params
from recap.runtime.child import start
from recap.sweeps.design import sweep_design

WITHOUT_THOUGHTS = ("guardian",)
"""Models that need not open a thought."""
READERS = ("guardian", "rubric")
"""Judges that read benign answers with the model of ``judge.rubric``."""


def check_run(root: Path) -> Params:
    """The parameters of the clone in ``root``.

    Raises ParameterError for what would stop a run, and for a sweep that cannot be made.
    """
    params = read_params(root / "params.yaml")
    check_pipeline(params)
    benchmarks(params.attack)
    benchmarks(params.dynamics)
    _check_registered(root)
    if params.sweep:
        sweep_design(params)
    absent = [f"  {key}: {fault}." for key, fault in _absent(root, params)]
    if absent:
        raise ParameterError(
            "params.yaml names what is not there, or is not what it should be:\n"
            + "\n".join(absent)
            + "\nCorrect the paths, or put there what is missing."
        )
    return params


def prepare_run(root: Path) -> Params:
    """As ``check_run``; DVC is then told what the local origins hold now."""
    params = check_run(root)
    record_fingerprints(root, params)
    return params


def _check_registered(root: Path) -> None:
    """Raise ParameterError for a judge, a loader or a reward that is not registered."""
    child = start(["-m", "recap.cli.names"], cwd=root, stderr=subprocess.PIPE)
    said = child.communicate()[1].strip()
    if child.returncode == ParameterError.exit_code:
        raise ParameterError(said)
    assert child.returncode == 0, f"recap.cli.names: {said}"


def _absent(root: Path, params: Params) -> Iterator[tuple[str, str]]:
    origins: dict[str, dict[Any, str]] = {
        "models": dict(params.models.origins),
        "sources": dict(params.sources.origins),
    }
    for section, named in origins.items():
        for name, origin in named.items():
            fault = origin_fault(root, origin, reasons=name not in WITHOUT_THOUGHTS)
            if fault:
                yield f"{section}.origins.{name}", fault
    for loader, folder in params.prepare.sources.items():
        if folder is not None and not (root / folder).is_dir():
            yield f"prepare.sources.{loader}", f"expected a folder, got '{folder}', which is none"
    rubric = params.judge.rubric
    if rubric is not None and {params.judge.judge, params.judge.second} & set(READERS):
        fault = origin_fault(root, str(rubric), reasons=False)
        if fault:
            yield "judge.rubric", fault
