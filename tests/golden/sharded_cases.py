"""Two updates of a tiny policy on the same rollouts, whole or sharded; for tests. Not a test.

``python sharded_cases.py PROCESSES OUT ONE CASE…`` in each process of a launch writes to OUT what
``run_case`` gives, and two processes what ``run_short`` does; then it goes on from its own states
and from those of one process, in ONE.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

import torch
from rl_cases import group, make_trainer, random_ids
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from recap import processes
from recap.rl import sharding
from recap.rl.checkpoint import CheckpointFolder
from tests.tiny import tiny_policy

LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}
CASES = {
    "dapo": {},
    "grpo": {"optimizer": "grpo"},
    "dr_grpo": {"optimizer": "dr_grpo"},
    "kl": {"grpo": {"beta": 0.04}},
    "lora": {"adapter": LORA, "grpo": {"learning_rate": 1e-2}},
    "lora_kl": {"adapter": LORA, "grpo": {"learning_rate": 1e-2, "beta": 0.04}},
    "checkpointing": {"checkpointing": True},
    "idle": {},
    "bfloat16": {"precision": "bfloat16"},
}
RESUMED = ["dapo", "lora_kl"]
SMALL = 96
"""Tokens of a micro-batch: several for each process, and not the same number for all."""
EPSILON = 1e-2
"""AdamW's, far above its 1e-8: with that, a gradient within rounding of 0 makes a whole step either
way, and losses after it differ by more than rounding on some processors."""
RUN = {"seed": "7"}


def script(update):
    """Four groups with log-probabilities near the policy's, so that some ratios are clipped."""
    rng = random.Random(update)
    policy, groups = tiny_policy(), []
    for number in range(4):
        prompt = random_ids(rng, 3 + number)
        completions = [random_ids(rng, rng.randint(2, 12)) for _ in range(3)]
        logprobs = []
        for ids in completions:
            with torch.no_grad():
                logits = policy(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
            own = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
            logprobs.append([value + rng.gauss(0.0, 0.3) for value in own])
        rewards = [rng.random() for _ in completions]
        groups.append(
            group(
                number, prompt=prompt, completions=completions, logprobs=logprobs, rewards=rewards
            )
        )
    return groups


def make(name):
    """The trainer of a case: sharded where there are several processes."""
    count = processes.count()
    shard = "fsdp2" if count > 1 else "none"
    made = make_trainer(
        tiny_policy(),
        script,
        rollout_copy=tiny_policy(seed=1) if count > 1 else None,
        launch={"processes": count, "nodes": 1, "shard": shard},
        **CASES[name],
    )
    for section in made.optimizer.param_groups:
        section["eps"] = EPSILON
    if name != "idle":  # else one micro-batch is enough, and all processes but one have none
        made._micro_batch_tokens = SMALL
    return made


def run_case(name, out):
    """Two updates; a state after each, the policy, the copy that rollouts are sampled from."""
    made = make(name)
    states = CheckpointFolder(out / f"{name}-states", "recap-0", RUN)
    metrics = []
    for number in (1, 2):
        metrics.append(made.update(number)[0])
        keep(states, made.snapshot(number, metrics))
    made.save(out / name)
    write(out, name, metrics)
    if made._rollout_copy is not None:
        sharding.refresh(made._rollout_copy, made.policy)
        copied = {n: p.detach() for n, p in made._rollout_copy.named_parameters()}
        save_file(copied, out / f"{name}-copy-{processes.index()}.safetensors")
    shares = {"all": 0, "own": 0, "moments": 0, "whole": []}
    for n, parameter in [
        *made.policy.named_parameters(),
        *(made.reference.named_parameters() if made.reference else ()),
    ]:
        sharded = isinstance(parameter, DTensor)
        shares["all"] += parameter.numel()
        shares["own"] += (parameter.to_local() if sharded else parameter).numel()
        shares["whole"] += [] if sharded else [n]
        moments = made.optimizer.state.get(parameter, {})
        if moments:
            shares["moments"] += moments["exp_avg"].to_local().numel() if sharded else 0
            assert moments["exp_avg"].dtype == parameter.dtype == torch.float32
    (out / f"{name}-shares-{processes.index()}.json").write_text(json.dumps(shares))


SHORT = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")


def run_short(out):
    """An update of the whole policy, then the same one where one process lacks memory.

    The first has from the start the size that the second comes to.
    """
    for name, size in (("enough", SMALL // 2), ("short", SMALL)):
        launch = {"processes": processes.count(), "nodes": 1, "shard": "none"}
        made = make_trainer(tiny_policy(), script, launch=launch)
        made._micro_batch_tokens = size
        if name == "short" and processes.index() == 0:  # the other one has rows left over
            lack_once(made.accelerator)
        gradients = []
        clip = made.accelerator.clip_grad_norm_

        def spy(parameters, longest, made=made, gradients=gradients, clip=clip):
            gradients.append({n: p.grad.clone() for n, p in made.policy.named_parameters()})
            return clip(parameters, longest)

        made.accelerator.clip_grad_norm_ = spy
        metrics, speed = made.update(1)
        told = {"metrics": metrics, "retries": speed.memory_retries}
        place = f"{name}-{processes.index()}"
        (out / f"{place}.json").write_text(json.dumps(told))
        for step, found in enumerate(gradients):
            save_file(found, out / f"{place}-{step}.safetensors")


def lack_once(accelerator):
    """Memory runs out in the first pass, whose peer's leaves a gradient."""
    whole, calls = accelerator.backward, []

    def backward(loss):
        calls.append(loss)
        if len(calls) == 1:
            raise SHORT
        whole(loss)

    accelerator.backward = backward


def go_on(name, states, out):
    """The second update after the first one's state, whoever wrote that; its state in ``out``."""
    if processes.is_main():
        shutil.copytree(states, out / f"{name}-states")
        (newest,) = out.glob(f"{name}-states/*/update-000002")
        shutil.rmtree(newest)
    processes.together()
    folder = CheckpointFolder(out / f"{name}-states", "recap-0", RUN)
    saved = folder.load()
    assert saved.update == 1
    made = make(name)
    made.restore(saved)
    metrics = [*saved.metrics, made.update(2)[0]]
    keep(folder, made.snapshot(2, metrics))
    write(out, name, metrics)


def keep(states, state):
    if processes.is_main():
        states.save(state)
    processes.together()


def write(out, name, metrics):
    if processes.is_main():
        (out / f"{name}.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    torch.set_num_threads(1)
    world, out, one, *names = sys.argv[1:]
    with processes.joined(int(world)):
        for name in names:
            run_case(name, Path(out))
        if world == "2":
            run_short(Path(out))
        for name in RESUMED:
            go_on(name, Path(out, f"{name}-states"), Path(out, "again"))
            go_on(name, Path(one, f"{name}-states"), Path(out, "from-one"))
