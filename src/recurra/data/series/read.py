"""Reading series from files: a row per step and series, columns side by side, or a row per series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recurra.config.series import ALL, SeriesOptions
from recurra.data.series.clock import Clock, Frequency
from recurra.data.series.record import SeriesSet
from recurra.data.series.regular import NAIVE, Grid, Rows, fill, to_grid
from recurra.data.series.stamps import EXAMPLES, Parser, stamp_parser
from recurra.data.series.tables import Table, bad_number, open_table, to_number
from recurra.errors import DataError

TIME, ID, TARGET = "ds", "unique_id", "y"
"""The names of columns that need not be named."""
AS_TRAINED = "name the columns as in the training data"
"""What to do with a further file that lacks a column, which no option can name then."""


def read_series(path: Path, options: SeriesOptions, clock: Clock | None = None) -> SeriesSet:
    """The series in a file, in equal steps.

    Args:
        path: CSV, TSV or the like, gzip or not, or Parquet; "-" is stdin.
        options: what the file looks like.
        clock: of a trained model, whose steps the file must have; None to infer it.

    Raises: DataError with file and line for what cannot be used: columns that are missing, cells that hold no number,
    infinite values, missing values unless they are allowed, time stamps out of order, double or off the clock.
    """
    if options.layout == "rows":
        with open_table(path, ragged=True) as table:
            return _from_rows(table, options)
    with open_table(path) as table:
        columns = _Columns(table, options, "" if clock is None else AS_TRAINED)
        grid = to_grid(_read(table, options, columns), options.time_zone, options.frequency, clock)
    if columns.series:
        return _apart(_as_set(grid, columns, options, str(table.path), trimmed=True))
    return _as_set(grid, columns, options, str(table.path))


def read_future(path: Path, options: SeriesOptions, clock: Clock) -> SeriesSet:
    """The covariates known in advance in a file that needs no targets; as `read_series`, without values."""
    future = options.model_copy(update={"target": [], "series_columns": None, "past_covariates": None})
    with open_table(path) as table:
        columns = _Columns(table, future, AS_TRAINED)
        grid = to_grid(_read(table, future, columns), options.time_zone, None, clock)
    if (grid.line_of == 0).any():
        row = int(np.argmax(grid.line_of == 0))
        number = int(np.searchsorted(grid.bounds, row, "right")) - 1
        time = clock.text(clock.after(int(grid.starts[number]), np.array([row - grid.bounds[number]])))[0]
        raise DataError(
            f"{path}:{grid.lines[number]}: expected a row for every step, got none for {time}; known covariates are "
            "not filled"
        )
    return _as_set(grid, columns, future, str(table.path))


class _Columns:
    """Where things stand in a table: names as asked for, or the usual ones where they are there."""

    def __init__(self, table: Table, options: SeriesOptions, hint: str) -> None:
        self.time = _place(table, options.time, TIME, "time", hint)
        self.id = None if options.series_columns else _place(table, options.series_id, ID, "series_id", hint)
        self.known = tuple(options.known_covariates or ())
        self.past = tuple(options.past_covariates or ())
        self.series = options.series_columns is not None
        targets = options.series_columns if options.series_columns is not None else options.target
        if targets == [ALL]:
            other = {*self.known, *self.past, *(table.names[at] for at in (self.time, self.id) if at is not None)}
            targets = [name for name in table.names if name not in other]
            if not targets:
                raise DataError(
                    f"{table.path}:1: expected columns besides time, id and covariates, found "
                    f"{', '.join(table.names)}; leave one of them out of the covariates"
                )
        self.targets = tuple([TARGET] if targets is None else targets)
        kind = "series_columns" if self.series else "target"
        self._check_once(table, kind)
        self.values = [
            (name, table.column(name, option, hint))
            for names, option in (
                (self.targets, kind),
                (self.known, "known_covariates"),
                (self.past, "past_covariates"),
            )
            for name in names
        ]

    def _check_once(self, table: Table, kind: str) -> None:
        """Refuse a column that is two things, those included that need not be named. Raises: DataError."""
        taken: dict[str, str] = {}
        time, id_ = (() if place is None else (table.names[place],) for place in (self.time, self.id))
        options = {"time": time, "series_id": id_, kind: self.targets, "known_covariates": self.known,
                   "past_covariates": self.past}  # fmt: skip
        for option, names in options.items():
            for name in names:
                if name in taken:
                    raise DataError(
                        f"{table.path}:1: column {name!r} is taken as {taken[name]} and as {option}; "
                        "name another for one of them"
                    )
                taken[name] = option


def _place(table: Table, name: str | None, usual: str, option: str, hint: str) -> int | None:
    if name is None:
        return table.names.index(usual) if usual in table.names else None
    return table.column(name, option, hint)


def _read(table: Table, options: SeriesOptions, columns: _Columns) -> Rows:
    """All rows of a table with a row per step."""
    rows = Rows(table.path, tuple(name for name, _ in columns.values), timed=columns.time is not None)
    codes: dict[str, int] = {}
    parse: Parser | None = None
    for line, cells in table.rows:
        if columns.time is not None:
            text = cells[columns.time].strip()
            try:
                if parse is None:
                    parse, rows.counted = stamp_parser(text, options.time_format)
                stamp = parse(text)
            except (ValueError, OverflowError):
                raise _bad_stamp(table, line, columns.time, text, options, rows.counted) from None
            rows.times.append(stamp.time)
            rows.offsets.append(NAIVE if stamp.offset is None else stamp.offset)
        name = "" if columns.id is None else cells[columns.id].strip()
        if columns.id is not None and not name:
            raise DataError(f"{table.path}:{line}: expected an id in column {table.names[columns.id]!r}, got none")
        rows.codes.append(codes.setdefault(name, len(codes)))
        rows.lines.append(line)
        _read_numbers(rows, table.path, line, cells, columns)
    if not codes:
        raise DataError(f"{table.path}: expected rows below the names, got none; give a file with values")
    rows.ids = list(codes)
    return rows


def _read_numbers(rows: Rows, path: str, line: int, cells: list[str], columns: _Columns) -> None:
    for name, place in columns.values:
        try:
            rows.cells.append(to_number(cells[place]))
        except ValueError:
            raise bad_number(path, line, name, cells[place]) from None


def _bad_stamp(table: Table, line: int, column: int, text: str, options: SeriesOptions, counted: bool) -> DataError:
    expected = f"a time stamp as {options.time_format}" if options.time_format else f"a time stamp, {EXAMPLES}"
    if counted:
        expected = "a whole number as in the rows before"
    hint = "" if options.time_format else "; for others give --time-format, as %d.%m.%Y"
    return DataError(f"{table.path}:{line}: expected {expected} in column {table.names[column]!r}, got {text!r}{hint}")


def _as_set(grid: Grid, columns: _Columns, options: SeriesOptions, path: str, trimmed: bool = False) -> SeriesSet:
    """Fill what is missing. trimmed: the targets are series of their own, which may begin later and end earlier."""
    names = [name for name, _ in columns.values]
    missing = np.isnan(grid.cells)
    if not options.allow_missing_values:
        wrong = missing & (grid.line_of > 0)[:, None]
        if trimmed:
            wrong[:, : len(columns.targets)] &= _inside(~missing[:, : len(columns.targets)])
        _refuse_missing(wrong, grid, names, path)
    filled = fill(grid.cells, grid.bounds, options.fill)
    first, second = len(columns.targets), len(columns.targets) + len(columns.known)
    return SeriesSet(
        grid.ids, columns.targets, columns.known, columns.past, grid.bounds, grid.starts, grid.lines,
        filled[:, :first], ~missing[:, :first], filled[:, first:second], filled[:, second:], grid.clock, path,
    )  # fmt: skip


def _inside(there: np.ndarray) -> np.ndarray:
    """Rows from the first that is there to the last, by column."""
    before = np.logical_or.accumulate(there)
    after = np.logical_or.accumulate(there[::-1])[::-1]
    return np.asarray(before & after)


def _refuse_missing(wrong: np.ndarray, grid: Grid, names: list[str], path: str) -> None:
    if not wrong.any():
        return
    places = np.argwhere(wrong)
    row, column = min(places.tolist(), key=lambda place: (grid.line_of[place[0]], place[1]))
    more = f" (and {len(places) - 1:,} more)" if len(places) > 1 else ""
    raise DataError(
        f"{path}:{grid.line_of[row]}: expected a number in column {names[column]!r}, got a missing value{more}; "
        "give --allow-missing-values to have it filled"
    )


def _apart(wide: SeriesSet) -> SeriesSet:
    """The columns of one wide series as series of their own, without what is missing at their ends."""
    pieces = []
    for column, name in enumerate(wide.targets):
        there = np.flatnonzero(wide.observed[:, column])
        if not len(there):
            raise DataError(f"{wide.path}:1: expected values in column {name!r}, got none; leave it out")
        pieces.append(slice(int(there[0]), int(there[-1]) + 1))
    columns = [(piece, slice(at, at + 1)) for at, piece in enumerate(pieces)]
    return replace(
        wide,
        ids=wide.targets,
        targets=(TARGET,),
        bounds=np.concatenate([[0], np.cumsum([piece.stop - piece.start for piece in pieces])]),
        starts=np.array([wide.times(0, piece.start, piece.start + 1)[0] for piece in pieces]),
        lines=np.full(len(pieces), 1),
        values=np.concatenate([wide.values[one] for one in columns]),
        observed=np.concatenate([wide.observed[one] for one in columns]),
        known=np.concatenate([wide.known[piece] for piece in pieces]),
        past=np.concatenate([wide.past[piece] for piece in pieces]),
    )


def _from_rows(table: Table, options: SeriesOptions) -> SeriesSet:
    """A row per series: its id, its values, and nothing where it is shorter than others."""
    ids: dict[str, int] = {}
    values, lengths = [], []
    for line, cells in _rows_of_series(table):
        name = cells[0].strip()
        if name in ids:
            raise DataError(f"{table.path}:{line}: series {name!r} stands already in line {ids[name]}; keep one row")
        ids[name] = line
        end = len(cells)
        while end > 1 and not cells[end - 1].strip():
            end -= 1
        if end == 1:
            raise DataError(f"{table.path}:{line}: expected values after the id {name!r}, got none; remove the row")
        values.append(_numbers(table.path, line, cells, end, options))
        lengths.append(end - 1)
    if not ids:
        raise DataError(f"{table.path}: expected a row per series, got none; give a file with values")
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    cells_ = np.concatenate(values)[:, None]
    nothing = np.zeros((len(cells_), 0))
    return SeriesSet(
        tuple(ids), (TARGET,), (), (), bounds, np.zeros(len(ids), np.int64), np.array(list(ids.values())),
        fill(cells_, bounds, options.fill), ~np.isnan(cells_), nothing, nothing, Clock(Frequency(1, "row")),
        table.path,
    )  # fmt: skip


def _rows_of_series(table: Table) -> list[tuple[int, list[str]]]:
    """All rows; the first too, where it holds values, not names."""
    rows = list(table.rows)
    try:
        numbers = [to_number(cell) for cell in table.names[1:]]
    except ValueError:
        return rows
    return [(1, table.names), *rows] if numbers else rows


def _numbers(path: str, line: int, cells: list[str], end: int, options: SeriesOptions) -> np.ndarray:
    numbers = np.empty(end - 1)
    for place in range(1, end):
        try:
            numbers[place - 1] = to_number(cells[place])
        except ValueError:
            raise bad_number(path, line, f"number {place + 1}", cells[place]) from None
    if np.isnan(numbers).any() and not options.allow_missing_values:
        place = int(np.argmax(np.isnan(numbers))) + 2
        raise DataError(
            f"{path}:{line}: expected a number in cell {place}, got a missing value; "
            "give --allow-missing-values to have it filled"
        )
    return numbers
