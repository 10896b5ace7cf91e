"""Signals: series of real numbers of unequal length, in one or several channels, with a label each or per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.data.texts.tables import name_of
from recurra.errors import DataError

LARGEST_VALUE = float(np.finfo(np.float32).max)
"""Networks compute in float32: what it cannot hold counts as infinite."""


@dataclass(frozen=True)
class Signals:
    """N series of I channels, one after the other.

    path: the file they came from; values: float32 or float64 [sum T, I], NaN where one is missing; lengths: int64 [N],
    each at least 1; places: where each series stands in its file, [N], for messages; channels: names [I]; ids: names
    [N]; labels: a class for each series [N], or None; targets: for each step a class (text) or a number (float64),
    [sum T], or None.

        >>> two = Signals(Path("a.npz"), np.ones((3, 1)), np.array([2, 1]), ["1", "2"], ["x"], ["1", "2"], ["p", "q"])
        >>> two.take([1]).labels, two.series(0).shape
        (['q'], (2, 1))
    """

    path: Path
    values: np.ndarray
    lengths: np.ndarray
    places: Sequence[str]
    channels: Sequence[str]
    ids: Sequence[str]
    labels: Sequence[str] | None = None
    targets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def bounds(self) -> np.ndarray:
        """Where each series begins among the steps and the last one ends, int64 [N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)

    def series(self, number: int) -> np.ndarray:
        """The values of one series, [T, I]."""
        return self.values[self.bounds[number] : self.bounds[number + 1]]

    def place_of_step(self, step: int) -> str:
        """Where the series stands that this row of `values` belongs to."""
        return self.places[int(np.searchsorted(self.bounds, step, side="right")) - 1]

    def take(self, numbers: Any) -> Self:
        """The series with these numbers, in this order."""
        numbers = np.asarray(numbers, np.int64)
        steps = [np.arange(self.bounds[number], self.bounds[number + 1]) for number in numbers]
        rows = np.concatenate([np.empty(0, np.int64), *steps])
        return replace(
            self,
            values=self.values[rows],
            lengths=self.lengths[numbers],
            places=[self.places[number] for number in numbers],
            ids=[self.ids[number] for number in numbers],
            labels=None if self.labels is None else [self.labels[number] for number in numbers],
            targets=None if self.targets is None else self.targets[rows],
        )


def joined(
    path: Path,
    series: Sequence[np.ndarray],
    places: Sequence[str],
    *,
    channels: Sequence[str] = (),
    ids: Sequence[str] = (),
    labels: Sequence[str] | None = None,
) -> Signals:
    """One record of many series, [T, I] each; channels and series without names are numbered from 1.

    Raises: DataError where there is no series, or one in which every value is missing.
    """
    path = Path(name_of(path))
    if not series:
        raise DataError(f"{path}: expected at least one series, got none; give a file with data")
    signals = Signals(
        path,
        np.concatenate(series),
        np.array([len(values) for values in series], np.int64),
        list(places),
        list(channels) or numbered(series[0].shape[1]),
        list(ids) or numbered(len(series)),
        labels,
    )
    check_measured(signals)
    return signals


def from_arrays(arrays: Sequence[Any], channels: Sequence[str]) -> Signals:
    """A record of arrays [T, I], NaN where a value is missing.

    Raises: DataError for other shapes, infinite values, and arrays without any.
    """
    series, width = [], len(channels)
    places = [f"series {number}" for number in range(1, len(arrays) + 1)]
    for array, place in zip(arrays, places, strict=True):
        try:
            values = np.asarray(array, np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{place}: expected numbers [T, {width}], got {type(array).__name__}") from None
        if values.ndim != 2 or values.shape[1] != width or not len(values):
            raise DataError(f"{place}: expected numbers [T, {width}], a column per channel, got {list(values.shape)}")
        if (np.abs(values) > LARGEST_VALUE).any():
            raise DataError(f"{place}: expected finite numbers, got infinite ones; write NaN where a value is missing")
        series.append(values)
    return joined(Path("arrays"), series, places, channels=channels)


def check_measured(signals: Signals) -> None:
    """Raises: DataError for a series in which every value is missing."""
    measured = np.add.reduceat(~np.isnan(signals.values).all(axis=1), signals.bounds[:-1])
    if not measured.all():
        place = signals.places[int(np.argmin(measured))]
        raise DataError(f"{place}: expected a series with values, got one in which all are missing; leave it out")


def numbered(count: int) -> list[str]:
    """Names for what has none: 1, 2, 3."""
    return [str(number) for number in range(1, count + 1)]
