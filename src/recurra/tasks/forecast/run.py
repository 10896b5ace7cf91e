"""A trained forecaster: backtest and forecasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.data.series import Scales, SeriesSet, WindowReader, Windows, fit_scales, read_series
from recurra.data.series.record import put_behind
from recurra.data.series.scaling import check_positive
from recurra.data.series.tables import STDIN
from recurra.errors import ConfigError, DataError
from recurra.models.forecaster import Forecaster
from recurra.tasks.forecast.backtest import MODEL, ROWS, Backtest, backtest
from recurra.tasks.forecast.data import (
    Data,
    Fitted,
    is_prepared,
    missing_of,
    naive_scales,
    prepare,
    reader_of,
    with_calendar,
    with_targets,
)
from recurra.tasks.forecast.forecasting import Forecasts, forecast
from recurra.tasks.forecast.network import build
from recurra.tasks.forecast.options import ForecastConfig, ForecastEvaluation, ForecastPrediction
from recurra.tasks.forecast.prediction import extended, records, write_csv
from recurra.tasks.forecast.report import write_report
from recurra.tasks.run import Run
from recurra.training.memory import enough_memory

LOGGER = logging.getLogger("recurra")
SHOWN = ("mae", "rmse", "smape", "mase", "mse_scaled", "mae_scaled")
"""What is told of baselines beside the model."""


@dataclass(frozen=True)
class Origins:
    """Windows of some series, ready to be forecast: `scale` is what MASE divides by, [N, C]."""

    reader: WindowReader
    windows: Windows
    scale: np.ndarray


class ForecastRun(Run[ForecastConfig, Fitted, Forecaster]):
    """A trained forecaster.

    Example:
        >>> run = recurra.load("runs/forecast-series")  # doctest: +SKIP
        >>> run.predict("newer.csv", horizon=48)[0]  # doctest: +SKIP
        {'unique_id': 'a', 'ds': '2020-01-01', 'y': 12.3, 'y_q0.1': 10.1, 'y_q0.5': 12.3, 'y_q0.9': 14.8}
    """

    options = ForecastConfig

    @staticmethod
    def load_fitted(folder: Path) -> Fitted:
        return Fitted.load(folder)

    @staticmethod
    def build(config: ForecastConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Forecaster:
        return build(config, fitted, device)

    def evaluate(
        self, path: Path | str | None = None, *, batch_size: int | None = None, **options: Any
    ) -> dict[str, float]:
        """Backtest with a rolling origin, the baselines beside it.

        Args:
            path: a file in the form of the training data; None for the test steps of the training.
            batch_size: windows side by side, for speed.
            options: fields of `recurra.tasks.forecast.ForecastEvaluation`: horizon, stride, windows, continues,
                report_dir.

        Returns:
            Measures by name; those of a baseline begin with its name. See `recurra.metrics.forecasts`.

        Raises: DataError for a file that cannot be used, or where there are no test steps.
        """
        chosen = ForecastEvaluation.make(**options)
        origins = self.origins(path, chosen)
        horizon = chosen.horizon or self.config.horizon
        if chosen.report_dir is not None and chosen.report_dir.exists():
            raise ConfigError(f"{chosen.report_dir}: exists; give a new --report-dir")
        found = self.backtest(origins, horizon, batch_size)
        if chosen.report_dir is not None:
            write_report(chosen.report_dir, self, origins, found, horizon)
        results = found.results()
        metrics = {**results.pop(MODEL), "windows": len(origins.windows)}
        for name, of_baseline in results.items():
            prefix = name.replace(" ", "_")
            metrics |= {f"{prefix}_{measure}": of_baseline[measure] for measure in SHOWN if measure in of_baseline}
        return metrics

    def origins(self, path: Path | str | None = None, options: ForecastEvaluation | None = None) -> Origins:
        """The windows that `evaluate` forecasts. Raises: DataError where there are none."""
        options = options or ForecastEvaluation()
        horizon = options.horizon or self.config.horizon
        stride = options.stride or self.config.stride
        if path is None:
            if options.continues:
                raise ConfigError("continues: expected a file that goes on where the training data ended, got none")
            data = self.data()
            scales, naive, (begins, ends) = self.fitted.scales, self.fitted.naive, data.splits.part("test")
            series, last = data.series, options.windows or self.config.windows
        else:
            series, begins = self._series(Path(path), options.continues)
            ends, last = series.lengths, options.windows
            scales, naive = self._scales(series, np.minimum(np.maximum(begins, self.fitted.window), ends))
        windows = Windows.of(begins, ends, self.fitted.window, horizon, stride, last)
        if path is None and not (ends > begins).any():
            raise DataError(f"{self.folder}: has no test steps; give a file to evaluate on")
        if not len(windows):
            longest = int(np.argmax(ends))
            raise DataError(
                f"{series.place(longest)}: expected {self.fitted.window} steps to read and {horizon} to forecast, got "
                f"{ends[longest] - begins[longest] if path is None else ends[longest]}; give a longer series, or "
                "--continues if it goes on where the training data ended"
            )
        return Origins(reader_of(series, self.fitted, scales), windows, naive)

    def backtest(self, origins: Origins, horizon: int, batch_size: int | None = None) -> Backtest:
        """Forecast every window, baselines beside the model."""
        with enough_memory(self.device, "lower --batch-size"):
            return backtest(
                lambda series, places: self.forecast(origins.reader, series, places, horizon),
                origins.reader, origins.windows, horizon, origins.scale, self.config.levels,
                baselines=self.fitted, scaled=self.config.report_scaled, rows=batch_size or ROWS,
            )  # fmt: skip

    def forecast(
        self, reader: WindowReader, series: np.ndarray, origins: np.ndarray, horizon: int,
        levels: Sequence[float] | None = None,
    ) -> Forecasts:  # fmt: skip
        """Forecasts of some windows in the unit of the series."""
        batch = reader.read(series, origins, horizon)
        return forecast(self.model, self.config, self.fitted, batch, horizon, levels).undo(reader.scales, series)

    def predict(self, source: Path | str | None = None, **options: Any) -> list[dict[str, Any]]:
        """Forecasts of the steps that follow, a record for each series and step.

        Args:
            source: a file in the form of the training data, with the newest history; None for the training data itself.
            options: fields of `recurra.tasks.forecast.ForecastPrediction`: horizon, continues, future, levels.

        Raises: DataError for files that cannot be used, ConfigError where known covariates lack a future.
        """
        chosen = ForecastPrediction.make(**options)
        return list(self._records(None if source is None else Path(source), chosen))

    def write_predictions(self, source: Path | None, options: ForecastPrediction) -> Iterator[str]:
        return write_csv(self._records(source, options))

    def _records(self, source: Path | None, options: ForecastPrediction) -> Iterator[dict[str, Any]]:
        config, levels = self.config, options.levels
        if levels is not None and config.distribution != "gaussian":
            raise ConfigError(f"levels has no effect with distribution={config.distribution}; leave it out")
        horizon = options.horizon or config.horizon
        series = self.data().series if source is None else self._series(source, options.continues)[0]
        scales, _ = self._scales(series, series.lengths)
        longer = extended(series, self.fitted, config, horizon, options.future)
        reader = reader_of(longer, self.fitted, scales)
        for first in range(0, len(series), ROWS):
            numbers = np.arange(first, min(first + ROWS, len(series)))
            origins = np.full(len(numbers), self.fitted.window)
            with enough_memory(self.device, "forecast fewer series at a time"):
                found = self.forecast(reader, numbers, origins, horizon, levels)
            yield from records(longer, numbers, found, config, levels or config.levels, self.fitted.window)

    def data(self) -> Data:
        """The series of the training. Raises: DataError where they are gone."""
        if not is_prepared(self.folder / "data"):
            raise DataError(f"{self.folder}: has no series in its data folder; give a file")
        return prepare(self.config, self.folder, self.folder / "data", self.fitted)[1]

    def _series(self, path: Path, continues: bool) -> tuple[SeriesSet, np.ndarray]:
        """The series of a file, and where in each the file begins, [N]; what was filled in it is logged."""
        fitted = self.fitted
        config = with_targets(self.config, fitted.targets)
        found = with_calendar(read_series(path, config, fitted.clock), fitted.calendar)
        if self.config.log:
            check_positive(found)
        if not continues:
            self._tell_missing(path, found, np.zeros(len(found), np.int64))
            return found, np.zeros(len(found), np.int64)
        before = self.data().series
        absent = [name for name in found.ids if name not in before.places]
        if absent:
            raise DataError(
                f"{found.place(found.places[absent[0]])} is not in the training data; leave out --continues"
            )
        before = before.take([before.places[name] for name in found.ids])
        joined = put_behind(before, found, "file")
        self._tell_missing(path, joined, before.lengths)
        return joined, joined.lengths - found.lengths

    def _tell_missing(self, path: Path, series: SeriesSet, begins: np.ndarray) -> None:
        if missing := missing_of(series, self.config.fill, begins):
            LOGGER.warning("%s: missing: %s", "stdin" if path == STDIN else path, missing)

    def _scales(self, series: SeriesSet, ends: np.ndarray) -> tuple[Scales, np.ndarray]:
        """Scales and what MASE divides by: of the training, or, for a series that was not in it, of its first `ends`
        steps."""
        fitted = self.fitted
        places = {name: place for place, name in enumerate(fitted.ids)}
        old = np.array([places.get(name, -1) for name in series.ids])
        if (old >= 0).all():
            return Scales(fitted.scales.center[old], fitted.scales.scale[old], fitted.scales.log), fitted.naive[old]
        new = fit_scales(series, ends, self.config.scaling, self.config.log)
        naive = naive_scales(series, ends, fitted.season)
        for place in np.flatnonzero(old >= 0):
            new.center[place], new.scale[place] = fitted.scales.center[old[place]], fitted.scales.scale[old[place]]
            naive[place] = fitted.naive[old[place]]
        return new, naive
