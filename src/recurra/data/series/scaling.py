"""Scales of series, learned on their training part and undone in forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from recurra.data.series.record import SeriesSet
from recurra.errors import DataError

KINDS = ("standard", "robust", "mean-abs", "none")


@dataclass(frozen=True)
class Scales:
    """What is taken from the targets of each series, and what they are then divided by.

    center, scale: float64 [N, C]; log: whether the logarithm is taken first.

        >>> scales = Scales(np.array([[10.0]]), np.array([[2.0]]))
        >>> scales.undo(scales.apply(np.array([[7.0]]), np.array([0])), np.array([0]))
        array([[7.]])
    """

    center: np.ndarray
    scale: np.ndarray
    log: bool = False

    def apply(self, values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Values [.., B, C] of the series `numbers` [B], scaled."""
        values = np.log(values) if self.log else values
        return np.asarray((values - self.center[numbers]) / self.scale[numbers])

    def undo(self, scaled: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Scaled values [.., B, C] as they were."""
        values = scaled.astype(np.float64) * self.scale[numbers] + self.center[numbers]
        return np.asarray(np.exp(values)) if self.log else np.asarray(values)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, center=self.center, scale=self.scale, log=np.array(self.log))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises: DataError for a file that is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as found:
                return cls(found["center"], found["scale"], bool(found["log"]))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{path}: damaged or missing scales ({error}); train again") from None


def fit_scales(series: SeriesSet, ends: np.ndarray, kind: str, log: bool) -> Scales:
    """Learn scales on the first `ends` [N] steps of each series, from what was observed.

    kind: "standard" (mean and standard deviation), "robust" (median, and the distance between the quartiles over 1.349,
    which is the deviation of a Gaussian), "mean-abs" (nothing, and the mean magnitude) or "none". A series that does
    not change is divided by 1.

    Raises: DataError where a logarithm is asked for and a value is not positive.
    """
    if log:
        check_positive(series)
    shape = (len(series), len(series.targets))
    center, scale = np.zeros(shape), np.ones(shape)
    if kind == "none":
        return Scales(center, scale, log)
    for number in range(len(series)):
        first = int(series.bounds[number])
        rows = slice(first, first + int(ends[number]))
        for column in range(shape[1]):
            values = series.values[rows, column][series.observed[rows, column]]
            if len(values):
                center[number, column], scale[number, column] = _measure(np.log(values) if log else values, kind)
    return Scales(center, scale, log)


def _measure(values: np.ndarray, kind: str) -> tuple[float, float]:
    if kind == "standard":
        center, scale = float(values.mean()), float(values.std())
    elif kind == "robust":
        low, center, high = (float(one) for one in np.quantile(values, (0.25, 0.5, 0.75)))
        scale = (high - low) / 1.349 or float(values.std())
    else:
        center, scale = 0.0, float(np.abs(values).mean())
    floor = 1e-9 * max(abs(center), float(np.abs(values).max()))  # what is less is rounding
    return center, scale if scale > floor else 1.0


def check_positive(series: SeriesSet) -> None:
    """Refuse values that have no logarithm. Raises: DataError."""
    wrong = np.argwhere(series.values <= 0)
    if not len(wrong):
        return
    row, column = wrong[0]
    number = int(np.searchsorted(series.bounds, row, "right")) - 1
    step = int(row - series.bounds[number])
    time = series.clock.text(series.times(number, step, step + 1))[0]
    raise DataError(
        f"{series.place(number)}: expected values above 0 for the logarithm, got {series.values[row, column]:g} in "
        f"{series.targets[column]!r} at {time}; leave out --log"
    )
