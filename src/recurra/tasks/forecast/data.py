"""The series of a forecaster in its run folder: read once, split, with what is learned of them besides weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recurra.config.series import ALL
from recurra.data.series import (
    Clock,
    Scales,
    SeriesSet,
    Splits,
    WindowReader,
    Windows,
    calendar,
    choose_features,
    fit_scales,
    read_series,
    split_by_dates,
    split_by_files,
    split_by_fractions,
    split_by_rows,
)
from recurra.errors import ConfigError, DataError, FolderError
from recurra.metrics.forecasts import naive_scale
from recurra.models.baselines import LinearAutoregression
from recurra.tasks.forecast.options import ForecastConfig
from recurra.text.files import written_aside

FACTS, NUMBERS = "forecast.json", "forecast.npz"
SMALLEST_WINDOW = 8
LONGEST_ORDER = 512
"""Steps back that the linear autoregression reads, at most."""


@dataclass(frozen=True)
class Fitted:
    """What is known besides weights.

    ids, targets, known, past: names of the series and columns; calendar: features; clock: the steps; season, window: in
    steps; masked: whether the model reads which values were missing; dropped: series left out;
    scales: of the targets; known_scales, past_scales: [2, K] and [2, U], what is taken from the covariates and what
    they are divided by; naive: float64 [N, C], what MASE divides by, from all steps before the test; linear: [C, p +
    1], weights of the linear autoregression.
    """

    ids: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...]
    past: tuple[str, ...]
    calendar: tuple[str, ...]
    clock: Clock
    season: int
    window: int
    masked: bool
    dropped: int
    scales: Scales
    known_scales: np.ndarray
    past_scales: np.ndarray
    naive: np.ndarray
    linear: np.ndarray

    @property
    def known_width(self) -> int:
        """K: covariates known in advance, and two numbers for each calendar feature."""
        return len(self.known) + 2 * len(self.calendar)

    @property
    def past_width(self) -> int:
        """U: covariates known up to now, and whether each target was observed."""
        return len(self.past) + (len(self.targets) if self.masked else 0)

    def save(self, folder: Path) -> None:
        """Write `forecast.json` and `forecast.npz`. Raises: FolderError."""
        names = ("ids", "targets", "known", "past", "calendar", "season", "window", "masked", "dropped")
        facts = {**{name: getattr(self, name) for name in names}, "clock": self.clock.to_dict(), "log": self.scales.log}
        try:
            with written_aside(folder / NUMBERS) as file:
                np.savez(
                    file, center=self.scales.center, scale=self.scales.scale, known=self.known_scales,
                    past=self.past_scales, naive=self.naive, linear=self.linear,
                )  # fmt: skip
            with written_aside(folder / FACTS) as file:
                file.write(json.dumps(facts).encode())
        except OSError as error:
            raise FolderError(f"{folder / FACTS}: cannot be written ({error.strerror}); free some space") from None

    @classmethod
    def load(cls, folder: Path) -> Fitted:
        """Read what `save` wrote. Raises: FolderError."""
        try:
            facts = json.loads((folder / FACTS).read_bytes())
            with np.load(folder / NUMBERS, allow_pickle=False) as found:
                arrays = {name: found[name] for name in ("center", "scale", "known", "past", "naive", "linear")}
            names = [tuple(facts[name]) for name in ("ids", "targets", "known", "past", "calendar")]
            fitted = cls(
                names[0], names[1], names[2], names[3], names[4], Clock.from_dict(facts["clock"]), int(facts["season"]),
                int(facts["window"]), bool(facts["masked"]), int(facts["dropped"]),
                Scales(arrays["center"], arrays["scale"], bool(facts["log"])),
                arrays["known"], arrays["past"], arrays["naive"], arrays["linear"],
            )  # fmt: skip
            if fitted.scales.scale.shape != (len(fitted.ids), len(fitted.targets)):
                raise ValueError("scales do not fit the series")
        except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
            reason = " ".join(str(error).split())
            raise FolderError(f"{folder / FACTS}: cannot be read ({reason}); give a model folder") from None
        return fitted


@dataclass(frozen=True)
class Data:
    """series: with calendar features among the known covariates; splits: which of their steps train."""

    series: SeriesSet
    splits: Splits

    def windows(self, part: str, fitted: Fitted, horizon: int, stride: int = 1, last: int | None = None) -> Windows:
        """The windows whose targets lie in a part; their history may lie in the part before."""
        begins, ends = self.splits.part(part)
        return Windows.of(begins, ends, fitted.window, horizon, stride, last)


def prepare(config: ForecastConfig, folder: Path, where: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
    """See `recurra.tasks.training.Training.prepare`; `where` is the folder of the data."""
    if fitted is not None and is_prepared(where):
        return fitted, Data(SeriesSet.load(where), Splits.load(where))
    series, splits = _read(config, fitted)
    window, season = _window(config, series.clock, fitted)
    series, splits, dropped = _long_enough(series, splits, config, window)
    features = choose_features(config.calendar or (), series.clock)
    if fitted is not None and fitted.calendar != features:
        raise ConfigError(
            f"calendar: the model to start from has {', '.join(fitted.calendar) or 'none'}; give the same"
        )
    new = _fit(config, series, splits, features, season, window, dropped)
    if fitted is not None:
        if new.targets != fitted.targets or new.known != fitted.known or new.past != fitted.past:
            raise DataError(
                f"{series.path}: expected the columns of the model to start from, got others; name the same"
            )
        new = replace(new, masked=fitted.masked, known_scales=fitted.known_scales, past_scales=fitted.past_scales)
    series = with_calendar(series, features)
    where.mkdir(parents=True, exist_ok=True)
    splits.save(where)
    series.save(where)
    new.save(folder)
    return new, Data(SeriesSet.load(where), splits)


def is_prepared(where: Path) -> bool:
    """Whether `prepare` has left its data in a folder."""
    return (where / "series.json").is_file()


def _read(config: ForecastConfig, fitted: Fitted | None) -> tuple[SeriesSet, Splits]:
    if fitted is not None:
        config = with_targets(config, fitted.targets)
    assert config.data is not None
    series = read_series(config.data, config, None if fitted is None else fitted.clock)
    config = with_targets(config, series.targets)
    if config.split_rows is not None:
        return series, split_by_rows(series, config.split_rows)
    if config.split_dates is not None:
        return series, split_by_dates(series, config.split_dates)
    if config.valid is None and config.test is None:
        return series, split_by_fractions(series, config.valid_frac, config.test_frac, config.horizon)
    valid, test = (
        None if path is None else read_series(path, config, series.clock) for path in (config.valid, config.test)
    )
    return split_by_files(series, valid, test, config.valid_frac, config.horizon)


def with_targets(config: ForecastConfig, targets: tuple[str, ...]) -> ForecastConfig:
    """The options with the columns that `target=all` stood for: further files may have others, or another order."""
    return config.model_copy(update={"target": list(targets)}) if config.target == [ALL] else config


def _window(config: ForecastConfig, clock: Clock, fitted: Fitted | None) -> tuple[int, int]:
    """Steps of a window and of a season."""
    season = config.season or (clock.frequency.season if fitted is None else fitted.season)
    size = config.window or max(2 * season, 2 * config.horizon, SMALLEST_WINDOW)
    size = -(-size // config.patch) * config.patch
    if config.difference == "seasonal" and season == 1:
        raise ConfigError("difference=seasonal: no season is known at this frequency; give its steps with --season")
    if config.difference == "seasonal" and size < season:
        raise ConfigError(f"window: expected a season of {season} steps or more, got {size}; give a longer --window")
    return size, season


def _long_enough(
    series: SeriesSet, splits: Splits, config: ForecastConfig, window: int
) -> tuple[SeriesSet, Splits, int]:
    """The series that a window fits in, and how many do not. Raises: DataError where none may be left out."""
    needed = window + config.horizon
    short = np.flatnonzero(splits.ends[0] < needed)
    if not len(short):
        return series, splits, 0
    number = int(short[0])
    if not config.drop_short or len(short) == len(series):
        more = f" ({len(short) - 1:,} more are too short)" if len(short) > 1 else ""
        raise DataError(
            f"{series.place(number)}: expected {needed} steps to train on, for a window of {window} and a horizon of "
            f"{config.horizon}, got {splits.ends[0][number]} of {series.lengths[number]}{more}; "
            "give a smaller --window, or --drop-short"
        )
    kept = np.setdiff1d(np.arange(len(series)), short)
    return series.take(kept), Splits(splits.ends[:, kept]), len(short)


def _fit(config: ForecastConfig, series: SeriesSet, splits: Splits, features: tuple[str, ...], season: int,
         window: int, dropped: int) -> Fitted:  # fmt: skip
    _, ends = splits.part("train")
    known, past = covariate_scales(series, ends)
    unscaled = np.stack([np.zeros(2 * len(features)), np.ones(2 * len(features))])
    scales = fit_scales(series, ends, config.scaling, config.log)
    windows = Windows.of(np.zeros_like(ends), ends, min(window, LONGEST_ORDER), 1)
    linear = LinearAutoregression.fit(series, scales, windows, min(window, LONGEST_ORDER))
    return Fitted(
        series.ids, series.targets, series.known_names, series.past_names, features, series.clock, season, window,
        bool((~series.observed).any()), dropped, scales,
        np.concatenate([known, unscaled], 1), past, naive_scales(series, splits.ends[1], season),
        linear.weights,
    )  # fmt: skip


def covariate_scales(series: SeriesSet, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, [2, K] and [2, U], of covariates on the training steps of all series; deviation 1 for 0."""
    found = []
    for values in (series.known, series.past):
        count, total, square = 0, np.zeros(values.shape[1]), np.zeros(values.shape[1])
        for number, end in enumerate(ends) if values.shape[1] else ():
            part = values[series.bounds[number] : series.bounds[number] + end]
            count, total, square = count + len(part), total + part.sum(0), square + (part**2).sum(0)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 0))
        found.append(np.stack([mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)]))
    return found[0], found[1]


def naive_scales(series: SeriesSet, ends: np.ndarray, season: int) -> np.ndarray:
    """What MASE divides by, [N, C], from the first `ends` [N] steps of each series."""
    return np.stack(
        [
            naive_scale(series.values[rows], series.observed[rows], season)
            for rows in (slice(int(first), int(first + end)) for first, end in zip(series.bounds, ends, strict=False))
        ]
    )


def with_calendar(series: SeriesSet, features: tuple[str, ...]) -> SeriesSet:
    """The series with calendar features among their known covariates."""
    if not features:
        return series
    columns = np.concatenate(
        [calendar(series.times(number), features, series.clock) for number in range(len(series))]
    ).astype(np.float64)
    names = tuple(f"{wave} of {name}" for wave in ("sine", "cosine") for name in features)
    return replace(series, known=np.concatenate([series.known, columns], 1), known_names=(*series.known_names, *names))


def reader_of(series: SeriesSet, fitted: Fitted, scales: Scales) -> WindowReader:
    """Reads windows of series as the model wants them."""
    return WindowReader(series, scales, fitted.known_scales, fitted.past_scales, fitted.window)


def facts_of(data: Data, fitted: Fitted, config: ForecastConfig) -> dict[str, Any]:
    """What is shown of the data before training."""
    series, clock = data.series, fitted.clock
    lengths = series.lengths
    spread = f"{lengths.min():,}" if lengths.min() == lengths.max() else f"{lengths.min():,} to {lengths.max():,}"
    facts: dict[str, Any] = {
        "series": f"{len(series):,} of {spread} steps" + (f", {fitted.dropped:,} left out" if fitted.dropped else ""),
        "targets": ", ".join(fitted.targets),
    }
    facts |= {"known covariates": ", ".join(fitted.known)} if fitted.known else {}
    facts |= {"past covariates": ", ".join(fitted.past)} if fitted.past else {}
    facts |= {"calendar": ", ".join(fitted.calendar)} if fitted.calendar else {}
    frequency = "rows, without time" if not clock.tells_time else f"{clock.frequency.text}, zone {clock.zone or 'none'}"
    missing = missing_of(series, config.fill)
    missing = f"{missing}, not trained on, not scored" if missing else "none"
    facts |= {"step": f"{frequency}; season {fitted.season}", "missing": missing}
    for part in ("train", "valid", "test"):
        begins, ends = data.splits.part(part)
        windows = data.windows(part, fitted, config.horizon, 1 if part == "train" else config.stride,
                               None if part == "train" else config.windows)  # fmt: skip
        facts[part] = f"{(ends - begins).sum():,} steps, {len(windows):,} windows of {fitted.window} + {config.horizon}"
    return {**facts, "example": _example(series)}


def missing_of(series: SeriesSet, rule: str, begins: np.ndarray | None = None) -> str:
    """What was missing and filled in each series from the steps `begins` [N], or from its first; empty for nothing."""
    missing = ~np.asarray(series.observed)
    for number, begin in enumerate(() if begins is None else begins):
        missing[series.bounds[number] : series.bounds[number] + begin] = False
    if not missing.any():
        return ""
    steps, values = int(missing.all(1).sum()), int(missing.sum())
    row = int(np.argmax(missing.any(1)))
    number = int(np.searchsorted(series.bounds, row, "right")) - 1
    step = row - int(series.bounds[number])
    time = series.clock.text(series.times(number, step, step + 1))[0]
    where = f" of series {series.ids[number]!r}" if len(series) > 1 else ""
    return f"{steps:,} steps, {values:,} values in all, the first at {time}{where}; filled by {rule}"


def _example(series: SeriesSet) -> str:
    shown = min(int(series.lengths[0]), 5)
    times = series.clock.text(series.times(0, 0, shown))
    values = (" ".join(f"{value:g}" for value in row) for row in series.values[:shown])
    name = f"{series.ids[0]}: " if series.ids[0] else ""
    return name + ", ".join(f"{time} {value}" for time, value in zip(times, values, strict=True))
