"""The training job of a forecaster: windows drawn from the series, loss and validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.series import WindowBatches, WindowReader, Windows
from recurra.models.forecaster import Forecast, Forecaster, gaussian_loss, point_loss, quantile_loss
from recurra.tasks.forecast.data import Fitted
from recurra.tasks.forecast.forecasting import to_tensor, to_window
from recurra.tasks.forecast.options import ForecastConfig
from recurra.training import BatchLoss


class ForecastJob:
    """What trains a forecaster: shuffled windows of the training steps."""

    maximize, part = False, "valid"

    def __init__(self, config: ForecastConfig, fitted: Fitted, model: Forecaster, reader: WindowReader,
                 windows: Windows, evaluate: Callable[[], dict[str, float]]) -> None:  # fmt: skip
        self.config, self.fitted, self.model, self.reader = config, fitted, model, reader
        self.batches = WindowBatches(windows, config.batch_size, config.seed, config.windows_per_epoch)
        self.evaluate, self.monitor = evaluate, config.monitor

    def loss(self, batch: np.ndarray, state: Any) -> BatchLoss:
        """The mean loss of the steps that were observed; nothing is carried to the next batch."""
        total, count = self.loss_of(*self.batches.windows.locate(batch), teacher=self.config.decoder_training)
        return BatchLoss(total / max(count, 1), total.item(), max(count, 1), None)

    def loss_of(self, series: np.ndarray, origins: np.ndarray, teacher: str) -> tuple[Tensor, int]:
        """The summed loss of some windows, and of how many steps it is."""
        batch = self.reader.read(series, origins, self.config.horizon)
        target = to_tensor(batch.target, self.model)
        truth = target if teacher == "teacher" and self.model.decoder is not None else None
        found = self.model(to_window(batch, self.fitted, self.model), self.config.horizon, truth)
        scored = to_tensor(batch.scored, self.model)
        return (self._losses(found, target) * scored).sum(), int(batch.scored.sum())

    def _losses(self, found: Forecast, target: Tensor) -> Tensor:
        if self.config.distribution == "gaussian":
            return gaussian_loss(found, target)
        if self.config.distribution == "point":
            return point_loss(found, target, self.config.loss)
        levels = torch.tensor(self.config.levels, device=target.device, dtype=target.dtype)
        return quantile_loss(found, target, levels)

    @torch.no_grad()
    def mean_loss(self, windows: Windows, rows: int) -> float:
        """The loss over all of some windows."""
        total, count = 0.0, 0
        for first in range(0, len(windows), rows):
            numbers = np.arange(first, min(first + rows, len(windows)))
            summed, steps = self.loss_of(*windows.locate(numbers), teacher=self.config.decoder_training)
            total, count = total + summed.item(), count + steps
        return total / max(count, 1)

    def sample(self) -> str | None:
        return None
