"""Filling what is missing in signals, and bringing their channels to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from recurra.data.signals.record import Signals

Fill = Literal["linear", "forward", "zero", "mean"]
CONSTANT = 1e-12  # a deviation below this share of the mean is rounding in float64, the channel is constant


def measured_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column over what is not missing: float64 [I], [I].

    A column in which nothing was measured has mean 0; one that is constant or empty has deviation 1.
    """
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0.0).sum(axis=0, dtype=np.float64) / count
    apart = np.where(present, values - mean, 0.0)
    deviation = np.sqrt(np.square(apart).sum(axis=0) / count)
    return mean, np.where(deviation > CONSTANT * np.abs(mean), deviation, 1.0)


def fill_missing(signals: Signals, rule: Fill, mean: Sequence[float] | np.ndarray) -> np.ndarray:
    """The values with a number for each missing one, float64 [sum T, I].

    rule: "linear" between the measured neighbours of the same channel and series, at the ends the nearest of them;
    "forward" the last one measured; "zero" 0; "mean" the channel's `mean`. Where linear or forward have nothing to
    start from, it is the channel's `mean` too.

        >>> from pathlib import Path
        >>> gap = Signals(Path("a"), np.array([[1.0], [np.nan], [3.0]]), np.array([3]), ["a"], ["1"], ["1"])
        >>> fill_missing(gap, "linear", [9.0]).ravel().tolist(), fill_missing(gap, "forward", [9.0]).ravel().tolist()
        ([1.0, 2.0, 3.0], [1.0, 1.0, 3.0])
    """
    values = np.array(signals.values, np.float64)
    missing = np.isnan(values)
    if rule in ("linear", "forward"):
        for begin, end in pairwise(signals.bounds):
            for channel in np.flatnonzero(missing[begin:end].any(axis=0)):
                column = values[begin:end, channel]
                (_interpolate if rule == "linear" else _carry)(column, missing[begin:end, channel])
    instead = np.zeros(values.shape[1]) if rule == "zero" else np.asarray(mean, np.float64)
    return np.where(np.isnan(values), instead, values)


def _interpolate(column: np.ndarray, missing: np.ndarray) -> None:
    known = np.flatnonzero(~missing)
    if len(known):
        column[missing] = np.interp(np.flatnonzero(missing), known, column[known])


def _carry(column: np.ndarray, missing: np.ndarray) -> None:
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(column))))
    column[:] = np.where(last < 0, np.nan, column[np.maximum(last, 0)])


def standardise_series(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Each channel of each series with mean 0 and deviation 1 (0 where it is constant), [sum T, I]."""
    scaled = np.empty_like(values)
    for begin, end in pairwise(bounds):
        mean, deviation = measured_moments(values[begin:end])
        scaled[begin:end] = (values[begin:end] - mean) / deviation
    return scaled


def differences(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """What each step adds to the one before it, 0 at the first of each series: [sum T, I]."""
    change = np.diff(values, axis=0, prepend=values[:1])
    change[bounds[:-1]] = 0.0
    return change
