"""What a registered version stands for: a pure function of the candidate's files and results.

The weights themselves live once, in DVC; the registry holds this list of them. Leaves out the
registry (recap/registry.py) and everything that differs between two clones.
"""

from __future__ import annotations

from pathlib import Path

from recap.errors import ModelError
from recap.lineage import digest, file_md5
from recap.types import CellResult, GateDecision, Row


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

    ``fingerprint`` covers all of the rest, so that equal content is one version.
    """

    name: str
    candidate: str
    fingerprint: str
    files: tuple[ManifestFile, ...]
    rates: dict[str, Rate]
    decision: GateDecision
    lineage: dict[str, str]


def build_manifest(
    name: str,
    candidate: str,
    *,
    policy: Path,
    decision: GateDecision,
    result: CellResult,
    inputs: dict[str, Path],
) -> Manifest:
    """The manifest of the model in ``policy``; ``inputs`` are files named in its lineage.

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
        f"{row.benchmark}/{row.round}": Rate(
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
    )
    return draft.model_copy(update={"fingerprint": digest(draft.model_dump(mode="json"))})
