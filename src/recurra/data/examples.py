"""Examples for training: sequences of numbers with what belongs to each step and to each sequence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.data.buckets import Buckets
from recurra.errors import DataError
from recurra.text.files import written_aside

INDEX = "examples.json"
"""Which arrays belong to each part of the data in a folder; written last, so that it says that all are whole."""


@dataclass(frozen=True)
class Examples:
    """N sequences, one after the other.

    lengths: int64 [N]; steps: by name an array [sum T, ...] with a row per step; items: by name an array [N, ...] with
    a row per sequence.

        >>> two = Examples(np.array([2, 1]), {"x": np.array([5, 6, 7])}, {"y": np.array([0, 1])})
        >>> two.take([1]).steps["x"].tolist()
        [7]
    """

    lengths: np.ndarray
    steps: Mapping[str, np.ndarray]
    items: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def bounds(self) -> np.ndarray:
        """Where each sequence begins among the steps and the last one ends, int64 [N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)

    def steps_of(self, place: int) -> dict[str, np.ndarray]:
        """The steps of one sequence, [T, ...] each."""
        return {name: values[self.bounds[place] : self.bounds[place + 1]] for name, values in self.steps.items()}

    def take(self, places: Any) -> Self:
        """The sequences with these numbers, in this order."""
        places = np.asarray(places, np.int64)
        rows = [np.arange(self.bounds[place], self.bounds[place + 1]) for place in places]
        chosen = np.concatenate([np.empty(0, np.int64), *rows])
        return type(self)(
            self.lengths[places],
            {name: values[chosen] for name, values in self.steps.items()},
            {name: values[places] for name, values in self.items.items()},
        )


def save_examples(folder: Path, parts: Mapping[str, Examples]) -> None:
    """Write the parts of the data (train, valid, test) into a folder. Raises: DataError where the disk is full."""
    index = {name: {"steps": list(part.steps), "items": list(part.items)} for name, part in parts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            for file, values in _files(folder, name, part.lengths, part.steps, part.items):
                with written_aside(file) as opened:
                    np.save(opened, np.ascontiguousarray(values), allow_pickle=False)
        with written_aside(folder / INDEX) as opened:
            opened.write(json.dumps(index, indent=2).encode())
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); free some space") from None


def has_examples(folder: Path) -> bool:
    """Whether `save_examples` has been there."""
    return (folder / INDEX).is_file()


def load_examples(folder: Path) -> dict[str, Examples]:
    """The parts of the data in a folder, mapped into memory. Raises: DataError where files are missing or damaged."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        return {name: _load(folder, name, fields["steps"], fields["items"]) for name, fields in index.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: damaged ({reason}); train anew from the data itself") from None


def _load(folder: Path, name: str, steps: list[str], items: list[str]) -> Examples:
    lengths = _mapped(folder / f"{name}.lengths.npy")
    part = Examples(
        lengths,
        {field: _mapped(folder / f"{name}.steps.{field}.npy") for field in steps},
        {field: _mapped(folder / f"{name}.items.{field}.npy") for field in items},
    )
    for counted, arrays in ((int(lengths.sum()), part.steps), (len(part), part.items)):
        for field, values in arrays.items():
            if len(values) != counted:
                raise ValueError(f"{name}: {field} has {len(values)} rows, expected {counted}")
    return part


def _mapped(file: Path) -> np.ndarray:
    values: np.ndarray = np.load(file, mmap_mode=None if file.stat().st_size < 1 << 16 else "r", allow_pickle=False)
    return values


def _files(
    folder: Path, name: str, lengths: np.ndarray, steps: Mapping[str, np.ndarray], items: Mapping[str, np.ndarray]
) -> Iterator[tuple[Path, np.ndarray]]:
    yield folder / f"{name}.lengths.npy", lengths
    for kind, arrays in (("steps", steps), ("items", items)):
        for field, values in arrays.items():
            yield folder / f"{name}.{kind}.{field}.npy", values


@dataclass(frozen=True)
class ExampleBatch:
    """Some examples, padded.

    steps: by name [T, B, ...]; items: by name [B, ...]; lengths: int64 [B], T is the largest; places: the number of
    each among all examples, [B].
    """

    steps: dict[str, np.ndarray]
    items: dict[str, np.ndarray]
    lengths: np.ndarray
    places: np.ndarray


class ExampleBatches:
    """Examples in padded batches of like length, each example once per epoch (see `Buckets`).

    Args:
        examples: at least one.
        padding: by the name of a field what stands after a sequence's end; 0 for those not named.

    Raises: DataError where there is no example.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 1,
        padding: Mapping[str, float] | None = None,
    ) -> None:
        if len(examples) == 0:
            raise DataError("expected at least one example, got none; give more data")
        self.examples, self.padding = examples, dict(padding or {})
        self._buckets = Buckets(np.asarray(examples.lengths), batch_size, shuffle=shuffle, seed=seed)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        return self._buckets.steps_per_epoch

    def __iter__(self) -> Iterator[ExampleBatch]:
        return map(self._batch, self._buckets)

    def _batch(self, places: np.ndarray) -> ExampleBatch:
        examples = self.examples
        lengths = np.asarray(examples.lengths[places])
        steps = {name: self._padded(name, values, places, lengths) for name, values in examples.steps.items()}
        return ExampleBatch(steps, {name: values[places] for name, values in examples.items.items()}, lengths, places)

    def _padded(self, name: str, values: np.ndarray, places: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """[T, B, ...]"""
        shape = (int(lengths.max()), len(places), *values.shape[1:])
        padded = np.full(shape, self.padding.get(name, 0), values.dtype)
        for column, (place, steps) in enumerate(zip(places, lengths, strict=True)):
            begin = self.examples.bounds[place]
            padded[:steps, column] = values[begin : begin + steps]
        return padded

    def state_dict(self) -> dict[str, int]:
        """The position, and what it belongs to."""
        return self._buckets.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position. Raises: CheckpointError where it was saved from other data or batches."""
        self._buckets.load_state_dict(state)
