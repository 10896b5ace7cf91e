"""The report of a backtest: a table by step of the horizon, and a picture of forecasts."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recurra.errors import FolderError
from recurra.inspection.forecast_picture import Panel, draw_forecasts
from recurra.tasks.forecast.backtest import Backtest

if TYPE_CHECKING:
    from recurra.tasks.forecast.run import ForecastRun, Origins

TABLE, PICTURE = "by_step.csv", "forecasts.png"
PANELS = 6
SHOWN_HISTORY = 3  # horizons of history in the picture


def write_report(folder: Path, run: ForecastRun, origins: Origins, found: Backtest, horizon: int) -> None:
    """Write `by_step.csv`, a row for each step and maker of forecasts, and `forecasts.png`, into a folder that is made.

    Raises: FolderError where it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
            _write_table(csv.writer(file, lineterminator="\n"), found)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written ({error.strerror}); free some space") from None
    draw_forecasts(folder / PICTURE, panels(run, origins, horizon))


def _write_table(writer: csv._writer, found: Backtest) -> None:  # type: ignore[name-defined,unused-ignore]
    names: list[str] = []
    for errors in found.errors.values():
        names += [name for name in errors.total() if name not in names]
    writer.writerow(["step", "forecast", *names])
    by_maker = {maker: errors.by_step() for maker, errors in found.errors.items()}
    for step in range(max((len(steps) for steps in by_maker.values()), default=0)):
        for maker, steps in by_maker.items():
            writer.writerow([step + 1, maker, *(_written(steps[step].get(name)) for name in names)])


def _written(value: float | None) -> str:
    """A number of the table; an empty cell for one that is infinite, NaN or was not measured."""
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def panels(run: ForecastRun, origins: Origins, horizon: int) -> list[Panel]:
    """The newest window of some series, spread over all, each target a panel."""
    reader, windows = origins.reader, origins.windows
    series, clock = reader.series, reader.series.clock
    last = np.cumsum(windows.counts)[windows.counts > 0] - 1
    chosen = last[np.unique(np.linspace(0, len(last) - 1, min(len(last), PANELS)).astype(np.int64))]
    numbers, places = windows.locate(chosen)
    found = run.forecast(reader, numbers, places, horizon)
    back = min(run.fitted.window, SHOWN_HISTORY * horizon)
    shown = []
    for at, (number, origin) in enumerate(zip(numbers.tolist(), places.tolist(), strict=True)):
        rows = slice(int(series.bounds[number]) + origin - back, int(series.bounds[number]) + origin + horizon)
        times = series.times(number, origin - back, origin + horizon)
        for column, target in enumerate(series.targets):
            quantiles = None if found.quantiles is None else found.quantiles[:, at, column]
            title = " ".join(part for part in (series.ids[number], target) if part)
            values = np.where(series.observed[rows, column], series.values[rows, column], np.nan)
            moments = clock.local(times).astype("datetime64[us]") if clock.tells_time else times
            place = f"series {number + 1}, target {column + 1}"
            point = found.point[:, at, column]
            shown.append(Panel(title, moments, values, point, quantiles, run.config.levels, place))
    return shown[:PANELS]
