"""How far a run of an example is from the oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from eager import evaluate
from random_cells import Example
from torch import Tensor

from recurra.backends import reference
from recurra.backends.call import Call, Layout


def layout_of(lengths: Sequence[int]) -> Layout:
    return Layout([sum(n > t for n in lengths) for t in range(max(lengths, default=0))], len(lengths))


def run_reference(example: Example, tensors: dict[tuple[str, str], Tensor], gradient: str) -> tuple[Tensor, ...]:
    call = Call(example.cell, example.form, layout_of(example.lengths), example.reverse, tuple(tensors))
    return reference.run(call, list(tensors.values()), gradient)


def truth(example: Example) -> tuple[list[Tensor], list[Tensor]]:
    """Results (output, final states) and gradients of what is wanted, by the oracle."""
    tensors = leaves(example)
    args = (example.cell, example.form, example.lengths, example.reverse, tensors, example.masks)
    return with_gradients(example, tensors, evaluate(*args))


def found(example: Example, gradient: str) -> tuple[list[Tensor], list[Tensor]]:
    """The same by the reference backend."""
    tensors = leaves(example)
    return with_gradients(example, tensors, run_reference(example, tensors, gradient))


def worst_error(example: Example, gradients: Sequence[str] = ("derived", "autograd")) -> float | None:
    """The largest error of results and gradients, relative to the largest number of the tensor (or 0.01).

    None where the cell blows up (a state squared at each step): rounding then decides.
    """
    expected = truth(example)
    if not torch.cat([t.flatten() for group in expected for t in group]).abs().max() < 1e4:
        return None
    return max(
        error(b, a)
        for gradient in gradients
        for mine, theirs in zip(found(example, gradient), expected, strict=True)
        for a, b in zip(theirs, mine, strict=True)
    )


def error(value: Tensor, expected: Tensor) -> float:
    if not expected.numel():
        return 0.0
    assert value.shape == expected.shape, (value.shape, expected.shape)
    difference = ((value - expected).abs().max() / expected.abs().max().clamp(min=0.01)).item()
    return difference if difference == difference else float("inf")


def leaves(example: Example) -> dict[tuple[str, str], Tensor]:
    return {key: t.clone().requires_grad_(key in example.wanted) for key, t in example.tensors.items()}


def with_gradients(
    example: Example, tensors: dict[tuple[str, str], Tensor], results: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(example.seed)
    loss = torch.zeros((), dtype=torch.float64)
    for k, result in enumerate(results):
        weight = torch.randn(result.shape, generator=generator, dtype=torch.float64)
        if k in example.read:
            loss = loss + (weight * result).sum()
    wanted = [tensors[key] for key in tensors if key in example.wanted]
    if not loss.requires_grad:
        return [r.detach() for r in results], [torch.zeros_like(t) for t in wanted]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    filled = [torch.zeros_like(t) if g is None else g for g, t in zip(gradients, wanted, strict=True)]
    return [r.detach() for r in results], filled
