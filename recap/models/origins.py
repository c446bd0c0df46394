"""Whether a model that is not made here can be taken, as far as its files tell without loading it.

A folder is looked at: is it whole, does its chat template open a thought. Of a GGUF file the
header: is the architecture one that transformers reads. Leaves out what only the tokenizer knows
(one token for each tag), a GGUF file's chat template, and all of the hub: the stage that takes the
model finds out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recap.models.digests import folder_digest, sha256_of
from recap.models.gguf_header import gguf_fault
from recap.models.spelling import (
    FILES,
    SECOND_COPIES,
    Folder,
    Gguf,
    Hub,
    OriginError,
    clone_of,
    read_origin,
)

INDEX = "model.safetensors.index.json"
DOCUMENTS = ("config.json", "tokenizer_config.json", "tokenizer.json", INDEX)
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""A tokenizer is in one of them."""
LENGTH, MAX_HEADER = 8, 100_000_000
"""Bytes that a safetensors file begins with, which say how long its header is, and its bound."""
OPEN, CLOSE = "<think>", "</think>"


def origin_fault(root: Path, origin: str, *, reasons: bool) -> str | None:
    """What is wrong with an origin, as ``expected …, got …``; ``None`` if nothing can be seen.

    Paths begin in ``root``. ``reasons``: the template has to open a think block.
    """
    try:
        found = read_origin(root, origin)
    except OriginError as error:
        return str(error)
    if isinstance(found, Hub):
        return None
    if isinstance(found, Gguf):
        return gguf_fault(found.path) or _digest_fault(found, root)
    return folder_fault(found.path, origin) or (
        _template_fault(found.path, origin) if reasons else None
    )


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


def folder_fault(folder: Path, origin: str) -> str | None:
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
        named = json.loads((folder / INDEX).read_text(encoding="utf-8")).get("weight_map", {})
        return set(map(str, named.values())) or {"model.safetensors"}
    found = {path for path in folder.glob("*.safetensors") if not path.match(SECOND_COPIES[1])}
    return {path.name for path in found} or {"model.safetensors"}


def _digest_fault(found: Gguf, root: Path) -> str | None:
    if found.sha256 and (got := sha256_of(found.path, clone_of(root))) != found.sha256:
        return (
            f"expected {found.path.name} of the package {found.package} with the sha256 "
            f"{found.sha256}, got {got}: another version is installed, or the digest is misspelt"
        )
    return None


def _template_fault(folder: Path, origin: str) -> str | None:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = _template(folder, settings)
    if template is None:
        return f"expected a reasoning model in {origin}, got one without a chat template"
    rendered = _rendered(template, settings) if OPEN in template else ""
    if rendered is not None and (rendered.count(OPEN) != 1 or CLOSE in rendered):
        return (
            f"expected a reasoning model in {origin}, whose chat template opens one {OPEN} where "
            f"the answer begins, got {rendered.count(OPEN)} opened, {rendered.count(CLOSE)} closed"
        )
    return None


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template's source; a file of its own comes before the configuration's."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):  # several, by name
        found = {entry["name"]: entry["template"] for entry in found}.get("default")
    return found


def _rendered(template: str, settings: dict[str, Any]) -> str | None:
    """One message by the template, up to the answer; ``None`` if only the tokenizer can say."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    tokens = {name: _text(settings.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
    message = {"role": "user", "content": "what is this ?"}
    try:
        return environment.from_string(template).render(
            messages=[message], add_generation_prompt=True, **tokens
        )
    except TemplateError:  # transformers has functions of its own, of which nothing is known here
        return None


def _text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
