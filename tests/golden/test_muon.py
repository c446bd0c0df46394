"""The microworld's Muon against torch's, against float64 and against singular values."""

from __future__ import annotations

import pytest
import torch

from recap.microworld.muon import COEFFICIENTS, Muon, orthogonal

SHAPES = [(8, 8), (8, 8), (20, 8), (8, 20)]


def matrices(seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator) for shape in SHAPES]


def test_updates_are_those_of_torch_within_its_bf16() -> None:
    ours = [torch.nn.Parameter(matrix) for matrix in matrices(0)]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    mine = Muon(ours, lr=0.02)
    stock = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.0)
    for step in range(1, 5):
        for a, b, gradient in zip(ours, theirs, matrices(step), strict=True):
            a.grad, b.grad = gradient.clone(), gradient.clone()
        mine.step()
        stock.step()
    for a, b, start in zip(ours, theirs, matrices(0), strict=True):
        moved = (b.detach() - start).norm()
        # 8 bits of mantissa in each of 15 products of an update
        assert (a.detach() - b.detach()).norm() <= 15 * 2**-8 * moved


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_the_iteration_is_that_of_float64(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    x = matrix.double() / matrix.double().norm()
    x = x if shape[0] <= shape[1] else x.T
    a, b, c = COEFFICIENTS
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    expected = x if shape[0] <= shape[1] else x.T
    torch.testing.assert_close(orthogonal(matrix[None])[0].double(), expected, atol=1e-4, rtol=0)


def test_singular_values_come_near_one() -> None:
    found = torch.linalg.svdvals(orthogonal(torch.stack(matrices(5, scale=1e-3)[:2])))
    assert float(found.min()) > 0.3 and float(found.max()) < 1.3


def test_a_matrix_without_a_gradient_stays() -> None:
    still, moved = (torch.nn.Parameter(matrix) for matrix in matrices(1)[:2])
    moved.grad = torch.ones_like(moved)
    before = still.detach().clone(), moved.detach().clone()
    Muon([still, moved], lr=0.1).step()
    assert torch.equal(still, before[0]) and not torch.equal(moved, before[1])


def test_matrices_of_one_shape_do_not_meet() -> None:
    first, second = matrices(7)[:2]
    together = orthogonal(torch.stack([first, second]))
    alone = orthogonal(first[None])[0]
    torch.testing.assert_close(together[0], alone, atol=1e-5, rtol=0)
