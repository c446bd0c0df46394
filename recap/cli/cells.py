"""``python -m recap.cli.cells``: the trainings that an outer launcher has to start.

Without an argument it lists the stale ones (``train@recap-0``) that several processes train; with
one of them it prints nodes, processes on each, and the stage's arguments after ``python``, in a
line for a shell to read. With a host as well it prints how that one serves the training's rollouts,
where ``train.servers.elsewhere`` asks for it: the servers' addresses in a line, and in another the
arguments of ``python -m recap.sampling.serve``. Leaves out starting them: infra/train-cell.sh.
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
FIRST_PORT = 8000
"""Of the servers on a machine; the others follow."""


def launched(root: Path) -> list[str]:
    """The stale trainings of several processes, in order; asks DVC."""
    params = read_params(root / "params.yaml")
    stale = read_pipeline(root).stale()
    return [name for name in stale if name.startswith(STAGE) and _train(params, name)]


def launch_line(root: Path, address: str) -> str:
    """``4 8 -m recap.stages.train --variant recap …``; raises ParameterError for another stage."""
    train, arguments = _settings(root, address)
    return f"{train.launch.nodes} {train.launch.processes} {shlex.join(arguments)}"


def serving_lines(root: Path, address: str, host: str) -> str:
    """Where ``host`` serves a training's rollouts, and how; empty where the stage does itself.

    Raises ParameterError for another stage.
    """
    train, arguments = _settings(root, address)
    if train.engine != "server" or not train.servers.elsewhere:
        return ""
    policy = arguments[arguments.index("--policy") + 1]
    count, spread = str(train.servers.count), str(train.servers.tensor_parallel)
    urls = (f"http://{host}:{FIRST_PORT + number}" for number in range(train.servers.count))
    serve = [policy, "--host", host, "--port", str(FIRST_PORT)]
    serve += ["--count", count, "--tensor-parallel", spread]
    return f"{','.join(urls)}\n{shlex.join(serve)}"


def _settings(root: Path, address: str) -> tuple[Train, list[str]]:
    """A training's parameters, and its arguments after ``python``."""
    params = read_params(root / "params.yaml")
    stages = dict(expanded(read_document(root / "dvc.yaml"), read_document(root / "params.yaml")))
    known = [name for name in stages if name.startswith(STAGE) and _train(params, name)]
    if address not in known:
        raise ParameterError(
            f"Expected a training of several processes among {choices(known)}, got '{address}'. "
            "Set train.launch, or run the stage by `recap run`."
        )
    python, *arguments = shlex.split(stages[address]["cmd"])
    assert python == "python", "the stage's command in dvc.yaml"
    return params.for_variant(_variant(address)), arguments


def _variant(address: str) -> str:
    return address.removeprefix(STAGE).rpartition("-")[0]


def _train(params: Params, address: str) -> Train | None:
    """Its settings, if several processes train it."""
    train = params.for_variant(_variant(address))
    return train if train.updates and train.processes > 1 else None


def main(arguments: Sequence[str]) -> None:
    """Print the list, the line of one, or how a host serves it."""
    root = Path()
    match arguments:
        case [cell, host]:
            print(serving_lines(root, cell, host))
        case [cell]:
            print(launch_line(root, cell))
        case _:
            print("\n".join(launched(root)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RecapError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
