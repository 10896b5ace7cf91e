"""Errors of forecasts against slower computations, and against published numbers of real data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from real_data import real_data

from recurra.data.series import SeriesOptions, Windows, fit_scales, read_series, split_by_files, split_by_rows
from recurra.metrics.forecasts import (
    ForecastErrors,
    gaussian_crps,
    naive_scale,
    normal_cdf,
    pinball,
    quantile_crps,
)
from recurra.models.baselines import naive, seasonal_naive


def test_gaussian_crps_is_the_integral() -> None:
    """The CRPS is the integral of (F(x) - [x >= y])^2 over x."""
    x = np.linspace(-60, 60, 400_001)
    for mean, deviation, target in ((0.0, 1.0, 0.3), (2.0, 0.5, -1.0), (-3.0, 4.0, 5.0)):
        below = normal_cdf((x - mean) / deviation) - (x >= target)
        integral = (below**2).sum() * (x[1] - x[0])
        found = gaussian_crps(np.array(target), np.array(mean), np.array(deviation))
        assert abs(found - integral) < 1e-3


def test_the_crps_of_many_quantiles_is_that_of_the_distribution() -> None:
    from statistics import NormalDist

    levels = [(place + 0.5) / 2000 for place in range(2000)]
    quantiles = np.array([NormalDist(1.0, 2.0).inv_cdf(level) for level in levels])
    for target in (-2.0, 1.0, 4.5):
        exact = gaussian_crps(np.array(target), np.array(1.0), np.array(2.0))
        assert abs(quantile_crps(np.array([target]), quantiles[None], levels)[0] - exact) < 2e-3
    assert quantile_crps(np.array([3.0]), np.array([[1.0]]), [0.5]).tolist() == [2.0]  # of a point: the absolute error


def test_pinball_is_least_at_the_quantile() -> None:
    values = np.random.default_rng(1).normal(size=4001)
    for level in (0.1, 0.5, 0.9):
        losses = [
            pinball(values, np.full((len(values), 1), guess), [level]).mean() for guess in np.linspace(-2, 2, 401)
        ]
        assert abs(np.linspace(-2, 2, 401)[int(np.argmin(losses))] - np.quantile(values, level)) < 0.011


def test_errors_against_loops() -> None:
    """Every measure, with what was not observed left out, in one go and in pieces."""
    random = np.random.default_rng(2)
    target, forecast = random.normal(size=(2, 4, 6, 3))
    target[0, 0], forecast[0, 0] = 0.0, 0.0  # sMAPE of nothing is nothing
    scored = random.random((4, 6, 3)) > 0.3
    scale = random.random((6, 3)) + 0.5
    scale[2] = np.nan
    quantiles = np.sort(random.normal(size=(4, 6, 3, 3)), -1)
    levels = [0.1, 0.5, 0.9]
    whole, pieces = ForecastErrors(4, levels), ForecastErrors(4, levels)
    whole.add(target, forecast, scored, scale, quantiles)
    for part in (slice(0, 2), slice(2, 6)):
        pieces.add(target[:, part], forecast[:, part], scored[:, part], scale[part], quantiles[:, part])
    rows: dict[str, list[list[float]]] = {}
    for step, window, column in np.argwhere(scored):
        y, f = float(target[step, window, column]), float(forecast[step, window, column])
        q = quantiles[step, window, column]
        losses = [max(level * (y - one), (level - 1) * (y - one)) for level, one in zip(levels, q, strict=True)]
        found = {
            "mae": abs(y - f),
            "mse": (y - f) ** 2,
            "smape": 200 * abs(y - f) / (abs(y) + abs(f)) if y or f else 0.0,
            "pinball": sum(losses) / 3,
            "crps": 2 * (0.3 * losses[0] + 0.4 * losses[1] + 0.3 * losses[2]),
            "coverage": float(q[0] <= y <= q[2]),
        }
        if not math.isnan(scale[window, column]):
            found["mase"] = abs(y - f) / scale[window, column]
        for name, value in found.items():
            rows.setdefault(name, [[] for _ in range(4)])[step].append(value)
    for name, by_step in rows.items():
        assert whole.total()[name] == pytest.approx(np.mean([value for step in by_step for value in step]))
        assert pieces.total()[name] == pytest.approx(whole.total()[name])
        for step in range(4):
            assert whole.by_step()[step][name] == pytest.approx(np.mean(by_step[step]))
    assert whole.total()["rmse"] == pytest.approx(math.sqrt(whole.total()["mse"]))
    assert whole.count == scored.sum()


def test_naive_scale() -> None:
    values = np.array([[1.0, 5], [2, 5], [4, 5], [8, 5], [20, 5]])
    observed = np.ones_like(values, bool)
    observed[4, 0] = False
    found = naive_scale(values, observed, 2)
    assert found[0] == pytest.approx((3 + 6) / 2)
    assert math.isnan(found[1])
    assert np.isnan(naive_scale(values, observed, 7)).all()


def test_the_seasonal_naive_forecast_of_m4_has_its_official_errors() -> None:
    """sMAPE 13.912 and MASE 1.193 (README of the data, from the competition's own table)."""
    folder, options = real_data("m4_hourly"), SeriesOptions.make(layout="rows")
    train, test = (read_series(folder / f"Hourly-{part}.csv.gz", options) for part in ("train", "test"))
    series, splits = split_by_files(train, None, test, 0.05, 48)
    windows = Windows.of(*splits.part("test"), 24, 48)
    assert len(windows) == 414
    numbers, origins = windows.locate(np.arange(414))
    rows = series.bounds[numbers] + origins + np.arange(48)[:, None]
    scale = np.stack([naive_scale(train.values[train.rows(n)], train.observed[train.rows(n)], 24) for n in range(414)])
    errors = ForecastErrors(48)
    told = seasonal_naive(series, numbers, origins, 48, 24)
    errors.add(series.values[rows], told, series.observed[rows], scale)
    assert round(errors.total()["smape"], 3) == 13.912
    assert round(errors.total()["mase"], 3) == 1.193


def test_repeating_the_last_day_on_etth1() -> None:
    """MSE .424 and MAE .389 on all test windows, repeating the last value 1.222 and .671 (README of the data)."""
    options = SeriesOptions.make(time="date", target="all")
    series = read_series(real_data("etth1") / "ETTh1.csv.gz", options)
    splits = split_by_rows(series, [8640, 2880, 2880])
    scales = fit_scales(series, splits.ends[0], "standard", False)
    windows = Windows.of(*splits.part("test"), 336, 24)
    assert len(windows) == 2880 - 24 + 1
    numbers, origins = windows.locate(np.arange(len(windows)))
    rows = series.bounds[numbers] + origins + np.arange(24)[:, None]
    target = scales.apply(series.values[rows], numbers)
    for told, expected in (
        (seasonal_naive(series, numbers, origins, 24, 24), (0.424, 0.389)),
        (naive(series, numbers, origins, 24), (1.222, 0.671)),
    ):
        errors = ForecastErrors(24)
        errors.add(target, scales.apply(told, numbers), series.observed[rows], np.ones((len(windows), 7)))
        assert (round(errors.total()["mse"], 3), round(errors.total()["mae"], 3)) == expected
