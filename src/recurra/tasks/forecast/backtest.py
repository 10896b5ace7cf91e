"""Rolling origin: forecasts from many origins, and baselines from the same, against what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from recurra.data.series import WindowReader, Windows
from recurra.metrics.forecasts import ForecastErrors, gaussian_crps
from recurra.models.baselines import LinearAutoregression, drift, naive, seasonal_naive
from recurra.tasks.forecast.data import Fitted
from recurra.tasks.forecast.forecasting import Forecasts

MODEL = "model"
ROWS = 512
"""Windows side by side, unless said otherwise."""

Predict = Callable[[np.ndarray, np.ndarray], Forecasts]
"""Forecasts, in the unit of the series, of the windows given by series and origin [B]."""


@dataclass
class Backtest:
    """Errors by what made the forecasts, the model or a baseline; `scaled`: the same of scaled values."""

    errors: dict[str, ForecastErrors] = field(default_factory=dict)
    scaled: dict[str, ForecastErrors] = field(default_factory=dict)

    def results(self) -> dict[str, dict[str, float]]:
        """Metrics by what made the forecasts."""
        found = {name: errors.total() for name, errors in self.errors.items()}
        for name, errors in self.scaled.items():
            total = errors.total()
            found[name] |= {f"{measure}_scaled": total[measure] for measure in ("mse", "mae") if measure in total}
        return found


def backtest(
    predict: Predict | None,
    reader: WindowReader,
    windows: Windows,
    horizon: int,
    scale: np.ndarray,
    levels: list[float],
    *,
    baselines: Fitted | None = None,
    scaled: bool = False,
    rows: int = ROWS,
) -> Backtest:
    """Forecast every window and compare.

    Args:
        predict: the model; None to measure baselines only.
        scale: [N, C], what MASE divides by.
        levels: of the quantiles that `predict` gives.
        baselines: to measure them too, of this season and with this linear model.
        scaled: measure the errors of scaled values too.
    """
    found = Backtest()
    makers: dict[str, Predict] = {} if predict is None else {MODEL: predict}
    if baselines is not None:
        makers |= _baselines(reader, baselines, horizon)
    for first in range(0, len(windows), rows):
        numbers, origins = windows.locate(np.arange(first, min(first + rows, len(windows))))
        places = reader.series.bounds[numbers] + origins + np.arange(horizon)[:, None]
        target, scored = reader.series.values[places], reader.series.observed[places]
        for name, make in makers.items():
            told = make(numbers, origins)
            crps = None if told.deviation is None else gaussian_crps(target, told.point, told.deviation)
            errors = found.errors.setdefault(name, ForecastErrors(horizon, levels))
            errors.add(target, told.point, scored, scale[numbers], told.quantiles, crps)
            if scaled:
                errors = found.scaled.setdefault(name, ForecastErrors(horizon))
                apply = reader.scales.apply
                errors.add(apply(target, numbers), apply(told.point, numbers), scored, scale[numbers])
    return found


def _baselines(reader: WindowReader, fitted: Fitted, horizon: int) -> dict[str, Predict]:
    series, scales = reader.series, reader.scales
    linear = LinearAutoregression(fitted.linear)
    season = fitted.season
    return {
        "naive": lambda n, o: Forecasts(naive(series, n, o, horizon)),
        **(
            {"seasonal naive": lambda n, o: Forecasts(seasonal_naive(series, n, o, horizon, season))}
            if season > 1
            else {}
        ),
        "drift": lambda n, o: Forecasts(drift(series, n, o, horizon)),
        "linear": lambda n, o: Forecasts(linear.forecast(series, scales, n, o, horizon)),
    }
