"""The oracle: a cell's own function called on tensors, one sequence at a time, step by step, in a plain loop.

Nothing of `trace`, `derive` or `plan` is used. The function runs as it stands, with torch's functions in the place of
recurra's; zoneout and recurrent dropout are applied here by their definitions. Autograd gives the gradients.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra import equations
from recurra.equations import Cell, Form
from recurra.equations.graph import Rate

Masks = Mapping[int, Tensor]


class Value:
    """A tensor with the face of a symbol or a weight: [W] a row, [] a number, [R, C] a matrix.

    `recurrent` tells whether it depends on a state, `pieces` what it was concatenated from, `masks` holds recurrent
    dropout's mask for each width.
    """

    def __init__(self, tensor: Tensor, of: Sequence[Value] = (), *, masks: Masks | None = None) -> None:
        self.tensor = tensor
        self.recurrent = any(value.recurrent for value in of)
        self.masks: Masks = masks or next((value.masks for value in of if value.masks), {})
        self.pieces: Sequence[Value] = ()

    @property
    def size(self) -> int:
        return self.tensor.numel()

    def __getitem__(self, rows: int) -> Value:
        assert self.tensor.shape[0] == rows
        return self

    def __matmul__(self, other: Value) -> Value:
        parts = [piece.dropped() for piece in other.pieces or (other,)]
        return Value(self.tensor @ torch.cat(parts), [other])

    def dropped(self) -> Tensor:
        return self.tensor * self.masks[self.size] if self.recurrent and self.masks else self.tensor

    def __neg__(self) -> Value:
        return Value(-self.tensor, [self])

    def __pow__(self, power: int) -> Value:
        return Value(self.tensor**power, [self])

    def __add__(self, other: Any) -> Value:
        return _apply(operator.add, self, other)

    def __radd__(self, other: Any) -> Value:
        return _apply(operator.add, other, self)

    def __sub__(self, other: Any) -> Value:
        return _apply(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Value:
        return _apply(operator.sub, other, self)

    def __mul__(self, other: Any) -> Value:
        return _apply(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Value:
        return _apply(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Value:
        return _apply(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return _apply(operator.truediv, other, self)


class Weights:
    """`p`: the weights as values, by attribute."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def __getattr__(self, name: str) -> Value:
        return Value(self._weights[name])


def _apply(function: Callable[..., Tensor], *operands: Any) -> Value:
    like = next(v.tensor for v in operands if isinstance(v, Value))
    tensors = [v.tensor if isinstance(v, Value) else torch.as_tensor(v, dtype=like.dtype) for v in operands]
    return Value(function(*tensors), [v for v in operands if isinstance(v, Value)])


def _lifted(function: Callable[..., Tensor]) -> Callable[..., Value]:
    return lambda *operands: _apply(function, *operands)


def _split(value: Value, names: str | int) -> list[Value]:
    count = len(names.split()) if isinstance(names, str) else names
    return [Value(part, [value]) for part in value.tensor.reshape(count, -1).unbind()]


def _concat(*values: Value) -> Value:
    whole = Value(torch.cat([v.tensor for v in values]), values)
    whole.pieces = [piece for v in values for piece in v.pieces or (v,)]
    return whole


def _layer_norm(value: Value, gain: Value | None = None, bias: Value | None = None, *, eps: float = 1e-5) -> Value:
    normal = Value(functional.layer_norm(value.tensor, value.tensor.shape, eps=eps), [value])
    normal = normal if gain is None else normal * gain
    return normal if bias is None else normal + bias


TORCH: dict[Any, Callable[..., Any]] = {
    equations.tanh: _lifted(torch.tanh),
    equations.sigmoid: _lifted(torch.sigmoid),
    equations.relu: _lifted(torch.relu),
    equations.exp: _lifted(torch.exp),
    equations.log: _lifted(torch.log),
    equations.logsigmoid: _lifted(functional.logsigmoid),
    equations.softplus: _lifted(lambda v: torch.logaddexp(v, torch.zeros_like(v))),  # torch's own is linear above 20
    equations.silu: _lifted(functional.silu),
    equations.sqrt: _lifted(torch.sqrt),
    equations.rsqrt: _lifted(torch.rsqrt),
    equations.absolute: _lifted(torch.abs),
    equations.maximum: _lifted(torch.maximum),
    equations.minimum: _lifted(torch.minimum),
    equations.stop_gradient: _lifted(torch.detach),
    equations.row_sum: _lifted(torch.sum),
    equations.scalar: lambda weight: weight,
    equations.split: _split,
    equations.concat: _concat,
    equations.layer_norm: _layer_norm,
}


def eager(item: Any) -> Any:
    """`item` with torch's functions in the place of recurra's, in functions and what they refer to by name."""
    if isinstance(item, dict):
        return {key: eager(value) for key, value in item.items()}
    if not isinstance(item, types.FunctionType):
        return item
    if item in TORCH:
        return TORCH[item]
    names = {*item.__code__.co_names}
    scope = {key: eager(value) for key, value in item.__globals__.items() if key in names}
    closure = tuple(types.CellType(eager(c.cell_contents)) for c in item.__closure__ or ())
    copy = types.FunctionType(
        item.__code__, {**item.__globals__, **scope}, item.__name__, eager(item.__defaults__), closure or None
    )
    copy.__kwdefaults__ = eager(item.__kwdefaults__)
    return copy


def evaluate(
    cell: Cell,
    form: Form,
    lengths: Sequence[int],
    reverse: bool,
    tensors: Mapping[tuple[str, str], Tensor],
    masks: Masks | None = None,
) -> tuple[Tensor, ...]:
    """The packed outputs [N, W] and the final states [B, W].

    Inputs are packed [N, W] per step and [B, W] per sequence. `masks` holds recurrent dropout's [B, W] by width.
    """
    active = [sum(n > t for n in lengths) for t in range(max(lengths, default=0))]
    first = [sum(active[:t]) for t in range(len(active))]
    outputs: list[Tensor] = [torch.empty(0)] * sum(active)
    finals: list[list[Tensor]] = []
    step = eager(cell.function)
    for row, length in enumerate(lengths):
        kept = {width: mask[row] for width, mask in (masks or {}).items()}
        states = {name: tensors["state", name][row] for name in cell.states}
        for t in reversed(range(length)) if reverse else range(length):
            outputs[first[t] + row], states = _step(step, cell, form, tensors, states, row, first[t] + row, kept)
        finals.append([states[name] for name in cell.states])
    stacked = [torch.stack(group) for group in zip(*finals, strict=True)]
    return (torch.stack(outputs) if outputs else torch.empty(0), *stacked)


def _step(
    function: Callable[..., Mapping[str, Value]],
    cell: Cell,
    form: Form,
    tensors: Mapping[tuple[str, str], Tensor],
    old: Mapping[str, Tensor],
    row: int,
    packed_row: int,
    masks: Masks,
) -> tuple[Tensor, dict[str, Tensor]]:
    states = [Value(old[name], masks=masks) for name in cell.states]
    for state in states:
        state.recurrent = True
    inputs = {"x": Value(tensors["input", "x"][packed_row])}
    for name, width, rate in form.inputs:
        value = tensors["input", name][packed_row if rate is Rate.STEP else row]
        inputs[name] = Value(value if width is not None else value.reshape(()))
    weights = Weights({name: tensor for (kind, name), tensor in tensors.items() if kind == "weight"})
    options = eager(cell.check_options(dict(form.options)))
    returned = function(inputs.pop("x"), *states, weights, **inputs, **options)
    returned = {name: value.tensor for name, value in returned.items()}
    for name, rate in form.zoneout:
        keep = tensors["input", f"zoneout.{name}"][packed_row] if form.training else 1.0 - rate
        returned[name] = old[name] + keep * (returned[name] - old[name])
    return next(iter(returned.values())), {name: returned[name] for name in cell.states}
