"""Recurrent modules with the face of torch.nn's: same arguments, shapes and state_dict keys, any cell, more options.

Swapping is one import, and weights load both ways. After torch's arguments each module takes keywords: `cell`
(another cell under this face), the equation options of the cell (`peephole=True`) and the wrapper options of
`recurra.layers.recurrent.Recurrent`: sizes, recurrent_dropout, zoneout, weight_dropout, residual, skip, dilation,
recompute, backend.

Weights: `p.W_ih` of the equations is `weight_ih_l0`, `p.b_hh` is `bias_hh_l0`, other names stay. The bias `p.b` is the
sum of `bias_ih` and `bias_hh`, which are both held, as torch does. All start from torch's distribution, drawn in
torch's order: the same seed gives the same weights. The forget gate of `lstm` therefore does not start at 1, as it does
in `Recurrent`; weights that torch lacks, such as the gains of `layer_norm`, start as the cell says, and so does another
cell under this face, whose bias `p.b` is held once, as `b_l0` is: `bias_l0`.

They are no subclasses of torch.nn's: where code asks `isinstance(module, torch.nn.LSTM)`, name both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from recurra.cells import find_cell
from recurra.equations import Cell
from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent
from recurra.layers.torch_face import Device, RNNBase, RNNCellBase

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]


class LSTM(RNNBase):
    """torch.nn.LSTM, with any cell and more options.

    Args:
        input_size: I, the width of the input.
        hidden_size: H, the width of every layer; None with `sizes`.
        num_layers: how many layers.
        bias: False leaves out the biases.
        batch_first: input and output are [B, T, .].
        dropout: probability, on the output of every layer but the last.
        bidirectional: run each layer in both directions.
        proj_size: the rows of the projection (option `projection` of the cell), 0 for none.
        device, dtype: of the weights.
        cell: another cell under this face, by name or as a `Cell`.
        options: equation options of the cell (peephole, coupled, layer_norm, ...) and wrapper options of `Recurrent`
            (sizes, recurrent_dropout, zoneout, weight_dropout, residual, skip, dilation, recompute,
            backend).

    Shapes: see `recurra.layers.torch_face.RNNBase`.

    Raises:
        ConfigError: for options that are unknown, out of range or contradict each other.

    Example:
        >>> import torch
        >>> lstm = LSTM(10, 20, 2, peephole=True, zoneout=0.1)
        >>> output, (h, c) = lstm(torch.randn(5, 3, 10), lengths=[5, 2, 1])
        >>> output.shape, c.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        cell: str | Cell = "lstm",
        **options: Any,
    ) -> None:
        if proj_size and "projection" in options:
            raise ConfigError("proj_size and projection: expected one of the two, which mean the same, got both")
        options |= {"projection": proj_size} if proj_size else {}
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, options
        )


class GRU(RNNBase):
    """torch.nn.GRU, with any cell and more options: of the cell `reset_after` and `z_keeps`; the rest as in `LSTM`.

    Example:
        >>> import torch
        >>> output, h = GRU(10, 20, bidirectional=True, reset_after=False)(torch.randn(5, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        cell: str | Cell = "gru",
        **options: Any,
    ) -> None:
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, options
        )


class RNN(RNNBase):
    """torch.nn.RNN, with any cell and more options: nonlinearity "tanh", "relu" or "sigmoid"; the rest as in `LSTM`.

    Example:
        >>> import torch
        >>> output, h = RNN(10, 20, nonlinearity="relu")(torch.randn(5, 10))  # one sequence, no batch
        >>> output.shape, h.shape
        (torch.Size([5, 20]), torch.Size([1, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        cell: str | Cell = "rnn",
        **options: Any,
    ) -> None:
        options = _with_activation(cell, nonlinearity, options)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype, options
        )
        self.nonlinearity = nonlinearity


class LSTMCell(RNNCellBase):
    """torch.nn.LSTMCell, with zoneout and the options of the cell `lstm`.

    Example:
        >>> import torch
        >>> h, c = LSTMCell(10, 20, coupled=True)(torch.randn(3, 10))
        >>> h.shape, c.shape
        (torch.Size([3, 20]), torch.Size([3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        zoneout: float | Mapping[str, float] = 0.0,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__("lstm", input_size, hidden_size, bias, device, dtype, zoneout, backend, options)


class GRUCell(RNNCellBase):
    """torch.nn.GRUCell, with zoneout and the options of the cell `gru`.

    Example:
        >>> import torch
        >>> GRUCell(10, 20)(torch.randn(3, 10)).shape
        torch.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        zoneout: float | Mapping[str, float] = 0.0,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__("gru", input_size, hidden_size, bias, device, dtype, zoneout, backend, options)


class RNNCell(RNNCellBase):
    """torch.nn.RNNCell, with zoneout and one nonlinearity more: "tanh", "relu" or "sigmoid".

    Example:
        >>> import torch
        >>> RNNCell(10, 20, nonlinearity="relu")(torch.randn(10)).shape
        torch.Size([20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        zoneout: float | Mapping[str, float] = 0.0,
        backend: str | None = None,
    ) -> None:
        options = {"activation": nonlinearity}
        super().__init__("rnn", input_size, hidden_size, bias, device, dtype, zoneout, backend, options)


def _with_activation(cell: str | Cell, nonlinearity: str, options: dict[str, Any]) -> dict[str, Any]:
    """torch's `nonlinearity` is the cell's option `activation`; a cell without it takes no other than the default."""
    if "activation" in options:
        raise ConfigError("activation: this face calls it nonlinearity, as torch.nn does; write nonlinearity=...")
    has = "activation" in find_cell(cell).options
    return {**options, "activation": nonlinearity} if has or nonlinearity != "tanh" else options
