"""A small Llama's weights, laid out for decoding by hand.

Projections that read the same input are fused, norms are folded into the matrices behind them.
Leaves out everything but plain float32 Llamas (``is_plain_llama``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedModel

from recap.models.adapter import base_layer, merged_weight


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer; matrices are [in, out] and carry the weights of the norm before them."""

    qkv: Tensor
    attention_out: Tensor
    gate_up: Tensor
    mlp_out: Tensor


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """A snapshot of a model's weights, laid out for decoding.

    The rows of q and k are permuted so that the two numbers a rotary angle turns stand side by
    side (q·k does not change), and q carries the attention scale. ``turns`` [context, 1, D / 2]
    are the rotary angles of each position as unit complex numbers.
    """

    embedding: Tensor
    layers: tuple[Layer, ...]
    head: Tensor
    turns: Tensor
    epsilon: float
    num_heads: int
    num_kv_heads: int
    head_size: int


def is_plain_llama(model: PreTrainedModel) -> bool:
    """Whether the fused forward is exact: float32, default rotary, no biases."""
    if type(model) is not LlamaForCausalLM:
        return False
    config = model.config
    return (
        config.rope_parameters["rope_type"] == "default"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and all(parameter.dtype == torch.float32 for parameter in model.parameters())
        and all(
            type(base_layer(module)) is nn.Linear
            for name, module in model.named_modules()
            if name.endswith(("_proj", "lm_head"))
        )
    )


def fuse(model: LlamaForCausalLM) -> LlamaWeights:
    """Copy and fuse the weights as they are now."""
    config = model.config
    size = config.head_dim
    interleave = torch.arange(size).view(2, size // 2).t().reshape(-1)

    def rotary(weight: Tensor) -> Tensor:
        heads = weight.view(-1, size, weight.shape[1])
        return heads[:, interleave].reshape(weight.shape)

    def fused(norm: Tensor, *weights: Tensor) -> Tensor:
        return (torch.cat(weights) * norm).t().contiguous()

    layers = []
    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        q = rotary(merged_weight(attention.q_proj)) * size**-0.5
        k = rotary(merged_weight(attention.k_proj))
        layers.append(
            Layer(
                qkv=fused(block.input_layernorm.weight, q, k, merged_weight(attention.v_proj)),
                attention_out=merged_weight(attention.o_proj).t().contiguous(),
                gate_up=fused(
                    block.post_attention_layernorm.weight,
                    merged_weight(mlp.gate_proj),
                    merged_weight(mlp.up_proj),
                ),
                mlp_out=merged_weight(mlp.down_proj).t().contiguous(),
            )
        )
    exponents = torch.arange(0, size, 2, dtype=torch.float32, device=model.device) / size
    frequencies = 1.0 / config.rope_parameters["rope_theta"] ** exponents
    positions = torch.arange(config.max_position_embeddings, device=model.device)
    angles = positions[:, None, None].float() * frequencies
    return LlamaWeights(
        embedding=model.model.embed_tokens.weight,
        layers=tuple(layers),
        head=fused(model.model.norm.weight, model.lm_head.weight),
        turns=torch.polar(torch.ones_like(angles), angles),
        epsilon=config.rms_norm_eps,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_size=size,
    )
