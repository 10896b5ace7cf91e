"""What each token of an example contributes to the class that it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recurra.data import Examples
from recurra.inspection.contributions import Explanation, contributions
from recurra.models.classifier import LinearClassifier
from recurra.tasks.classify.measure import probabilities
from recurra.tasks.classify.sources import Source
from recurra.tasks.examples import TensorBatch, each_batch
from recurra.tasks.run import PREDICTION_ROWS


def explain(run: Any, source: Source) -> list[Explanation]:
    """The contributions of every token (n-gram, step) of each example to its most probable class, in order.

    `run` is a `recurra.tasks.classify.run.ClassifyRun`.
    """
    encoded = source.encode(run.fitted.input)
    examples = Examples(encoded.lengths, encoded.steps, {})
    rows = probabilities(run.scores(examples), run.config.multilabel)
    chosen = rows.argmax(1)
    found: dict[int, Explanation] = {}
    for batch in each_batch(examples, PREDICTION_ROWS, run.device):
        values = _contributions(run.model, batch, torch.from_numpy(chosen[batch.places]).to(run.device))
        for column, place in enumerate(batch.places.tolist()):
            name = run.fitted.classes[chosen[place]]
            tokens = source.names(run.fitted.input, place, examples.steps_of(place))
            own = values[: len(tokens), column].tolist()
            found[place] = Explanation(name, float(rows[place].max()), tokens, own)
    return [found[place] for place in range(len(examples))]


def _contributions(model: Any, batch: TensorBatch, classes: torch.Tensor) -> np.ndarray:
    """[T, B]"""
    if isinstance(model, LinearClassifier):
        with torch.no_grad():
            parts = model.contributions(batch)  # [T, B, C]
        own = parts.gather(2, classes.expand(len(parts), -1)[..., None])[..., 0]
        return (own - parts.mean(2)).cpu().numpy()
    return contributions(model, batch, classes).cpu().numpy()
