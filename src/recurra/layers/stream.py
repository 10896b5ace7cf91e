"""A recurrent stack one step at a time, with the state kept inside: nothing of Python between its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._C._dynamo import guards

from recurra.backends import choose
from recurra.backends.extension import extension
from recurra.backends.threads import use_threads
from recurra.errors import BackendError, ConfigError, ShapeError
from recurra.layers.stack import Stack, States
from recurra.layers.tracked import Tracked, Weight

if TYPE_CHECKING:
    from recurra.layers.parameters import Parameters

DTYPES = (torch.float32, torch.float64)


def _find_empty() -> Callable[[Sequence[int], Sequence[int], torch.dtype], Tensor]:
    """What makes a tensor from its shape, its strides and its type: the fastest that this torch has."""
    return getattr(guards, "_empty_strided_cpu", None) or (
        lambda shape, strides, dtype: torch.empty_strided(shape, strides, dtype=dtype, device="cpu")
    )


empty_strided = _find_empty()


def as_it_is(state: Any) -> Any:
    """The state of a module whose form is a list with a dict for each layer."""
    return state


class StreamBase:
    """What streams of layers and of models share: sequences that come and go, their states, the weights.

    Weights are read where they lie, in the memory of the module's parameters: whatever changes them, the next step
    sees it. Copies rounded to bf16 or int8, and copies of parameters that are not contiguous, are made again when
    torch counts a change of a parameter, or one is replaced or moved; writes through `.data` are not counted, so
    after them call `refresh`. A module converted to another type takes the stream with it. What a step computes is
    what the module in evaluation mode does, and has no gradient.

    A sequence's results are, to the bit, those it would have in a stream of its own: how many others there are, and
    when they come and go, changes nothing.
    """

    def __init__(
        self,
        stack: Stack,
        tracked: Sequence[Weight],
        batch: int,
        weights: str | None,
        *,
        vocabulary: int = 0,
        opened: Callable[[Any], Sequence[States]] = as_it_is,
        closed: Callable[[list[States]], Any] = as_it_is,
    ) -> None:
        _check_stream(stack, batch, weights)
        self._opened, self._closed = opened, closed  # between the module's own form of a state and a list of dicts
        self.stack, self.weights, self.vocabulary = stack, weights, vocabulary
        self._listed = list(tracked)
        self._extension = extension()
        self.batch = 0
        self._open()
        self.join(batch)

    def _open_network(self, dtype: torch.dtype) -> tuple[Any, list[int]]:
        """The network of the extension, and how many weights each of its layers has."""
        raise NotImplementedError

    def _weights_came(self) -> None:
        """Called when weights have come or changed."""

    def _open(self) -> None:
        self.dtype = Tracked.dtype_of(self._listed)
        if self.dtype not in DTYPES or (self.weights and self.dtype is torch.float64):
            types = "float32" if self.weights else "float32 or float64"
            raise ConfigError(f"stream: expected weights of {types}, got {self.dtype}; convert the module")
        self._network, counts = self._open_network(self.dtype)
        self._numbers = [(layer, index) for layer, count in enumerate(counts) for index in range(count)]
        self._tracked = Tracked(self._listed, self._place)
        self.refresh()

    def _place(self, number: int, addresses: list[int]) -> None:
        if number < len(self._numbers):
            self._network.set_weight(*self._numbers[number], addresses)
        else:
            self._network.set_embedding(addresses[0])

    def renew(self) -> None:
        """Before each call: see that weights are where, and what, they were."""
        tracked = self._tracked
        if not tracked.fresh():
            if Tracked.dtype_of(self._listed) is not self.dtype:
                self._convert()
            else:
                tracked.load()
                self.refresh()
        elif self._copies and tracked.changed():
            if tracked.copied:
                tracked.load()
            self.refresh()
        use_threads(self._extension)

    def refresh(self) -> None:
        """Make rounded copies of the weights again: needed only after writes through `.data`, which torch hides."""
        self._copies = self.weights is not None or self._tracked.copied
        self._tracked.mark()
        if self._tracked.copied:
            self._tracked.load()
        if self.weights is not None:
            self._network.convert()
        self._weights_came()

    def _convert(self) -> None:
        """The module has another type now: so has the stream, its states included."""
        state, rows, self.batch = self._read(0, self.batch), self.batch, 0
        self._open()
        self.join(rows)
        self._write([{name: value.to(self.dtype) for name, value in each.items()} for each in state], 0, rows)

    # Sequences

    def join(self, n: int = 1, state: Any = None) -> range:
        """Let n sequences join, behind those that are there, with their state or with zeros; gives their row numbers.

        Raises:
            ConfigError: for an n below 1; ShapeError for a state that is not of n sequences.
        """
        if type(n) is not int or n < 1:
            raise ConfigError(f"join: expected n of at least 1, got {n!r}")
        given = None if state is None else self._checked(state, n)
        self._network.join(n)
        rows = range(self.batch, self.batch + n)
        self.batch += n
        if given is not None:
            self._write(given, rows.start, n)
        self._batch_changed()
        return rows

    def leave(self, rows: int | Iterable[int]) -> None:
        """Let sequences leave; those behind them move up.

        Raises:
            ShapeError: for rows that are not there, or named twice.
        """
        found = self._checked_rows(rows)
        self._network.leave(found)
        self.batch -= len(found)
        self._batch_changed()

    def reset(self, rows: int | Iterable[int] | None = None) -> None:
        """Set the state of some sequences, or of all, to zeros."""
        self._network.reset(list(range(self.batch)) if rows is None else self._checked_rows(rows))

    @property
    def state(self) -> Any:
        """A copy of the state, in the module's own form; assigning one copies it in."""
        return self._closed(self._read(0, self.batch))

    @state.setter
    def state(self, state: Any) -> None:
        self._write(self._checked(state, self.batch), 0, self.batch)

    def _batch_changed(self) -> None:
        """Called when sequences have come or gone."""

    def _checked(self, state: Any, rows: int) -> Sequence[States]:
        opened = self._opened(state)
        self.stack.check_state(opened, rows, torch.empty(0, dtype=self.dtype))
        return opened

    def _checked_rows(self, rows: int | Iterable[int]) -> list[int]:
        given = [rows] if isinstance(rows, int) else list(rows)
        found = sorted({int(row) for row in given})
        if len(found) != len(given) or (found and not 0 <= found[0] <= found[-1] < self.batch):
            raise ShapeError(f"rows: expected numbers from 0 to {self.batch - 1}, each once, got {given}")
        return found

    def _read(self, first: int, rows: int) -> list[States]:
        state = []
        for layer in range(self.stack.num_layers):
            shapes = self.stack.state_shapes(layer, rows)
            state.append({name: torch.empty(shape, dtype=self.dtype) for name, shape in shapes.items()})
            for index, name in enumerate(self.stack.cell.states):
                self._network.read_state(layer, index, first, rows, state[-1][name].data_ptr())
        return state

    def _write(self, state: Sequence[States], first: int, rows: int) -> None:
        for layer, values in enumerate(state):
            for index, name in enumerate(self.stack.cell.states):
                value = values[name].detach().contiguous()
                self._network.write_state(layer, index, first, rows, value.data_ptr())


class LayerStream(StreamBase):
    """A recurrent layer, or stack of layers, one step at a time. `layer.stream()` makes it.

    Example:
        >>> import torch
        >>> from recurra.layers.recurrent import Recurrent
        >>> stream = Recurrent("gru", 8, 16).stream(batch=2)
        >>> stream.step(torch.randn(2, 8)).shape
        torch.Size([2, 16])
        >>> stream.join()
        range(2, 3)
        >>> stream.step(torch.randn(3, 8)).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        module: nn.Module,
        held: Parameters,
        batch: int,
        weights: str | None,
        opened: Callable[[Any], Sequence[States]] = as_it_is,
        closed: Callable[[list[States]], Any] = as_it_is,
    ) -> None:
        self._inputs = held.stack.cell.inputs
        super().__init__(held.stack, stack_weights(module, held), batch, weights, opened=opened, closed=closed)

    def _open_network(self, dtype: torch.dtype) -> tuple[Any, list[int]]:
        from recurra.backends.native.stepping import open_network

        plans, output = stack_plans(self.stack)
        doubles = dtype is torch.float64
        network = open_network(plans, output, doubles=doubles, input_width=self.stack.input_size, narrow=self.weights)
        return network, [len(plan.weights) for plan in plans]

    def _batch_changed(self) -> None:
        self._x_shape = (self.batch, self.stack.input_size)
        width = self.stack.output_size
        self._output = (self.batch, width), (width, 1), self.dtype
        doubles, watch = self.dtype is torch.float64, self._tracked.watch
        self._quick = self._extension.QuickStep(
            self._network, watch, doubles, *self._x_shape, empty_strided, self._output
        )

    def step(self, x: Tensor, **inputs: Tensor) -> Tensor:
        """One step of every sequence.

        Args:
            x: [B, I]
            inputs: the cell's further inputs, [B, W], or [B] for one that is a number.

        Returns:
            The output [B, F].

        Raises:
            ShapeError: where x or an input has not the shape, or the type, that the layer reads.
        """
        if not (inputs or self._inputs):
            use_threads(self._extension)
            found: Tensor | None = self._quick(x, self._copies)
            if found is not None:
                return found
        self.renew()
        if not isinstance(x, Tensor) or x.shape != self._x_shape or x.dtype is not self.dtype or not x.is_cpu:
            raise _wrong("x", x, self._x_shape, self.dtype)
        further = self._further(inputs) if inputs or self._inputs else ()
        x = x if x.is_contiguous() else x.contiguous()
        output = empty_strided(*self._output)
        self._network.step(self.batch, x.data_ptr(), [value.data_ptr() for value in further], output.data_ptr())
        return output

    def step_apart(self, rows: int, x: Tensor, old: Sequence[int], new: Sequence[int], output: Tensor) -> None:
        """One step of `rows` sequences from states at the addresses `old` to such at `new`, layer by layer, all
        contiguous; the caller has checked them."""
        x = x if x.is_contiguous() else x.contiguous()
        self._network.step_apart(rows, x.data_ptr(), old, new, output.data_ptr())

    def _further(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        if set(inputs) != set(self._inputs):
            wanted, got = ", ".join(self._inputs) or "none", ", ".join(inputs) or "none"
            raise ShapeError(f"further inputs of cell '{self.stack.cell.name}': expected {wanted}, got {got}")
        found = []
        for name in self._inputs:
            value, width = inputs[name], self.stack.further_width(0, name)
            shape = (self.batch,) if width is None else (self.batch, width)
            if not isinstance(value, Tensor) or value.shape != shape or value.dtype is not self.dtype:
                raise _wrong(f"input '{name}'", value, shape, self.dtype)
            found.append(value.contiguous())
        return found


def stack_plans(stack: Stack) -> tuple[list[Any], list[tuple[int, int]]]:
    """The plans of a stack's layers, and what its output is put together from."""
    from recurra.backends.native.stepping import cell_plan

    plans = []
    for layer in range(stack.num_layers):
        below = (layer, stack.layer_output_size(layer - 1)) if layer else (0, stack.input_size)
        pieces = [(0, stack.input_size), below] if layer and stack.skip else [below]
        residual = stack.residual and stack.input_size_of(layer) == stack.layer_output_size(layer)
        plan = cell_plan(
            stack.cell, stack.form(layer), list(stack.traced(layer).weights), pieces, residual=residual,
            dilation=stack.dilation[layer],
        )  # fmt: skip
        plans.append(plan)
    layers = range(stack.num_layers) if stack.skip else [stack.num_layers - 1]
    return plans, [(layer + 1, stack.layer_output_size(layer)) for layer in layers]


def stack_weights(module: nn.Module, held: Parameters) -> list[Weight]:
    """The weights of a stack, layer by layer, in the order of `stack_plans`."""
    found = []
    for (layer, _), names in zip(held.stack.runs, held.names, strict=True):
        shapes = held.stack.traced(layer).weights
        found += [Weight(module, tuple(names[weight]), tuple(shape)) for weight, shape in shapes.items()]
    return found


def _check_stream(stack: Stack, batch: int, weights: str | None) -> None:
    if weights not in (None, "bf16", "int8"):
        raise ConfigError(f"weights: expected None, 'bf16' or 'int8', got {weights!r}")
    if type(batch) is not int or batch < 1:
        raise ConfigError(f"batch: expected a whole number of at least 1, got {batch!r}")
    if stack.bidirectional:
        raise ConfigError("stream: expected layers of one direction, got bidirectional=True, which reads the end first")
    chosen = choose(stack.backend, "cpu").name
    if chosen != "native":
        extension()  # raises, with the reason, where it is missing
        raise BackendError(f"stream: expected the backend native, got {chosen}; leave backend and RECURRA_BACKEND out")


def _wrong(name: str, value: Any, shape: Sequence[int], dtype: torch.dtype) -> ShapeError:
    if not isinstance(value, Tensor):
        return ShapeError(f"{name}: expected a tensor, got {type(value).__name__}")
    got = f"{list(value.shape)}, {value.dtype}, {value.device}"
    return ShapeError(f"{name}: expected {list(shape)}, {dtype}, cpu, got {got}")
