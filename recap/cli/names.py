"""``python -m recap.cli.names`` checks that the judges, loaders and rewards in params.yaml exist.

``recap plan`` and ``recap run`` start it as a child process, because the registries import large
packages. The command line checks benchmarks itself.
"""

from __future__ import annotations

import sys

from recap.data.sources.registry import check_loaders
from recap.errors import ParameterError
from recap.judges.registry import check_judges
from recap.params.whole import Params, read_params
from recap.rewards.safety import check_mode


def check_names(params: Params) -> None:
    """Raise the ParameterError that a stage would raise for an unknown name."""
    check_loaders(params.prepare)
    modes = [params.for_variant(name).safety_reward for name in params.variants]
    modes += params.sweep.get("axes", {}).get("safety_reward", [])
    for mode in modes:
        check_mode(mode)
    check_judges(params.judge)


if __name__ == "__main__":
    try:
        check_names(read_params())
    except ParameterError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
