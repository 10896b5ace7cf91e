"""The lines of a file of numbers, and the numbers in their fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from recurra.config import quoted
from recurra.data.signals.record import LARGEST_VALUE
from recurra.data.texts.tables import text_lines
from recurra.errors import DataError

MISSING = ("", "?", "nan", "na", "null", "none")
"""What stands for a missing value, in any case."""


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, without blanks at their ends, with their numbers from 1.

    Raises: DataError for a file that cannot be read.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if line := line.strip():
            yield number, line


def parse_values(fields: Sequence[str], place: str, names: Sequence[str] | None = None) -> np.ndarray:
    """The numbers in the fields of a line, float64 [fields], NaN where one is missing (see `MISSING`).

    Args:
        place: file and line, for messages.
        names: what each field is called there; None: its number, from 1.

    Raises: DataError for what is no number, or one that float32 cannot hold.
    """
    try:
        values = np.array(fields, np.float64)
    except ValueError:
        values = np.array([_number(field, place, _name(names, n)) for n, field in enumerate(fields)], np.float64)
    beyond = np.flatnonzero(np.abs(values) > LARGEST_VALUE)
    if len(beyond):
        raise DataError(
            f"{place}: expected finite numbers, got {quoted(fields[beyond[0]].strip())} in {_name(names, beyond[0])}; "
            "correct it, or leave it empty where a value is missing"
        )
    return values


def _number(field: str, place: str, name: str) -> float:
    field = field.strip()
    try:
        return math.nan if field.lower() in MISSING else float(field)
    except ValueError:
        raise DataError(f"{place}: expected a number in {name}, got {field[:40]!r}; correct it") from None


def _name(names: Sequence[str] | None, position: int) -> str:
    return f"value {position + 1}" if names is None else f"column {quoted(names[position])}"


def class_name(field: str, place: str) -> str:
    """The name of a class: text as it stands; a whole number without its decimals, so that 1, 1.0 and 1e0 are one.

    Raises: DataError where it is missing, or a number that is not whole.

    >>> class_name("-1.0000000e+00", "a.tsv:1"), class_name(" walking ", "a.tsv:1")
    ('-1', 'walking')
    """
    field = field.strip()
    if field.lower() in MISSING:
        raise DataError(f"{place}: expected a label, got {quoted(field)}; give every series one, or leave the line out")
    try:
        number = float(field)
    except ValueError:
        return field
    if not number.is_integer():
        raise DataError(
            f"{place}: expected a label (text or a whole number), got {quoted(field)}; "
            "say by --label-column where the label is, or none"
        )
    return str(int(number))
