"""The frequency of time stamps."""

from __future__ import annotations

import numpy as np

from recurra.data.series.clock import Clock, Frequency
from recurra.data.series.zones import DAY


def infer_frequency(times: np.ndarray, same: np.ndarray, zone: str | None, counted: bool) -> Frequency | None:
    """The step that is usual between rows, None where no series has two rows.

    times: int64 [R], UTC microseconds, or whole numbers where `counted`; same: bool [R - 1], whether a row and the next
    are of one series. Where all stamps have one time of day by the clock on the wall, the step is of months (each on
    the same day, or the last, of its month), business days (a weekend is between, and no stamp in it) or days.
    Otherwise it is a time. Of the differences between rows the most frequent one counts.
    """
    differences = np.diff(times)[same]
    if not len(differences):
        return None
    if counted:
        return Frequency(most_frequent(differences), "row")
    walls = Clock(Frequency(1, "time"), zone).local(times)
    if (walls % DAY != walls[0] % DAY).any():
        return Frequency(most_frequent(differences), "time")
    days = np.diff(walls // DAY)[same]
    if days.min() >= 28 and (months := _months(walls, same)) is not None:
        return Frequency(most_frequent(months), "month")
    usual = most_frequent(days)
    weekdays = (walls // DAY + 3) % 7  # 1970-01-01 was a Thursday
    if usual == 1 and (weekdays < 5).all() and (days >= 3).any():
        return Frequency(1, "business day")
    return Frequency(usual, "day")


def _months(walls: np.ndarray, same: np.ndarray) -> np.ndarray | None:
    """Months between rows, if all are on the same day of the month, or all on the last."""
    monthly = Clock(Frequency(1, "month"))
    rows, following = walls[:-1][same], walls[1:][same]
    months, whole = monthly.steps(rows, following)
    return months if whole.all() else None


def most_frequent(numbers: np.ndarray) -> int:
    """The number that occurs most often, the smallest where several do."""
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[np.argmax(counts)])
