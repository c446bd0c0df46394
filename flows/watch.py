"""Flow ``watch``: the champion is attacked anew, and an alarm fails the run, which notifies.

The work is ``python -m recap.cli.watch``, a child like every stage. Leaves out what an alarm is
(recap/analysis/watch.py) and who hears of it (flows/automations.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from flows.declared import recap_flow
from flows.engine import end_with_worker, show
from flows.stage_run import follow
from recap.errors import PipelineError


@recap_flow("watch")
def watch(target: str = "champion", number: Annotated[int, Field(ge=1)] | None = None) -> str:
    """Attack a registered version anew; returns what was found.

    Raises PipelineError with the alarms.

    Args:
        target: Version number, alias or MLflow address.
        number: Seed and number of the attack; empty means today's.

    """
    end_with_worker()
    options = [] if number is None else [f"--number={number}"]
    code, lines = follow(["-m", "recap.cli.watch", target, *options], Path.cwd(), show)
    if code:
        raise PipelineError("\n".join(lines))
    return lines[-1]
