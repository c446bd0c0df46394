"""``python -m recap.cli.cells``: the trainings that an outer launcher has to start.

Without an argument it lists the stale ones (``train@recap-0``) that several processes train; with
one of them it prints nodes, processes on each, and the stage's arguments after ``python``, in a
line for a shell to read. Leaves out starting them: infra/train-cell.sh.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from recap.errors import ParameterError, RecapError, choices
from recap.params.document import read_document
from recap.params.train import Train
from recap.params.whole import Params, read_params
from recap.pipeline.graph import read_pipeline
from recap.sweeps.fingerprint import expanded

STAGE = "train@"


def launched(root: Path) -> list[str]:
    """The stale trainings of several processes, in order; asks DVC."""
    params = read_params(root / "params.yaml")
    stale = read_pipeline(root).stale()
    return [name for name in stale if name.startswith(STAGE) and _train(params, name)]


def launch_line(root: Path, address: str) -> str:
    """``4 8 -m recap.stages.train --variant recap …``; raises ParameterError for another stage."""
    params = read_params(root / "params.yaml")
    stages = dict(expanded(read_document(root / "dvc.yaml"), read_document(root / "params.yaml")))
    known = [name for name in stages if name.startswith(STAGE) and _train(params, name)]
    if address not in known:
        raise ParameterError(
            f"Expected a training of several processes among {choices(known)}, got '{address}'. "
            "Set train.launch, or run the stage by `recap run`."
        )
    launch = params.for_variant(_variant(address)).launch
    python, *arguments = shlex.split(stages[address]["cmd"])
    assert python == "python", "the stage's command in dvc.yaml"
    return f"{launch.nodes} {launch.processes} {shlex.join(arguments)}"


def _variant(address: str) -> str:
    return address.removeprefix(STAGE).rpartition("-")[0]


def _train(params: Params, address: str) -> Train | None:
    """Its settings, if several processes train it."""
    train = params.for_variant(_variant(address))
    return train if train.updates and train.processes > 1 else None


def main(arguments: Sequence[str]) -> None:
    """Print the list, or the line of one."""
    root = Path()
    print("\n".join(launched(root)) if not arguments else launch_line(root, arguments[0]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
