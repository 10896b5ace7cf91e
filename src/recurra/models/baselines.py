"""Forecasts without a network: what any model has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.data.series import Scales, SeriesSet, Windows

FITTED = 1 << 16  # windows that the linear model is fitted on, spread over all there are
CHUNK = 1 << 12
RIDGE = 1e-3  # times the mean of the diagonal


def naive(series: SeriesSet, numbers: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """The last value goes on: [n, B, C] from windows given by series and origin [B]."""
    return seasonal_naive(series, numbers, origins, horizon, 1)


def seasonal_naive(
    series: SeriesSet, numbers: np.ndarray, origins: np.ndarray, horizon: int, season: int
) -> np.ndarray:
    """The last season goes on; where the series is shorter than a season, its last value."""
    back = np.where(origins >= season, season, 1)
    steps = np.arange(horizon)[:, None] % back - back
    return series.values[series.bounds[numbers] + origins + steps]


def drift(series: SeriesSet, numbers: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """The straight line through the first and the last value of the series so far goes on."""
    begins = series.bounds[numbers]
    first, last = series.values[begins], series.values[begins + origins - 1]
    slope = (last - first) / np.maximum(origins - 1, 1)[:, None]
    return np.asarray(last + slope * np.arange(1, horizon + 1)[:, None, None])


@dataclass(frozen=True)
class LinearAutoregression:
    """y[t] = a[0] y[t - p] + .. + a[p - 1] y[t - 1] + b on scaled values, each target by itself, all series together;
    the steps of the horizon one after the other.

    weights: float64 [C, p + 1], b last.
    """

    weights: np.ndarray

    @classmethod
    def fit(cls, series: SeriesSet, scales: Scales, windows: Windows, order: int) -> LinearAutoregression:
        """Least squares with a small ridge, on windows whose history has `order` steps at least."""
        size = order + 1
        gram = np.zeros((len(series.targets), size, size))
        moment = np.zeros((len(series.targets), size))
        chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), FITTED)).astype(np.int64))
        for first in range(0, len(chosen), CHUNK):
            numbers, origins = windows.locate(chosen[first : first + CHUNK])
            rows = series.bounds[numbers] + origins + np.arange(-order, 1)[:, None]
            values = scales.apply(series.values[rows], numbers)
            inputs = np.concatenate([values[:-1], np.ones_like(values[:1])])
            weight = series.observed[rows[-1]]
            for column in range(len(gram)):
                weighed = inputs[..., column] * weight[:, column]
                gram[column] += weighed @ inputs[..., column].T
                moment[column] += weighed @ values[-1, :, column]
        ridge = RIDGE * np.trace(gram, axis1=1, axis2=2)[:, None, None] / size * np.eye(size) + 1e-12 * np.eye(size)
        return cls(np.linalg.solve(gram + ridge, moment[..., None])[..., 0])

    def forecast(
        self, series: SeriesSet, scales: Scales, numbers: np.ndarray, origins: np.ndarray, horizon: int
    ) -> np.ndarray:
        """[n, B, C]."""
        order = self.weights.shape[1] - 1
        rows = series.bounds[numbers] + origins + np.arange(-order, 0)[:, None]
        path = np.empty((order + horizon, len(numbers), self.weights.shape[0]))
        path[:order] = scales.apply(series.values[rows], numbers)
        taps, bias = self.weights[:, :-1].T[:, None], self.weights[:, -1]
        for step in range(horizon):
            path[order + step] = (path[step : step + order] * taps).sum(0) + bias
        return scales.undo(path[order:], numbers)
