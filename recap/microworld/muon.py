"""Muon in fp32, matrices of one shape at a time: the layers' optimizer of the microworld.

The update of ``torch.optim.Muon`` (https://kellerjordan.github.io/posts/muon/) with two changes for
CPUs: the Newton-Schulz iteration runs in fp32, since torch's bf16 is emulated where the processor
has none, and all matrices of one shape go through it together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
EPS = 1e-7


class Muon(Optimizer):
    """Momentum whose update is made nearly orthogonal; without weight decay, with Nesterov."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        """``params`` are matrices."""
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    # torch's optimizers take a function that computes the loss again; nothing here has one.
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # takes no closure
        """One update of every matrix that has a gradient; takes no ``closure``."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes[matrix.shape].append(matrix)
            for (rows, columns), matrices in shapes.items():
                update = orthogonal(torch.stack([self._nesterov(m, group) for m in matrices]))
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for matrix, change in zip(matrices, update, strict=True):
                    matrix.add_(change, alpha=-rate)

    def _nesterov(self, matrix: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient's running mean one step ahead."""
        gradient = matrix.grad
        assert gradient is not None
        mean = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        mean.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(mean, group["momentum"])


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [N, R, C] with their singular values brought near 1, between about 0.7 and 1.2."""
    wide = matrices.size(1) <= matrices.size(2)
    found = matrices if wide else matrices.mT
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = found @ found.mT
        found = torch.baddbmm(
            found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a
        )
    return found if wide else found.mT
