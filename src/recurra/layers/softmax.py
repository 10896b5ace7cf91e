"""The output layer with its cross-entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from recurra.backends import choose
from recurra.errors import ConfigError, DataError, ShapeError

LOGITS = 1 << 23
"""Logits in memory at a time where torch computes them and no gradient is wanted: 32 MB in float32."""

REDUCTIONS = ("mean", "sum", "none")


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    divisor: float = 1.0,
    backend: str | None = None,
) -> Tensor:
    """`cross_entropy(linear(features, weight, bias), targets)` in nats, on the CPU without the logits of all rows.

    The native backend computes logits a chunk of rows at a time, and from them at once the gradients that are wanted.

    Args:
        targets: classes from 0 to V-1, or `ignore_index` for rows that do not count.
        label_smoothing: s, from 0 to 1: the target counts 1 - s, and each class s / V besides (Szegedy et al. 2016,
            arXiv:1512.00567).
        reduction: "sum", "mean" over the rows that count, or "none".
        divisor: what the sum is divided by, above 0; a sum over tokens that is to be averaged over sequences is
            divided here without another pass over the gradients.
        backend: the backend by name; the fastest available where None.

    Shapes:
        features [N, F], weight [V, F], bias [V], targets [N] (int64) -> a number, or [N] for reduction "none".

    Raises:
        ShapeError: where shapes or types do not fit.
        DataError: for a target that is no class.
        ConfigError: for an option out of range.

    Example:
        >>> features, weight = torch.zeros(3, 4), torch.zeros(8, 4)
        >>> linear_cross_entropy(features, weight, None, torch.tensor([1, -100, 7]), reduction="none")
        tensor([2.0794, 0.0000, 2.0794])
    """
    _check_options(label_smoothing, reduction, divisor)
    _check_shapes(features, weight, bias, targets)
    chosen = choose(backend, features.device.type)
    counted = int((targets != ignore_index).sum()) if reduction == "mean" else 1
    whole = None if reduction == "none" else float(counted or 1) if reduction == "mean" else float(divisor)
    if chosen.name == "native":
        from recurra.backends.native.loss import linear_cross_entropy as native  # needs the extension

        losses = native(
            features, weight, bias, targets, ignore_index=ignore_index, label_smoothing=label_smoothing,
            divisor=whole,
        )  # fmt: skip
    else:
        losses = _by_torch(features, weight, bias, targets, ignore_index, label_smoothing, whole)
    return losses if counted else losses + math.nan  # as torch's, with gradients of zero


def _by_torch(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, ignore_index: int, label_smoothing: float,
    divisor: float | None,
) -> Tensor:  # fmt: skip
    """Without gradients some rows at a time: logits take V / F the memory of the features."""
    rows = max(1, len(targets)) if torch.is_grad_enabled() else max(1, LOGITS // len(weight))
    try:
        parts = [
            cross_entropy(
                linear(some, weight, bias), those, ignore_index=ignore_index, label_smoothing=label_smoothing,
                reduction="none" if divisor is None else "sum",
            )
            for some, those in zip(features.split(rows), targets.split(rows), strict=True)
        ]  # fmt: skip
    except IndexError as error:
        raise DataError(f"targets: expected 0 to {len(weight) - 1}, or {ignore_index} to ignore; {error}") from None
    return torch.cat(parts) if divisor is None else torch.stack(parts).sum() / divisor


def _check_options(label_smoothing: float, reduction: str, divisor: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ConfigError(f"label_smoothing: expected 0 to 1, got {label_smoothing}")
    if reduction not in REDUCTIONS:
        raise ConfigError(f"reduction: expected {', '.join(REDUCTIONS)}, got {reduction!r}")
    if not 0 < divisor < math.inf or (divisor != 1 and reduction != "sum"):
        raise ConfigError(
            f"divisor: expected a number above 0, beside reduction 'sum', got {divisor} and {reduction!r}"
        )


def _check_shapes(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> None:
    if features.dim() != 2:
        raise ShapeError(f"features: expected [N, F], got {list(features.shape)}")
    rows, width = features.shape
    if weight.dim() != 2 or weight.shape[1] != width or len(weight) == 0:
        raise ShapeError(f"weight: expected [V, {width}] as the features, got {list(weight.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias: expected [{len(weight)}] as the weight, got {list(bias.shape)}")
    if targets.shape != (rows,) or targets.dtype != torch.int64:
        raise ShapeError(f"targets: expected [{rows}] of int64, got {list(targets.shape)} of {targets.dtype}")
    types = {t.dtype for t in (features, weight, bias) if t is not None}
    if len(types) > 1 and not torch.is_autocast_enabled(features.device.type):
        got = ", ".join(sorted(str(t) for t in types))
        raise ShapeError(f"features, weight and bias: expected one type, got {got}; convert with x.to(...)")
