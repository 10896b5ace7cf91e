"""From rows as they were read to series in equal steps: order checked, missing steps found and filled."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recurra.data.series.clock import Clock, Frequency
from recurra.data.series.infer import infer_frequency, most_frequent
from recurra.data.series.zones import SECOND, find_zone, offset_name, to_utc
from recurra.errors import DataError

NAIVE = -(2**31)
"""Stands for the offset of a stamp that names none."""
LARGEST_GAPS = 20  # missing steps for each row, beyond which a stamp is taken to be wrong


@dataclass
class Rows:
    """The rows of a table, in its order: codes [R] (the place of the series' id in `ids`), lines [R], times [R] (by the
    clock on the wall, or numbers where `counted`), offsets [R] (seconds, or NAIVE), cells [R, V]."""

    path: str
    names: tuple[str, ...]
    counted: bool = False
    timed: bool = True
    ids: list[str] = field(default_factory=list)
    codes: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    cells: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True)
class Grid:
    """N series in equal steps: lines and starts [N], bounds [N + 1], cells float64 [sum T, V] with NaN where missing,
    there: bool [sum T], whether the file has that step; line_of [sum T] its line, 0 where it has none."""

    ids: tuple[str, ...]
    lines: np.ndarray
    starts: np.ndarray
    bounds: np.ndarray
    cells: np.ndarray
    line_of: np.ndarray
    clock: Clock


def to_grid(rows: Rows, zone: str | None, frequency: str | None, clock: Clock | None = None) -> Grid:
    """Put rows into equal steps.

    zone: of stamps without offset; frequency: None to infer it; clock: one that is known already, of a trained model.

    Raises: DataError with the line of a stamp that is out of order, double, missing from the clock (when it is put
    forward), or between two steps; and for a file in coarser steps than the one that `clock` was found in.
    """
    _check_kind(rows, zone, frequency, clock)
    codes, lines = np.asarray(rows.codes, np.int64), np.asarray(rows.lines, np.int64)
    order = np.argsort(codes, kind="stable") if (np.diff(codes) < 0).any() else slice(None)
    codes, lines = codes[order], lines[order]
    cells = np.asarray(rows.cells, np.float64).reshape(-1, len(rows.names))[order]
    first = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
    if rows.timed:
        times, zone = _utc(rows, order, codes, lines, zone)
        _check_order(rows, codes, lines, times)
    else:
        times = np.arange(len(codes)) - np.repeat(first, np.diff([*first, len(codes)]))
    trained, clock = clock, clock or _clock(rows, codes, lines, times, zone, frequency)
    steps, whole = clock.steps(np.repeat(times[first], np.diff([*first, len(codes)])), times)
    if not whole.all():
        at = int(np.argmin(whole))
        shown = [rows_text(clock, times[place]) for place in (at, at - 1)]
        raise DataError(
            f"{rows.path}:{lines[at]}: expected a step of {clock.frequency.text} or a multiple after {shown[1]} "
            f"(line {lines[at - 1]}), got {shown[0]}; give --frequency, or resample the file"
        )
    same = np.diff(codes) == 0
    usual = _usual(np.diff(steps)[same])
    if trained is None:
        clock = replace(clock, usual=usual)
    elif usual > trained.usual:
        raise _coarser(rows, lines, times, same, trained)
    return _place(rows, clock, codes, lines, times, steps, cells, first)


def _usual(differences: np.ndarray) -> int:
    """Steps between most rows; what occurs only once is a gap, and says nothing of the others."""
    found = most_frequent(differences) if len(differences) else 1
    return found if (differences == found).sum() > 1 else 1


def _coarser(rows: Rows, lines: np.ndarray, times: np.ndarray, same: np.ndarray, clock: Clock) -> DataError:
    expected = replace(clock.frequency, count=clock.frequency.count * clock.usual)
    found = infer_frequency(times, same, clock.zone, counted=not clock.tells_time)
    assert found is not None
    return DataError(
        f"{rows.path}:{lines[0]}: expected a row every {expected.text} as in the training data, got {found.text}; "
        "resample the file"
    )


def _check_kind(rows: Rows, zone: str | None, frequency: str | None, clock: Clock | None) -> None:
    """Refuse rows that are counted where time is told, and the other way round; and stamps of another kind of zone."""
    counted = rows.counted or not rows.timed
    wanted = clock.frequency if clock is not None else Frequency.parse(frequency) if frequency is not None else None
    if wanted is not None and (wanted.unit == "row") != counted:
        kinds = ("rows that are counted", "time stamps")
        source = "as in the training data" if clock is not None else f"for --frequency {frequency}"
        raise DataError(
            f"{rows.path}:{rows.lines[0]}: expected {kinds[counted]} {source}, got {kinds[not counted]}; "
            "name the column with --time"
        )
    if clock is None or counted:
        return
    named = zone is not None or rows.offsets[0] != NAIVE
    if named != (clock.zone is not None):
        raise DataError(
            f"{rows.path}:{rows.lines[0]}: expected time stamps {'without' if named else 'with'} an offset from UTC as "
            f"in the training data, got them {'with' if named else 'without'}; write them alike"
        )


def rows_text(clock: Clock, time: int) -> str:
    """A time for a message, to the microsecond."""
    return Clock(Frequency(1, "row" if not clock.tells_time else "time"), clock.zone).text(np.array([time]))[0]


def _utc(
    rows: Rows, order: slice | np.ndarray, codes: np.ndarray, lines: np.ndarray, zone: str | None
) -> tuple[np.ndarray, str | None]:
    """Times in UTC and the zone in which they are shown."""
    times, offsets = np.asarray(rows.times, np.int64)[order], np.asarray(rows.offsets, np.int64)[order]
    if rows.counted:
        return times, None
    naive = offsets == NAIVE
    if naive.all():
        return _from_walls(rows, times, codes, lines, zone), zone
    if naive.any():
        at = int(np.argmax(naive != naive[0]))
        raise DataError(
            f"{rows.path}:{lines[at]}: expected time stamps {'without' if naive[0] else 'with'} an offset from UTC "
            f"as in line {lines[0]}, got one {'with' if naive[0] else 'without'}; write all alike"
        )
    if zone is None:
        zone = offset_name(int(offsets[0])) if (offsets == offsets[0]).all() else "UTC"
    return times - offsets * SECOND, zone


def _from_walls(rows: Rows, walls: np.ndarray, codes: np.ndarray, lines: np.ndarray, zone: str | None) -> np.ndarray:
    """UTC from the clock on the wall. What it shows twice is the second time once the first was."""
    if zone is None:
        return walls
    early, late = to_utc(walls, find_zone(zone))
    if (early > late).any():
        at = int(np.argmax(early > late))
        shown = Clock(Frequency(1, "time")).text(walls[at : at + 1])[0]
        raise DataError(
            f"{rows.path}:{lines[at]}: {shown} is never shown by a clock in {zone}, where it is put forward then; "
            "give another --time-zone, or stamps with offsets"
        )
    times = early.copy()
    for at in np.flatnonzero(early < late).tolist():
        if at and codes[at] == codes[at - 1] and early[at] <= times[at - 1]:
            times[at] = late[at]
    return times


def _check_order(rows: Rows, codes: np.ndarray, lines: np.ndarray, times: np.ndarray) -> None:
    wrong = (np.diff(times) <= 0) & (np.diff(codes) == 0)
    if not wrong.any():
        return
    at = int(np.argmax(wrong)) + 1
    unit = Frequency(1, "row" if rows.counted else "time")
    now, before = Clock(unit).text(times[[at, at - 1]])
    of = f" of series {rows.ids[codes[at]]!r}" if len(rows.ids) > 1 else ""
    if now == before:
        raise DataError(
            f"{rows.path}:{lines[at]}: time {now}{of} stands already in line {lines[at - 1]}; keep one row"
            + ("" if rows.counted else ", or, if the clock was set back, give --time-zone")
        )
    raise DataError(
        f"{rows.path}:{lines[at]}: expected a time after {before} (line {lines[at - 1]}){of}, got {now}; "
        "sort the file by time"
    )


def _clock(rows: Rows, codes: np.ndarray, lines: np.ndarray, times: np.ndarray, zone: str | None,
           frequency: str | None) -> Clock:  # fmt: skip
    if not rows.timed:
        return Clock(Frequency(1, "row"))
    if frequency is not None:
        return Clock(Frequency.parse(frequency), zone)
    found = infer_frequency(times, np.diff(codes) == 0, zone, rows.counted)
    if found is None:
        raise DataError(f"{rows.path}:{lines[0]}: expected series of at least 2 rows, got 1; check --series-id")
    return Clock(found, zone)


def _place(rows: Rows, clock: Clock, codes: np.ndarray, lines: np.ndarray, times: np.ndarray, steps: np.ndarray,
           cells: np.ndarray, first: np.ndarray) -> Grid:  # fmt: skip
    last = np.concatenate([first[1:], [len(codes)]]) - 1
    lengths = steps[last] + 1
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    if bounds[-1] > LARGEST_GAPS * len(codes) + 1000:
        at = int(np.argmax(np.where(np.diff(codes) == 0, np.diff(steps), 0))) + 1
        raise DataError(
            f"{rows.path}:{lines[at]}: expected a row every {clock.frequency.text}, got "
            f"{steps[at] - steps[at - 1] - 1:,} missing before {rows_text(clock, times[at])}; "
            "correct the stamp, or give --frequency"
        )
    if bounds[-1] == len(codes):
        placed, line_of = cells, lines
    else:
        places = steps + np.repeat(bounds[:-1], last - first + 1)
        placed, line_of = np.full((bounds[-1], cells.shape[1]), np.nan), np.zeros(bounds[-1], np.int64)
        placed[places], line_of[places] = cells, lines
    ids = tuple(rows.ids[code] for code in codes[first])
    return Grid(ids, lines[first], times[first], bounds, placed, line_of, clock)


def fill(values: np.ndarray, bounds: np.ndarray, rule: str) -> np.ndarray:
    """The values [sum T, C] with each NaN filled, series by series.

    rule: "previous", the value before (where a series begins with NaN, the first there is), "linear", on the line
    between the neighbours, or "zero".
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    if rule == "zero":
        return np.where(missing, 0.0, values)
    filled = values.copy()
    for column in range(values.shape[1]):
        for first, stop in _with_missing(missing[:, column], bounds):
            part = values[first:stop, column]
            there = np.flatnonzero(~np.isnan(part))
            if not len(there):
                filled[first:stop, column] = 0.0
            elif rule == "linear":
                filled[first:stop, column] = np.interp(np.arange(len(part)), there, part[there])
            else:
                before = np.searchsorted(there, np.arange(len(part)), "right") - 1
                filled[first:stop, column] = part[there[np.maximum(before, 0)]]
    return filled


def _with_missing(missing: np.ndarray, bounds: np.ndarray) -> Sequence[tuple[int, int]]:
    """First and last row of the series in which something is missing."""
    numbers = np.unique(np.searchsorted(bounds, np.flatnonzero(missing), "right") - 1)
    return [(int(bounds[number]), int(bounds[number + 1])) for number in numbers]
