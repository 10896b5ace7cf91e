"""Forecasts as a table: the steps after the last, with the covariates known for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recurra.data.series import ID, TIME, SeriesSet, calendar, read_future
from recurra.errors import ConfigError, DataError
from recurra.tasks.forecast.data import Fitted
from recurra.tasks.forecast.forecasting import Forecasts
from recurra.tasks.forecast.options import ForecastConfig

DIGITS = 9  # significant: what float32 holds, and one more


def extended(series: SeriesSet, fitted: Fitted, config: ForecastConfig, horizon: int, future: Path | None) -> SeriesSet:
    """The last window of each series, and `horizon` steps after it with nothing but the known covariates.

    Raises: DataError for a series shorter than the window, or missing covariates; ConfigError without `future`.
    """
    window, lengths = fitted.window, series.lengths
    if (lengths < window).any():
        number = int(np.argmax(lengths < window))
        raise DataError(
            f"{series.place(number)}: expected {window} steps to read or more, got {lengths[number]}; give a longer "
            "history, or --continues if it goes on where the training data ended"
        )
    if fitted.known and future is None:
        raise ConfigError(f"the model knows {', '.join(fitted.known)} in advance; give --future FILE with them")
    if future is not None and not fitted.known:
        raise ConfigError("future has no effect: the model has no covariates known in advance; leave it out")
    # Values that are not there yet are 1: a logarithm may be taken of all.
    rows = (series.bounds[1:] - window)[:, None] + np.arange(window)
    steps = window + horizon

    def longer(array: np.ndarray, end: float = 0) -> np.ndarray:
        ends = np.full((len(series), horizon, array.shape[1]), end, array.dtype)
        return np.concatenate([array[rows], ends], 1).reshape(len(series) * steps, array.shape[1])

    # The last time is asked for too: one after the year 9999 is refused before anything is written.
    ends = [np.array([length - window, length + horizon - 1]) for length in lengths]
    starts = np.array([series.clock.after(int(series.starts[n]), end)[0] for n, end in enumerate(ends)])
    found = replace(
        series, bounds=np.arange(len(series) + 1) * steps, starts=starts, values=longer(series.values, 1),
        observed=longer(series.observed), known=longer(series.known), past=longer(series.past),
    )  # fmt: skip
    known = found.known.reshape(len(series), steps, fitted.known_width)
    if future is not None:
        known[:, window:, : len(fitted.known)] = _future(found, fitted, config, horizon, future)
    if fitted.calendar:
        for number in range(len(series)):
            times = found.times(number, window, steps)
            known[number, window:, len(fitted.known) :] = calendar(times, fitted.calendar, fitted.clock)
    return found


def _future(series: SeriesSet, fitted: Fitted, config: ForecastConfig, horizon: int, path: Path) -> np.ndarray:
    """The known covariates of the steps to forecast, [N, n, K]."""
    found = read_future(path, config, fitted.clock)
    values = np.empty((len(series), horizon, len(fitted.known)))
    for number, name in enumerate(series.ids):
        other = 0 if len(found) == 1 and found.ids == ("",) else found.places.get(name)
        if other is None:
            raise DataError(f"{path}: expected covariates of series {name!r}, got none; add its rows")
        first = series.times(number, fitted.window, fitted.window + 1)
        step = _first_step(series, found, other, first)
        if step < 0 or step + horizon > found.lengths[other]:
            wanted = series.clock.text(series.times(number, fitted.window, fitted.window + horizon)[[0, -1]])
            there = series.clock.text(found.times(other)[[0, -1]])
            of = f" of series {name!r}" if name else ""
            raise DataError(
                f"{found.path}:{found.lines[other]}: expected covariates{of} from {wanted[0]} to {wanted[1]}, got "
                f"{there[0]} to {there[1]}; add rows, or give a smaller --horizon"
            )
        rows = found.rows(other)
        values[number] = found.known[rows.start + step : rows.start + step + horizon]
    return values


def _first_step(series: SeriesSet, found: SeriesSet, other: int, first: np.ndarray) -> int:
    """Which step of the future covariates is the first to forecast, -1 where none is."""
    if not series.clock.tells_time and found.starts[other] in (0, 1) and first[0] > found.times(other)[-1]:
        return 0  # rows counted anew
    steps, whole = series.clock.steps(found.starts[other : other + 1], first)
    return int(steps[0]) if whole[0] else -1


def records(
    series: SeriesSet, numbers: np.ndarray, found: Forecasts, config: ForecastConfig, levels: Sequence[float],
    window: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """A record for each series and step: id, time, and for each target the forecast and its quantiles."""
    named = series.ids != ("",)
    horizon = len(found.point)
    for place, number in enumerate(numbers):
        times = series.clock.text(series.times(int(number), window, window + horizon))
        for step in range(horizon):
            record: dict[str, Any] = {config.series_id or ID: series.ids[number]} if named else {}
            record[config.time or TIME] = times[step]
            for column, target in enumerate(series.targets):
                record[target] = float(found.point[step, place, column])
                for at, level in enumerate(levels if found.quantiles is not None else ()):
                    assert found.quantiles is not None
                    record[f"{target}_q{level:g}"] = float(found.quantiles[step, place, column, at])
            yield record


def write_csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Records as lines of CSV, the names first."""
    first = True
    for row in rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if first:
            writer.writerow(row)
        writer.writerow(f"{value:.{DIGITS}g}" if isinstance(value, float) else value for value in row.values())
        first = False
        yield text.getvalue()
