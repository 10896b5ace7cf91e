"""Baselines against their definitions."""

from __future__ import annotations

import numpy as np

from recurra.data.series import Clock, Frequency, Scales, SeriesSet, Windows, fit_scales
from recurra.models.baselines import LinearAutoregression, drift, naive, seasonal_naive


def make(values: list[np.ndarray]) -> SeriesSet:
    """Series of one or more targets [T, C]."""
    lengths = [len(one) for one in values]
    rows, nothing = np.concatenate(values), np.zeros((sum(lengths), 0))
    return SeriesSet(
        tuple(map(str, range(len(values)))), tuple(map(str, range(rows.shape[1]))), (), (),
        np.concatenate([[0], np.cumsum(lengths)]), np.zeros(len(values), int), np.ones(len(values), int), rows,
        np.ones(rows.shape, bool), nothing, nothing, Clock(Frequency(1, "row")), "made.csv",
    )  # fmt: skip


RANDOM = np.random.default_rng(1)
SERIES = make([RANDOM.normal(size=(30, 2)), RANDOM.normal(size=(40, 2))])
NUMBERS, ORIGINS = np.array([0, 1, 1]), np.array([12, 3, 33])


def test_the_naive_ones_by_their_definitions() -> None:
    last, season, line = (
        naive(SERIES, NUMBERS, ORIGINS, 7),
        seasonal_naive(SERIES, NUMBERS, ORIGINS, 7, 5),
        drift(SERIES, NUMBERS, ORIGINS, 7),
    )
    for place, (number, origin) in enumerate(zip(NUMBERS, ORIGINS, strict=True)):
        past = SERIES.values[SERIES.rows(number)][:origin]
        for step in range(7):
            np.testing.assert_array_equal(last[step, place], past[-1])
            expected = past[origin - 5 + step % 5] if origin >= 5 else past[-1]
            np.testing.assert_array_equal(season[step, place], expected)
            slope = (past[-1] - past[0]) / (origin - 1)
            np.testing.assert_allclose(line[step, place], past[-1] + (step + 1) * slope)


def test_none_sees_what_it_forecasts() -> None:
    scales = Scales(np.zeros((2, 2)), np.ones((2, 2)))
    linear = LinearAutoregression(RANDOM.normal(size=(2, 4)))
    changed = make([SERIES.values[:30].copy(), SERIES.values[30:].copy()])
    for number, origin in zip(NUMBERS[[0, 2]], ORIGINS[[0, 2]], strict=True):
        changed.values[changed.bounds[number] + origin : changed.bounds[number + 1]] = 99
    for make_forecast in (naive, drift, lambda *given: seasonal_naive(*given, 5),
                          lambda *given: linear.forecast(given[0], scales, *given[1:])):  # fmt: skip
        before, after = (make_forecast(one, NUMBERS[[0, 2]], ORIGINS[[0, 2]], 7) for one in (SERIES, changed))
        np.testing.assert_array_equal(before, after)


def test_the_linear_one_is_least_squares() -> None:
    """Its weights are those of numpy's own solver on all windows, each target by itself."""
    scales = fit_scales(SERIES, np.array([30, 40]), "standard", False)
    ends = np.array([20, 25])
    found = LinearAutoregression.fit(SERIES, scales, Windows.of(0 * ends, ends, 3, 1), 3)
    for column in range(2):
        rows, targets = [], []
        for number in (0, 1):
            values = SERIES.values[SERIES.rows(number)][: ends[number], column]
            values = (values - scales.center[number, column]) / scales.scale[number, column]
            rows += [[*values[t - 3 : t], 1.0] for t in range(3, ends[number])]
            targets += values[3:].tolist()
        expected = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
        np.testing.assert_allclose(found.weights[column], expected, atol=2e-3)


def test_the_linear_one_goes_on_with_a_wave() -> None:
    """A sine is y[t] = 2 cos(w) y[t-1] - y[t-2]: forecast exactly, as far as asked."""
    wave = 50 + 9 * np.sin(np.arange(400) * 0.3)[:, None]
    series = make([wave])
    scales = fit_scales(series, np.array([300]), "standard", False)
    linear = LinearAutoregression.fit(series, scales, Windows.of(np.array([0]), np.array([300]), 6, 1), 6)
    told = linear.forecast(series, scales, np.array([0]), np.array([320]), 60)
    assert np.abs(told[:, 0] - wave[320:380]).max() < 0.7
