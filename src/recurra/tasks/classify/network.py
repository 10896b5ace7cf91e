"""The model that a classifier's options describe."""

from __future__ import annotations

from typing import Any

import torch

from recurra.models.classifier import Classifier, LinearClassifier
from recurra.tasks.classify.data import Fitted
from recurra.tasks.classify.options import ClassifyConfig
from recurra.tasks.inputs.ngrams import NgramInput
from recurra.tasks.network import recurrent_stack

Model = Classifier | LinearClassifier


def build(config: ClassifyConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Any:
    """The untrained model. Raises: ConfigError for options that the cell lacks or that contradict each other."""
    with torch.device(device):
        if isinstance(fitted.input, NgramInput):
            return fitted.input.classifier(len(fitted.classes), config)
        encoder = fitted.input.encoder(config)
        stack = recurrent_stack(config, encoder.output_size, bidirectional=config.bidirectional)
        model = Classifier(encoder, stack, len(fitted.classes), pooling=config.pooling, dropout=config.dropout)
    if config.init_range is not None:  # the stack has drawn its own
        for part in (encoder, model.pooling, model.output):
            for weight in part.parameters():
                torch.nn.init.uniform_(weight, -config.init_range, config.init_range)
    return model
