"""A stack of recurrent layers without parameters of its own: sizes, wrappers, and how a batch runs through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from recurra.backends import Call, choose
from recurra.cells import find_cell
from recurra.equations import Cell, Form, Traced
from recurra.equations.graph import Node, Rate
from recurra.equations.plans import traced
from recurra.errors import ConfigError, ShapeError
from recurra.layers.dilation import Chains
from recurra.layers.packing import Packing

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
    backend: str | None
    options: tuple[tuple[str, Any], ...]

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def num_layers(self) -> int:
        return len(self.sizes)

    def input_size_of(self, layer: int) -> int:
        """The width of what layer `layer` reads; with skip connections the stack's input comes with it."""
        if layer == 0:
            return self.input_size
        below = self.layer_output_size(layer - 1)
        return below + self.input_size if self.skip else below

    def layer_output_size(self, layer: int) -> int:
        width = self.traced(layer).output.width
        assert width is not None
        return self.directions * width

    @property
    def output_size(self) -> int:
        layers = range(self.num_layers) if self.skip else [self.num_layers - 1]
        return sum(self.layer_output_size(layer) for layer in layers)

    def form(self, layer: int, training: bool = False, inputs: tuple[tuple[str, int | None, Rate], ...] = ()) -> Form:
        masked = training and bool(self.recurrent_dropout or self.zoneout)
        known = inputs or tuple((name, None, Rate.STEP) for name in self.cell.inputs)  # any shape, for sizes only
        return Form(
            self.input_size_of(layer), self.sizes[layer], self.options, known, self.zoneout,
            bool(self.recurrent_dropout), masked,
        )  # fmt: skip

    def traced(self, layer: int) -> Traced:
        return traced(self.cell, self.form(layer))

    def suffix(self, index: int) -> str:
        """The ending of parameter names, as in torch.nn: `_l1_reverse` for the second layer's backward direction."""
        layer, reverse = divmod(index, self.directions)
        return f"_l{layer}{'_reverse' if reverse else ''}"

    def check(self) -> None:
        """Raise ConfigError where fields contradict each other."""
        widths = [(self.input_size_of(k), self.layer_output_size(k)) for k in range(self.num_layers)]
        if self.residual and not any(before == after for before, after in widths):
            raise ConfigError(
                f"residual: expected a layer whose input and output are of one width, got "
                f"{', '.join(f'{a} -> {b}' for a, b in widths)}; make hidden_size equal to the input's"
            )

    def run(
        self,
        weights: Sequence[Mapping[str, Tensor]],
        x: Tensor,
        state: Sequence[States] | None,
        lengths: Sequence[int] | Tensor | None,
        training: bool,
        inputs: Mapping[str, Tensor],
    ) -> tuple[Tensor, list[States]]:
        """Run a batch x [T, B, I] through all layers; the output [T, B, output_size] and the final states.

        `weights` and `state` hold one entry for each layer and direction, in this order; a state is [B, W], or
        [d, B, W] in a layer of dilation d.
        """
        packing = Packing(x.shape[0], x.shape[1], lengths, x.device)
        batch = _Batch(packing, lengths, inputs, training)
        source = below = packing.pack(x)
        outputs, finals = [], []
        for layer in range(self.num_layers):
            entering = source if layer == 0 else (torch.cat([source, below], -1) if self.skip else below)
            directions = []
            for direction in range(self.directions):
                index = layer * self.directions + direction
                output, final = self._run_direction(
                    layer, bool(direction), weights[index], entering, None if state is None else state[index], batch
                )
                directions.append(output)
                finals.append(final)
            below = torch.cat(directions, -1) if len(directions) > 1 else directions[0]
            if self.residual and below.shape[-1] == entering.shape[-1]:
                below = below + entering
            outputs.append(below)
            if self.dropout and training and layer < self.num_layers - 1:
                below = drop(below, self.dropout)
        return packing.unpack(torch.cat(outputs, -1) if self.skip else below), finals

    def _run_direction(
        self,
        layer: int,
        reverse: bool,
        weights: Mapping[str, Tensor],
        entering: Tensor,
        state: States | None,
        batch: _Batch,
    ) -> tuple[Tensor, States]:
        """One cell in one direction over packed rows [N, I]; packed output and final states in the caller's order."""
        dilation = self.dilation[layer]
        packing, inputs = batch.packing, batch.inputs
        sizes = {name: leaf.width or 0 for name, (leaf, _) in self.traced(layer).graph.states.items()}
        begin = self._begin(sizes, state, batch.packing.batch, dilation, entering)
        chains = None
        if dilation > 1:
            chains = Chains(packing.steps, packing.batch, batch.lengths, dilation, reverse)
            outer, packing = (
                packing,
                Packing(chains.chain_steps, dilation * packing.batch, chains.lengths, entering.device),
            )
            entering = packing.pack(chains.split(outer.unpack(entering)))
            begin = {name: chains.begin(value) for name, value in begin.items()}
            inputs = {name: _chain_input(chains, value) for name, value in inputs.items()}
        output, final = self._run_cell(layer, reverse, weights, entering, begin, packing, inputs, batch.training)
        if chains is not None:
            output = batch.packing.pack(chains.join(packing.unpack(output)))
            final = {name: chains.end(value) for name, value in final.items()}
        return output, final

    def _run_cell(
        self,
        layer: int,
        reverse: bool,
        weights: Mapping[str, Tensor],
        entering: Tensor,
        begin: States,
        packing: Packing,
        inputs: Mapping[str, Tensor],
        training: bool,
    ) -> tuple[Tensor, States]:
        extra = {name: _extra(self.cell, name, value, packing) for name, value in inputs.items()}
        known = tuple((name, width, rate) for name, (_, width, rate) in extra.items())
        form = self.form(layer, training, known)
        cell_traced = traced(self.cell, form)
        masks = {name: self._mask(node, packing, entering) for name, node in cell_traced.masks.items()}
        dropped = _drop_weights(cell_traced, weights, self.weight_dropout if training else 0.0)
        tensors = {("input", "x"): entering}
        tensors |= {("input", name): value for name, (value, _, _) in extra.items()}
        tensors |= {("input", name): mask for name, mask in masks.items()}
        tensors |= {("state", name): packing.sort(value) for name, value in begin.items()}
        tensors |= {("weight", name): dropped[name] for name in cell_traced.weights}
        call = Call(self.cell, form, packing.layout, reverse, tuple(tensors))
        output, *finals = choose(self.backend, entering.device.type).run(call, list(tensors.values()))
        return output, {name: packing.unsort(value) for name, value in zip(begin, finals, strict=True)}

    def _mask(self, node: Node, packing: Packing, like: Tensor) -> Tensor:
        """Zoneout: 1 where the new value is taken. Recurrent dropout: 1/keep where kept, one mask for all steps."""
        rows = packing.layout.rows if node.rate is Rate.STEP else packing.batch
        kind, _, name = str(node.data).partition(".")
        keep = 1.0 - (dict(self.zoneout)[name] if kind == "zoneout" else self.recurrent_dropout)
        mask = torch.empty(rows, node.width or 1, dtype=like.dtype, device=like.device).bernoulli_(keep)
        return mask if kind == "zoneout" else mask / keep

    def _begin(self, sizes: dict[str, int], state: States | None, batch: int, dilation: int, like: Tensor) -> States:
        shapes = {name: (batch, size) if dilation == 1 else (dilation, batch, size) for name, size in sizes.items()}
        if state is None:
            return {name: like.new_zeros(shape) for name, shape in shapes.items()}
        if set(state) != set(shapes):
            raise ShapeError(f"state: expected {', '.join(shapes)}, got {', '.join(state)}")
        for name, shape in shapes.items():
            if tuple(state[name].shape) != shape:
                raise ShapeError(f"state '{name}': expected shape {shape}, got {tuple(state[name].shape)}")
        return {name: state[name] for name in shapes}


@dataclass(frozen=True)
class _Batch:
    packing: Packing
    lengths: Sequence[int] | Tensor | None
    inputs: Mapping[str, Tensor]
    training: bool


def _extra(cell: Cell, name: str, value: Tensor, packing: Packing) -> tuple[Tensor, int | None, Rate]:
    """A further input, packed: [T, B, W] per step or [B, W] per sequence; without W where it is one number."""
    number = cell.sizes.get(name) == "number"
    whole = value.unsqueeze(-1) if number else value
    if whole.dim() == 3 and whole.shape[:2] == (packing.steps, packing.batch):
        return packing.pack(whole), None if number else whole.shape[-1], Rate.STEP
    if whole.dim() == 2 and whole.shape[0] == packing.batch:
        return packing.sort(whole), None if number else whole.shape[-1], Rate.SEQUENCE
    width = "" if number else ", W"
    raise ShapeError(
        f"input '{name}': expected [{packing.steps}, {packing.batch}{width}] (per step) or [{packing.batch}{width}] "
        f"(per sequence), got {list(value.shape)}"
    )


def _chain_input(chains: Chains, value: Tensor) -> Tensor:
    if value.shape[0] == chains.steps and value.dim() > 1 and value.shape[1] == chains.batch:
        return chains.split(value) if value.dim() == 3 else chains.split(value.unsqueeze(-1)).squeeze(-1)
    return value.repeat(chains.dilation, *[1] * (value.dim() - 1))


def _drop_weights(cell_traced: Traced, weights: Mapping[str, Tensor], rate: float) -> Mapping[str, Tensor]:
    """DropConnect on the recurrent matrices (Merity et al. 2018): one mask for all steps of this run."""
    if not rate:
        return weights
    dropped = dict(weights)
    for name, first, columns in {(b.weight, b.column, b.columns) for b in cell_traced.recurrent_blocks()}:
        mask = torch.ones_like(dropped[name])
        mask[:, first : first + columns] = drop(mask[:, first : first + columns], rate)
        dropped[name] = dropped[name] * mask
    return dropped


def map_state(function: Callable[[Tensor], Tensor], state: Sequence[States]) -> list[States]:
    """`function` of every tensor of a carried state, as in `map_state(torch.Tensor.detach, state)`."""
    return [{name: function(value) for name, value in states.items()} for states in state]


def make_stack(
    cell: str | Cell,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    *,
    sizes: Sequence[int] | None,
    bidirectional: bool,
    dropout: float,
    recurrent_dropout: float,
    zoneout: float | Mapping[str, float],
    weight_dropout: float,
    residual: bool,
    skip: bool,
    dilation: int | Sequence[int],
    backend: str | None,
    options: Mapping[str, Any],
) -> Stack:
    """A checked `Stack`.

    Raises:
        ConfigError: for a number out of range, an unknown cell, option or state, or fields that contradict each other.
    """
    found = find_cell(cell)
    rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout, "weight_dropout": weight_dropout}
    zones = dict(zoneout) if isinstance(zoneout, Mapping) else dict.fromkeys(found.states, zoneout)
    for name, rate in {**rates, **{f"zoneout of {state}": rate for state, rate in zones.items()}}.items():
        if not 0.0 <= rate < 1.0:
            raise ConfigError(f"{name}: expected a probability, at least 0 and below 1, got {rate}")
    for name in zones:
        if name not in found.states:
            raise ConfigError(f"zoneout: cell '{found.name}' has no state '{name}'; it has {', '.join(found.states)}")
    widths = tuple(sizes) if sizes is not None else (hidden_size,) * num_layers
    steps = (dilation,) * len(widths) if isinstance(dilation, int) else tuple(dilation)
    if len(steps) != len(widths):
        raise ConfigError(f"dilation: expected one number, or {len(widths)} (one per layer), got {len(steps)}")
    for name, values in {"input_size": (input_size,), "a layer's size": widths or (0,), "dilation": steps}.items():
        if min(values, default=1) < 1:
            raise ConfigError(f"{name}: expected a whole number from 1, got {min(values)}")
    stack = Stack(
        found, input_size, widths, bidirectional, dropout, recurrent_dropout,
        tuple((state, rate) for state, rate in zones.items() if rate), weight_dropout, residual, skip, steps, backend,
        tuple(sorted(found.check_options(options).items())),
    )  # fmt: skip
    stack.check()
    return stack
