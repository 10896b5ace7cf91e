"""Clipping of gradients, by value and by norm."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def clip_gradients(
    parameters: Iterable[nn.Parameter], max_norm: float | None, max_value: float | None
) -> tuple[float, bool]:
    """Clip in place, first by value, then by norm; returns the norm before, and whether anything changed.

    By value, each number is cut at plus and minus `max_value`; by norm, all gradients together are scaled
    down to the Euclidean norm `max_norm` (Pascanu et al. 2013), keeping their direction.
    """
    gradients = [_numbers(parameter) for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    clipped = False
    clipped_norm = norm
    if max_value is not None:
        largest = torch.nn.utils.get_total_norm(gradients, norm_type=float("inf"))
        clipped = bool(largest > max_value)
        if clipped:
            for gradient in gradients:
                gradient.clamp_(-max_value, max_value)
            clipped_norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm is not None and bool(clipped_norm > max_norm):
        for gradient in gradients:
            gradient.mul_(max_norm / clipped_norm)
        clipped = True
    return float(norm), clipped


def _numbers(parameter: nn.Parameter) -> Tensor:
    """The numbers of a parameter's gradient, in place; of a sparse one those of its rows, each made one row first."""
    assert parameter.grad is not None
    if not parameter.grad.is_sparse:
        return parameter.grad
    parameter.grad = parameter.grad.coalesce()
    return parameter.grad.values()
