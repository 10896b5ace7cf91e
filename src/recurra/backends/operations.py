"""Each operation of a graph as a function of torch tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recurra.equations.graph import Node

aten = torch.ops.aten

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "logsigmoid": torch.nn.functional.logsigmoid,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "max": torch.maximum,
    "min": torch.minimum,
    "fma": lambda a, b, c: torch.addcmul(c, a, b),
    "fnma": lambda a, b, c: torch.addcmul(c, a, b, value=-1),
    "stop": torch.detach,
    "dtanh": aten.tanh_backward,
    "dsigmoid": aten.sigmoid_backward,
    "drelu": lambda g, y: aten.threshold_backward(g, y, 0),
    "pick": lambda g, a, b: g * ((a > b).to(g.dtype) + 0.5 * (a == b).to(g.dtype)),
    "sum": lambda a: a.sum(-1, keepdim=True),
    "normalise": lambda a, s: (a - a.mean(-1, keepdim=True)) * s,
    "dnormalise": lambda g, y, s: s * (g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True)),
}


def function_of(node: Node, matrices: list[Tensor]) -> Callable[..., Tensor]:
    """The function that makes `node` from the tensors of its arguments; `matrices` for a product (see `_product`)."""
    if node.op == "product":
        return _product(matrices, node.start is not None)
    if node.op == "slice":
        first, width = node.data
        return lambda a: a.narrow(-1, first, width)
    if node.op == "concat":
        return _concat
    if node.op == "spread":
        width = node.data
        return lambda a: a.expand(*a.shape[:-1], width) if a.dim() else a.expand(width)
    if node.op == "inv_std":
        eps = node.data
        return lambda a: torch.rsqrt((a - a.mean(-1, keepdim=True)).square().mean(-1, keepdim=True) + eps)
    return OPERATIONS[node.op]


def _concat(*parts: Tensor) -> Tensor:
    rows = max((p.shape[0] for p in parts if p.dim() > 1), default=None)
    return torch.cat([p if rows is None or p.dim() > 1 else p.expand(rows, p.shape[0]) for p in parts], dim=-1)


def _product(matrices: list[Tensor], start: bool) -> Callable[..., Tensor]:
    (first, *rest) = matrices
    if start and not rest:
        return lambda a, s: torch.addmm(s, a, first) if a.dim() > 1 else s + a @ first
    if not rest:
        return lambda a: a @ first

    def product(*args: Tensor) -> Tensor:
        total = args[-1] + args[0] @ first if start else args[0] @ first
        for operand, matrix in zip(args[1:], rest, strict=False):
            total = total + operand @ matrix if operand.dim() < 2 else torch.addmm(total, operand, matrix)
        return total

    return product
