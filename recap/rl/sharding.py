"""A policy whose parameters, gradients and optimizer states are divided between the processes.

torch's ``fully_shard`` wraps each decoder layer, then the rest of the model (FSDP2): a layer's
weights are gathered for its own forward and backward pass, and its gradients are averaged into
shards. The same code runs over gloo on CPUs and over NCCL on GPUs. accelerate does not wrap: on
CPUs it leaves the model whole and says nothing. Every function here is called by all processes.

Leaves out the sharding of the optimizer, which follows from its parameters', and loading in parts:
each process reads the whole model before it keeps its share.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recap import processes
from recap.errors import ModelError, TrainingError
from recap.models.adapter import has_adapter, merged_parameters, trained_parameters
from recap.models.weights import device, save_model
from recap.params.values import Precision


def shard(model: PreTrainedModel, precision: Precision) -> None:
    """Keep this process's share of each parameter, in place; products run in ``precision``.

    Stored shards, gradients and their sums stay as they are (float32; an adapter's base may be
    shorter). Raises ModelError for a model whose layers transformers does not name, and
    TrainingError where a parameter is not shared out.
    """
    mesh = init_device_mesh(device().type, (processes.count(),))
    half = precision == "bfloat16"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None,
        reduce_dtype=torch.float32,
        output_dtype=torch.float32 if half else None,
    )
    layers = decoder_layers(model)
    inner = MixedPrecisionPolicy(param_dtype=policy.param_dtype, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=inner)
    # The outermost weights stay whole from forward to backward, which a reference does not make.
    frozen = not trained_parameters(model)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=frozen)
    check_sharded(model)


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The layers that transformers keeps in one piece on one device."""
    names = set(model._no_split_modules or ())
    layers = [module for module in model.modules() if type(module).__name__ in names]
    if not layers:
        raise ModelError(
            f"Expected a policy whose decoder layers transformers names, got {type(model).__name__}"
            " without `_no_split_modules`. Train it with train.launch.shard: none."
        )
    return layers


def check_sharded(model: PreTrainedModel) -> None:
    """Raise TrainingError unless every parameter is cut and all shares together make one model."""
    count = processes.count()
    whole = held = 0
    for name, parameter in model.named_parameters():
        cut = isinstance(parameter, DTensor) and parameter.placements == (Shard(0),)
        if not cut or parameter.device_mesh.size() != count:
            raise TrainingError(
                f"Expected every parameter to be divided between {count} processes, got {name} "
                "whole. This torch's fully_shard does not do what constraints.txt's does; install "
                "that one, or set train.launch.shard: none."
            )
        whole += parameter.numel()
        held += parameter.to_local().numel()
    total = int(processes.summed({"held": held})["held"])
    if total != whole:
        raise TrainingError(
            f"Expected the {count} processes to hold {whole} parameters together, got {total}. "
            "Set train.launch.shard: none."
        )


def reshard(model: PreTrainedModel) -> None:
    """Let go of what a forward pass without a backward one left whole: the outermost weights."""
    if isinstance(model, FSDPModule):
        model.reshard()


def whole(value: Tensor) -> Tensor:
    """A tensor with all processes' shares in it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def for_main(value: Tensor) -> Tensor:
    """A sharded tensor whole, in main memory, in the main process; in the others nothing of it."""
    value = value.detach()
    if not isinstance(value, DTensor):
        return value.contiguous()
    gathered = value.full_tensor()
    return gathered.cpu() if processes.is_main() else gathered.new_empty(0, device="cpu")


def save_policy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path
) -> None:
    """Write the model directory of a sharded policy in the main process."""
    reshard(model)
    weights = {name: for_main(value) for name, value in merged_parameters(model)}
    trained = trained_parameters(model).items() if has_adapter(model) else ()
    adapter = {name: for_main(value) for name, value in trained}
    if processes.is_main():
        save_model(model, tokenizer, directory, weights=weights, adapter=adapter)


def shares_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A copy of a whole tensor, divided as ``parameter`` is; whole where that is whole."""
    if not isinstance(parameter, DTensor):
        return value.clone()
    cut = distribute_tensor(
        value.to(parameter.device),
        parameter.device_mesh,
        parameter.placements,
        src_data_rank=None,  # every process has the value: nothing is sent
    )
    return torch.empty_like(parameter, dtype=value.dtype).copy_(cut)  # not a view of the whole


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state with its sharded tensors whole, in the main process."""
    return _mapped(optimizer.state_dict(), lambda _, value: for_main(value))


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put a whole state into an optimizer, each moment divided as its parameter is."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def share(number: int, value: Tensor) -> Tensor:
        parameter = parameters[number]
        return shares_like(value, parameter) if value.shape == parameter.shape else value.clone()

    optimizer.load_state_dict(_mapped(saved, share))


def refresh(copy: PreTrainedModel, policy: PreTrainedModel) -> None:
    """Bring an unsharded copy up to the policy's weights, an adapter merged, layer by layer."""
    reshard(policy)
    targets = dict(copy.named_parameters())
    with torch.no_grad():
        for name, value in merged_parameters(policy):
            targets.pop(name).copy_(whole(value))
    assert not targets, "the copy has the policy's parameters and no others"


def _mapped(state: dict[str, Any], change: Callable[[int, Tensor], Tensor]) -> dict[str, Any]:
    """An optimizer's state with each tensor changed, given its parameter's number."""
    moments = {
        number: {
            name: change(number, value) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": moments}
