"""Training and prediction on batches of examples, for every task whose data are `recurra.data.Examples`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recurra.data import ExampleBatch, ExampleBatches, Examples
from recurra.training import BatchLoss


@dataclass(frozen=True)
class TensorBatch:
    """Some examples, padded, on a device.

    steps: by name [T, B, ...]; items: by name [B, ...]; lengths: int64 [B], on the CPU; places: the number of each
    among all examples, [B].
    """

    steps: dict[str, Tensor]
    items: dict[str, Tensor]
    lengths: Tensor
    places: np.ndarray


Loss = Callable[[TensorBatch], tuple[Tensor, int]]
"""The loss of a batch, summed, and how many (examples, tokens, steps) it is a sum over."""


def to_tensors(batch: ExampleBatch, device: torch.device) -> TensorBatch:
    """The batch on a device."""
    return TensorBatch(
        {name: torch.from_numpy(values).to(device) for name, values in batch.steps.items()},
        {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in batch.items.items()},
        torch.from_numpy(batch.lengths),
        batch.places,
    )


def each_batch(
    examples: Examples, batch_size: int, device: torch.device, padding: Mapping[str, float] | None = None
) -> Iterator[TensorBatch]:
    """All examples once, longest first; `places` says where each belongs."""
    for batch in ExampleBatches(examples, batch_size, shuffle=False, padding=padding):
        yield to_tensors(batch, device)


class ExamplesJob:
    """What trains a model on examples: shuffled batches of like length, each from a fresh state.

    Args:
        config: the options of the training.
        model: the network, on its device.
        examples: the training part.
        loss: see `Loss`.
        evaluate: metrics on the validation part, or on the training part where there is none.
        monitor: the metric that decides what is best; `maximize`: more of it is better.
        part: what `evaluate` measures: "valid", or "train" where there is no validation part.
        sample: text to show beside the metrics.
        padding: by the name of a field what stands after a sequence's end.
    """

    def __init__(
        self,
        config: Any,
        model: nn.Module,
        examples: Examples,
        loss: Loss,
        evaluate: Callable[[], dict[str, float]],
        *,
        monitor: str,
        maximize: bool = False,
        part: str = "valid",
        sample: Callable[[], str | None] = lambda: None,
        padding: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.evaluate, self.sample = model, evaluate, sample
        self.monitor, self.maximize, self.part = monitor, maximize, part
        self.batches = ExampleBatches(examples, config.batch_size, seed=config.seed, padding=padding)
        self._loss = loss

    def loss(self, batch: ExampleBatch, state: Any) -> BatchLoss:
        """The mean loss of a batch; nothing is carried to the next."""
        total, count = self._loss(to_tensors(batch, next(self.model.parameters()).device))
        return BatchLoss(total / count, total.item(), count, None)
