"""Batched decoding of small Llama models: the forward pass by hand, the prompt shared by its rows.

At a million parameters the time of ``transformers.generate`` is module overhead, so this writes
the Llama forward as a few fused operations and attends to a prompt once for all rows that continue
it. Exact: logits equal those of ``LlamaForCausalLM``. Leaves out everything but plain float32
Llamas (``llama_weights.is_plain_llama``); other models go through ``recap.sampling.model_decoder``.

Shapes: B rows, U unique prompts, P longest prompt, T generated so far, H query heads, K key-value
heads, R = H / K, D head size, G most rows on one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from recap.sampling.llama_weights import Layer, LlamaWeights
from recap.sampling.prefixes import Prefix

CACHE_BLOCK = 16
"""Positions by which a cache of generated tokens grows: dense rows are read several times faster
than rows spread over a cache of full length."""


def normed(hidden: Tensor, epsilon: float) -> Tensor:
    """RMS norm without its weights, over the last dimension."""
    norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    return hidden * norm.square_().div_(hidden.shape[-1]).add_(epsilon).rsqrt_()


def grown(cache: Tensor) -> Tensor:
    """The cache [B, K, T, D] with room for another block of positions."""
    rows, heads, used, size = cache.shape
    longer = cache.new_empty(rows, heads, used + CACHE_BLOCK, size)
    longer[:, :, :used] = cache
    return longer


class LlamaDecoder:
    """Rows that continue a set of prompts, one token per ``step``."""

    def __init__(
        self,
        weights: LlamaWeights,
        prompts: Sequence[Sequence[int]],
        prompt_of_row: Tensor,
        known: Sequence[Prefix | None] = (),
    ) -> None:
        """Read the prompts; ``prompt_of_row`` [B] says which of them each row continues.

        ``known``: of each prompt what need not be read again, if there is any.
        """
        self._weights = weights
        device = weights.embedding.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        longest = int(lengths.max())
        tokens = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
        for index, prompt in enumerate(prompts):
            tokens[index, : len(prompt)] = torch.tensor(prompt, device=device)
        # Prompts are padded on the right: under the causal mask no real position sees the padding.
        padding = torch.arange(longest, device=device)[None] >= lengths[:, None]
        self._prompt_bias = torch.zeros(padding.shape, device=device)
        self._prompt_bias.masked_fill_(padding, float("-inf"))
        self._padded = bool(padding.any())
        if any(known):
            last = self._read_on(tokens, lengths, known)
        else:
            last = self._read_prompts(tokens, lengths)
        self.logits = (last @ weights.head)[prompt_of_row]
        self._prompt_of_row = prompt_of_row
        self._positions = lengths[prompt_of_row]
        self._generated = 0
        shape = (len(prompt_of_row), weights.num_kv_heads, CACHE_BLOCK, weights.head_size)
        self._keys = [torch.empty(shape, device=device) for _ in weights.layers]
        self._values = [torch.empty(shape, device=device) for _ in weights.layers]
        self._arrange()

    def _project(self, layer: Layer, hidden: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Rotated queries and keys [N, H + K, D], values [N, K, D] of hidden [N, hidden]."""
        w = self._weights
        heads = torch.mm(normed(hidden, w.epsilon), layer.qkv).view(
            -1, w.num_heads + 2 * w.num_kv_heads, w.head_size // 2, 2
        )
        turning = w.num_heads + w.num_kv_heads
        rotated = torch.view_as_real(torch.view_as_complex(heads[:, :turning]) * turns)
        return rotated.flatten(-2), heads[:, turning:].flatten(-2)

    def _mlp(self, layer: Layer, hidden: Tensor) -> Tensor:
        gate, up = torch.mm(normed(hidden, self._weights.epsilon), layer.gate_up).chunk(2, dim=-1)
        return torch.addmm(hidden, F.silu(gate).mul_(up), layer.mlp_out)

    def _read_prompts(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Fill the prompts' caches; the final hidden state at each prompt's end [U, hidden]."""
        w = self._weights
        count, longest = tokens.shape
        turns = w.turns[:longest].repeat(count, 1, 1)

        def by_head(heads: Tensor) -> Tensor:
            return heads.unflatten(0, (count, longest)).transpose(1, 2).contiguous()

        hidden = F.embedding(tokens.flatten(), w.embedding)
        self._prompt_keys, self._prompt_values = [], []
        for layer in w.layers:
            rotated, values = self._project(layer, hidden, turns)
            q = by_head(rotated[:, : w.num_heads])
            k = by_head(rotated[:, w.num_heads :])
            v = by_head(values)
            self._prompt_keys.append(k.flatten(0, 1))
            self._prompt_values.append(v.flatten(0, 1))
            mixed = F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=1.0, enable_gqa=True
            )
            mixed = mixed.transpose(1, 2).reshape(count * longest, -1)
            hidden = self._mlp(layer, torch.addmm(hidden, mixed, layer.attention_out))
        ends = torch.arange(count, device=tokens.device) * longest + lengths - 1
        return normed(hidden[ends], w.epsilon)

    def _read_on(self, tokens: Tensor, lengths: Tensor, known: Sequence[Prefix | None]) -> Tensor:
        """As ``_read_prompts``, for prompts whose beginnings are known: only the rest is read.

        Its N positions lie one behind the other; queries alone are laid out by prompt, [U, Q].
        """
        w = self._weights
        count, longest = tokens.shape
        starts = torch.tensor([prefix.length if prefix else 0 for prefix in known])
        starts = starts.to(tokens.device)
        places = torch.arange(longest, device=tokens.device)
        owner, place = ((places >= starts[:, None]) & (places < lengths[:, None])).nonzero(
            as_tuple=True
        )
        column = place - starts[owner]
        width = int(column.max()) + 1
        # A key is seen from its own position on; queries that stand for nothing see the first.
        seen = places <= (starts[:, None] + places[:width])[..., None]
        turns = w.turns[place]
        hidden = F.embedding(tokens[owner, place], w.embedding)
        self._prompt_keys, self._prompt_values = [], []
        for index, layer in enumerate(w.layers):
            rotated, values = self._project(layer, hidden, turns)
            shape = (count, w.num_kv_heads, longest, w.head_size)
            k, v = hidden.new_zeros(shape), hidden.new_zeros(shape)
            for prompt, prefix in enumerate(known):
                if prefix:
                    k[prompt, :, : prefix.length] = prefix.keys[index, :, : prefix.length]
                    v[prompt, :, : prefix.length] = prefix.values[index, :, : prefix.length]
            k[owner, :, place] = rotated[:, w.num_heads :]
            v[owner, :, place] = values
            q = hidden.new_zeros(count, w.num_heads, width, w.head_size)
            q[owner, :, column] = rotated[:, : w.num_heads]
            self._prompt_keys.append(k.flatten(0, 1))
            self._prompt_values.append(v.flatten(0, 1))
            mixed = F.scaled_dot_product_attention(
                q, k, v, attn_mask=seen[:, None], scale=1.0, enable_gqa=True
            )
            mixed = mixed[owner, :, column].flatten(1)
            hidden = self._mlp(layer, torch.addmm(hidden, mixed, layer.attention_out))
        return normed(hidden[(lengths - starts).cumsum(0) - 1], w.epsilon)

    def cached(self, rows: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [L, K, N, D] of all that these present rows have read and written.

        From the last token of a row that has ended on, they are no longer the row's.
        """
        heads, generated = self._weights.num_kv_heads, self._generated
        prompts, lengths = self._prompt_of_row.tolist(), (self._positions - generated).tolist()

        def joined(prompt_caches: list[Tensor], own_caches: list[Tensor], row: int) -> Tensor:
            first = prompts[row] * heads
            parts = zip(prompt_caches, own_caches, strict=True)
            return torch.stack(
                [
                    torch.cat(
                        [
                            of_prompt[first : first + heads, : lengths[row]],
                            own[row, :, :generated],
                        ],
                        dim=1,
                    )
                    for of_prompt, own in parts
                ]
            )

        return [
            (
                joined(self._prompt_keys, self._keys, row),
                joined(self._prompt_values, self._values, row),
            )
            for row in rows
        ]

    def _arrange(self) -> None:
        """Lay the rows out as a grid of prompts [U, K, G], so that each prompt is read once."""
        owners = self._prompt_of_row
        counts = torch.bincount(owners, minlength=len(self._prompt_bias))
        self._most = int(counts.max())
        order = torch.argsort(owners, stable=True)
        starts = (counts.cumsum(0) - counts)[owners[order]]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device) - starts
        heads = torch.arange(self._weights.num_kv_heads, device=owners.device)
        cells = (owners[:, None] * len(heads) + heads) * self._most + rank[:, None]
        self._cell_of_row = cells.flatten()
        # Empty cells repeat row 0; nobody reads what they give.
        self._row_of_cell = cells.new_zeros(len(counts) * len(heads) * self._most)
        self._row_of_cell[self._cell_of_row] = torch.arange(cells.numel(), device=owners.device)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only (indices into the present rows, ascending)."""
        self.logits = self.logits[rows]
        self._prompt_of_row = self._prompt_of_row[rows]
        self._positions = self._positions[rows]
        self._keys = [cache.index_select(0, rows) for cache in self._keys]
        self._values = [cache.index_select(0, rows) for cache in self._values]
        used, self._prompt_of_row = torch.unique(self._prompt_of_row, return_inverse=True)
        if len(used) < len(self._prompt_bias):
            self._prompt_bias = self._prompt_bias[used]
            heads = torch.arange(self._weights.num_kv_heads, device=used.device)
            used_heads = (used[:, None] * len(heads) + heads).flatten()
            self._prompt_keys = [cache[used_heads] for cache in self._prompt_keys]
            self._prompt_values = [cache[used_heads] for cache in self._prompt_values]
        self._arrange()

    def step(self, tokens: Tensor, living: Tensor) -> None:
        """Append one token to every row [B]; ``logits`` [B, vocabulary] are then the next ones.

        Rows that are not ``living`` [B] read theirs at position 0: the context may have no further
        one, and nobody reads what they give.
        """
        w = self._weights
        if self._generated == self._keys[0].shape[2]:
            self._keys = [grown(cache) for cache in self._keys]
            self._values = [grown(cache) for cache in self._values]
        turns = w.turns[self._positions * living]
        hidden = F.embedding(tokens, w.embedding)
        now = self._generated
        for index, layer in enumerate(w.layers):
            rotated, values = self._project(layer, hidden, turns)
            self._keys[index][:, :, now] = rotated[:, w.num_heads :]
            self._values[index][:, :, now] = values
            mixed = self._attend(index, rotated[:, : w.num_heads], now + 1)
            hidden = self._mlp(layer, torch.addmm(hidden, mixed, layer.attention_out))
        self._generated += 1
        self._positions = self._positions + 1
        self.logits = torch.mm(normed(hidden, w.epsilon), w.head)

    def _attend(self, index: int, queries: Tensor, generated: int) -> Tensor:
        """Attention of one new position per row, [B, H, D] -> [B, H * D].

        Scores against the prompt come from the grid (one matrix product per prompt and head),
        scores against a row's own tokens row by row; one softmax over both.
        """
        w = self._weights
        size = w.head_size
        repeat = w.num_heads // w.num_kv_heads
        keys, values = self._prompt_keys[index], self._prompt_values[index]
        longest = keys.shape[1]

        in_grid = queries.reshape(-1, repeat, size).index_select(0, self._row_of_cell)
        on_prompt = torch.bmm(in_grid.view(len(keys), -1, size), keys.transpose(1, 2))
        if self._padded:
            on_prompt.view(len(self._prompt_bias), -1, longest).add_(self._prompt_bias[:, None])
        on_prompt = on_prompt.view(-1, repeat, longest).index_select(0, self._cell_of_row)
        own_keys = self._keys[index][:, :, :generated].flatten(0, 1)
        on_own = torch.bmm(queries.reshape(-1, repeat, size), own_keys.transpose(1, 2))

        shares = torch.cat([on_prompt, on_own], dim=-1).softmax(-1)

        in_grid = shares[..., :longest].index_select(0, self._row_of_cell)
        from_prompt = torch.bmm(in_grid.view(len(keys), -1, longest), values)
        from_prompt = from_prompt.view(-1, repeat, size).index_select(0, self._cell_of_row)
        own_values = self._values[index][:, :, :generated].flatten(0, 1)
        from_own = torch.bmm(shares[..., longest:], own_values)
        return from_own.add_(from_prompt).view(len(queries), -1)
