"""Reading signals: files of real-valued series, whatever their format, as one record."""

from __future__ import annotations

from pathlib import Path

from recurra.data.signals.arrays import read_npz
from recurra.data.signals.layout import Layout, check_told, format_of
from recurra.data.signals.long import read_long
from recurra.data.signals.record import Signals, from_arrays
from recurra.data.signals.table import read_table
from recurra.data.signals.ts import read_ts
from recurra.data.splits import existing
from recurra.data.texts.tables import is_stdin
from recurra.errors import DataError

__all__ = ["Layout", "Signals", "format_of", "from_arrays", "read_signals"]

LABELS = {
    "npz": "add an array 'labels' [N]",
    "ts": "give a file with @classLabel true",
    "table": "say by --label-column where it is",
}
"""How a file of each format is given labels."""


def read_signals(path: Path, layout: Layout | None = None, *, labelled: bool = False) -> Signals:
    """Read a file of series; plain or gzip.

    Args:
        path: `.npz` or `.ts`; a table with a row per step where `layout.series_id` names the series' column; else a
            table of numbers with a series per row.
        layout: what cannot be seen in the file itself.
        labelled: refuse series without labels.

    Raises: DataError with file and line (series, in `.npz`) for what cannot be used, ConfigError for what is told in
    `layout` and has no effect on this file.
    """
    layout = layout or Layout()
    if not is_stdin(path) and not existing(path).is_file():
        raise DataError(f"{path}: expected a file of series, got a folder, pipe or device; give a file")
    found = check_told(path, layout)
    if found == "long":
        return read_long(path, layout, labelled)
    signals = read_table(path, layout) if found == "table" else read_npz(path) if found == "npz" else read_ts(path)
    if labelled and signals.labels is None:
        raise DataError(f"{path}: expected a label for each series, got none; {LABELS[found]}")
    return signals
