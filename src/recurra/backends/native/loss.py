"""The output layer with its cross-entropy, by the native kernels: as torch operators, and with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from recurra.backends.extension import extension
from recurra.backends.plain import apply, is_plain, laid_out
from recurra.backends.threads import use_threads
from recurra.errors import DataError

_native = extension()

_library = torch.library.Library("recurra", "FRAGMENT")
_ARGUMENTS = "Tensor features, Tensor weight, Tensor? bias, Tensor targets, int ignore_index, float label_smoothing"
_library.define(f"linear_cross_entropy({_ARGUMENTS}) -> Tensor")
_library.define(
    f"linear_cross_entropy_gradient({_ARGUMENTS}, Tensor? row_weights, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)

Made = tuple[Tensor, Tensor, Tensor, Tensor]
"""Losses [N], and the gradients of features, weight and bias, empty where they are not wanted."""


def check_targets(targets: Tensor, classes: int, ignore_index: int) -> None:
    """Raise DataError unless all targets, without those ignored, are classes."""
    wrong = (targets != ignore_index) & ((targets < 0) | (targets >= classes))
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise DataError(
            f"targets: expected 0 to {classes - 1}, or {ignore_index} to ignore, got {int(targets[row])} in row {row}"
        )


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    ignore_index: int,
    label_smoothing: float,
    divisor: float | None,
) -> Tensor:
    """Losses in nats, [N], or with a divisor their sum divided by it; the other arguments are those of
    `recurra.layers.softmax.linear_cross_entropy`.

    Types other than float32 and float64 are computed in float32. Under autocast values are rounded to its type first
    and the losses are float32, as those of torch.
    """
    given = [features, weight] if bias is None else [features, weight, bias]
    dtype = features.dtype
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        given = [t if t.dtype is torch.float64 else t.to(low).float() for t in given]
        dtype = given[0].dtype
    elif dtype not in (torch.float32, torch.float64):
        given = [t.float() for t in given]
    with torch.autocast("cpu", enabled=False):
        tensors = (*given, None)[:3]
        if torch.is_grad_enabled() and any(t.requires_grad for t in given):
            options = ignore_index, label_smoothing, divisor
            losses: Tensor = apply(_LinearCrossEntropy, is_plain((*given, targets)), *tensors, targets, *options)
        else:
            losses = torch.ops.recurra.linear_cross_entropy(*tensors, targets, ignore_index, label_smoothing)
            losses = losses if divisor is None else losses.sum() / divisor
        return losses.to(dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient of summed losses is computed with them, while logits are at hand, and divided as they are: the
    weight's is as large as the weight, and one more pass over it takes 1 % of an update.

    Losses that are not summed have a gradient of their own each, known going backward alone: logits are then computed
    again, as they are where summed losses are differentiated a second time.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor,
        ignore_index: int, label_smoothing: float, divisor: float | None,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(features, weight, bias, targets)
        ctx.options, ctx.divisor = (ignore_index, label_smoothing), divisor
        ctx.gradients = None
        tensors = (features, weight, bias, targets)
        if divisor is None:
            each: Tensor = torch.ops.recurra.linear_cross_entropy(*tensors, *ctx.options)
            return each
        shares = None if divisor == 1 else features.new_full(targets.shape, 1 / divisor)
        plain = is_plain(tensor for tensor in tensors if tensor is not None)
        gradient = _gradient if plain else torch.ops.recurra.linear_cross_entropy_gradient
        losses, *ctx.gradients = gradient(*tensors, ignore_index, label_smoothing, shares, ctx.needs_input_grad[:3])
        return losses.sum() / divisor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, targets = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        made, ctx.gradients = ctx.gradients, None
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            found = _differentiable(features, weight, bias, targets, ctx.options, gradient / (ctx.divisor or 1), wanted)
        elif made is None:
            rows = (gradient / (ctx.divisor or 1)).expand(targets.shape)
            _, *found = torch.ops.recurra.linear_cross_entropy_gradient(
                features, weight, bias, targets, *ctx.options, rows, wanted
            )
        else:
            as_they_are = is_plain((gradient,)) and gradient == 1  # what only traces cannot look at the number
            found = made if as_they_are else [each.mul_(gradient) for each in made]
        gradients = [each if need else None for each, need in zip(found, wanted, strict=True)]
        return (*gradients, None, None, None, None)


def _differentiable(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, options: tuple[int, float],
    gradient: Tensor, wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    ignore_index, label_smoothing = options
    losses = cross_entropy(
        linear(features, weight, bias), targets, ignore_index=ignore_index, label_smoothing=label_smoothing,
        reduction="none",
    )  # fmt: skip
    inputs = [t for t, need in zip((features, weight, bias), wanted, strict=True) if need and t is not None]
    found = iter(torch.autograd.grad(losses, inputs, gradient.expand(losses.shape), create_graph=True))
    return [next(found) if need else None for need in wanted]


def _losses(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, ignore_index: int, label_smoothing: float
) -> Tensor:
    nothing = (False, False, False)
    return _gradient(features, weight, bias, targets, ignore_index, label_smoothing, None, nothing)[0]


def _gradient(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, ignore_index: int, label_smoothing: float,
    row_weights: Tensor | None, wanted: Sequence[bool],
) -> Made:  # fmt: skip
    """Only rows that are not ignored reach the kernels."""
    if _all_count(targets, len(weight), ignore_index):
        return _compute(features, weight, bias, targets, label_smoothing, row_weights, wanted)
    check_targets(targets, len(weight), ignore_index)
    rows = (targets != ignore_index).nonzero().squeeze(1)
    of_rows = None if row_weights is None else row_weights[rows]
    some, d_some, d_weight, d_bias = _compute(
        features[rows], weight, bias, targets[rows], label_smoothing, of_rows, wanted
    )
    losses = features.new_zeros(len(features)).index_copy_(0, rows, some)
    d_features = torch.zeros_like(features).index_copy_(0, rows, d_some) if wanted[0] else d_some
    return losses, d_features, d_weight, d_bias


def _all_count(targets: Tensor, classes: int, ignore_index: int) -> bool:
    """Whether all targets are classes, and none is ignored."""
    if len(targets) == 0:
        return True
    lowest, highest = map(int, targets.aminmax())
    return lowest >= 0 and highest < classes and not lowest <= ignore_index <= highest


def _compute(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float,
    row_weights: Tensor | None, wanted: Sequence[bool],
) -> Made:  # fmt: skip
    made = _made(features, weight, wanted)
    if len(targets) == 0:
        return tuple(each.zero_() for each in made)  # type: ignore[return-value]
    given = [None if t is None else laid_out(t) for t in (features, weight, bias, targets, row_weights)]
    pointers = [0 if t is None or t.numel() == 0 else t.data_ptr() for t in (*given, *made)]
    use_threads(_native)
    _native.cross_entropy(features.dtype is torch.float64, *features.shape, len(weight), pointers, label_smoothing)
    return made


def _made(features: Tensor, weight: Tensor, wanted: Sequence[bool]) -> Made:
    def make(like: Tensor, *shape: int, want: bool) -> Tensor:
        return like.new_empty(shape if want else 0)

    return (
        make(features, len(features), want=True),
        make(features, *features.shape, want=wanted[0]),
        make(weight, *weight.shape, want=wanted[1]),
        make(weight, len(weight), want=wanted[2]),
    )


def _losses_fake(features: Tensor, *_: Any) -> Tensor:
    return features.new_empty(len(features))


def _gradient_fake(features: Tensor, weight: Tensor, *rest: Any) -> Made:
    return _made(features, weight, rest[-1])


_library.impl("linear_cross_entropy", _losses, "CPU")
_library.impl("linear_cross_entropy", _losses_fake, "Meta")
_library.impl("linear_cross_entropy_gradient", _gradient, "CPU")
_library.impl("linear_cross_entropy_gradient", _gradient_fake, "Meta")
