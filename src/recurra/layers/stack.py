"""What a stack of recurrent layers is, apart from its weights: a cell, sizes, wrappers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recurra.backends import find_backend
from recurra.cells import CELLS, find_cell
from recurra.config import nearest
from recurra.equations import Cell, Form, Traced
from recurra.equations.graph import Rate
from recurra.equations.plans import traced
from recurra.errors import CellError, ConfigError, ShapeError

States = dict[str, Tensor]


@dataclass(frozen=True)
class Stack:
    """What a recurrent stack is, apart from its weights. See `Recurrent` for the meaning of each field."""

    cell: Cell
    input_size: int
    sizes: tuple[int, ...]
    bidirectional: bool
    dropout: float
    recurrent_dropout: float
    zoneout: tuple[tuple[str, float], ...]
    weight_dropout: float
    residual: bool
    skip: bool
    dilation: tuple[int, ...]
    recompute: bool
    backend: str | None
    options: tuple[tuple[str, Any], ...]

    @cached_property
    def directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @cached_property
    def num_layers(self) -> int:
        """L, the number of layers."""
        return len(self.sizes)

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """(layer, direction) of each run of the cell; weights and states are listed in this order."""
        return [(layer, direction) for layer in range(self.num_layers) for direction in range(self.directions)]

    def input_size_of(self, layer: int) -> int:
        """The width of what layer `layer` reads; with skip connections the stack's input comes with it."""
        if layer == 0:
            return self.input_size
        below = self.layer_output_size(layer - 1)
        return below + self.input_size if self.skip else below

    def layer_output_size(self, layer: int) -> int:
        """The width of what layer `layer` gives, both directions together."""
        width = self.traced(layer).output.width
        assert width is not None
        return self.directions * width

    @property
    def output_size(self) -> int:
        """F, the width of what the stack gives."""
        layers = range(self.num_layers) if self.skip else [self.num_layers - 1]
        return sum(self.layer_output_size(layer) for layer in layers)

    def form(self, layer: int, training: bool = False, rates: Mapping[str, Rate] | None = None) -> Form:
        """What layer `layer` is traced with. `rates` are those of further inputs; sizes do not depend on them."""
        rates = rates or dict.fromkeys(self.cell.inputs, Rate.STEP)
        key = layer, training, *rates.items()
        if key not in self._forms:
            further = tuple((name, self.further_width(layer, name), rate) for name, rate in rates.items())
            masked = training and bool(self.recurrent_dropout or self.zoneout)
            self._forms[key] = Form(
                self.input_size_of(layer), self.sizes[layer], self.options, further, self.zoneout,
                bool(self.recurrent_dropout), masked,
            )  # fmt: skip
        return self._forms[key]

    @cached_property
    def _forms(self) -> dict[tuple[Any, ...], Form]:
        return {}

    def further_width(self, layer: int, name: str) -> int | None:
        """The width of a further input, None for a number."""
        if self.cell.sizes.get(name) == "number":
            return None
        width = self.cell.size(name, self.input_size, self.sizes[layer], dict(self.options))
        if width is None:
            raise CellError(
                f"cell '{self.cell.name}': the size of its further input '{name}' is open; state it in "
                f"@cell(sizes={{'{name}': ...}}): 'number', the name of an option, or a whole number"
            )
        return width

    def traced(self, layer: int) -> Traced:
        """The graph and the weights of layer `layer`."""
        return traced(self.cell, self.form(layer))

    def suffix(self, layer: int, direction: int) -> str:
        """The ending of parameter names, as in torch.nn: `_l1_reverse` for the second layer's backward direction."""
        return f"_l{layer}{'_reverse' if direction else ''}"

    def state_shapes(self, layer: int, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the states of a layer and direction by name: (B, W), or (d, B, W) with dilation d."""
        slots = (self.dilation[layer],) if self.dilation[layer] > 1 else ()
        states = self.traced(layer).graph.states
        return {name: (*slots, batch, leaf.width or 0) for name, (leaf, _) in states.items()}

    def describe(self) -> str:
        """Cell and sizes, and the options that are not at their defaults, on one line."""
        changed = {name: value for name, value in self.options if value != self.cell.options[name]}
        wrappers = (
            "bidirectional",
            "dropout",
            "recurrent_dropout",
            "zoneout",
            "weight_dropout",
            "residual",
            "skip",
            "recompute",
        )
        changed |= {name: getattr(self, name) for name in wrappers if getattr(self, name)}
        changed |= {"zoneout": dict(self.zoneout)} if self.zoneout else {}
        changed |= {"dilation": list(self.dilation)} if max(self.dilation) > 1 else {}
        sizes = " -> ".join(map(str, (self.input_size, *self.sizes)))
        return ", ".join([f"{self.cell.name}, {sizes}", *(f"{name}={value}" for name, value in changed.items())])

    def check(self) -> None:
        """Raise ConfigError where fields contradict each other, or one would change nothing."""
        widths = [(self.input_size_of(k), self.layer_output_size(k)) for k in range(self.num_layers)]
        if self.residual and not any(before == after for before, after in widths):
            raise ConfigError(
                f"residual: expected a layer whose input and output are of one width, got "
                f"{', '.join(f'{a} -> {b}' for a, b in widths)}; make hidden_size equal to the input's"
            )
        if self.skip and self.num_layers == 1:
            raise ConfigError("skip: expected at least 2 layers to connect with input and output, got 1")
        for name in ("recurrent_dropout", "weight_dropout"):
            if getattr(self, name) and not self.traced(0).recurrent_blocks():
                raise ConfigError(
                    f"{name}: cell '{self.cell.name}' multiplies no state by a matrix; use dropout or zoneout"
                )

    def check_state(self, state: Sequence[States], batch: int, like: Tensor) -> None:
        """Raise ShapeError where a state is not one of this stack, of `batch` sequences, of the type of `like`."""
        if not isinstance(state, Sequence) or len(state) != len(self.runs):
            got = len(state) if isinstance(state, Sequence) else type(state).__name__
            raise ShapeError(f"state: expected a list of {len(self.runs)} (one per layer and direction), got {got}")
        for values, (layer, _) in zip(state, self.runs, strict=True):
            shapes = self.state_shapes(layer, batch)
            if set(values) != set(shapes):
                raise ShapeError(f"state: expected {', '.join(shapes)}, got {', '.join(values)}")
            for name, shape in shapes.items():
                value = values[name]
                if not isinstance(value, Tensor) or value.shape != shape:
                    found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                    raise ShapeError(f"state '{name}' of layer {layer}: expected shape {list(shape)}, got {found}")
                if value.dtype != like.dtype and not torch.is_autocast_enabled(like.device.type):
                    raise ShapeError(f"state '{name}' of layer {layer}: expected {like.dtype} as x, got {value.dtype}")


def map_state(function: Callable[[Tensor], Tensor], state: Sequence[States]) -> list[States]:
    """`function` of every tensor of a carried state, as in `map_state(torch.Tensor.detach, state)`."""
    return [{name: function(value) for name, value in states.items()} for states in state]


def check_rates(rates: Mapping[str, float]) -> None:
    """Raise ConfigError where one is no probability below 1."""
    for name, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate < 1.0:
            raise ConfigError(f"{name}: expected a probability, at least 0 and below 1, got {rate!r}")


def _check_counts(name: str, values: Sequence[Any]) -> None:
    for value in values:
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1, got {value!r}")


def _whole(name: str, values: Any, layers: int) -> tuple[int, ...]:
    """A whole number for each layer, from one for all or from one per layer."""
    found = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else (values,) * layers
    _check_counts(name, found or [0])
    if len(found) != layers:
        raise ConfigError(f"{name}: expected one number, or {layers} (one per layer), got {len(found)}")
    return found


def _check_names(cell: Cell, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for a keyword that neither the layer nor the cell has, or that both have."""
    keywords = [name for name in inspect.signature(make_stack).parameters if name not in ("cell", "options")]
    both = [name for name in cell.options if name in keywords]
    if both:
        raise ConfigError(f"cell '{cell.name}': its option '{both[0]}' is a keyword of every layer; rename it")
    known = {option for each in (cell, *CELLS.values()) for option in each.options}
    for name in options:
        if name not in known and (near := nearest(name, keywords)):
            raise ConfigError(f"unknown option {name!r}{near}")


def make_stack(
    cell: str | Cell,
    input_size: int,
    hidden_size: int | None,
    num_layers: int,
    *,
    sizes: Sequence[int] | None = None,
    bidirectional: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    zoneout: float | Mapping[str, float] = 0.0,
    weight_dropout: float = 0.0,
    residual: bool = False,
    skip: bool = False,
    dilation: int | Sequence[int] = 1,
    recompute: bool = False,
    backend: str | None = None,
    **options: Any,
) -> Stack:
    """A checked `Stack`.

    Raises:
        ConfigError: for a number out of range, an unknown cell, option or state, or fields that contradict each other.
    """
    if (hidden_size is None) == (sizes is None) or (sizes is not None and num_layers != 1):
        raise ConfigError(
            f"expected hidden_size and num_layers, or sizes instead of both, got hidden_size={hidden_size}, "
            f"num_layers={num_layers}, sizes={sizes}"
        )
    found = find_cell(cell)
    _check_names(found, options)
    zones = dict(zoneout) if isinstance(zoneout, Mapping) else dict.fromkeys(found.states, zoneout)
    for name in zones:
        if name not in found.states:
            raise ConfigError(f"zoneout: cell '{found.name}' has no state '{name}'; it has {', '.join(found.states)}")
    rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout, "weight_dropout": weight_dropout}
    check_rates(rates | {f"zoneout of {state}": rate for state, rate in zones.items()})
    _check_counts("input_size", [input_size])
    _check_counts("num_layers", [num_layers])
    widths = _whole("hidden_size", hidden_size, num_layers) if sizes is None else _whole("sizes", sizes, len(sizes))
    steps = _whole("dilation", dilation, len(widths))
    if backend is not None:
        find_backend(backend)
    stack = Stack(
        found, input_size, widths, bidirectional, dropout, recurrent_dropout,
        tuple((state, rate) for state, rate in zones.items() if rate), weight_dropout, residual, skip, steps, recompute,
        backend,
        tuple(sorted(found.check_options(options).items())),
    )  # fmt: skip
    stack.check()
    return stack
