"""``recap deploy``: work pool, deployments and automations on the server of PREFECT_API_URL.

Called again, it brings them up to date. Prefect runs in child processes. Leaves out what is
deployed (infra/prefect.yaml) and what the automations do (flows/automations.py).
"""

from __future__ import annotations

import os
import subprocess
from typing import Annotated

import typer

from recap.cli.command import ROOT, run_python

POOL, FILE = "recap", "infra/prefect.yaml"


def deploy(
    notify: Annotated[
        str, typer.Option(metavar="TYPE/NAME", help="A notification block: told of failed runs.")
    ] = "",
) -> None:
    """Create or update the deployments and automations on the Prefect server (idempotent)."""
    from recap.errors import ParameterError
    from recap.runtime.child import start

    if not os.environ.get("PREFECT_API_URL"):
        raise ParameterError(
            "Expected PREFECT_API_URL to name a Prefect server, got nothing. Start one (prefect "
            "server start) and export its URL, e.g. http://127.0.0.1:4200/api; or `recap services "
            "up` and `. services/env`."
        )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    known = start(["-m", "prefect", "work-pool", "inspect", POOL], cwd=ROOT, **quiet)
    if known.wait() != 0:  # what somebody changed of a pool that is there stays
        run_python("-m", "prefect", "work-pool", "create", "--type", "process", POOL)
    os.environ["RECAP_CLONE"] = str(ROOT.resolve())  # filled into the file
    run_python("-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", FILE)
    run_python("-m", "flows.automations", *([notify] if notify else []))
