"""Tokenizers in which the id of a byte is its value, so that token ids can be worked by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def byte_alphabet() -> dict[str, int]:
    """GPT-2's character for each byte: printable ones are themselves, others follow from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    shifted = {chr(256 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


def byte_tokenizer(
    special: Sequence[str],
    template: str,
    *,
    added: Sequence[str] = (),
    merges: Sequence[tuple[str, str]] = (),
    **named: str | None,
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; merged pieces get the ids from 256 on, then ``special``, then ``added``."""
    vocabulary = byte_alphabet()
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not merges)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True) for text in special])
    backend.add_tokens([AddedToken(text, special=False) for text in added])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False, **named
    )
    tokenizer.chat_template = template
    return tokenizer


def by_hand(text: str, markers: Sequence[str]) -> tuple[int, ...]:
    """The ids of a text without merges: markers from 256 on in their order, bytes elsewhere."""
    numbers = {marker: 256 + place for place, marker in enumerate(markers)}
    pieces = re.split(f"({'|'.join(map(re.escape, markers))})", text)
    return tuple(
        token
        for piece in pieces
        for token in ([numbers[piece]] if piece in numbers else piece.encode())
    )
