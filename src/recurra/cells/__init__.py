"""The registry of cells: name to equations. A new cell is one function in one file and one line here."""

from __future__ import annotations

from recurra.cells.diagonal import min_gru, min_lstm, sru
from recurra.cells.elman import rnn
from recurra.cells.gru import gru
from recurra.cells.lstm import lstm, lstm_1997
from recurra.config import nearest
from recurra.equations import Cell, cell
from recurra.errors import ConfigError

CELLS: dict[str, Cell] = {c.name: c for c in (rnn, lstm, lstm_1997, gru, min_gru, min_lstm, sru)}


def find_cell(name: str | Cell) -> Cell:
    """The registered cell of that name; a cell stands for itself.

    Raises:
        ConfigError: naming the nearest cell, where there is none of that name.
    """
    if isinstance(name, Cell):
        return name
    if not isinstance(name, str):
        raise ConfigError(f"cell: expected a name or a Cell (a function becomes one by @cell), got {name!r}")
    if name in CELLS:
        return CELLS[name]
    raise ConfigError(f"unknown cell '{name}'{nearest(name.lower(), CELLS) or '; known are ' + ', '.join(CELLS)}")


__all__ = ["CELLS", "cell", "find_cell", "gru", "lstm", "lstm_1997", "min_gru", "min_lstm", "rnn", "sru"]
