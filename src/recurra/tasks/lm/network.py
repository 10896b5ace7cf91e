"""A language model from its options."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from recurra.inspection import describe_plans
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.network import recurrent_stack


def build(config: LMConfig, vocabulary: int, device: torch.device | str = "cpu") -> LanguageModel:
    """The untrained model that `config` describes, for V = `vocabulary` tokens.

    Raises: ConfigError for options that the cell lacks or that contradict each other.
    """
    width = _embedding_width(config)
    with torch.device(device):
        model = LanguageModel(
            vocabulary,
            recurrent_stack(config, width or vocabulary),
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
        return recurrent_stack(config, first).output_size


def plans(model: LanguageModel) -> list[dict[str, Any]]:
    """How each layer of the stack is trained (see `recurra.inspection.plan.describe_plans`)."""
    return describe_plans(model.stack.stack, input_gradient=model.embedding is not None)
