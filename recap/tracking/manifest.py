"""What a registered version stands for: a pure function of the candidate's files and results.

The weights themselves live once, in DVC; the registry holds this list of them. Leaves out the
registry (recap/tracking/registry.py) and everything that differs between two clones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from recap.errors import DataError, ModelError
from recap.pipeline.lock import digest, file_md5
from recap.types.decisions import GateDecision, VersionEvidence
from recap.types.results import CellResult
from recap.types.row import Row


class ManifestFile(Row):
    """One file of the model's directory."""

    path: str
    size: int
    md5: str


class Rate(Row):
    """A measured rate with its 95 % interval; ``None`` where nothing was scored."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_unscored: int


class Manifest(Row):
    """One candidate: its files, what was measured of it, what the gate said.

    ``fingerprint`` covers all of the rest, so that equal content is one version. ``evidence`` is
    the md5 of the file beside it that has each prompt's outcome; versions of earlier times have
    none.
    """

    name: str
    candidate: str
    fingerprint: str
    files: tuple[ManifestFile, ...]
    rates: dict[str, Rate]
    decision: GateDecision
    lineage: dict[str, str]
    evidence: str | None = None


class Provenance(Row):
    """Where a version comes from, as far as its content does not imply it.

    ``tags`` are commit, lock and stages; ``params`` all parameters, flat; ``data`` the md5 of every
    data file.
    """

    tags: dict[str, str] = Field(default_factory=dict)
    params: dict[str, str] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """All that a version is made of; ``evidence`` is the content of the file of that name."""

    manifest: Manifest
    evidence: bytes
    provenance: Provenance


def build_manifest(
    name: str,
    candidate: str,
    *,
    policy: Path,
    decision: GateDecision,
    result: CellResult,
    evidence: Path,
    inputs: dict[str, Path],
) -> Manifest:
    """The manifest of the model in ``policy``; ``inputs`` are files named in its lineage.

    ``evidence`` is the file of a VersionEvidence.

    Raises ModelError when the directory holds no weights.
    """
    if not any(policy.glob("*.safetensors")):
        raise ModelError(
            f"Expected safetensors weights in {policy}, found none. Run the stage that trains "
            "the candidate, or name another one under `gate` in params.yaml."
        )
    paths = sorted(path for path in policy.rglob("*") if path.is_file())
    files = tuple(
        ManifestFile(
            path=path.relative_to(policy).as_posix(), size=path.stat().st_size, md5=file_md5(path)
        )
        for path in paths
    )
    rates = {
        f"{row.benchmark}/{row.place}": Rate(
            value=row.rate.value,
            low=row.rate.low,
            high=row.rate.high,
            n=row.rate.n,
            n_unscored=row.rate.n_unscored,
        )
        for row in result.results
    }
    draft = Manifest(
        name=name,
        candidate=candidate,
        fingerprint="",
        files=files,
        rates=rates,
        decision=decision,
        lineage={key: file_md5(path) for key, path in sorted(inputs.items())},
        evidence=file_md5(evidence),
    )
    return draft.model_copy(update={"fingerprint": _fingerprint(draft)})


def check_version(manifest: Manifest, evidence: bytes) -> None:
    """Raise DataError unless manifest and the evidence's content are what was registered."""
    if manifest.fingerprint != _fingerprint(manifest):
        raise DataError(
            f"Expected the manifest {manifest.fingerprint} as it was registered, got other "
            "content. Put it back, or run the stage register again."
        )
    content = hashlib.md5(evidence, usedforsecurity=False).hexdigest()
    if content != manifest.evidence:
        raise DataError(
            f"Expected outcomes of each prompt with the digest {manifest.evidence}, got {content}: "
            "they are not what was registered. Put them back, or run the stage register again."
        )


def wordless(evidence: VersionEvidence) -> VersionEvidence:
    """The same with digests for the names of request objects, which are words of prompts."""
    answers = [
        own.model_copy(
            update={"clusters": [None if c is None else digest(c)[:8] for c in own.clusters]}
        )
        for own in evidence.answers
    ]
    return evidence.model_copy(update={"answers": answers})


def _fingerprint(manifest: Manifest) -> str:
    return digest(manifest.model_copy(update={"fingerprint": ""}).model_dump(mode="json"))
