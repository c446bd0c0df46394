"""register: the gate's candidate -> manifest, evidence, and a version in the model registry.

Manifest and evidence (the outcomes on the gate's prompts, for a comparison with other versions) are
the outputs and pure functions of the files; the version is what ``publish`` would make too, so a
registry that cannot be reached is a warning here and no failure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.errors import DataError, TrackingError
from recap.lineage import file_md5
from recap.manifest import build_manifest, wordless
from recap.params import read_params
from recap.promotion import version_evidence
from recap.registry import aliases_of, ensure_registered
from recap.rows import iter_rows, read_json, read_rows, write_json
from recap.stages.process import run_stage
from recap.tracking import open_store
from recap.types import CellResult, GateDecision, Outcome, Verdict


def main(
    policy: Annotated[Path, typer.Option(help="folder of the trained policies")],
    decision: Annotated[Path, typer.Option(help="the gate's decision")],
    rates: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    outcomes: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    verdicts: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    attacked_with: Annotated[list[Path], typer.Option(help="a file of prompts or prefills")],
    out: Annotated[Path, typer.Option(help="where the manifest goes")],
    evidence: Annotated[Path, typer.Option(help="where the outcomes go that a version carries")],
) -> None:
    """Write the candidate's manifest and register it, whatever the gate says."""
    params = read_params()
    candidate = f"{params.gate.candidate}-{params.gate.seed}"
    result = rates / f"{candidate}.json"
    found = version_evidence(
        read_rows(outcomes / f"{candidate}.jsonl", Outcome),
        iter_rows(verdicts / f"{candidate}.jsonl", Verdict),
        {path.as_posix(): file_md5(path) for path in attacked_with},
        params.gate,
        params.attack,
    )
    write_json(evidence, wordless(found))
    manifest = build_manifest(
        params.registration.name,
        candidate,
        policy=policy / candidate,
        decision=read_json(decision, GateDecision),
        result=read_json(result, CellResult),
        evidence=evidence,
        inputs={"decision": decision, "rates": result},
    )
    write_json(out, manifest)
    try:
        with open_store(Path()) as client:
            version = ensure_registered(client, Path(), manifest, evidence, {})
            aliases = ", ".join(aliases_of(client, manifest.name, version)) or "no alias"
        print(f"{manifest.name} version {version} ({aliases})", file=sys.stderr)
    except (DataError, TrackingError) as error:
        print(f"Warning: not registered yet. {error}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
