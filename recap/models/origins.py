"""Whether a model that is not made here can be taken, as far as its files tell without loading it.

A folder and a GGUF file's header are looked at: is the model whole, and does it fit a run
(recap/models/fit.py). Leaves out all of the hub: the stage that takes a model from there looks at
its files in the same way.
"""

from __future__ import annotations

import json
from pathlib import Path

from recap.models.digests import folder_digest, sha256_of
from recap.models.fit import unfit_folder, unfit_guardian, unfit_header
from recap.models.gguf_header import gguf_fault, read_header
from recap.models.spelling import (
    FILES,
    INDEX,
    Folder,
    Gguf,
    OriginError,
    clone_of,
    read_origin,
)
from recap.params.models import Reasoning

DOCUMENTS = ("config.json", "tokenizer_config.json", "tokenizer.json", INDEX)
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""A tokenizer is in one of them."""
LENGTH, MAX_HEADER = 8, 100_000_000
"""Bytes that a safetensors file begins with, which say how long its header is, and its bound."""


def origin_fault(
    root: Path, origin: str, reasoning: Reasoning | None = None, completion: int = 0
) -> str | None:
    """What is wrong with an origin, as ``expected …, got …``; ``None`` if nothing can be seen.

    Paths begin in ``root``. With ``reasoning`` the model has to think between these tags; it has to
    have room for ``completion`` tokens after a prompt.
    """
    if fault := whole_fault(root, origin):
        return fault
    found = read_origin(root, origin)
    if isinstance(found, Gguf):
        return unfit_header(read_header(found.path), origin, reasoning, completion)
    if isinstance(found, Folder):
        return unfit_folder(found.path, origin, reasoning, completion)
    return None


def guardian_fault(root: Path, origin: str, *, rubric: bool) -> str | None:
    """What is wrong with a guardian's origin, in the same words.

    ``rubric``: it has to read benign answers too.
    """
    if fault := origin_fault(root, origin):
        return fault
    found = read_origin(root, origin)
    if isinstance(found, Folder):
        return unfit_guardian(found.path, origin, rubric=rubric)
    return None


def whole_fault(root: Path, origin: str) -> str | None:
    """What is missing, cut off or another file than the origin names, in the same words."""
    try:
        found = read_origin(root, origin)
    except OriginError as error:
        return str(error)
    if isinstance(found, Gguf):
        return gguf_fault(found.path) or _digest_fault(found, root)
    return _folder_lacks(found.path, origin) if isinstance(found, Folder) else None


def folder_fault(
    folder: Path, origin: str, reasoning: Reasoning | None = None, completion: int = 0
) -> str | None:
    """What is wrong with a folder that was made from ``origin``, as in ``origin_fault``."""
    return _folder_lacks(folder, origin) or unfit_folder(folder, origin, reasoning, completion)


def fingerprint(root: Path, origin: str) -> str | None:
    """The digest of what a local origin holds now; ``None`` of one whose spelling pins it."""
    found = read_origin(root, origin)
    clone = clone_of(root)
    if isinstance(found, Gguf):
        return None if found.sha256 else sha256_of(found.path, clone)
    if isinstance(found, Folder):
        return folder_digest({path.name: sha256_of(path, clone) for path in taken(found.path)})
    return None


def taken(folder: Path) -> list[Path]:
    """The files of a model that are used: configuration, tokenizer, template, weights; in order.

    No pickles, no code, no second copies of weights.
    """
    found = {path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    named = _weights(folder)
    return sorted(p for p in found if p.suffix != ".safetensors" or p.name in named)


def safetensors_size(path: Path) -> int:
    """The bytes that a safetensors file has by its header; 0 where it has no sound header."""
    size = path.stat().st_size
    if size < LENGTH:
        return LENGTH
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH), "little")
        if LENGTH + length > size:
            return LENGTH + length if length < MAX_HEADER else 0
        try:
            tensors = json.loads(stream.read(length))
            ends = [value["data_offsets"][1] for key, value in tensors.items() if key[:2] != "__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return 0
    return int(LENGTH + length + max(ends, default=0))


def _folder_lacks(folder: Path, origin: str) -> str | None:
    """What a safetensors model lacks, as ``expected …, got …``; ``None`` if it is whole."""
    if broken := [name for name in DOCUMENTS if not _is_sound(folder / name)]:
        return f"expected JSON in {origin}/{broken[0]}, got other text: download it again"
    if missing := _missing(folder):
        return f"expected a whole safetensors model in {origin}, which lacks {', '.join(missing)}"
    for name in sorted(_weights(folder)):
        expected, size = safetensors_size(folder / name), (folder / name).stat().st_size
        if expected != size:
            return (
                f"expected a whole safetensors model in {origin}, but {name} has {size} bytes and "
                f"its header asks for {expected}: it is cut off or no safetensors file, download "
                "it again"
            )
    return None


def _is_sound(path: Path) -> bool:
    """Whether a file, if it is there, is one JSON object."""
    try:
        return not path.is_file() or isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False


def _missing(folder: Path) -> list[str]:
    """The files that the model needs and the folder lacks, in order."""
    wanted = {"config.json", "tokenizer_config.json", *_weights(folder)}
    missing = {name for name in wanted if not (folder / name).is_file()}
    if not any((folder / name).is_file() for name in TOKENIZERS):
        missing.add(TOKENIZERS[0])
    return sorted(missing)


def _weights(folder: Path) -> set[str]:
    """Names of the files of weights, those that the index names where there is one."""
    if (folder / INDEX).is_file():
        named = json.loads((folder / INDEX).read_text(encoding="utf-8")).get("weight_map")
        if isinstance(named, dict) and named:
            return set(map(str, named.values()))
    return {"model.safetensors"}


def _digest_fault(found: Gguf, root: Path) -> str | None:
    if found.sha256 and (got := sha256_of(found.path, clone_of(root))) != found.sha256:
        return (
            f"expected {found.path.name} of the package {found.package} with the sha256 "
            f"{found.sha256}, got {got}: another version is installed, or the digest is misspelt"
        )
    return None
