"""Stage ``register``: the gate's candidate -> its manifest and its evidence.

The evidence is the outcomes on the gate's prompts, for a comparison with other versions. Leaves out
the registry: ``recap publish`` registers the version of the manifest (recap/tracking/registry.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recap.analysis.promotion import version_evidence
from recap.params.whole import read_params
from recap.pipeline.lock import file_md5
from recap.rows import iter_rows, read_json, read_rows, write_json
from recap.runtime.stage import run_stage
from recap.tracking.manifest import build_manifest, wordless
from recap.types.decisions import GateDecision
from recap.types.results import CellResult
from recap.types.verdicts import Outcome, Verdict


def main(
    policy: Annotated[Path, typer.Option(help="Folder of the trained policies.")],
    decision: Annotated[Path, typer.Option(help="the gate's decision")],
    rates: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.json")],
    outcomes: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    verdicts: Annotated[Path, typer.Option(help="folder of <variant>-<seed>.jsonl")],
    attacked_with: Annotated[list[Path], typer.Option(help="A file of prompts or prefills.")],
    out: Annotated[Path, typer.Option(help="Output file of the manifest.")],
    evidence: Annotated[Path, typer.Option(help="Output file of the version's outcomes.")],
) -> None:
    """Write the candidate's manifest and its evidence, whether or not the gate passed."""
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
    print(f"{manifest.name}: manifest {manifest.fingerprint}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
