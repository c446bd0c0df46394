"""Where the weights of a model directory lie: in it, or where its origin has them.

A model that was not made here is not copied: its directory holds configuration, tokenizer and a
record of the origin (recap/types/origins.py), and seven stages read the same file of weights. A
GGUF file is converted once for the clone, below ``.recap``.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from recap.errors import ModelError
from recap.models.digests import sha256_of
from recap.models.spelling import (
    CARD,
    FILES,
    SECOND_COPIES,
    Folder,
    Gguf,
    Hub,
    OriginError,
    clone_of,
    read_origin,
)
from recap.rows import read_json
from recap.runtime.locks import STATE, exclusive
from recap.types.origins import PROVENANCE, Provenance

CONVERTED = STATE / "origins"


def weights_folder(directory: Path) -> Path:
    """A whole Hugging Face folder with the weights of ``directory``: itself, or its origin's.

    Raises ModelError when the origin is gone or its weights are not those that were taken.
    """
    if not (directory / PROVENANCE).is_file():
        return directory
    record = read_json(directory / PROVENANCE, Provenance)
    clone = clone_of(Path.cwd())
    ready = converted_folder(clone, record.revision)
    if ready.is_dir():
        return ready
    try:
        found = read_origin(clone, record.origin)
    except OriginError as error:
        raise ModelError(f"The weights of {directory} are gone: {error}. Put them back.") from None
    if isinstance(found, Gguf):
        return convert(found, record.revision, clone)
    folder = found.path if isinstance(found, Folder) else hub_folder(found, directory)
    for file in record.files:
        path = folder / file.name
        same = path.is_file() and path.stat().st_size == file.size
        if not same or (file.sha256 and sha256_of(path, clone) != file.sha256):
            raise ModelError(
                f"Expected {path} as it was when {directory} was made, got "
                f"{'another file' if path.is_file() else 'none'}. Put it back, or take the model "
                "anew with `recap run`."
            )
    return folder


def hub_folder(hub: Hub, directory: Path) -> Path:
    """The model in the cache of downloaded models; raises ModelError when it is not whole there."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot(hub, local_files_only=True)
    except LocalEntryNotFoundError:
        raise ModelError(
            f"Expected the weights of {directory} in the cache of downloaded models, found none. "
            f"`hf download {hub.name} --revision {hub.revision}` fetches them again."
        ) from None


def snapshot(hub: Hub, *, local_files_only: bool = False) -> Path:
    """The files of a hub model that are used, in the cache that all clones share."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            hub.name,
            revision=hub.revision,
            allow_patterns=[*FILES, CARD],
            ignore_patterns=list(SECOND_COPIES),
            local_files_only=local_files_only,
        )
    )


def converted_folder(clone: Path, sha256: str) -> Path:
    """Where the conversion of a GGUF file stands."""
    return clone / CONVERTED / sha256


def convert(gguf: Gguf, sha256: str, clone: Path) -> Path:
    """A folder with the weights of a GGUF file in fp32, converted unless it is there.

    Raises ModelError when the file is not the one that ``sha256`` is of.
    """
    folder = converted_folder(clone, sha256)
    with exclusive(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        if (got := sha256_of(gguf.path, clone)) != sha256:
            raise ModelError(
                f"Expected {gguf.path} with the sha256 {sha256}, got {got}. Put the file back, or "
                "take the model anew with `recap run`."
            )
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        from recap.models.weights import save_model  # which looks here for its weights

        print(f"converting {gguf.path.name} to fp32", file=sys.stderr)
        place = gguf.path.parent
        where = {"gguf_file": gguf.path.name, "local_files_only": True}
        dense = {"quantization_config": GgufConfig(dequantize=True), "dtype": "float32"}
        with contextlib.redirect_stderr(io.StringIO()):  # bars
            tokenizer = AutoTokenizer.from_pretrained(place, **where)
            model = AutoModelForCausalLM.from_pretrained(place, **dense, **where)
        save_model(model, tokenizer, folder)
    return folder
