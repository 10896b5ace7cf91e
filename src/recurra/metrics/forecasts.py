"""Errors of forecasts, summed over as many windows as there are.

MAE, RMSE and MSE are in the unit of the series (or its square), sMAPE in percent, MASE in multiples of the mean error
of the seasonal naive forecast on the training part. CRPS and pinball loss are in the unit of the series; the CRPS of a
forecast that is a point is its absolute error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MEASURES = ("mae", "mse", "rmse", "smape", "mase", "crps", "pinball", "coverage")


def gaussian_crps(target: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of Gaussian forecasts (Gneiting & Raftery 2007, eq. 21); lower is better.

    With z = (y - mean) / s it is s (z (2 F(z) - 1) + 2 f(z) - 1 / sqrt(pi)), F and f the standard normal's.
    """
    z = (target - mean) / deviation
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(deviation * (z * (2 * normal_cdf(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """P(Z < z) of a standard normal Z."""
    return np.asarray(0.5 * (1 + _erf(np.asarray(z, np.float64) / math.sqrt(2))))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def pinball(target: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The pinball loss of each quantile, [.., Q], of targets [..]: level times what the quantile falls short of the
    target, or 1 - level times what it is above it (Koenker & Bassett 1978).

        >>> pinball(np.array([3.0]), np.array([[1.0]]), [0.9])
        array([[1.8]])
    """
    below = target[..., None] - quantiles
    level = np.asarray(levels)
    return np.maximum(level * below, (level - 1) * below)


def quantile_crps(target: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The CRPS by quantiles, an approximation: twice the mean pinball loss, each level weighed by the share of (0, 1)
    that is nearest to it (the CRPS is twice the integral of the pinball loss over all levels)."""
    edges = np.concatenate([[0.0], (np.asarray(levels[1:]) + np.asarray(levels[:-1])) / 2, [1.0]])
    return np.asarray(2 * (pinball(target, quantiles, levels) * np.diff(edges)).sum(-1))


def naive_scale(values: np.ndarray, observed: np.ndarray, season: int) -> np.ndarray:
    """What MASE divides by: the mean of |y[t] - y[t - season]| over a training part [T, C] (Hyndman & Koehler 2006);
    NaN where it is 0 or T is too short."""
    both = observed[season:] & observed[: max(len(observed) - season, 0)]
    differences = np.where(both, np.abs(values[season:] - values[: max(len(values) - season, 0)]), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = differences.sum(0) / both.sum(0)
    return np.where(mean > 0, mean, np.nan)


@dataclass
class ForecastErrors:
    """Sums of errors by step of the horizon; `add` takes windows, `total` and `by_step` tell the means.

    horizon: n, the steps; levels: of the quantiles, if there are any; an interval is between the first and the last of
    them. What was not observed counts nowhere, and MASE leaves out series that do not change.
    """

    horizon: int
    levels: Sequence[float] = ()
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        target: np.ndarray,
        forecast: np.ndarray,
        scored: np.ndarray,
        scale: np.ndarray,
        quantiles: np.ndarray | None = None,
        crps: np.ndarray | None = None,
    ) -> None:
        """Add windows.

        Args:
            target, forecast: [n, B, C]; scored: bool [n, B, C], what counts.
            scale: [B, C], what MASE divides by, NaN for nothing.
            quantiles: [n, B, C, Q], at `levels`.
            crps: [n, B, C], where it is known exactly; otherwise it comes from the quantiles, or, without any, is the
                absolute error.
        """
        error = np.abs(target - forecast)
        size = np.abs(target) + np.abs(forecast)
        self._add("mae", error, scored)
        self._add("mse", error**2, scored)
        self._add("smape", 200 * np.divide(error, size, out=np.zeros_like(error), where=size > 0), scored)
        self._add("mase", error / scale, scored & ~np.isnan(scale))
        if quantiles is not None:
            inside = (target >= quantiles[..., 0]) & (target <= quantiles[..., -1])
            self._add("pinball", pinball(target, quantiles, self.levels).mean(-1), scored)
            self._add("coverage", inside.astype(np.float64), scored)
            crps = quantile_crps(target, quantiles, self.levels) if crps is None else crps
        self._add("crps", error if crps is None else crps, scored)

    def _add(self, name: str, values: np.ndarray, scored: np.ndarray) -> None:
        sums = np.where(scored, values, 0.0).sum((1, 2), dtype=np.float64)
        counts = np.broadcast_to(scored, values.shape).sum((1, 2))
        self.sums[name] = self.sums.get(name, 0.0) + sums
        self.counts[name] = self.counts.get(name, 0) + counts

    @property
    def count(self) -> int:
        """Forecasts that were compared."""
        return int(self.counts["mae"].sum()) if self.counts else 0

    def total(self) -> dict[str, float]:
        """The mean of each measure over everything."""
        sums = {name: values.sum() for name, values in self.sums.items()}
        counts = {name: values.sum() for name, values in self.counts.items()}
        found = {name: float(sums[name] / counts[name]) for name in sums if counts[name]}
        if "mse" in found:
            found["rmse"] = math.sqrt(found["mse"])
        return {name: found[name] for name in MEASURES if name in found}

    def by_step(self) -> list[dict[str, float]]:
        """The same for each step of the horizon."""
        steps = []
        for step in range(self.horizon):
            part = ForecastErrors(self.horizon, self.levels)
            part.sums = {name: values[step : step + 1] for name, values in self.sums.items()}
            part.counts = {name: values[step : step + 1] for name, values in self.counts.items()}
            steps.append(part.total())
        return steps
