"""Which steps of each series train, validate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recurra.data.series.record import SeriesSet, put_behind
from recurra.errors import ConfigError, DataError

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Splits:
    """ends: int64 [3, N], where the training, validation and test part of each series end; each begins where the one
    before ends, the first with the series. What lies behind the test part is not used."""

    ends: np.ndarray

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """First step and end of a part of each series, int64 [N] each."""
        place = PARTS.index(name)
        end = self.ends[place]
        return (np.zeros_like(end) if place == 0 else self.ends[place - 1]), end

    def save(self, folder: Path) -> None:
        np.save(folder / "ends.npy", self.ends, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Splits:
        try:
            return cls(np.load(folder / "ends.npy", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / 'ends.npy'}: damaged or missing ({error}); train again") from None


def split_by_fractions(series: SeriesSet, valid: float, test: float, horizon: int) -> Splits:
    """The last share of each series tests, what lies before validates; each at least a horizon, or nothing for 0."""
    lengths = series.lengths
    sizes = [np.maximum(np.round(lengths * share).astype(np.int64), horizon) if share else 0 * lengths
             for share in (valid, test)]  # fmt: skip
    return _checked(series, np.stack([lengths - sizes[0] - sizes[1], lengths - sizes[1], lengths]))


def split_by_rows(series: SeriesSet, rows: Sequence[int]) -> Splits:
    """So many steps train, the next validate, the next test; of every series the same."""
    sizes = [*rows, *[0] * (3 - len(rows))]
    ends = np.repeat(np.cumsum(sizes)[:, None], len(series), 1)
    short = np.flatnonzero(series.lengths < ends[-1])
    if len(short):
        raise DataError(
            f"{series.place(int(short[0]))}: expected {ends[-1, 0]} steps or more for split_rows={list(rows)}, "
            f"got {series.lengths[short[0]]}; give fewer"
        )
    return _checked(series, ends)


def split_by_dates(series: SeriesSet, dates: Sequence[str]) -> Splits:
    """The first date begins the validation part, the second the test part; the third, if there is one, ends it."""
    times = []
    for text in dates:
        try:
            times.append(series.clock.read(text))
        except ValueError:
            kind = "a time stamp, as 2017-07-01" if series.clock.tells_time else "the number of a row"
            raise ConfigError(f"split_dates: expected {kind}, got {text!r}") from None
    if sorted(times) != times:
        raise ConfigError(f"split_dates: expected dates in order, got {', '.join(dates)}")
    places = np.array([_first_from(series, time) for time in times])
    if len(times) == 1:
        places = np.stack([places[0], series.lengths])
    if len(places) == 2:
        places = np.stack([*places, series.lengths])
    return _checked(series, places)


def _first_from(series: SeriesSet, time: int) -> np.ndarray:
    """The first step of each series at a time or later, its length where there is none."""
    steps, whole = series.clock.steps(series.starts, np.full(len(series), time))
    floor = np.where(whole, steps, steps + 1)
    for number in np.flatnonzero(~whole):  # days and months do not divide evenly: look at the neighbours
        near = np.arange(int(steps[number]) - 1, int(steps[number]) + 3)
        later = near[series.clock.after(int(series.starts[number]), near) >= time]
        floor[number] = later[0]
    return np.clip(floor, 0, series.lengths)


def split_by_files(
    series: SeriesSet, valid: SeriesSet | None, test: SeriesSet | None, valid_share: float, horizon: int
) -> tuple[SeriesSet, Splits]:
    """Each series with its continuation in files of its own; without one for validation, a share is cut before the
    test."""
    ends = [series.lengths]
    for part, what in ((valid, "validation file"), (test, "test file")):
        if part is not None:
            series = put_behind(series, part, what)
        ends.append(series.lengths)
    if valid is None:
        size = np.maximum(np.round(ends[0] * valid_share).astype(np.int64), horizon) if valid_share else 0
        ends = [ends[0] - size, ends[0], ends[2]]
    return series, _checked(series, np.stack(ends))


def _checked(series: SeriesSet, ends: np.ndarray) -> Splits:
    short = np.flatnonzero((np.diff(ends, axis=0, prepend=0) < 0).any(0))
    if len(short):
        raise DataError(
            f"{series.place(int(short[0]))}: expected a series long enough for its parts, got "
            f"{series.lengths[short[0]]} steps; give a smaller --horizon, or leave the series out"
        )
    return Splits(ends.astype(np.int64))
