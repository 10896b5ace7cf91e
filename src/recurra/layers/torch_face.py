"""Recurrent modules with torch.nn's face, for any cell: names of parameters, shapes of states. See `recurra.nn`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recurra.cells import find_cell, gru, lstm, rnn
from recurra.equations import Cell
from recurra.errors import LengthsError, ShapeError
from recurra.layers.forward import run
from recurra.layers.parameters import Parameters
from recurra.layers.stack import States, check_rates, make_stack
from recurra.layers.stream import LayerStream

Device = torch.device | str | None
Hidden = Any
"""A state as torch.nn has it: one tensor for each of the cell's states, in a tuple where there are several."""

FIRST = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The parameters that torch.nn lists first, in this order."""


TORCH_CELLS = (rnn, lstm, gru)
"""The cells that torch.nn has; under its names, their bias is held twice, as there."""


def torch_names(weights: Iterable[str], cell: Cell, bias: bool) -> dict[str, tuple[str, ...]]:
    """Names of parameters by weight, in torch.nn's order; none for a bias (`p.b`, `p.b_...`) where `bias` is False."""
    names: dict[str, tuple[str, ...]] = {}
    for weight in weights:
        kind, line, rest = weight.partition("_")
        if kind == "b" and not bias:
            names[weight] = ()
        elif weight == "b" and cell in TORCH_CELLS:
            names[weight] = ("bias_ih", "bias_hh")
        else:
            names[weight] = ({"W": "weight", "b": "bias"}.get(kind, kind) + line + rest,)
    ranks = {name: rank for rank, name in enumerate(FIRST)}
    return dict(sorted(names.items(), key=lambda item: min((ranks.get(n, len(FIRST)) for n in item[1]), default=0)))


class RNNBase(nn.Module):
    """What LSTM, GRU and RNN share.

    Shapes:
        input: [T, B, I], [B, T, I] with batch_first, [T, I] without a batch, or a PackedSequence. The output has the
        same form, with the stack's output_size as its width.
        hx and the final state: a tensor for each of the cell's states (a tuple where there are several, as h and c),
        [L*D, B, W] for L layers and D directions; [L*D, d, B, W] with dilation d. A list of L*D tensors takes its
        place where the layers' sizes or dilations differ. Without a batch the axis B is missing.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int | None,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        device: Device,
        dtype: torch.dtype | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.stack = make_stack(
            cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, **options
        )
        if dropout and self.stack.num_layers == 1:
            warnings.warn(f"dropout={dropout} is applied between layers, and there is only one layer", stacklevel=3)
        self.input_size, self.hidden_size = input_size, self.stack.sizes[-1]
        self.num_layers, self.bidirectional = self.stack.num_layers, bidirectional
        self.bias, self.batch_first = bias, batch_first
        self.proj_size = dict(self.stack.options).get("projection", 0)
        naming = partial(torch_names, cell=self.stack.cell, bias=bias)
        self.held = Parameters(self, self.stack, naming, device=device, dtype=dtype)
        self.reset_parameters()

    @property
    def dropout(self) -> float:
        """Probability, on the output of every layer but the last; may be set."""
        return self.stack.dropout

    @dropout.setter
    def dropout(self, rate: float) -> None:
        check_rates({"dropout": rate})
        self.stack = replace(self.stack, dropout=rate)

    @property
    def output_size(self) -> int:
        """The width of the output."""
        return self.stack.output_size

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for held in names.values() for name in held] for names in self.held.names]

    def weights(self) -> list[dict[str, Tensor]]:
        """The weights of each layer and direction, by their names in the equations."""
        return self.held.weights(self)

    def reset_parameters(self) -> None:
        """Draw all weights anew, as torch.nn does."""
        self.held.reset(self)

    def flatten_parameters(self) -> None:
        """Nothing: here so that code written for torch.nn, where it prepares for cuDNN, runs as it is."""

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Hidden = None,
        lengths: Sequence[int] | Tensor | None = None,
        **inputs: Tensor,
    ) -> tuple[Any, Hidden]:
        """Run a batch.

        Args:
            input: see Shapes.
            hx: the initial state, zeros where None.
            lengths: steps of each sequence, B of them; the rest is padding, and zeros in the output.
            inputs: the cell's further inputs, where it has any.

        Returns:
            The output, and the state after each sequence's last step.

        Raises:
            ShapeError, LengthsError: where shapes do not fit.
        """
        if lengths is None and not inputs:
            quick = self.held.one_step.run_stacked(self, self.stack, input, hx, self.batch_first)
            if quick is not None:
                return quick
        unbatched = isinstance(input, Tensor) and input.dim() == 2
        if isinstance(input, Tensor) and unbatched:
            if lengths is not None or inputs:
                raise LengthsError("lengths and further inputs: expected x with a batch, [T, B, I], got [T, I]")
            input = input.unsqueeze(1)  # [T, I] -> [T, 1, I]
        state = None if hx is None else self._open(hx, unbatched)
        batch_first = self.batch_first and not unbatched
        found = (
            None
            if lengths is not None or inputs
            else self.held.one_step.run(self, self.stack, input, state, batch_first)
        )
        output, final = found or run(
            self.stack, self.weights(), input, state, lengths, inputs, training=self.training, batch_first=batch_first
        )
        return (output.squeeze(1) if unbatched else output), self._close(final, unbatched)

    def stream(self, batch: int = 1, weights: str | None = None) -> LayerStream:
        """A stream: the module one step at a time, its state kept inside (see `recurra.layers.stream`).

        Args:
            batch: sequences to begin with; more may join.
            weights: None to read the weights as they are, "bf16" or "int8" to compute with copies rounded to these.

        Raises:
            ConfigError: for a bidirectional module; BackendError where the native backend is missing.
        """
        return LayerStream(
            self, self.held, batch, weights, lambda hx: self._open(hx, False), lambda final: self._close(final, False)
        )

    def extra_repr(self) -> str:
        batch_first = ", batch_first=True" if self.batch_first else ""
        return f"{self.stack.describe()}{'' if self.bias else ', bias=False'}{batch_first}"

    def _open(self, hx: Hidden, unbatched: bool) -> list[States]:
        """A state as torch has it, as one dict for each layer and direction."""
        runs = len(self.stack.runs)
        state: list[States] = [{} for _ in range(runs)]
        for name, values in _by_name(self.stack.cell, hx).items():
            got = len(values) if isinstance(values, Sequence | Tensor) else type(values).__name__
            if got != runs:
                raise ShapeError(f"hx '{name}': expected {runs} (layers times directions), got {got}")
            for states, value in zip(state, values, strict=True):
                states[name] = value.unsqueeze(-2) if unbatched else value
        return state

    def _close(self, final: list[States], unbatched: bool) -> Hidden:
        """The inverse of `_open`: stacked where all are of one shape, else a list."""
        hidden = []
        for name in self.stack.cell.states:
            values = [states[name].squeeze(-2) if unbatched else states[name] for states in final]
            hidden.append(torch.stack(values) if len({value.shape for value in values}) == 1 else values)
        return hidden[0] if len(hidden) == 1 else tuple(hidden)


class RNNCellBase(nn.Module):
    """What LSTMCell, GRUCell and RNNCell share: one step of one layer.

    Shapes:
        input: [B, I], or [I] without a batch. hx and the new state: [B, W], or [W]; for the LSTM a tuple (h, c).
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        bias: bool,
        device: Device,
        dtype: torch.dtype | None,
        zoneout: float | Mapping[str, float],
        backend: str | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        options = find_cell(cell).check_options(options)
        self.stack = make_stack(cell, input_size, hidden_size, 1, zoneout=zoneout, backend=backend, **options)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        naming = partial(torch_names, cell=self.stack.cell, bias=bias)
        self.held = Parameters(self, self.stack, naming, suffix=False, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, as torch.nn does."""
        self.held.reset(self)

    def forward(self, input: Tensor, hx: Hidden = None) -> Hidden:
        """The state after one step from `hx` (zeros where None).

        Raises:
            ShapeError: where shapes do not fit.
        """
        unbatched = input.dim() == 1
        state = None
        if hx is not None:
            state = [{n: v.unsqueeze(0) if unbatched else v for n, v in _by_name(self.stack.cell, hx).items()}]
        x = input.reshape(1, 1, -1) if unbatched else input.unsqueeze(0)  # [B, I] -> [1, B, I]
        weights = self.held.weights(self)
        _, (final,) = run(self.stack, weights, x, state, None, {}, training=self.training, batch_first=False)
        values = tuple(value.squeeze(0) if unbatched else value for value in final.values())
        return values[0] if len(values) == 1 else values

    def extra_repr(self) -> str:
        return f"{self.stack.describe()}{'' if self.bias else ', bias=False'}"


def _by_name(cell: Cell, hx: Hidden) -> dict[str, Any]:
    """hx by state: of one state it is the value itself, of several a tuple."""
    if len(cell.states) == 1:
        return {cell.states[0]: hx}
    if not isinstance(hx, tuple | list) or len(hx) != len(cell.states):
        got = f"{len(hx)} values" if isinstance(hx, tuple | list) else type(hx).__name__
        raise ShapeError(f"hx: expected a tuple ({', '.join(cell.states)}), got {got}")
    return dict(zip(cell.states, hx, strict=True))
