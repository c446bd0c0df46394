"""Which machine, which versions, how busy: without it a rate says nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from recap.rl.flops import gemm_peak

LIBRARIES = ("torch", "transformers", "trl", "accelerate")


def describe() -> str:
    """One paragraph of markdown; the load is that of this moment."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    peak = gemm_peak(torch.device("cpu"), torch.get_num_threads())
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {cpu_model()}, {memory:.0f} GiB, {platform.system()} "
        f"{platform.machine()}; Python {platform.python_version()}, {versions}. "
        f"{torch.get_num_threads()} thread, float32 matrix peak {peak / 1e9:.0f} GFLOP/s. "
        f"{load()}"
    )


def load() -> str:
    """How many processes wanted a core in the last minute; ours is one of them."""
    return f"Load of the last minute: {os.getloadavg()[0]:.1f}."


def cpu_model() -> str:
    """The processor's name as Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
