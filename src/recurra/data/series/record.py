"""Series in equal steps: what every reader gives and all else works on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.data.series.clock import Clock
from recurra.errors import DataError
from recurra.text.files import written_aside

INDEX = "series.json"
"""What is in a folder of arrays; written last, so that it says that all are whole."""
ARRAYS = ("bounds", "starts", "lines", "values", "observed", "known", "past")


@dataclass(frozen=True)
class SeriesSet:
    """N series, one after the other, each a row per step with nothing left out.

    ids: a name for each series; targets, known_names, past_names: the columns' names;
    bounds: int64 [N + 1], where each series begins, and the end; starts: int64 [N], the time of each first row by
    `clock` (UTC microseconds, or a row's number); lines: int64 [N], the line of each first row in the file `path`;
    values: float64 [sum T, C], the targets, what was missing filled; observed: bool [sum T, C], false where filled;
    known: float64 [sum T, K], covariates whose future is known; past: float64 [sum T, U], the others.
    """

    ids: tuple[str, ...]
    targets: tuple[str, ...]
    known_names: tuple[str, ...]
    past_names: tuple[str, ...]
    bounds: np.ndarray
    starts: np.ndarray
    lines: np.ndarray
    values: np.ndarray
    observed: np.ndarray
    known: np.ndarray
    past: np.ndarray
    clock: Clock
    path: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each series, int64 [N]."""
        return np.diff(self.bounds)

    @cached_property
    def places(self) -> dict[str, int]:
        """The number of each series by its id."""
        return {name: place for place, name in enumerate(self.ids)}

    def rows(self, number: int) -> slice:
        """The rows of a series."""
        return slice(int(self.bounds[number]), int(self.bounds[number + 1]))

    def times(self, number: int, first: int = 0, stop: int | None = None) -> np.ndarray:
        """The times of steps `first` to `stop` of a series, which may lie beyond its end."""
        stop = int(self.lengths[number]) if stop is None else stop
        return self.clock.after(int(self.starts[number]), np.arange(first, stop))

    def place(self, number: int) -> str:
        """Where a series is, for messages: `file:line: series 'id'`, or `file:line` of the only one, without id."""
        name = f": series {self.ids[number]!r}" if self.ids[number] else ""
        return f"{self.path}:{self.lines[number]}{name}"

    def take(self, numbers: Sequence[int] | np.ndarray) -> Self:
        """These series only, in this order."""
        numbers = np.asarray(numbers, np.int64)
        rows = np.concatenate([np.arange(self.bounds[n], self.bounds[n + 1]) for n in numbers] or [np.arange(0)])
        return replace(
            self,
            ids=tuple(self.ids[n] for n in numbers),
            bounds=np.concatenate([[0], np.cumsum(self.lengths[numbers])]),
            **{name: getattr(self, name)[numbers] for name in ("starts", "lines")},
            **{name: getattr(self, name)[rows] for name in ("values", "observed", "known", "past")},
        )

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder, which is made. Raises: DataError where the disk does not take them."""
        facts = {
            "ids": self.ids, "targets": self.targets, "known": self.known_names, "past": self.past_names,
            "clock": self.clock.to_dict(), "path": self.path,
        }  # fmt: skip
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ARRAYS:
                with written_aside(folder / f"{name}.npy") as file:
                    np.save(file, np.ascontiguousarray(getattr(self, name)), allow_pickle=False)
            with written_aside(folder / INDEX) as file:
                file.write(json.dumps(facts).encode())
        except OSError as error:
            raise DataError(f"{folder}: cannot be written ({error.strerror}); free some space") from None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The series that `save` wrote, mapped into memory. Raises: DataError where files are missing or damaged."""
        try:
            facts = json.loads((folder / INDEX).read_bytes())
            arrays = {name: _load(folder / f"{name}.npy") for name in ARRAYS}
            found = cls(
                tuple(facts["ids"]), tuple(facts["targets"]), tuple(facts["known"]), tuple(facts["past"]),
                clock=Clock.from_dict(facts["clock"]), path=str(facts["path"]), **arrays,
            )  # fmt: skip
            found._check()
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{folder}: damaged or missing series ({reason}); train again from the file") from None
        return found

    def _check(self) -> None:
        total = int(self.bounds[-1])
        widths = {"values": self.targets, "observed": self.targets, "known": self.known_names, "past": self.past_names}
        if len(self.bounds) != len(self.ids) + 1 or (self.lengths < 0).any():
            raise ValueError("bounds do not fit the series")
        for name, columns in widths.items():
            if getattr(self, name).shape != (total, len(columns)):
                raise ValueError(f"{name}.npy has shape {getattr(self, name).shape}")


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:
        found = np.load(path, allow_pickle=False)  # an array without rows cannot be mapped
        return np.asarray(found)


def put_behind(first: SeriesSet, second: SeriesSet, what: str) -> SeriesSet:
    """Each series of `first` with its continuation in `second`; a gap between them is filled with the last value.

    what: what `second` is, for messages. Raises: DataError for a series that is not in both, or begins too early.
    """
    if missing := sorted(set(first.ids) - second.places.keys()):
        raise DataError(f"{second.path}: {what}: expected every series of {first.path}, got none for {missing[0]!r}")
    if extra := sorted(second.places.keys() - set(first.ids)):
        number = second.places[extra[0]]
        raise DataError(f"{second.place(number)} is not in {first.path}, which the {what} goes on from")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("values", "observed", "known", "past")}
    lengths = []
    for number, name in enumerate(first.ids):
        other = second.places[name]
        gap = _gap(first, number, second, other, what)
        for array, pieces in parts.items():
            before, after = getattr(first, array)[first.rows(number)], getattr(second, array)[second.rows(other)]
            filling = np.zeros((gap, before.shape[1]), bool) if array == "observed" else np.repeat(before[-1:], gap, 0)
            pieces += [before, filling, after]
        lengths.append(first.lengths[number] + gap + second.lengths[other])
    joined: dict[str, Any] = {array: np.concatenate(pieces) for array, pieces in parts.items()}
    return replace(first, bounds=np.concatenate([[0], np.cumsum(lengths)]), **joined)


def _gap(first: SeriesSet, number: int, second: SeriesSet, other: int, what: str) -> int:
    """Steps missing between a series and its continuation."""
    if not first.clock.tells_time and int(second.starts[other]) in (0, 1):
        return 0  # rows counted anew
    end = first.times(number, int(first.lengths[number]), int(first.lengths[number]) + 1)
    steps, whole = first.clock.steps(end, second.starts[other : other + 1])
    if not whole[0] or steps[0] < 0:
        shown = second.clock.text(second.starts[other : other + 1])[0]
        expected = first.clock.text(end)[0]
        raise DataError(f"{second.place(other)}: expected the {what} to begin at {expected} or later, got {shown}")
    return int(steps[0])
