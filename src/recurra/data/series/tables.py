"""Rows of a table: CSV, TSV and the like, gzip or not, and Parquet, each row with its line."""

from __future__ import annotations

import csv
import difflib
import io
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.data.signals.record import LARGEST_VALUE
from recurra.errors import ConfigError, DataError
from recurra.text.files import reading

SEPARATORS = ("\t", ";", ",", "|")
STDIN = Path("-")
SHOWN = 12  # column names in a message
csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Table:
    """names: the first row; rows: (line, cells) of the others, every row as wide as the first unless `ragged`."""

    path: str
    names: list[str]
    rows: Iterator[tuple[int, list[str]]]

    def column(self, name: str, option: str, hint: str = "") -> int:
        """The place of a column. Raises: DataError with the names found, and the hint, or the nearest name."""
        if name in self.names:
            return self.names.index(name)
        near = difflib.get_close_matches(name, self.names, 1)
        shown = ", ".join(self.names[:SHOWN]) + (", ..." if len(self.names) > SHOWN else "")
        if not hint:
            hint = f"did you mean {near[0]!r}?" if near else f"name another with --{option.replace('_', '-')}"
        raise DataError(f"{self.path}:1: expected a column {name!r} ({option}), found {shown}; {hint}")


@contextmanager
def open_table(path: Path, *, ragged: bool = False) -> Iterator[Table]:
    """The table in a file; "-" is stdin. Its rows are read while the block runs.

    ragged: rows may be shorter than the first. Raises: DataError for a file that is missing, empty, damaged, no UTF-8,
    or has a row that is too long or too short.
    """
    if path == STDIN:
        yield _table("stdin", io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline=""), ragged)
        return
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise DataError(f"{path}: expected a table of series (CSV, TSV, gzip, Parquet), found {found}; check the path")
    if path.suffix.lower() in (".parquet", ".pq"):
        yield _parquet(path)
        return
    with reading(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        yield _table(str(path), text, ragged)


def _table(path: str, text: io.TextIOBase, ragged: bool) -> Table:
    rows = _cells(path, text)
    line, first = next(rows, (1, []))
    if not first:
        raise DataError(f"{path}: expected a table with names in its first row, got an empty file")
    names = [" ".join(name.split()) for name in first]
    if not ragged and (twice := [name for place, name in enumerate(names) if name in names[:place]]):
        raise DataError(f"{path}:{line}: expected each column to have its own name, got {twice[0]!r} twice")
    return Table(path, names, rows if ragged else _even(path, rows, len(names)))


def _cells(path: str, text: Any) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank."""
    try:
        first = text.readline()
        if "\0" in first:
            raise DataError(f"{path}:1: expected a text table, got binary data; give CSV, TSV or Parquet")
        separator = max(SEPARATORS, key=first.count)
        rows = csv.reader(_from(first, text), delimiter=separator, skipinitialspace=separator != "\t")
        for cells in rows:
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield rows.line_num, cells
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path}: expected UTF-8 text, got byte 0x{byte:02x}; convert the file first") from None
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not a table ({error}); check quotes and line ends") from None


def _from(first: str, text: Any) -> Iterator[str]:
    yield first
    yield from text


def _even(path: str, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != width:
            raise DataError(f"{path}:{line}: expected {width} cells as in the first row, got {len(cells)}")
        yield line, cells


def _parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ConfigError(f"{path}: Parquet needs a library; pip install pyarrow, or give CSV") from None
    try:
        file = parquet.ParquetFile(path)
        names = list(file.schema_arrow.names)
    except Exception as error:  # pyarrow's own classes, which a table without it does not know
        raise DataError(f"{path}: not a Parquet file ({' '.join(str(error).split())[:80]}); fetch it again") from None
    return Table(str(path), names, _parquet_rows(file))


def _parquet_rows(file: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows as a CSV of the same would have them; the number of a row stands for its line."""
    number = 0
    for batch in file.iter_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            yield number, ["" if cell is None else str(cell) for cell in cells]


def to_number(text: str) -> float:
    """The number in a cell, NaN where it is missing: empty, NaN, NA. Raises: ValueError, also for what float32 cannot
    hold."""
    text = text.strip()
    if text in MISSING:
        return float("nan")
    number = float(text)
    if not abs(number) <= LARGEST_VALUE or "_" in text:  # float reads 1_000
        raise ValueError("infinite to float32, or no number to others")
    return number


def _is_finite(text: str) -> bool:
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


MISSING = frozenset(("", "NaN", "nan", "NAN", "NA", "N/A", "null", "NULL", "None"))


def bad_number(path: str, line: int, column: str, text: str) -> DataError:
    """The error for a cell that holds no number."""
    hint = "; decimals are written with a point" if text.replace(",", "", 1).lstrip("-").isdigit() else ""
    if _is_finite(text):
        hint = f"; networks hold numbers up to {LARGEST_VALUE:.1e}, give another unit"
    return DataError(f"{path}:{line}: expected a number in column {column!r}, got {text.strip()!r}{hint}")
