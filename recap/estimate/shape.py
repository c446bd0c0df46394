"""The sizes of a decoder, from its own files or from what is published of it.

Field names are transformers'. Dense decoders with gated MLPs alone: Llama, Qwen2,
Qwen3, Granite. Leaves out biases, which are less than 0.01 % of a model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.errors import ParameterError, choices
from recap.models.spelling import HUB, Folder, OriginError, read_origin


@dataclass(frozen=True, slots=True)
class Shape:
    """``tied``: the head is the embedding. ``context``: tokens it can see; 0 where nobody says."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tied: bool
    context: int = 0

    @property
    def queries(self) -> int:
        """Width of all queries of a layer."""
        return self.num_attention_heads * self.head_dim

    @property
    def cached(self) -> int:
        """Width of all keys of a layer, and of all values."""
        return self.num_key_value_heads * self.head_dim

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.num_hidden_layers * self._layer + self._outermost

    @property
    def gathered(self) -> int:
        """Number of weights that a sharded forward pass has whole: two layers and the outermost."""
        return 2 * self._layer + self._outermost

    @property
    def _layer(self) -> int:
        attention = self.hidden_size * (2 * self.queries + 2 * self.cached)
        return attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size

    @property
    def _outermost(self) -> int:
        return (1 if self.tied else 2) * self.vocab_size * self.hidden_size + self.hidden_size

    def adapter(self, rank: int, targets: tuple[str, ...]) -> int:
        """Number of weights of a LoRA adapter; raises ParameterError for an unknown layer."""
        hidden, wide = self.hidden_size, self.intermediate_size
        sizes = {
            "q_proj": hidden + self.queries,
            "k_proj": hidden + self.cached,
            "v_proj": hidden + self.cached,
            "o_proj": self.queries + hidden,
            "gate_proj": hidden + wide,
            "up_proj": hidden + wide,
            "down_proj": wide + hidden,
        }
        if unknown := sorted(set(targets) - sizes.keys()):
            raise ParameterError(
                f"Expected train.adapter.targets among {choices(sizes)}, got '{unknown[0]}'. The "
                "estimate knows no other layer."
            )
        return self.num_hidden_layers * rank * sum(sizes[name] for name in targets)


def _shape(*sizes: int, tied: bool, context: int = 131072) -> Shape:
    hidden, wide, layers, heads, cached, vocabulary = sizes
    return Shape(hidden, wide, layers, heads, cached, hidden // heads, vocabulary, tied, context)


PUBLISHED = {
    "deepseek-r1-distill-llama-8b": _shape(4096, 14336, 32, 32, 8, 128256, tied=False),
    "deepseek-r1-distill-qwen-1.5b": _shape(1536, 8960, 28, 12, 2, 151936, tied=False),
    "deepseek-r1-distill-qwen-7b": _shape(3584, 18944, 28, 28, 4, 152064, tied=False),
    "deepseek-r1-distill-qwen-14b": _shape(5120, 13824, 48, 40, 8, 152064, tied=False),
    "granite-guardian-3.1-8b": _shape(4096, 12800, 40, 32, 8, 49155, tied=True),
    "granite-guardian-3.1-2b": _shape(2048, 8192, 40, 32, 8, 49155, tied=True),
    "qwen2.5-1.5b-instruct": _shape(1536, 8960, 28, 12, 2, 151936, tied=True, context=32768),
    "llama-3.1-8b-instruct": _shape(4096, 14336, 32, 32, 8, 128256, tied=False),
    "smollm2-135m-instruct": _shape(576, 1536, 30, 9, 3, 49152, tied=True, context=8192),
}
"""By the last part of an origin's name, without its revision and the ending of a GGUF file."""
MADE_FROM = {
    "dsqwen-7b-star1-refusing": "deepseek-r1-distill-qwen-7b",
    "dsqwen-7b-star1-aligned": "deepseek-r1-distill-qwen-7b",
    "dsqwen-1.5b-star1-refusing": "deepseek-r1-distill-qwen-1.5b",
    "dsqwen-1.5b-star1-aligned": "deepseek-r1-distill-qwen-1.5b",
    "deepscaler-1.5b-preview": "deepseek-r1-distill-qwen-1.5b",
    "deepscaler-1.5b-star1-refusing": "deepseek-r1-distill-qwen-1.5b",
}
"""Fine-tuned models of the profiles, and what they are made from, whose sizes are theirs."""


def shape_of(root: Path, origin: str) -> Shape:
    """The sizes of an origin: from its config.json if the folder is here, else as published.

    Raises ParameterError for a model that is neither, or for a config.json of another kind.
    """
    try:
        found = read_origin(root, origin)
    except OriginError:
        found = None
    if isinstance(found, Folder):
        return _from_config(found.path / "config.json")
    hub = HUB.fullmatch(origin)
    name = (hub["name"] if hub else origin.partition("@")[0]).rpartition("/")[2].casefold()
    name = MADE_FROM.get(name, name)
    for known, shape in PUBLISHED.items():
        if name == known or (name.endswith(".gguf") and name.startswith(f"{known}.")):
            return shape
    raise ParameterError(
        f"Expected the sizes of '{origin}': a folder with its config.json, or one of "
        f"{choices(PUBLISHED)}. Put the model's config.json alone into that folder."
    )


def _from_config(path: Path) -> Shape:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        heads = config["num_attention_heads"]
        return Shape(
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            vocab_size=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
            context=config.get("max_position_embeddings", 0),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ParameterError(
            f"Expected the sizes of a decoder in {path}, got {type(error).__name__}: {error}."
        ) from None
