"""The files of a version, by md5 from the clone's DVC cache or its remote, each one verified."""

from __future__ import annotations

import re
from pathlib import Path

from recap.errors import ModelError
from recap.params.whole import read_params
from recap.pipeline.cache import cache_folder, ensure_object
from recap.tracking.manifest import Manifest
from recap.tracking.runs import open_store
from recap.tracking.targets import known_version
from recap.tracking.versions import read_version

PLAIN = re.compile(r"(adapter/)?[\w.-]+\.(safetensors|json|jinja|txt|model)|README\.md")
"""Files that may be read: no other folder, no pickle, no code."""


def verify(root: Path, target: str) -> None:
    """Read every file of the version that ``target`` means.

    Raises GateError where no version is called so, DataError when its artifacts are not as
    registered, ModelError as ``ensure_files`` does.
    """
    name = read_params(root / "params.yaml").registration.name
    with open_store(root) as client:
        manifest, _ = read_version(known_version(client, name, target))
    ensure_files(root, manifest)


def ensure_files(root: Path, manifest: Manifest) -> dict[str, Path]:
    """The version's files in DVC's cache, by their names; from the remote where they are not there.

    Raises ModelError when one cannot be had, is not the registered one, or may not be read.
    """
    check_files(manifest)
    cache = cache_folder(root)
    return {file.path: ensure_object(root, cache, file.md5, file.path) for file in manifest.files}


def check_files(manifest: Manifest) -> None:
    """Raise ModelError unless the version has only files that may be read."""
    for file in manifest.files:
        if not PLAIN.fullmatch(file.path):
            raise ModelError(
                "Expected safetensors weights with their configuration and tokenizer in the "
                f"manifest, got '{file.path}'. Register a model that has no such file."
            )
