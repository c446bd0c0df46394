"""A version's weights as a Hugging Face folder: every file verified, the model card beside them.

The weights come by md5 from the clone's DVC cache, or its remote. Leaves out serving.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recap.errors import DataError, ModelError
from recap.params.whole import read_params
from recap.rows import atomic_directory
from recap.tracking.card import model_card
from recap.tracking.files import ensure_files
from recap.tracking.manifest import Manifest, Provenance
from recap.tracking.registry import check_store
from recap.tracking.runs import open_store
from recap.tracking.targets import known_version
from recap.tracking.versions import read_provenance, read_version

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Registered:
    """A version as the store has it, checked against its fingerprint."""

    number: str
    manifest: Manifest
    evidence: bytes
    provenance: Provenance
    tags: Mapping[str, str]

    @property
    def card(self) -> str:
        """Its model card."""
        return model_card(self.manifest, self.provenance, self.tags)


def registered(root: Path, target: str) -> Registered:
    """The version that ``target`` means.

    Raises GateError where no version is called so, DataError when its artifacts are not as
    registered.
    """
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        version = known_version(client, name, target)
        manifest, evidence = read_version(version)
        return Registered(
            str(version.version), manifest, evidence, read_provenance(version), version.tags
        )


def pull(root: Path, version: Registered, out: Path) -> None:
    """Put the version's files and its card at ``out`` in one rename.

    Raises DataError where ``out`` exists, ModelError when a file cannot be had or is not the
    registered one.
    """
    if out.exists():
        raise DataError(f"Expected a new folder, but {out} exists. Name another one.")
    if not any(file.path.endswith(".safetensors") for file in version.manifest.files):
        raise ModelError(
            f"Expected weights among the files of version {version.number}, got a reference to "
            f"{version.manifest.candidate}'s origin: it was not trained here. Take the origin "
            f"itself (`recap lineage {version.number}` names it)."
        )
    found = ensure_files(root, version.manifest)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(out) as part:
        for path, cached in found.items():
            (part / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(cached, part / path)
        (part / CARD).write_text(version.card, encoding="utf-8")  # its own, not its base's
