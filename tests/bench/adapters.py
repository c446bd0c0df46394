"""``python -m tests.bench.adapters``: a training step of SmolLM2-135M, with and without an adapter.

Each of the four cases is a process of its own, because the peak of memory is a process's. Needs the
package that `make real` installs. Prints the table of docs/adapters.md for this machine: tokens for
each second of CPU, the best of the steps, and the process's peak memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

from recap.models.adapter import add_adapter, trained_parameters
from recap.models.places import convert
from recap.models.spelling import Gguf, read_origin
from recap.models.weights import load_model
from recap.params.train import Adapter

ROOT = Path(__file__).parents[2]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER = Adapter(rank=16, alpha=32, targets=LINEAR)
ROWS, LENGTH, STEPS = 4, 256, 3
CASES = {"all weights": False, "adapter": True}


def main() -> None:
    """Run the four cases one after the other and print them as a table."""
    if len(sys.argv) > 1:  # one case
        print(measure(adapter=sys.argv[1] == "True", checkpointing=sys.argv[2] == "True"))
        return
    print(f"| | {' | '.join(CASES)} |\n|---|---|---|")
    for label, checkpointing in (("", False), ("with `train.checkpointing`", True)):
        cells = [_in_process(adapter, checkpointing) for adapter in CASES.values()]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


def _in_process(adapter: bool, checkpointing: bool) -> str:
    command = [sys.executable, "-m", "tests.bench.adapters", str(adapter), str(checkpointing)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def measure(*, adapter: bool, checkpointing: bool) -> str:
    """``59 tokens/s, 4.8 GiB``: of ``STEPS`` steps of AdamW on random tokens."""
    torch.set_num_threads(1)
    profile = yaml.safe_load((ROOT / "infra/profiles/smollm2.yaml").read_text(encoding="utf-8"))
    origin = read_origin(ROOT, profile["models"]["origins"]["policy"])
    assert isinstance(origin, Gguf) and origin.sha256
    model = load_model(convert(origin, origin.sha256, ROOT)).train()
    if adapter:
        add_adapter(model, ADAPTER, seed=0)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(trained_parameters(model).values(), lr=1e-5)
    ids = torch.randint(model.config.vocab_size, (ROWS, LENGTH))
    seconds = []
    for _ in range(STEPS):
        start = time.process_time()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{ids.numel() / min(seconds):.0f} tokens/s, {peak:.1f} GiB"


if __name__ == "__main__":
    main()
