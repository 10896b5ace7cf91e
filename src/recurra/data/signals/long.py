"""Series in a table with a row per step: one column names the series, others hold the values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recurra.config import listed, nearest, quoted
from recurra.data.signals.fields import class_name, parse_values
from recurra.data.signals.layout import Layout
from recurra.data.signals.record import Signals, joined
from recurra.data.texts.tables import csv_rows, is_stdin, name_of, refuse, text_lines
from recurra.errors import DataError


@dataclass
class Series:
    """The rows of one series: the line of each, its time stamp (0 where there is none), its values; its label."""

    label: str | None
    lines: list[int]
    times: list[float]
    values: list[np.ndarray]


@dataclass(frozen=True)
class Columns:
    """Where in a row the series' name, its label (None: not there), the time (None) and the values stand."""

    names: Sequence[str]
    series_id: int
    label: int | None
    time: int | None
    values: Sequence[int]


def read_long(path: Path, layout: Layout, labelled: bool = False) -> Signals:
    """Read a CSV or TSV file with a header line and one row per step of a series.

    Rows of one series need not stand together; they count in the order of the file, or of `layout.time` (numbers or
    ISO 8601). Without `layout.values` every column is a channel that has no other part. A label is the same in all rows
    of a series. Without a column `layout.label` the series have no labels, which only `labelled` refuses.

    Raises: DataError with file and line for columns that are not there, ragged rows, what is no number, a label that
    changes, and time stamps that come twice in one series.
    """
    rows = _rows(path)
    number, names = next(rows, (1, []))
    columns = _columns(names, layout, labelled, f"{name_of(path)}:{number}")
    found: dict[str, Series] = {}
    for number, fields in rows:
        _add(found, fields, columns, path, number)
    series = [_in_time(one, path, columns.time is not None) for one in found.values()]
    return joined(
        path,
        series,
        [f"{name_of(path)}:{one.lines[0]}" for one in found.values()],
        channels=[names[column] for column in columns.values],
        ids=list(found),
        labels=None if columns.label is None else [one.label or "" for one in found.values()],
    )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the number of the line on which each begins; stdin has commas."""
    first = "" if is_stdin(path) else next(text_lines(path), "")
    separator = next((mark for mark in "\t;," if mark in first), ",")
    for number, fields in csv_rows(path, separator, refuse):
        if any(field.strip() for field in fields):
            yield number, fields


def _columns(names: Sequence[str], layout: Layout, labelled: bool, place: str) -> Columns:
    names = [name.strip() for name in names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{place}: expected columns of different names, got {quoted(twice)} twice; rename one")

    def find(name: str, option: str) -> int:
        if name not in names:
            shown = listed(names, 12) or "none"
            raise DataError(
                f"{place}: expected a column {name!r} ({option}), got {shown}{nearest(name, names) or '; check it'}"
            )
        return names.index(name)

    assert layout.series_id is not None
    series_id = find(layout.series_id, "--series-id")
    time = None if layout.time is None else find(layout.time, "--time")
    label = find(layout.label, "--label") if labelled or layout.label in names else None
    taken = {series_id, time, label}
    values = [n for n in range(len(names)) if n not in taken]
    if layout.values is not None:
        values = [find(name, "--values") for name in layout.values]
    if not values or taken & set(values):
        raise DataError(
            f"{place}: expected columns of values beside series, time and label, got {listed(names, 12)}; give --values"
        )
    return Columns(names, series_id, label, time, values)


def _add(found: dict[str, Series], fields: list[str], columns: Columns, path: Path, number: int) -> None:
    """Add one row to its series."""
    place, names = f"{name_of(path)}:{number}", columns.names
    if len(fields) != len(names):
        raise DataError(f"{place}: expected {len(names)} columns as in the header, got {len(fields)}; correct the row")
    name = fields[columns.series_id].strip()
    if not name:
        raise DataError(
            f"{place}: expected a series in column {quoted(names[columns.series_id])}, got nothing; name it"
        )
    label = None if columns.label is None else class_name(fields[columns.label], place)
    series = found.setdefault(name, Series(label, [], [], []))
    if label != series.label:
        raise DataError(
            f"{place}: expected label {quoted(series.label)} for series {quoted(name)}, as in line "
            f"{series.lines[0]}, got {quoted(label)}; give all rows of a series one label"
        )
    series.lines.append(number)
    series.times.append(0.0 if columns.time is None else _time(fields[columns.time], place, names[columns.time]))
    chosen = [fields[column] for column in columns.values]
    series.values.append(parse_values(chosen, place, [names[column] for column in columns.values]))


def _time(field: str, place: str, column: str) -> float:
    """A number, or the seconds of an ISO 8601 time stamp."""
    field = field.strip()
    try:
        time = float(field) if field.replace(".", "", 1).lstrip("+-").isdecimal() else _seconds(field)
    except ValueError:
        raise DataError(
            f"{place}: expected a number or an ISO 8601 time in column {quoted(column)}, got {quoted(field)}; "
            "correct it"
        ) from None
    return time


def _seconds(field: str) -> float:
    time = datetime.fromisoformat(field)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _in_time(series: Series, path: Path, timed: bool) -> np.ndarray:
    """The values of a series in the order of time, [T, I]."""
    values = np.stack(series.values)
    if not timed:
        return values
    order = np.argsort(series.times, kind="stable")
    same = np.flatnonzero(np.diff(np.array(series.times)[order]) == 0)
    if len(same):
        earlier, later = (series.lines[order[same[0] + further]] for further in (0, 1))
        raise DataError(
            f"{name_of(path)}:{later}: expected each time once in a series, got that of line {earlier} again; "
            "leave one out"
        )
    return values[order]
