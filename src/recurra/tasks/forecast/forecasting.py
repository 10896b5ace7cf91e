"""From windows to forecasts: the network's numbers as points, quantiles and deviations, over any horizon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from recurra.data.series import Scales, WindowBatch
from recurra.models.forecaster import Forecast, Forecaster, Window, gaussian
from recurra.tasks.forecast.data import Fitted
from recurra.tasks.forecast.options import ForecastConfig


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of B windows.

    point: [n, B, C]; quantiles: [n, B, C, Q], None for a point forecast; deviation: [n, B, C], of a Gaussian one.
    """

    point: np.ndarray
    quantiles: np.ndarray | None = None
    deviation: np.ndarray | None = None

    def undo(self, scales: Scales, series: np.ndarray) -> Forecasts:
        """The same in the unit of the series. A Gaussian of logarithms has no deviation there."""
        quantiles = self.quantiles
        if quantiles is not None:
            quantiles = np.moveaxis(scales.undo(np.moveaxis(quantiles, -1, 0), series), 0, -1)
        deviation = None if self.deviation is None or scales.log else self.deviation * scales.scale[series]
        return Forecasts(scales.undo(self.point, series), quantiles, deviation)


def to_window(batch: WindowBatch, fitted: Fitted, model: Forecaster) -> Window:
    """A batch on the model's device, with the mask among the past covariates."""
    past = np.concatenate([batch.past, batch.observed], -1) if fitted.masked else batch.past
    return Window(*(to_tensor(array, model) for array in (batch.history, past, batch.known)))


def to_tensor(array: np.ndarray, model: Forecaster) -> Tensor:
    weight = model.output.weight
    return torch.from_numpy(np.ascontiguousarray(array)).to(weight.device, weight.dtype)


@torch.no_grad()
def forecast(
    model: Forecaster, config: ForecastConfig, fitted: Fitted, batch: WindowBatch, horizon: int,
    levels: Sequence[float] | None = None,
) -> Forecasts:  # fmt: skip
    """Scaled forecasts of `horizon` steps.

    A direct decoder that was trained for fewer is rolled forward: its point forecasts become history, with the last
    past covariates; intervals then hold the error of the last roll alone.
    levels: of the quantiles of a Gaussian; None for those of the options.
    """
    window = to_window(batch, fitted, model)
    levels = config.levels if levels is None else levels
    if config.decoder_training == "teacher" and config.distribution == "gaussian":
        return _of_paths(model, config, window, horizon, levels)
    if model.decoder is not None or horizon <= config.horizon:
        return _told(model(window, horizon), config, levels)
    pieces, steps, length = [], config.horizon, len(window.history)
    for first in range(0, horizon, steps):
        known = window.known[first : first + length + steps]
        piece = _told(model(window._replace(known=known), len(known) - length), config, levels)
        pieces.append(piece)
        window = _forward(window, to_tensor(piece.point, model), len(fitted.targets) if fitted.masked else 0)
    point = np.concatenate([piece.point for piece in pieces])
    return Forecasts(point, _joined(piece.quantiles for piece in pieces), _joined(piece.deviation for piece in pieces))


def _forward(window: Window, point: Tensor, masks: int) -> Window:
    """The window that ends where a forecast ends; the last `masks` past covariates say that it was observed."""
    length = len(window.history)
    past = window.past[-1:].expand(len(point), *window.past.shape[1:]).clone()
    past[..., past.shape[-1] - masks :] = 1
    return window._replace(
        history=torch.cat([window.history, point])[-length:], past=torch.cat([window.past, past])[-length:]
    )


def _joined(pieces: Iterable[np.ndarray | None]) -> np.ndarray | None:
    found = [piece for piece in pieces if piece is not None]
    return np.concatenate(found) if found else None


def _told(found: Forecast, config: ForecastConfig, levels: Sequence[float]) -> Forecasts:
    if config.distribution == "gaussian":
        mean, deviation = (one.double().cpu().numpy() for one in gaussian(found))
        scale, level = found.scale.double().cpu().numpy(), found.level.double().cpu().numpy()
        mean, deviation = mean * scale + level, deviation * scale
        return Forecasts(mean, normal_quantiles(mean, deviation, levels), deviation)
    values = found.restored().double().cpu().numpy()
    if config.distribution == "point":
        return Forecasts(values[..., 0])
    values = np.sort(values, -1)  # quantiles that cross are put in order (Chernozhukov et al. 2010)
    return Forecasts(values[..., config.levels.index(0.5)], values)


def normal_quantiles(mean: np.ndarray, deviation: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of Gaussians, [.., Q]."""
    return np.stack([mean + deviation * NormalDist().inv_cdf(level) for level in levels], -1)


def _of_paths(
    model: Forecaster, config: ForecastConfig, window: Window, horizon: int, levels: Sequence[float]
) -> Forecasts:
    """What paths say that a decoder draws which was trained on true values (DeepAR: Salinas et al. 2020)."""
    draws, rows = config.samples, window.history.shape[1]
    random = torch.Generator(window.history.device).manual_seed(config.seed)
    many = Window(*(one.repeat_interleave(draws, 1) for one in window))
    paths = model(many, horizon, random=random).restored()[..., 0].unflatten(1, (rows, draws)).double().cpu().numpy()
    return Forecasts(paths.mean(2), np.moveaxis(np.quantile(paths, levels, axis=2), 0, -1))
