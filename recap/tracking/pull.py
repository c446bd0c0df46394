"""A version's weights as a Hugging Face folder: every file verified, the model card beside them.

The weights come by md5 from the clone's DVC cache, or its remote. Leaves out serving.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from recap.errors import DataError, ModelError
from recap.params.whole import read_params
from recap.pipeline.cache import cache_folder, ensure_object
from recap.rows import atomic_directory
from recap.tracking.card import model_card
from recap.tracking.manifest import Manifest
from recap.tracking.registry import check_store
from recap.tracking.runs import open_store
from recap.tracking.targets import known_version
from recap.tracking.versions import read_provenance, read_version

CARD = "README.md"
PLAIN = re.compile(r"(adapter/)?[\w.-]+\.(safetensors|json|jinja|txt|model)|README\.md")
"""Files that may be read: no other folder, no pickle, no code."""


def pull(root: Path, target: str, out: Path) -> tuple[str, int]:
    """Put the version's files and its card at ``out`` in one rename; its number, and their bytes.

    Raises DataError where ``out`` exists or the artifacts are not as registered, GateError where
    no version is called so, ModelError when a file cannot be had or is not the registered one.
    """
    if out.exists():
        raise DataError(f"Expected a new folder, but {out} exists. Name another one.")
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        version = known_version(client, name, target)
        manifest, _ = read_version(version)
        card = model_card(manifest, read_provenance(version), version.tags)
        number = str(version.version)
    check_files(manifest)
    if not any(file.path.endswith(".safetensors") for file in manifest.files):
        raise ModelError(
            f"Expected weights among the files of version {number}, got a reference to "
            f"{manifest.candidate}'s origin: it was not trained here. Take the origin itself "
            f"(`recap lineage {number}` names it)."
        )
    cache = cache_folder(root)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(out) as part:
        for file in manifest.files:
            (part / file.path).parent.mkdir(exist_ok=True)
            shutil.copyfile(ensure_object(root, cache, file.md5, file.path), part / file.path)
        (part / CARD).write_text(card, encoding="utf-8")  # the version's own, not its base's
    return number, sum(file.size for file in manifest.files)


def registered(root: Path, target: str) -> tuple[str, Manifest]:
    """A version's number and manifest; errors as ``pull``."""
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        version = known_version(client, name, target)
        return str(version.version), read_version(version)[0]


def card_of(root: Path, target: str) -> str:
    """The model card of a version; errors as ``pull``."""
    check_store(root)
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        version = known_version(client, name, target)
        return model_card(read_version(version)[0], read_provenance(version), version.tags)


def check_files(manifest: Manifest) -> None:
    """Raise ModelError unless the version has only files that may be read."""
    for file in manifest.files:
        if not PLAIN.fullmatch(file.path):
            raise ModelError(
                "Expected safetensors weights with their configuration and tokenizer in the "
                f"manifest, got '{file.path}'. Register a model that has no such file."
            )
