"""Equal steps of time: what lies between two rows of a series, in microseconds, days, business days or months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from recurra.data.series.zones import DAY, LAST, SECOND, find_zone, to_local, to_utc
from recurra.errors import ConfigError, DataError

FREQUENCY = re.compile(r"(\d*)\s*([a-zA-Z]+)")
UNITS = {
    "ms": (SECOND // 1000, "time"), "s": (SECOND, "time"), "min": (60 * SECOND, "time"), "h": (3600 * SECOND, "time"),
    "d": (1, "day"), "w": (7, "day"), "b": (1, "business day"), "mo": (1, "month"), "q": (3, "month"),
    "y": (12, "month"), "row": (1, "row"),
}  # fmt: skip
SEASONS = {"1h": 24, "30min": 48, "15min": 96, "10min": 144, "5min": 288, "1min": 60, "1d": 7, "1b": 5, "1w": 52,
           "1mo": 12, "1q": 4}  # fmt: skip
"""Steps of the season that is usual for a frequency: a day, a week, a year."""
SHORTEST = {"time": 1, "day": DAY, "business day": DAY, "month": 28 * DAY}
"""Microseconds of a unit at least."""


@dataclass(frozen=True)
class Frequency:
    """count: how many of `unit` a step is; unit: "time" (microseconds), "day", "business day", "month" or "row"."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `15min`, `h`, `1d`, `b` (business day), `w`, `mo`, `q`, `y`, `100ms`. Raises: ConfigError.

        >>> Frequency.parse("15min").text
        '15min'
        """
        found = FREQUENCY.fullmatch(text.strip())
        if found is None or found[2].lower() not in UNITS or found[1].strip("0") == "" != found[1]:
            raise ConfigError(f"frequency: expected a number and one of {', '.join(UNITS)}, as 15min, got {text!r}")
        size, unit = UNITS[found[2].lower()]
        return cls(int(found[1] or 1) * size, unit)

    @property
    def text(self) -> str:
        """As `parse` reads it, in the largest unit that fits."""
        fitting = [name for name, (size, unit) in UNITS.items() if unit == self.unit and self.count % size == 0]
        if not fitting:
            return f"{self.count}us"
        largest = max(fitting, key=lambda name: UNITS[name][0])
        return f"{self.count // UNITS[largest][0]}{largest}"

    @property
    def season(self) -> int:
        """Steps of the usual season, 1 where there is none."""
        return SEASONS.get(self.text, 1)


@dataclass(frozen=True)
class Clock:
    """Counts steps from a start.

    frequency: what a step is; zone: the time zone, None where the stamps name none: then the clock on the wall is never
    set; usual: steps between most rows of the file that it was found in, more than 1 only where the frequency was given
    and the file is coarser. Steps of microseconds are counted in UTC; days, business days and months by the clock on
    the wall, so that midnight stays midnight when the clock is set.

        >>> clock = Clock(Frequency.parse("mo"))
        >>> clock.text(clock.after(clock.read("2020-01-31"), np.arange(3)))
        ['2020-01-31', '2020-02-29', '2020-03-31']
    """

    frequency: Frequency
    zone: str | None = None
    usual: int = 1

    @cached_property
    def _zone(self) -> Any:
        return None if self.zone is None else find_zone(self.zone)

    @property
    def tells_time(self) -> bool:
        """Whether its steps are time, not rows that are counted."""
        return self.frequency.unit != "row"

    def local(self, times: np.ndarray) -> np.ndarray:
        """The clock on the wall, in microseconds."""
        return to_local(times, self._zone)

    def steps(self, start: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steps from `start` to `times` (both int64, of one shape), and which of them are whole."""
        count, unit = self.frequency.count, self.frequency.unit
        if unit in ("time", "row"):
            steps, rest = np.divmod(times - start, count)
            return steps, rest == 0
        first, wall = self.local(start), self.local(times)
        whole = (wall - first) % DAY == 0
        if unit == "month":
            units = _months(wall) - _months(first)
            whole &= (_day_of_month(wall) == _day_of_month(first)) | (_ends_month(wall) & _ends_month(first))
        elif unit == "day":
            units = wall // DAY - first // DAY
        else:
            units = np.busday_count(_date(first), _date(wall))
            whole &= np.is_busday(_date(wall))
        steps, rest = np.divmod(units.astype(np.int64), count)
        return steps, whole & (rest == 0)

    def after(self, start: int, steps: np.ndarray) -> np.ndarray:
        """The times so many steps after `start`, int64. Raises: DataError for one after the year 9999."""
        count, unit = self.frequency.count, self.frequency.unit
        steps = np.asarray(steps, np.int64)
        if unit != "row" and steps.size and start + int(steps.max()) * count * SHORTEST[unit] > LAST + DAY:
            raise _too_late()
        steps = steps * count
        if unit == "row":
            return start + steps
        if unit == "time":
            if steps.size:
                self._in_years(start + steps.max(keepdims=True))
            return start + steps
        first = self.local(np.array([start], np.int64))
        if unit == "day":
            walls = first + steps * DAY
        elif unit == "month":
            walls = _add_months(first, steps)
        else:
            dates = np.busday_offset(np.broadcast_to(_date(first), steps.shape), steps)
            walls = dates.astype("datetime64[us]").astype(np.int64) + first % DAY
        if (walls > LAST).any():
            raise _too_late()
        return to_utc(walls, self._zone)[0]

    def _in_years(self, times: np.ndarray) -> np.ndarray:
        """The clock on the wall at some times. Raises: DataError for one after the year 9999, which has no stamp."""
        try:
            walls = self.local(np.asarray(times, np.int64))
        except OverflowError:
            raise _too_late() from None
        if (walls > LAST).any():
            raise _too_late()
        return walls

    def text(self, times: np.ndarray) -> list[str]:
        """The times as ISO 8601, with the offset where the zone is known; positions as whole numbers.

        Raises: DataError for a time after the year 9999.
        """
        if not self.tells_time:
            return [str(int(time)) for time in times]
        walls = self._in_years(times)
        if self.frequency.unit != "time" and not (walls % DAY).any():
            return [str(date) for date in _date(walls)]
        unit = "s" if not (walls % SECOND).any() else "us"
        plain = [str(wall).replace("T", " ") for wall in walls.astype("datetime64[us]").astype(f"datetime64[{unit}]")]
        if self.zone is None:
            return plain
        offsets = (walls - times) // SECOND
        return [wall + _written(int(offset)) for wall, offset in zip(plain, offsets, strict=True)]

    def read(self, text: str) -> int:
        """The time of one stamp as a user gives it. Raises: ValueError where it is none."""
        from recurra.data.series.stamps import stamp_parser

        parse, position = stamp_parser(text, None)
        stamp = parse(text)
        if position == self.tells_time:
            raise ValueError("a time stamp where rows are counted, or the other way round")
        if stamp.offset is not None:
            return stamp.time - stamp.offset * SECOND
        return int(to_utc(np.array([stamp.time]), self._zone)[0][0])

    def to_dict(self) -> dict[str, Any]:
        return {"count": self.frequency.count, "unit": self.frequency.unit, "zone": self.zone, "usual": self.usual}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        return cls(Frequency(int(found["count"]), str(found["unit"])), found["zone"], int(found.get("usual", 1)))


def _too_late() -> DataError:
    return DataError("expected times up to the year 9999, got a later one; give a smaller --horizon")


def _date(walls: np.ndarray) -> np.ndarray:
    return walls.astype("datetime64[us]").astype("datetime64[D]")


def _months(walls: np.ndarray) -> np.ndarray:
    return _date(walls).astype("datetime64[M]").astype(np.int64)


def _day_of_month(walls: np.ndarray) -> np.ndarray:
    dates = _date(walls)
    return (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)


def _ends_month(walls: np.ndarray) -> np.ndarray:
    return np.asarray(_day_of_month(walls + DAY) == 0)


def _add_months(first: np.ndarray, months: np.ndarray) -> np.ndarray:
    """The same day so many months on; the last of the month where it is the last now, or where there is no such day."""
    begins = (_months(first) + months).astype("datetime64[M]")
    last = ((begins + 1).astype("datetime64[D]") - begins.astype("datetime64[D]")).astype(np.int64) - 1
    day = last if _ends_month(first)[0] else np.minimum(_day_of_month(first), last)
    dates = begins.astype("datetime64[D]") + day
    return np.asarray(dates.astype("datetime64[us]").astype(np.int64) + first % DAY)


def _written(offset: int) -> str:
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
