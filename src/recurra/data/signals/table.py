"""Series in the rows of a table of numbers, with their label in one column: the UCR archive and its kin."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recurra.data.signals.fields import class_name, numbered_lines, parse_values
from recurra.data.signals.layout import Layout
from recurra.data.signals.record import Signals, joined
from recurra.data.texts.tables import name_of
from recurra.errors import DataError


def read_table(path: Path, layout: Layout) -> Signals:
    """Read a series from each row: numbers between commas, semicolons, tabs or blanks.

    Where a row holds several channels, those of a step stand together: x1, y1, x2, y2. Steps at the end of a row in
    which every channel is missing are no part of the series: so shorter series are filled up (as in the UCR archive).

    Raises: DataError with file and line for rows of unequal width, what is no number, and infinite numbers.
    """
    series, places, labels = [], [], []
    width, first, separator = 0, 0, None
    for number, line in numbered_lines(path):
        place = f"{name_of(path)}:{number}"
        if not width:
            separator = next((mark for mark in ",;" if mark in line), None)
        fields = line.split(separator)
        if not width:
            width, first = len(fields), number
            label_at = _label_position(layout.label_column, width, place)
            _check_channels(width - (label_at is not None), layout.channels, place)
        if len(fields) != width:
            raise DataError(
                f"{place}: expected {width} columns as in line {first}, got {len(fields)}; "
                "fill up shorter series with NaN at their end"
            )
        if label_at is not None:
            labels.append(class_name(fields.pop(label_at), place))
        series.append(_without_end(parse_values(fields, place).reshape(-1, layout.channels)))
        places.append(place)
    return joined(path, series, places, labels=labels or None)


def _label_position(column: int | str, width: int, place: str) -> int | None:
    """The label's place in a row, from 0; None where there is none."""
    if isinstance(column, str):
        return {"first": 0, "last": width - 1, "none": None}[column]
    if not 1 <= column <= width:
        raise DataError(f"{place}: expected the label in column {column}, got {width} columns; give --label-column")
    return column - 1


def _check_channels(values: int, channels: int, place: str) -> None:
    if values == 0 or values % channels:
        raise DataError(
            f"{place}: expected a number of values that --channels {channels} divides, got {values}; "
            "check --channels and --label-column"
        )


def _without_end(values: np.ndarray) -> np.ndarray:
    """The steps up to the last in which something was measured, [T, I]; all of them where nothing was."""
    measured = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: measured[-1] + 1] if len(measured) else values
