"""Linear-chain random fields by the native kernels: as torch operators, and with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.backends import linear_chain
from recurra.backends.extension import extension
from recurra.backends.linear_chain import Chain
from recurra.backends.threads import use_threads

_native = extension()

_library = torch.library.Library("recurra", "FRAGMENT")
_CHAIN = "Tensor emissions, Tensor lengths, Tensor transitions, Tensor start, Tensor end"
_library.define(f"chain_values({_CHAIN}, Tensor? gold) -> Tensor")
_library.define(f"chain_gradient({_CHAIN}, Tensor? gold, Tensor? weights) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
_library.define(f"chain_best_paths({_CHAIN}, int paths) -> (Tensor, Tensor)")

Made = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Values [B], and the gradients of emissions, transitions, start and end."""


def values(chain: Chain, gold: Tensor | None, *, summed: bool) -> Tensor:
    """As `linear_chain.values`, or their sum; float32 or float64."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in chain):
        found: Tensor = _Values.apply(*chain, gold, summed)
        return found
    found = torch.ops.recurra.chain_values(*chain, gold)
    return found.sum() if summed else found


def marginals(chain: Chain) -> Tensor:
    """As `linear_chain.marginals`."""
    with torch.no_grad():
        found: Tensor = torch.ops.recurra.chain_gradient(*chain, None, None)[1]
    return found


def best_paths(chain: Chain, paths: int) -> tuple[Tensor, Tensor]:
    """As `linear_chain.best_paths`."""
    found: tuple[Tensor, Tensor] = torch.ops.recurra.chain_best_paths(*chain, paths)
    return found


class _Values(torch.autograd.Function):
    """The gradient of a sum of values is computed with them, by one way back, and only scaled going backward.

    Values that are not summed have a gradient of their own each, known going backward alone: the forward algorithm then
    runs again. Gradients of gradients go through the reference.
    """

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor,
        gold: Tensor | None, summed: bool,
    ) -> Tensor:  # fmt: skip
        tensors = (emissions, lengths, transitions, start, end, gold)
        ctx.save_for_backward(*tensors)
        ctx.gradients = None
        if not summed:
            each: Tensor = torch.ops.recurra.chain_values(*tensors)
            return each
        found, *ctx.gradients = torch.ops.recurra.chain_gradient(*tensors, None)
        return found.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *chain, gold = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[k] for k in (0, 2, 3, 4)]
        made, ctx.gradients = ctx.gradients, None
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            found = _differentiable(Chain(*chain), gold, gradient, wanted)
        elif made is None:
            weights = gradient.expand(chain[0].shape[1])
            _, *found = torch.ops.recurra.chain_gradient(*chain, gold, weights)
        else:
            found = [each.mul_(gradient) for each in made]
        emissions, *scores = [each if need else None for each, need in zip(found, wanted, strict=True)]
        return (emissions, None, *scores, None, None)


def _differentiable(chain: Chain, gold: Tensor | None, gradient: Tensor, wanted: list[bool]) -> list[Tensor | None]:
    found = linear_chain.values(chain, gold, summed=False)
    floats = (chain.emissions, chain.transitions, chain.start, chain.end)
    inputs = [t for t, need in zip(floats, wanted, strict=True) if need]
    gradients = iter(torch.autograd.grad(found, inputs, gradient.expand(found.shape), create_graph=True))
    return [next(gradients) if need else None for need in wanted]


def _values(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, gold: Tensor | None
) -> Tensor:
    found = emissions.new_empty(emissions.shape[1])
    _compute(Chain(emissions, lengths, transitions, start, end), gold, None, found, None, None)
    return found


def _gradient(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, gold: Tensor | None,
    weights: Tensor | None,
) -> Made:  # fmt: skip
    chain = Chain(emissions, lengths, transitions, start, end)
    found, d_emissions, d_transitions = _made(chain)[:3]
    _compute(chain, gold, weights, found, d_emissions, d_transitions)
    steps, batch, tags = emissions.shape
    last = (lengths - 1) * batch + torch.arange(batch)
    d_end = d_emissions.view(steps * batch, tags).index_select(0, last).sum(0)
    return found, d_emissions, d_transitions, d_emissions[0].sum(0), d_end


def _compute(chain: Chain, *tensors: Tensor | None) -> None:
    """`tensors`: gold, weights; values, and the gradients of emissions and transitions."""
    given = [t.contiguous() for t in chain]
    rest = [None if t is None else t.contiguous() for t in tensors]
    use_threads(_native)
    _native.chain_loss(
        chain.emissions.dtype is torch.float64, *chain.emissions.shape, [t.data_ptr() for t in given],
        [0 if t is None else t.data_ptr() for t in rest],
    )  # fmt: skip


def _best_paths(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, paths: int
) -> tuple[Tensor, Tensor]:
    given = [t.contiguous() for t in (emissions, lengths, transitions, start, end)]
    tags, scores = _best_paths_fake(emissions, lengths, transitions, start, end, paths)
    use_threads(_native)
    _native.best_paths(*emissions.shape, [t.data_ptr() for t in given], paths, tags.data_ptr(), scores.data_ptr())
    return tags, scores


def _made(chain: Chain) -> Made:
    emissions, _, *scores = chain
    gradients = [t.new_empty(t.shape) for t in (emissions, *scores)]  # contiguous, whatever t is
    return emissions.new_empty(emissions.shape[1]), *gradients  # type: ignore[return-value]


def _values_fake(emissions: Tensor, *_: Any) -> Tensor:
    return emissions.new_empty(emissions.shape[1])


def _gradient_fake(*given: Any) -> Made:
    return _made(Chain(*given[:5]))


def _best_paths_fake(emissions: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    paths = rest[-1]
    shape = emissions.shape[:2]
    return (
        emissions.new_empty((paths, *shape), dtype=torch.int64),
        emissions.new_empty((paths, shape[1]), dtype=torch.float64),
    )


_library.impl("chain_values", _values, "CPU")
_library.impl("chain_values", _values_fake, "Meta")
_library.impl("chain_gradient", _gradient, "CPU")
_library.impl("chain_gradient", _gradient_fake, "Meta")
_library.impl("chain_best_paths", _best_paths, "CPU")
_library.impl("chain_best_paths", _best_paths_fake, "Meta")
