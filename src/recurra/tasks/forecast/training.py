"""Training a forecaster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recurra.data.series import Clock, Frequency, Scales, Windows
from recurra.errors import DataError
from recurra.tasks.card import About
from recurra.tasks.forecast.backtest import MODEL, ROWS, backtest
from recurra.tasks.forecast.data import Data, Fitted, facts_of, is_prepared, prepare, reader_of
from recurra.tasks.forecast.job import ForecastJob
from recurra.tasks.forecast.network import build
from recurra.tasks.forecast.options import ForecastConfig
from recurra.tasks.forecast.report import write_report
from recurra.tasks.forecast.run import ForecastRun
from recurra.tasks.training import DATA, Measure, Results, Training
from recurra.training import Job


class ForecastTraining(Training[ForecastConfig, Fitted, Data]):
    """One training of a forecaster."""

    run_type = ForecastRun

    @classmethod
    def prepare(cls, config: ForecastConfig, folder: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
        return prepare(config, folder, folder / DATA, fitted)

    @classmethod
    def is_prepared(cls, folder: Path) -> bool:
        return is_prepared(folder)

    @classmethod
    def check_network(cls, config: ForecastConfig) -> None:
        targets = tuple(config.target or ["y"])
        one, none = np.ones((1, len(targets))), np.zeros((2, 0))
        window, season = config.patch * max(config.window or 1, config.season or 1), config.season or 1
        fitted = Fitted(
            ("",), targets, (), (), (), Clock(Frequency(1, "row")), season, window, False, 0, Scales(0 * one, one),
            none, none, one, one,
        )  # fmt: skip
        build(config, fitted, "meta")

    @property
    def measure(self) -> Measure:
        names = {"gaussian": "nats", "quantiles": "pinball loss", "point": self.config.loss}
        return Measure(self.config.unit_name, names[self.config.distribution])

    def make_job(self) -> Job:
        train, valid = self._windows("train"), self._windows("valid")
        if not len(valid):
            number = int(np.argmin(self.data.splits.ends[1] - self.data.splits.ends[0]))
            raise DataError(
                f"{self.data.series.place(number)}: expected {self.config.horizon} steps or more for validation, got "
                f"{(self.data.splits.ends[1] - self.data.splits.ends[0])[number]}; move the split, or lower --horizon"
            )
        self.reader = reader_of(self.data.series, self.fitted, self.fitted.scales)
        return ForecastJob(self.config, self.fitted, self.model, self.reader, train, lambda: self._validate(valid))

    def data_facts(self) -> dict[str, Any]:
        return {"data": str(self.config.data), **facts_of(self.data, self.fitted, self.config)}

    def results(self, run: ForecastRun) -> Results:
        """The test, and the baselines beside it; where there is no test, the baselines beside the validation."""
        tested = len(self._windows("test")) > 0
        if not tested:
            found = backtest(
                None, self.reader, self._windows("valid"), self.config.horizon, self.fitted.naive,
                self.config.levels, baselines=self.fitted, scaled=self.config.report_scaled,
            )  # fmt: skip
            return {f"valid {name}": metrics for name, metrics in found.results().items()}
        self.tested = run.backtest(run.origins(), self.config.horizon)
        return {"test" if name == MODEL else f"test {name}": metrics for name, metrics in self.tested.results().items()}

    def write_report(self, run: ForecastRun, results: Results) -> None:
        if "test" in results:
            write_report(self.folder.path / "report", run, run.origins(), self.tested, self.config.horizon)

    def card(self, run: ForecastRun) -> About:
        fitted, config = self.fitted, self.config
        of = f"{len(fitted.ids):,} series" if len(fitted.ids) > 1 else "one series"
        future = " --future FUTURE.csv" if fitted.known else ""
        return About(
            f"A forecaster of {', '.join(fitted.targets)} in {of}: it reads {fitted.window} steps and was trained to "
            f"forecast {config.horizon}; a step is {fitted.clock.frequency.text}. Output: {config.distribution}. "
            "Errors by step of the horizon, and a picture, are in `report/`.",
            [
                f"predict {run.folder} NEWER.csv --horizon {config.horizon}{future}",
                f"evaluate {run.folder} NEWER.csv --stride 1",
            ],
            'run.predict("NEWER.csv")' if not fitted.known else 'run.predict("NEWER.csv", future="FUTURE.csv")',
        )

    def _windows(self, part: str) -> Windows:
        config = self.config
        if part == "train":
            return self.data.windows(part, self.fitted, config.horizon)
        return self.data.windows(part, self.fitted, config.horizon, config.stride, config.windows)

    def _validate(self, windows: Windows) -> dict[str, float]:
        run = ForecastRun(self.folder.path, self.config, self.fitted, self.model)
        job: Any = self.job
        found = backtest(
            lambda series, origins: run.forecast(self.reader, series, origins, self.config.horizon),
            self.reader, windows, self.config.horizon, self.fitted.naive, self.config.levels,
            scaled=self.config.report_scaled,
        )  # fmt: skip
        return {"loss": job.mean_loss(windows, ROWS), **found.results()[MODEL]}
