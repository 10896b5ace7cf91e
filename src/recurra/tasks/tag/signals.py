"""Signals with a class or a number for each step: files, parts and scales, as arrays in the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.data import Examples, has_examples, load_examples, save_examples
from recurra.data.signals import Signals, read_signals
from recurra.data.signals.scale import measured_moments
from recurra.data.texts.parts import find_parts
from recurra.errors import DataError, FolderError
from recurra.tasks.inputs.signal import SignalInput
from recurra.tasks.tag.data import TAG
from recurra.tasks.tag.parts import cut_off

NUMBER = "number"
"""The field of a batch with each step's number, in deviations from the mean of the training part."""
IDS = "ids.json"
TARGETS = "targets.json"


@dataclass(frozen=True)
class Fitted:
    """What is known besides weights of a model that reads signals.

    input: what it reads; classes: those of the steps, none where the targets are numbers; mean, deviation: of these
    numbers in the training part.
    """

    input: SignalInput
    classes: tuple[str, ...]
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def learn(cls, signals: Signals, config: Any) -> Self:
        """Learn from the training part. Raises: DataError where there is nothing to tell apart."""
        targets = wanted_targets(signals)
        values = np.unique(targets)
        numbers = targets.dtype.kind == "f"
        if len(values) < 2:
            what = "targets" if numbers else "classes"
            raise DataError(
                f"{signals.path}: expected at least 2 different {what}, got only {values[0]}; give others too"
            )
        fitted = SignalInput.fit(signals, config)
        if not numbers:
            return cls(fitted, tuple(values.tolist()))
        mean, deviation = measured_moments(targets[:, None])
        return cls(fitted, (), float(mean[0]), float(deviation[0]))

    def save(self, folder: Path) -> None:
        """Write `input.json` and `targets.json`. Raises: FolderError."""
        self.input.save(folder)
        fields = {name: value for name, value in vars(self).items() if name != "input"}
        text = json.dumps({"format": "recurra targets", "format_version": 1, **fields}, indent=0)
        try:
            (folder / TARGETS).write_text(text, encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder}: the targets cannot be written ({error.strerror}); free some space") from None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: FolderError where it is missing, damaged or foreign."""
        path = folder / TARGETS
        try:
            fields = json.loads(path.read_bytes())
            if fields["format"] != "recurra targets" or fields["format_version"] != 1:
                raise ValueError("another format")
            classes = tuple(str(name) for name in fields["classes"])
            return cls(SignalInput.load(folder), classes, float(fields["mean"]), float(fields["deviation"]))
        except OSError as error:
            raise FolderError(f"{path}: cannot be read ({error.strerror}); give a model folder") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FolderError(f"{path}: expected the targets of a run, got a damaged file ({reason})") from None


def reads_signals(path: Path) -> bool:
    """Whether a file, or the training file in a folder, holds signals, by its name."""
    train = find_parts(path)["train"]
    return train.name.lower().removesuffix(".gz").endswith(".npz")


def wanted_targets(signals: Signals) -> np.ndarray:
    """The targets of the steps, [sum T]. Raises: DataError where there are none."""
    if signals.targets is None:
        raise DataError(f"{signals.path}: expected an array 'targets', one per row of values, got none; add it")
    return signals.targets


def encode(signals: Signals, fitted: Fitted, *, targets: bool = True) -> Examples:
    """What the network reads, and with `targets` what it is to give.

    Raises: DataError for other channels, other kinds of target or a class that is not in the training part.
    """
    steps = fitted.input.encode(signals)
    if targets:
        steps |= _encode_targets(signals, fitted)
    return Examples(signals.lengths, steps, {})


def _encode_targets(signals: Signals, fitted: Fitted) -> dict[str, np.ndarray]:
    given = wanted_targets(signals)
    numbers = given.dtype.kind == "f"
    if numbers == bool(fitted.classes):
        kinds = {True: "numbers (floats)", False: "classes (text or whole numbers)"}
        raise DataError(
            f"{signals.path}: expected targets that are {kinds[not numbers]}, as in training, got {kinds[numbers]}; "
            "convert them"
        )
    if numbers:
        return {NUMBER: ((given - fitted.mean) / fitted.deviation).astype(np.float32)}
    known = np.array(fitted.classes)
    places = np.minimum(np.searchsorted(known, given), len(known) - 1)
    unknown = np.flatnonzero(known[places] != given)
    if len(unknown):
        step = int(unknown[0])
        shown = ", ".join(fitted.classes[:8]) + (", ..." if len(known) > 8 else "")
        raise DataError(
            f"{signals.place_of_step(step)}: targets[{step}]: class {str(given[step])!r} is not in the training data, "
            f"which has {shown}; mend it, or train on series that have it"
        )
    return {TAG: places.astype(np.int32)}


@dataclass(frozen=True)
class Data:
    """The parts (train, and perhaps valid and test), and the name of each series by part."""

    parts: Mapping[str, Examples]
    ids: Mapping[str, list[str]]


def prepare(config: Any, folder: Path, data: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
    """What `Training.prepare` does, for signals; `data` is the folder for the examples."""
    if fitted is not None and has_examples(data):
        return fitted, load(data)
    signals = read_parts(config)
    fitted = fitted or Fitted.learn(signals["train"], config)
    parts = {name: encode(part, fitted) for name, part in signals.items()}
    found = Data(parts, {name: list(part.ids) for name, part in signals.items()})
    fitted.save(folder)
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / IDS).write_text(json.dumps(found.ids), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{data}: cannot be written ({error.strerror}); free some space") from None
    save_examples(data, parts)
    return fitted, found


def load(data: Path) -> Data:
    """What `prepare` left. Raises: DataError where it is missing or damaged."""
    parts = load_examples(data)
    try:
        ids = json.loads((data / IDS).read_bytes())
        if any(len(ids[name]) != len(part) for name, part in parts.items()):
            raise ValueError("another number of series")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{data / IDS}: damaged ({error}); train anew from the data itself") from None
    return Data(parts, ids)


def read_parts(config: Any) -> dict[str, Signals]:
    """The series of each part; what has no file is cut from the end of the training file. Raises: DataError."""
    paths = find_parts(config.data, config.valid, config.test)
    parts = {name: read_signals(path) for name, path in paths.items()}
    train = parts["train"]
    order = np.arange(len(train))
    cut = cut_off(train.path, len(train), parts, config)
    return {**parts, **{name: train.take(order[places]) for name, places in cut.items()}}
