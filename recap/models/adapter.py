"""LoRA adapters: added to a model in place, read out of it merged, saved beside it.

The model keeps its class; its target layers become peft's. Base weights are frozen and never
written to; they may lie in 16 bits, the adapter never does. Leaves out adapters of other kinds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recap.errors import ParameterError
from recap.params.train import Adapter
from recap.types.origins import PROVENANCE, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOLDER = "adapter"
"""Where a model directory holds the adapter that its weights were merged from."""
BASE = ".base_layer."


def add_adapter(model: PreTrainedModel, adapter: Adapter, seed: int) -> None:
    """Freeze the weights and add a LoRA adapter that changes no output yet.

    Raises ParameterError for a target that no layer is named by. peft is imported here, not above:
    most stages read models without adapters.
    """
    from peft import LoraConfig, inject_adapter_in_model

    head = model.get_output_embeddings()
    linear = (n for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head)
    there = sorted({name.rpartition(".")[2] for name in linear})
    if missing := [name for name in adapter.targets if name not in there]:
        raise ParameterError(
            f"Expected names of the policy's linear layers in train.adapter.targets, got "
            f"{', '.join(missing)}. The policy has {', '.join(there)}."
        )
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=list(adapter.targets),
        base_model_name_or_path=_base_name(model),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    for parameter in trained_parameters(model).values():
        parameter.data = parameter.data.float()  # peft takes the base's precision
    trained = sum(parameter.numel() for parameter in trained_parameters(model).values())
    print(f"trained_parameters {trained} of {model.num_parameters()}", file=sys.stderr)


def trained_parameters(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name: all, or the adapter's."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def has_adapter(model: nn.Module) -> bool:
    """Whether ``add_adapter`` has been called on the model."""
    return hasattr(model, "peft_config")


def base_layer(layer: nn.Module) -> nn.Module:
    """The layer without its adapter, if it has one."""
    return layer.get_base_layer() if _is_adapted(layer) else layer  # type: ignore[operator]  # untyped in peft


def merged_weight(layer: nn.Module) -> Tensor:
    """A linear layer's weight W, or W + (alpha / r) B A with an adapter."""
    if not _is_adapted(layer):
        return layer.weight  # type: ignore[return-value]  # untyped in peft
    (name,) = layer.active_adapters  # type: ignore[misc]  # untyped in peft
    merged: Tensor = base_layer(layer).weight + layer.get_delta_weight(name)  # type: ignore[operator]  # untyped in peft
    return merged


def merged_parameters(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """The model's parameters under its checkpoint's names, adapters merged into them."""
    for name, parameter in model.named_parameters():
        layer, based, rest = name.partition(BASE)
        if based:
            adapted = rest == "weight"
            value = merged_weight(model.get_submodule(layer)) if adapted else parameter
            yield f"{layer}.{rest}", value.detach()
        elif ".lora_" not in name:
            yield name, parameter.detach()


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """The base model meanwhile: the reference of a KL term."""
    layers = [module for module in model.modules() if _is_adapted(module)]
    for layer in layers:
        layer.enable_adapters(False)  # type: ignore[operator]  # untyped in peft
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)  # type: ignore[operator]  # untyped in peft


def save_adapter(
    model: PreTrainedModel, folder: Path, weights: dict[str, Tensor] | None = None
) -> None:
    """Write the adapter alone as ``peft.PeftModel.from_pretrained`` reads it.

    ``weights``: its parameters by the model's names, where the model does not hold them whole.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir()
    config = model.peft_config["default"]
    config.inference_mode = True
    config.save_pretrained(folder)
    named = get_peft_model_state_dict(model, state_dict=weights)
    save_file(
        {f"base_model.model.{name}": value.contiguous() for name, value in named.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Compute each layer's activations again in the backward pass instead of keeping them.

    The second pass uses the attention of the first, which is over by then.
    """

    def contexts() -> tuple[nullcontext[None], object]:
        return nullcontext(), _attention(model, model.config._attn_implementation)

    model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": contexts}
    )


@contextmanager
def _attention(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    before = model.config._attn_implementation
    model.config._attn_implementation = implementation
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _is_adapted(module: nn.Module) -> bool:
    return hasattr(module, "get_delta_weight")


def _base_name(model: PreTrainedModel) -> str:
    """The base by its origin's name, else by the folder it was loaded from."""
    origin = Path(model.name_or_path) / PROVENANCE
    if model.name_or_path and origin.is_file():
        return Provenance.model_validate_json(origin.read_bytes()).origin
    return str(model.name_or_path)
