"""How a file of signals is laid out: which reader reads it, and what that reader must be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from recurra.errors import ConfigError

Format = Literal["npz", "ts", "long", "table"]


@dataclass(frozen=True)
class Layout:
    """What cannot be seen in a file itself.

    label_column: of rows of numbers, "first", "last", "none", or its number from 1; channels: of rows of numbers, how
    many take turns in a row; series_id, time, label, values: of a table with a row per step, names of its columns.
    """

    label_column: int | str = "first"
    channels: int = 1
    series_id: str | None = None
    time: str | None = None
    label: str = "label"
    values: Sequence[str] | None = None


TOLD: dict[Format, tuple[str, ...]] = {
    "npz": (),
    "ts": (),
    "long": ("series_id", "time", "label", "values"),
    "table": ("label_column", "channels"),
}
"""What each reader is told; the rest has no effect on it."""


def format_of(path: Path, layout: Layout) -> Format:
    """Which reader reads a file: by its suffix, without .gz, or else by whether a series' column is named.

    >>> format_of(Path("GunPoint_TRAIN.ts.gz"), Layout()), format_of(Path("a.csv"), Layout(series_id="patient"))
    ('ts', 'long')
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix == ".npz":
        return "npz"
    if suffix == ".ts":
        return "ts"
    return "long" if layout.series_id is not None else "table"


def check_told(path: Path, layout: Layout) -> Format:
    """The format of a file. Raises: ConfigError for what is told and has no effect on it."""
    found = format_of(path, layout)
    default = Layout()
    for field in fields(Layout):
        if field.name not in TOLD[found] and getattr(layout, field.name) != getattr(default, field.name):
            readers = {"long": "tables with --series-id", "table": "rows of numbers"}
            (meant,) = (reader for name, reader in readers.items() if field.name in TOLD[name])  # type: ignore[index]
            raise ConfigError(f"{field.name} has no effect on {path.name}, only on {meant}; leave it out")
    return found
