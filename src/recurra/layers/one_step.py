"""The short way through a stack for one step of inference: `layer(x, state)` with T=1 and no gradient.

What a batch of sequences needs (packing, plans by layout, autograd, an operator that torch can trace) costs ten times
as much as a small step itself. Where none of it is needed the step engine runs the step, in one call for all layers.
Whatever is not plain, bad input too, takes the long way, which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recurra.backends import choose
from recurra.backends.plain import is_plain
from recurra.layers.stack import Stack, States
from recurra.layers.stream import DTYPES, LayerStream, empty_strided

if TYPE_CHECKING:
    from recurra.layers.parameters import Parameters


class OneStep:
    """The step engine of a module, made when it is first needed; a copy of the module makes its own."""

    def __init__(self, held: Parameters) -> None:
        self._held = held
        self._engine: _Engine | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}

    def run(
        self, module: nn.Module, stack: Stack, x: Any, state: Any, batch_first: bool
    ) -> tuple[Tensor, list[States]] | None:
        """Output [1, B, F] ([B, 1, F] with batch_first) and new state; None where the long way has to be taken."""
        engine = self._find(module, stack, x, batch_first)
        return None if engine is None else engine.run(x, state, x.shape[0 if batch_first else 1])

    def run_stacked(
        self, module: nn.Module, stack: Stack, x: Any, state: Any, batch_first: bool
    ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]] | None:
        """The same with states as torch.nn has them: [layers, B, W], a tuple where there are several."""
        engine = self._find(module, stack, x, batch_first)
        return None if engine is None else engine.run_stacked(x, state, x.shape[0 if batch_first else 1])

    def _find(self, module: nn.Module, stack: Stack, x: Any, batch_first: bool) -> _Engine | None:
        """The engine, where x and the moment are plain."""
        if torch.is_grad_enabled() or module.training or not _is_plain(x):
            return None
        shape = x.shape
        if len(shape) != 3 or shape[2] != stack.input_size or shape[batch_first] != 1:
            return None
        if self._engine is None or self._engine.stack is not stack:
            if choose(stack.backend, "cpu").name != "native" or not _fits(stack):
                return None
            if x.dtype not in DTYPES or self._held.dtype(module) is not x.dtype:
                return None
            self._engine = _Engine(LayerStream(module, self._held, 1, None), stack)
        return self._engine


class _Engine:
    """A stream of which only the network is used, and what is read of the stack at each call."""

    def __init__(self, stream: LayerStream, stack: Stack) -> None:
        self.stream, self.stack = stream, stack
        shapes = [stack.state_shapes(layer, 1) for layer in range(stack.num_layers)]
        self.widths = [(name, shape[-1]) for named in shapes for name, shape in named.items()]
        self.layers, self.names, self.output_size = stack.num_layers, stack.cell.states, stack.output_size
        by_state = [{named[name][-1] for named in shapes} for name in self.names]
        self.stacked = [widths.pop() for widths in by_state if len(widths) == 1]  # as many as states, or none stack

    def run(self, x: Tensor, state: Any, rows: int) -> tuple[Tensor, list[States]] | None:
        self.stream.renew()
        if self.stream.dtype is not x.dtype or not rows:
            return None
        old = self._initial(x, state, rows)
        if old is None:
            return None
        new = [torch.empty_like(value) for value in old]
        output = x.new_empty((*x.shape[:2], self.output_size))
        self.stream.step_apart(
            rows, x, [value.data_ptr() for value in old], [value.data_ptr() for value in new], output
        )
        count = len(self.names)
        return output, [dict(zip(self.names, new[k : k + count], strict=True)) for k in range(0, len(new), count)]

    def run_stacked(self, x: Tensor, state: Any, rows: int) -> tuple[Tensor, Tensor | tuple[Tensor, ...]] | None:
        self.stream.renew()
        if self.stream.dtype is not x.dtype or not rows or len(self.stacked) != len(self.names):
            return None
        shapes = [(self.layers, rows, width) for width in self.stacked]
        if state is None:
            old: Any = [x.new_zeros(shape) for shape in shapes]
        else:
            old = (state,) if type(state) is Tensor else state
            if not isinstance(old, list | tuple) or len(old) != len(shapes):
                return None
            for value, shape in zip(old, shapes, strict=True):
                if type(value) is not Tensor or value.shape != shape or value.dtype is not x.dtype:
                    return None
                if not value.is_cpu or not value.is_contiguous():
                    return None
        new = [empty_strided(shape, (rows * shape[2], shape[2], 1), x.dtype) for shape in shapes]
        width = self.output_size
        output = empty_strided((*x.shape[:2], width), (x.shape[1] * width, width, 1), x.dtype)
        self.stream.step_apart(rows, x, self._addresses(old, rows), self._addresses(new, rows), output)
        return output, new[0] if len(new) == 1 else tuple(new)

    def _addresses(self, states: Sequence[Tensor], rows: int) -> list[int]:
        """Of each layer's rows of states [layers, B, W]."""
        starts = [(value.data_ptr(), rows * value.shape[2] * value.itemsize) for value in states]
        return [start + layer * step for layer in range(self.layers) for start, step in starts]

    def _initial(self, x: Tensor, state: Any, rows: int) -> list[Tensor] | None:
        """The states, layer by layer; None where they are not what the layers read."""
        if state is None:
            return [x.new_zeros(rows, width) for _, width in self.widths]
        if not isinstance(state, list | tuple) or len(state) != self.layers:
            return None
        found = []
        given = [item for each in state for item in each.items()]
        if len(given) != len(self.widths):
            return None
        for (name, value), (expected, width) in zip(given, self.widths, strict=True):
            if name != expected or type(value) is not Tensor or value.shape != (rows, width):
                return None
            if value.dtype is not x.dtype or not value.is_cpu:
                return None
            found.append(value if value.is_contiguous() else value.contiguous())
        return found


def _fits(stack: Stack) -> bool:
    return not stack.bidirectional and max(stack.dilation) == 1 and not stack.cell.inputs


def _is_plain(x: Any) -> bool:
    """Whether x is a tensor of the CPU that nothing of torch's (a tracer, vmap, autocast) watches."""
    return is_plain((x,)) and x.is_cpu and not torch.is_autocast_enabled("cpu")
