"""Time stamps as they stand in files."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from recurra.data.series.zones import EPOCH

MICROSECOND = timedelta(microseconds=1)
WHOLE = re.compile(r"[+-]?\d+")
DATE = re.compile(r"(1[5-9]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
MONTH = re.compile(r"(\d{4})[-/](\d{1,2})")
QUARTER = re.compile(r"(\d{4})[- ]?[Qq]([1-4])")
YEAR_FIRST = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(.*)")
EXAMPLES = "as 2016-07-01, 2016-07-01 13:00:00, 2016-07-01T13:00:00+02:00 or a whole number"


class Stamp(NamedTuple):
    """time: microseconds since 1970-01-01 by the clock on the wall, or a whole number where rows are counted; offset:
    seconds that this clock is before UTC, None where the file does not say."""

    time: int
    offset: int | None


Parser = Callable[[str], Stamp]
"""Raises ValueError for what is no time stamp."""


def stamp_parser(first: str, layout: str | None) -> tuple[Parser, bool]:
    """What reads the stamps of a column whose first cell is `first`, and whether they are positions, not times.

    layout: as in `datetime.strptime`, or "unix" for seconds since 1970-01-01 UTC; None for ISO 8601 (also `2016/07/01`,
    `2016-07`, `2016Q3`), or whole numbers that count the rows.

        >>> stamp_parser("2016Q3", None)[0]("1970Q2").time == 90 * 86_400 * 1_000_000
        True
    """
    if layout == "unix":
        return lru_cache(1 << 16)(_unix), False
    if layout is not None:
        return lru_cache(1 << 16)(lambda text: _stamp(datetime.strptime(text, layout))), False
    if WHOLE.fullmatch(first) and not DATE.fullmatch(first):
        return _position, True
    return lru_cache(1 << 16)(_iso), False


def _position(text: str) -> Stamp:
    number = int(text)
    if abs(number) >= 2**62 or not WHOLE.fullmatch(text):  # int reads 1_000
        raise ValueError("too large, or no number to others")
    return Stamp(number, None)


def _unix(text: str) -> Stamp:
    return Stamp(round(float(text) * 1_000_000), 0)


def _iso(text: str) -> Stamp:
    if found := MONTH.fullmatch(text):
        return _stamp(datetime(int(found[1]), int(found[2]), 1))
    if found := QUARTER.fullmatch(text):
        return _stamp(datetime(int(found[1]), 3 * int(found[2]) - 2, 1))
    if found := YEAR_FIRST.fullmatch(text):
        text = f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}{found[4]}"
    return _stamp(datetime.fromisoformat(text))


def _stamp(moment: datetime) -> Stamp:
    offset = moment.utcoffset()
    seconds = None if offset is None else round(offset.total_seconds())
    return Stamp((moment.replace(tzinfo=None) - EPOCH) // MICROSECOND, seconds)
