"""The scores that a model gives to examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from recurra.data import Examples
from recurra.tasks.examples import each_batch
from recurra.tasks.run import PREDICTION_ROWS


@torch.no_grad()
def score(model: nn.Module, examples: Examples, classes: int, batch_size: int = PREDICTION_ROWS) -> np.ndarray:
    """float64 [N, C], in the examples' order; call it in evaluation mode."""
    scores = np.zeros((len(examples), classes))
    if len(examples):
        device = next(model.parameters()).device
        without: Any = Examples(examples.lengths, examples.steps, {})
        for batch in each_batch(without, batch_size, device):
            scores[batch.places] = model(batch).double().cpu().numpy()
    return scores
