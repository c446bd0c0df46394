"""What a version holds in MLflow: an MLflow model without weights, manifest, outcomes, provenance.

Leaves out which version is which, and who is champion (recap/tracking/registry.py).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import DataError
from recap.rows import write_json
from recap.tracking.history import EVIDENCE, MANIFEST, PROVENANCE
from recap.tracking.manifest import Content, Manifest, Provenance, check_version
from recap.tracking.mlmodel import write_mlmodel
from recap.tracking.runs import FINGERPRINT
from recap.types.decisions import GateCheck, GateDecision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PASSED, REFUSED = "passed", "refused"


def create_version(client: MlflowClient, experiment: str, content: Content) -> None:
    """A new version; the experiment holds its artifacts."""
    manifest = content.manifest
    holder = client.create_logged_model(experiment, name=manifest.candidate)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_json(place / MANIFEST, manifest)
        (place / EVIDENCE).write_bytes(content.evidence)
        write_json(place / PROVENANCE, content.provenance)
        write_mlmodel(place, content.provenance)
        client.log_model_artifacts(holder.model_id, folder)
    client.finalize_logged_model(holder.model_id, "READY")
    client.create_model_version(
        manifest.name,
        source=holder.artifact_location,
        model_id=holder.model_id,
        tags={
            FINGERPRINT: manifest.fingerprint,
            "candidate": manifest.candidate,
            "gate": PASSED if manifest.decision.passed else REFUSED,
            "gate_reasons": "; ".join(failed(manifest.decision)) or "every check passed",
            **content.provenance.tags,
        },
    )


def read_version(version: ModelVersion) -> tuple[Manifest, bytes]:
    """What a version is made of, from its artifacts.

    Raises DataError when they are gone, or not what was registered.
    """
    manifest = read_manifest(version)
    if manifest.evidence is None or manifest.fingerprint != version.tags.get(FINGERPRINT):
        raise DataError(
            "Expected a manifest that names the outcomes of each prompt, got one without, of an "
            "earlier time or another version."
        )
    evidence = artifact_text(version.source, EVIDENCE).encode()
    check_version(manifest, evidence)
    return manifest, evidence


def read_evidence(path: Path) -> bytes:
    """The file that the stage register wrote beside the manifest."""
    if not path.is_file():
        raise DataError(f"Expected the file {path}, found none. Run the stage that makes it.")
    return path.read_bytes()


def read_manifest(version: ModelVersion) -> Manifest:
    """A version's manifest; raises DataError when it is gone."""
    return Manifest.model_validate_json(artifact_text(version.source, MANIFEST))


def read_provenance(version: ModelVersion) -> Provenance:
    """Where a version comes from; raises DataError when its artifact is gone.

    Versions of earlier times have it in their tags.
    """
    if "params" in version.tags:
        params, data = (json.loads(version.tags.get(key, "{}")) for key in ("params", "data"))
        return Provenance(params=params, data=data)
    return Provenance.model_validate_json(artifact_text(version.source, PROVENANCE))


def failed(decision: GateDecision) -> list[str]:
    """The checks that speak against a candidate, in words."""
    return [_said(check) for check in decision.checks if not check.passed]


def _said(check: GateCheck) -> str:
    lacking = f"; not enough evidence: it takes {check.lacking}" if check.lacking else ""
    return f"{check.name}: {check.measured}, required {check.required}{lacking}"


def artifact_text(place: str | None, name: str) -> str:
    """A text file among the artifacts at ``place``; raises DataError when it cannot be had."""
    from mlflow.artifacts import load_text
    from mlflow.exceptions import MlflowException

    try:
        return str(load_text(f"{place}/{name}"))
    except (MlflowException, OSError) as error:
        raise DataError(
            f"Expected the artifact {name} in {place}, got: {str(error).splitlines()[0][:200]}."
        ) from error
