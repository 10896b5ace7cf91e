"""A language model from its options."""

from __future__ import annotations

from textwrap import shorten
from typing import Any

import torch
from torch import nn

from recurra.cells import find_cell
from recurra.errors import ConfigError
from recurra.inspection import describe_plans
from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm.options import LMConfig

FORGET_BIAS = "b*[._]f"
"""The forget gate's bias in every cell that has one: `b.f`, or `b_f`."""


def build(config: LMConfig, vocabulary: int, device: torch.device | str = "cpu") -> LanguageModel:
    """The untrained model that `config` describes, for V = `vocabulary` tokens.

    Raises: ConfigError for options that the cell lacks or that contradict each other.
    """
    width = _embedding_width(config)
    with torch.device(device):
        model = LanguageModel(
            vocabulary,
            _stack(config, width or vocabulary),
            embedding_dim=width,
            dropout=config.dropout,
            tie_weights=config.tie_weights,
        )
    if config.init_range is not None:
        for weight in (*model.output.parameters(), *(model.embedding.parameters() if model.embedding else ())):
            nn.init.uniform_(weight, -config.init_range, config.init_range)
    return model


def _embedding_width(config: LMConfig) -> int:
    """0 for one-hot input. Unset it is the first layer's, or what tied weights need: the stack's width."""
    first = config.sizes[0] if config.sizes else config.hidden_size
    if config.embedding == "one-hot" or config.embedding_dim is not None:
        return config.embedding_dim or 0
    if not config.tie_weights:
        return first
    with torch.device("meta"):
        return _stack(config, first).output_size


def _stack(config: LMConfig, input_size: int) -> Recurrent:
    options: dict[str, Any] = find_cell(config.cell).check_options(config.cell_options)
    dilation = config.dilation or [1]
    init = {} if config.forget_bias is None else {FORGET_BIAS: config.forget_bias}
    try:
        return Recurrent(
            config.cell,
            input_size,
            None if config.sizes else config.hidden_size,
            1 if config.sizes else config.num_layers,
            sizes=config.sizes,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            zoneout=config.zoneout,
            weight_dropout=config.weight_dropout,
            residual=config.residual,
            skip=config.skip,
            dilation=dilation[0] if len(dilation) == 1 else dilation,
            recompute=config.recompute,
            init=init,
            init_range=config.init_range,
            backend=config.backend,
            dtype=getattr(torch, config.dtype),
            **options,
        )
    except ConfigError as error:
        if FORGET_BIAS in str(error):
            raise ConfigError(f"forget_bias: cell {config.cell!r} has no forget gate; leave it out") from None
        raise


def plans(model: LanguageModel) -> list[dict[str, Any]]:
    """How each layer of the stack is trained (see `recurra.inspection.plan.describe_plans`)."""
    return describe_plans(model.stack.stack, input_gradient=model.embedding is not None)


def check_device(name: str) -> torch.device:
    """The device of that name. Raises: ConfigError where it is unknown or not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # device meta holds no numbers
    except (RuntimeError, AssertionError) as error:
        reason = shorten(str(error), 80, placeholder=" ...")
        raise ConfigError(f"device={name!r}: expected a device of this machine, as cpu or cuda ({reason})") from None
    return device
