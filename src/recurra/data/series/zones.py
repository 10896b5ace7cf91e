"""Time zones: from a clock on the wall to UTC and back, for whole arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from recurra.config import nearest
from recurra.errors import ConfigError

SECOND = 1_000_000
"""Times are int64, in microseconds since 1970-01-01."""
DAY = 86_400 * SECOND
QUARTER = 900 * SECOND  # every zone's offset has changed at whole quarters of an hour only, since 1970
EPOCH = datetime(1970, 1, 1)
LAST = (datetime.max - EPOCH) // timedelta(microseconds=1)
"""The last microsecond of the year 9999, the last that a time stamp can name."""
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def find_zone(name: str) -> tzinfo:
    """The zone of a name: `Europe/Berlin`, `UTC`, `+02:00`. Raises: ConfigError with the nearest name.

    >>> find_zone("+02:00").utcoffset(None)
    datetime.timedelta(seconds=7200)
    """
    if name == "UTC":
        return UTC
    if found := OFFSET.fullmatch(name):
        minutes = int(found[2]) * 60 + int(found[3])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = nearest(name, available_timezones()) or "; give a name as Europe/Berlin, or an offset as +02:00"
        raise ConfigError(f"time_zone: expected a zone of the IANA database, got {name!r}{known}") from None


def offset_name(seconds: int) -> str:
    """`+02:00` for 7200, `UTC` for 0."""
    if seconds == 0:
        return "UTC"
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}"


def to_local(times: np.ndarray, zone: tzinfo | None) -> np.ndarray:
    """The clock on the wall at some times (UTC, int64 microseconds), in the same unit; without a zone the same."""
    return times if zone is None else times + _each_quarter(times, lambda at: _offset(at, zone))


def to_utc(walls: np.ndarray, zone: tzinfo | None) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second time at which the clock on the wall shows something, in UTC.

    They differ where the clock was set back, and the first is the later one where it was put forward, so that the
    clock never showed it.
    """
    if zone is None:
        return walls, walls
    first = walls - _each_quarter(walls, lambda wall: _wall_offset(wall, zone, fold=0))
    second = walls - _each_quarter(walls, lambda wall: _wall_offset(wall, zone, fold=1))
    return first, second


def _each_quarter(times: np.ndarray, offset: Callable[[int], int]) -> np.ndarray:
    """The offset, in microseconds, in the quarter of an hour of each time: asked for once for each quarter."""
    quarters, places = np.unique(times // QUARTER, return_inverse=True)
    each = np.array([offset(int(quarter) * QUARTER) for quarter in quarters], np.int64)
    return each[places.reshape(times.shape)]


def _offset(time: int, zone: tzinfo) -> int:
    found = (EPOCH + timedelta(microseconds=time)).replace(tzinfo=UTC).astimezone(zone).utcoffset()
    return 0 if found is None else found // timedelta(microseconds=1)


def _wall_offset(wall: int, zone: tzinfo, fold: int) -> int:
    found = (EPOCH + timedelta(microseconds=wall)).replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if found is None else found // timedelta(microseconds=1)
