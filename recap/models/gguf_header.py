"""The header of a GGUF file (version 2 or 3): what the model is, and how long the file must be.

Read without the package gguf, which takes half a minute for a vocabulary. Leaves out the weights.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recap.models.spelling import OriginError

ARCHITECTURES = frozenset({
    "bloom", "deci", "falcon", "gemma2", "gemma3", "gemma4", "gpt-oss", "gpt2", "lfm2", "llama",
    "mamba", "minimax-m2", "mistral", "nemotron", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe",
    "qwen35", "stablelm", "starcoder2",
})  # fmt: skip
"""Decoders that transformers reads from GGUF, as the files call them."""
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
    41: (128, 18),
}  # fmt: skip
"""Of each tensor type: numbers in a block, and bytes of it."""
SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
STRING, ARRAY = 8, 9
SPECIAL = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself.

    ``size`` in bytes is that of the whole file, ``context`` the tokens that the model can see,
    ``parts`` the number of files of the model, ``special_ids`` the ids of BOS and EOS by the names
    that tokenizers give these tokens.
    """

    architecture: str
    licence: str | None
    size: int
    template: str | None = None
    context: int | None = None
    parts: int = 1
    special_ids: Mapping[str, int] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """The header of ``path``; raises OriginError when it is no GGUF file or the header is cut."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data:
            return _Reader(data).header()
    except (struct.error, ValueError, UnicodeDecodeError) as error:  # ValueError: an empty file
        raise OriginError(f"expected a whole GGUF file, got {path}: {error}") from None


def gguf_fault(path: Path) -> str | None:
    """Why transformers could not read the file, as ``expected …, got …``; ``None`` if it could."""
    try:
        header = read_header(path)
    except OriginError as error:
        return str(error)
    if header.architecture not in ARCHITECTURES:
        return (
            "expected a GGUF file of an architecture that transformers reads "
            f"({', '.join(sorted(ARCHITECTURES))}), got {path} of '{header.architecture}'"
        )
    if header.parts > 1:
        return (
            f"expected a model in one GGUF file, got {path}, one of {header.parts} parts: merge "
            "them with llama-gguf-split"
        )
    if path.stat().st_size < header.size:
        return (
            f"expected {header.size} bytes in {path}, as its header says, got "
            f"{path.stat().st_size}: it is cut off, download it again"
        )
    return None


class _Reader:
    """Goes through the header once; ``_at`` is the next byte."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version, tensors, entries = self._numbers("<IQQ")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version}, versions 2 and 3 are read")
        kept: dict[str, Any] = {}
        for _ in range(entries):
            key = self._text()
            (kind,) = self._numbers("<I")
            kept[key] = self._value(kind)
        end = max((self._tensor() for _ in range(tensors)), default=0)
        alignment = kept.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment}")
        begin = math.ceil(self._at / alignment) * alignment
        architecture = str(kept.get("general.architecture"))
        return Header(
            architecture,
            kept.get("general.license"),
            begin + end,
            kept.get("tokenizer.chat_template"),
            kept.get(f"{architecture}.context_length"),
            kept.get("split.count") or 1,
            {name: kept[key] for name, key in SPECIAL.items() if isinstance(kept.get(key), int)},
        )

    def _tensor(self) -> int:
        """Where the tensor ends among the weights."""
        self._text()
        (dimensions,) = self._numbers("<I")
        shape = self._numbers(f"<{dimensions}Q")
        kind, offset = self._numbers("<IQ")
        if kind not in BLOCKS:
            raise ValueError(f"it has a tensor of the unknown type {kind}")
        numbers, size = BLOCKS[kind]
        return int(offset + math.prod(shape) // numbers * size)

    def _value(self, kind: int) -> Any:
        """The value of a kind; ``None`` for an array, which is passed over."""
        if kind == STRING:
            return self._text()
        if kind != ARRAY:
            if kind not in SCALARS:
                raise ValueError(f"it has a value of the unknown type {kind}")
            return self._numbers(f"<{SCALARS[kind]}")[0]
        inner, count = self._numbers("<IQ")
        if inner in SCALARS:
            self._at += count * struct.calcsize(f"<{SCALARS[inner]}")
        else:
            for _ in range(count):
                self._value(inner)
        return None

    def _text(self) -> str:
        (length,) = self._numbers("<Q")
        return self._bytes(length).decode("utf-8", errors="replace")

    def _bytes(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("its header is cut off")
        return self._data[self._at - count : self._at]

    def _numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return found
