"""register: the gate's candidate -> manifest, and a version in the model registry.

The manifest is the output and a pure function of the files; the version is what ``publish`` would
make too, so a registry that cannot be reached is a warning here and no failure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.errors import TrackingError
from recap.manifest import build_manifest
from recap.params import read_params
from recap.registry import aliases_of, ensure_registered
from recap.rows import read_json, write_json
from recap.stages.process import run_stage
from recap.tracking import open_store
from recap.types import CellResult, GateDecision


def main(
    policy: Annotated[Path, typer.Option(help="folder of the trained policies")],
    decision: Annotated[Path, typer.Option(help="the gate's decision")],
    rates: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    out: Annotated[Path, typer.Option(help="where the manifest goes")],
) -> None:
    """Write the candidate's manifest and register it, whatever the gate says."""
    params = read_params()
    candidate = f"{params.gate.candidate}-{params.gate.seed}"
    result = rates / f"{candidate}.json"
    manifest = build_manifest(
        params.registration.name,
        candidate,
        policy=policy / candidate,
        decision=read_json(decision, GateDecision),
        result=read_json(result, CellResult),
        inputs={"decision": decision, "rates": result},
    )
    write_json(out, manifest)
    try:
        with open_store(Path()) as client:
            version = ensure_registered(client, Path(), manifest, {})
            aliases = ", ".join(aliases_of(client, manifest.name, version)) or "no alias"
        print(f"{manifest.name} version {version} ({aliases})", file=sys.stderr)
    except TrackingError as error:
        print(f"Warning: not registered yet. {error}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
