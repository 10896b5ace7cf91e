"""The recurrent layers that options describe, and where they compute."""

from __future__ import annotations

from textwrap import shorten
from typing import Any

import torch

from recurra.cells import find_cell
from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent

FORGET_BIAS = "b*[._]f"
"""The forget gate's bias in every cell that has one: `b.f`, or `b_f`."""


def recurrent_stack(config: Any, input_size: int, *, bidirectional: bool = False) -> Recurrent:
    """The untrained layers of `recurra.config.StackOptions`, with type and backend of `TrainingOptions`.

    Raises: ConfigError for options that the cell lacks or that contradict each other.
    """
    options: dict[str, Any] = find_cell(config.cell).check_options(config.cell_options)
    dilation = config.dilation or [1]
    try:
        return Recurrent(
            config.cell,
            input_size,
            None if config.sizes else config.hidden_size,
            1 if config.sizes else config.num_layers,
            sizes=config.sizes,
            bidirectional=bidirectional,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            zoneout=config.zoneout,
            weight_dropout=config.weight_dropout,
            residual=config.residual,
            skip=config.skip,
            dilation=dilation[0] if len(dilation) == 1 else dilation,
            recompute=config.recompute,
            init={} if config.forget_bias is None else {FORGET_BIAS: config.forget_bias},
            init_range=config.init_range,
            backend=config.backend,
            dtype=getattr(torch, config.dtype),
            **options,
        )
    except ConfigError as error:
        if FORGET_BIAS in str(error):
            raise ConfigError(f"forget_bias: cell {config.cell!r} has no forget gate; leave it out") from None
        raise


def check_device(name: str) -> torch.device:
    """The device of that name. Raises: ConfigError where it is unknown or not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # device meta holds no numbers
    except (RuntimeError, AssertionError) as error:
        reason = shorten(str(error), 80, placeholder=" ...")
        raise ConfigError(f"device={name!r}: expected a device of this machine, as cpu or cuda ({reason})") from None
    return device
