"""A language model from its options."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from recurra.cells import find_cell
from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm.options import LMConfig


def build(config: LMConfig, vocabulary: int, device: torch.device | str = "cpu") -> LanguageModel:
    """The untrained model that `config` describes, for V = `vocabulary` tokens.

    Errors: ConfigError for options that the cell lacks or that contradict each other.
    """
    dtype = getattr(torch, config.dtype)
    options: dict[str, Any] = find_cell(config.cell).check_options(config.cell_options)
    dilation = config.dilation or [1]
    init = {} if config.forget_bias is None else {"b*.f": config.forget_bias}
    with torch.device(device):
        stack = Recurrent(
            config.cell,
            config.embedding_width or vocabulary,
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
            init=init,
            init_range=config.init_range,
            backend=config.backend,
            dtype=dtype,
            **options,
        )
        model = LanguageModel(
            vocabulary,
            stack,
            embedding_dim=config.embedding_width,
            dropout=config.dropout,
            tie_weights=config.tie_weights,
        )
    if config.init_range is not None:
        for weight in (*model.output.parameters(), *(model.embedding.parameters() if model.embedding else ())):
            nn.init.uniform_(weight, -config.init_range, config.init_range)
    return model


def check_device(name: str) -> torch.device:
    """The device of that name. Errors: ConfigError where it is unknown or not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={name!r}: expected a device of this machine, as cpu or cuda ({reason})") from None
    return device
