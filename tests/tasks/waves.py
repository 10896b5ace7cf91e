"""Made-up signals with a rule in them: slow and fast waves, and for each step what the last two values say."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SPEED = {"slow": 0.4, "fast": 1.1}  # radians per step
WRITTEN = "ts.gz", "npz", "long.csv", "tsv"
FLAGS = {"long.csv": {"series_id": "name", "time": "t", "label": "speed"}, "tsv": {"channels": 2}}
"""What must be told of a file, by its ending."""


def waves(count: int, seed: int, missing: float = 0.0) -> list[tuple[str, np.ndarray]]:
    """Label and values [T, 2] of each: waves with noise, a share of the values missing."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        label = ("slow", "fast")[number % 2]
        steps = np.arange(random.integers(8, 16))[:, None] * SPEED[label] + random.uniform(0, 6) + [0, 1]
        values = [100.0, 0.0] + [50.0, 0.01] * (np.sin(steps) + 0.1 * random.normal(size=steps.shape))
        values[:-1][random.random(values[:-1].shape) < missing] = np.nan  # in a table the last step ends the series
        found.append((label, values))
    return found


def write(folder: Path, ending: str, series: list[tuple[str, np.ndarray]], name: str = "waves") -> Path:
    """A file of that kind."""
    path = folder / f"{name}.{ending}"
    WRITERS[ending](path, series)
    return path


def _write_npz(path: Path, series: list[tuple[str, np.ndarray]]) -> None:
    values = np.concatenate([values for _, values in series])
    lengths = [len(values) for _, values in series]
    np.savez(path, values=values, lengths=lengths, labels=[label for label, _ in series], channels=["x", "y"])


def _write_ts(path: Path, series: list[tuple[str, np.ndarray]]) -> None:
    import gzip

    cases = (":".join([*(",".join(map(str, column)) for column in values.T), label]) for label, values in series)
    path.write_bytes(gzip.compress("\n".join(["@classLabel true slow fast", "@data", *cases]).encode()))


def _write_long(path: Path, series: list[tuple[str, np.ndarray]]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "t", "x", "y", "speed"])
        for number, (label, values) in enumerate(series):
            rows.writerows([f"w{number}", t, *step, label] for t, step in enumerate(values))


def _write_table(path: Path, series: list[tuple[str, np.ndarray]]) -> None:
    longest = max(len(values) for _, values in series)
    rows = ([label, *values.ravel(), *["NaN"] * 2 * (longest - len(values))] for label, values in series)
    path.write_text("\n".join("\t".join(map(str, row)) for row in rows))


WRITERS: dict[str, Callable[[Path, Any], None]] = {
    "npz": _write_npz, "ts.gz": _write_ts, "long.csv": _write_long, "tsv": _write_table,
}  # fmt: skip


def write_steps(path: Path, count: int, seed: int, *, numbers: bool, **changed: np.ndarray) -> Path:
    """An .npz file: the target of a step is the sum of its value and the last one, or whether that is above 0."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 12, count)
    values = random.normal(size=(int(lengths.sum()), 2))
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    last = np.concatenate([[0.0], values[:-1, 0]])
    last[first] = 0
    sums = values[:, 0] + last
    targets = 50 + 10 * sums if numbers else np.where(sums > 0, "up", "down")
    np.savez(path, **{"values": values, "lengths": lengths, "targets": targets, **changed})
    return path
