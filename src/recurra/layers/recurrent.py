"""The recurrent stack as a torch module: any cell, any wrapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recurra.equations import Cell
from recurra.layers.forward import run
from recurra.layers.parameters import Parameters
from recurra.layers.stack import States, make_stack, map_state
from recurra.layers.stream import LayerStream

__all__ = ["Recurrent", "States", "map_state"]


class Recurrent(nn.Module):
    """Stacked recurrent layers of any cell.

    Args:
        cell: a cell's name or a `Cell`, the user's own too.
        input_size: I, the width of the input.
        hidden_size: H, the width of every layer.
        num_layers: how many layers.
        sizes: a width per layer, instead of `hidden_size` and `num_layers`.
        bidirectional: run each layer in both directions; on a ragged batch each sequence starts at its own end.
        dropout: probability, on the output of every layer but the last, a new mask at each step; none with one layer.
        recurrent_dropout: probability, on the state where it meets a matrix, one mask for all steps of a sequence
            (Gal & Ghahramani 2016, arXiv:1512.05287).
        zoneout: probability that a state keeps its old value (Krueger et al. 2017, arXiv:1606.01305), for all states
            or by state.
        weight_dropout: probability, on the entries of the recurrent matrices, those that meet what depends on a state
            (W_hr of a projection too): one mask for all sequences and steps (Merity et al. 2018, arXiv:1708.02182).
        residual: add its input to the output of every layer whose input and output have one width.
        skip: the input goes to every layer and every layer to the output (Graves 2013, arXiv:1308.0850).
        dilation: d, or one per layer: the state of d steps ago takes the place of the last one (Chang et al. 2017,
            arXiv:1710.02224).
        recompute: for gradients through long sequences keep only the states every sqrt(T) steps and compute the rest
            again: memory grows with sqrt(T), the forward pass runs twice (Chen et al. 2016, arXiv:1604.06174).
        batch_first: x and output are [B, T, .] instead of [T, B, .].
        init: initial values by weight or part (`{"b.f": 0.0}`), over those the cell states.
        init_range: r, to draw all weights from U(-r, r), biases the cell states too.
        backend: the backend by name; the fastest available where None.
        options: the cell's equation options, as `peephole=True`.

    Shapes:
        x: [T, B, I]; output: [T, B, output_size]. State: a list with a dict for each layer and direction, of
        [B, W] by state name; [d, B, W] in a layer of dilation d.

    Raises:
        ConfigError: for options that the cell lacks, that are out of range or contradict each other.

    Example:
        >>> import torch
        >>> layer = Recurrent("lstm", 8, 16, num_layers=2, peephole=True)
        >>> output, state = layer(torch.randn(5, 3, 8), lengths=[5, 2, 1])
        >>> output.shape, state[1]["c"].shape
        (torch.Size([5, 3, 16]), torch.Size([3, 16]))
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int | None = None,
        num_layers: int = 1,
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
        batch_first: bool = False,
        init: Mapping[str, float] | None = None,
        init_range: float | None = None,
        backend: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.stack = make_stack(
            cell, input_size, hidden_size, num_layers, sizes=sizes, bidirectional=bidirectional, dropout=dropout,
            recurrent_dropout=recurrent_dropout, zoneout=zoneout, weight_dropout=weight_dropout, residual=residual,
            skip=skip, dilation=dilation, recompute=recompute, backend=backend, **options,
        )  # fmt: skip
        self.batch_first = batch_first
        self.init, self.init_range = dict(init or {}), init_range
        self.held = Parameters(self, self.stack, device=device, dtype=dtype)
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """The width of the output."""
        return self.stack.output_size

    def reset_parameters(self) -> None:
        """Draw all weights anew (see `recurra.layers.initial`)."""
        self.held.reset(self, self.init, self.init_range)

    def weights(self) -> list[dict[str, Tensor]]:
        """The weights of each layer and direction, by their names in the equations."""
        return self.held.weights(self)

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: Sequence[States] | None = None,
        lengths: Sequence[int] | Tensor | None = None,
        **inputs: Tensor,
    ) -> tuple[Any, list[States]]:
        """Run a batch.

        Args:
            x: [T, B, I] ([B, T, I] with batch_first), or a PackedSequence.
            state: what an earlier call returned, or None for zeros.
            lengths: steps of each sequence, B of them; the rest is padding, and zeros in the output.
            inputs: the cell's further inputs, per step [T, B, W] or per sequence [B, W].

        Returns:
            The output [T, B, output_size], packed where x is, and the state after each sequence's last step.

        Raises:
            ShapeError, LengthsError: where shapes do not fit.
        """
        if (
            lengths is None
            and not inputs
            and (found := self.held.one_step.run(self, self.stack, x, state, self.batch_first))
        ):
            return found
        return run(
            self.stack, self.weights(), x, state, lengths, inputs, training=self.training, batch_first=self.batch_first
        )

    def stream(self, batch: int = 1, weights: str | None = None) -> LayerStream:
        """A stream: the stack one step at a time, its state kept inside (see `recurra.layers.stream`).

        Args:
            batch: sequences to begin with; more may join.
            weights: None to read the weights as they are, "bf16" or "int8" to compute with copies rounded to these.

        Raises:
            ConfigError: for a bidirectional stack; BackendError where the native backend is missing.
        """
        return LayerStream(self, self.held, batch, weights)

    def extra_repr(self) -> str:
        return f"{self.stack.describe()}{', batch_first=True' if self.batch_first else ''}"
