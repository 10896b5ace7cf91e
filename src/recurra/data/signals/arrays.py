"""Series in .npz files: values of all series one after the other, and the length of each."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from recurra.config import listed, nearest, quoted
from recurra.data.signals.fields import class_name
from recurra.data.signals.record import LARGEST_VALUE, Signals, check_measured, numbered
from recurra.errors import DataError
from recurra.text.files import reading

KNOWN = ("values", "lengths", "labels", "targets", "channels", "ids")


def read_npz(path: Path) -> Signals:
    """Read `values` [sum T, I] and `lengths` [N], with `labels` [N], `targets` [sum T], or both, or neither.

    Labels are text or whole numbers. Targets are classes where they are text, whole numbers or truth values, and
    numbers to predict where they are floats. Names may be given in `channels` [I] and `ids` [N]. NaN in `values` is a
    missing value. Nothing is ever unpickled.

    Raises: DataError for arrays that are missing, unknown, of a wrong type or shape, or do not fit each other.
    """
    arrays = _load(path)
    for name in ("values", "lengths"):
        if name not in arrays:
            raise DataError(f"{path}: expected an array {name!r}, got {_listed(arrays)}{nearest(name, arrays)}")
    for name in arrays.keys() - set(KNOWN):
        known = nearest(name, KNOWN) or "; known: " + ", ".join(KNOWN)
        raise DataError(f"{path}: unknown array {quoted(name)}{known}; leave it out")
    values, lengths = _values(path, arrays["values"]), _lengths(path, arrays["lengths"])
    if int(lengths.sum()) != len(values):
        raise DataError(
            f"{path}: expected lengths whose sum is the rows of values, {len(values)}, got {int(lengths.sum())}; "
            "give the steps of each series"
        )
    count, (steps, width) = len(lengths), values.shape
    names = {
        "channels": _names(path, arrays, "channels", width) or numbered(width),
        "ids": _names(path, arrays, "ids", count) or numbered(count),
    }
    places = [f"{path}: series {number}" for number in range(1, count + 1)]
    labels, targets = _classes(path, arrays, "labels", count), _targets(path, arrays, steps)
    classes = None if labels is None else labels.tolist()
    signals = Signals(path, values, lengths, places, **names, labels=classes, targets=targets)
    _check_finite(signals)
    check_measured(signals)
    return signals


def _load(path: Path) -> dict[str, np.ndarray]:
    with reading(path) as file:
        content = io.BytesIO(file.read())
    try:
        found = np.load(content, allow_pickle=False)
        arrays = {name: found[name] for name in found.files} if isinstance(found, np.lib.npyio.NpzFile) else None
    except (zipfile.BadZipFile, EOFError, OSError, KeyError, zlib.error) as error:
        raise DataError(f"{path}: expected arrays (.npz), got a damaged file ({error}); write it anew") from None
    except ValueError as error:
        kind = "Python objects" if "allow_pickle" in str(error) else f"a damaged file ({error})"
        raise DataError(f"{path}: expected arrays of numbers and text, got {kind}; write it by numpy.savez") from None
    if arrays is None:
        raise DataError(f"{path}: expected named arrays (.npz), got one array; write it by numpy.savez")
    return arrays


def _values(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiub" or values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"{path}: expected values as numbers [sum T, I], got {values.dtype} {list(values.shape)}; "
            "give a row per step and a column per channel"
        )
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _lengths(path: Path, lengths: np.ndarray) -> np.ndarray:
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or not len(lengths):
        raise DataError(
            f"{path}: expected lengths as whole numbers [N], got {lengths.dtype} {list(lengths.shape)}; "
            "give the steps of each series"
        )
    if lengths.min() < 1:
        number = int(np.argmin(lengths))
        raise DataError(f"{path}: series {number + 1}: expected a length of at least 1, got {lengths[number]}")
    return lengths.astype(np.int64)


def _names(path: Path, arrays: dict[str, np.ndarray], name: str, count: int) -> list[str] | None:
    """An array of text or numbers as text, [count]; None where it is not there."""
    if name not in arrays:
        return None
    array = _of_shape(path, arrays, name, count)
    if array.dtype.kind not in "UiubfS":
        raise DataError(f"{path}: expected {name} as text or whole numbers, got {array.dtype}; convert it")
    try:
        return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in array.tolist()]
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected {name} as UTF-8 text, got other bytes; give text") from None


def _of_shape(path: Path, arrays: dict[str, np.ndarray], name: str, count: int) -> np.ndarray:
    array = arrays[name]
    if array.shape != (count,):
        per = {"channels": "column of values", "targets": "row of values"}.get(name, "series")
        raise DataError(f"{path}: expected {name} [{count}], one per {per}, got {list(array.shape)}; correct it")
    return array


def _classes(path: Path, arrays: dict[str, np.ndarray], name: str, count: int) -> np.ndarray | None:
    """An array of classes by name, text [count]; None where it is not there."""
    if name not in arrays:
        return None
    different, first, where = np.unique(_of_shape(path, arrays, name, count), return_index=True, return_inverse=True)
    texts = _names(path, {name: different}, name, len(different)) or []
    return np.array([class_name(text, f"{path}: {name}[{at}]") for text, at in zip(texts, first, strict=True)])[where]


def _targets(path: Path, arrays: dict[str, np.ndarray], steps: int) -> np.ndarray | None:
    """Classes as text, or numbers as float64, [steps]; None where there are none."""
    if "targets" not in arrays or arrays["targets"].dtype.kind != "f":
        return _classes(path, arrays, "targets", steps)
    targets = _of_shape(path, arrays, "targets", steps).astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(targets) <= LARGEST_VALUE))
    if len(wrong):
        raise DataError(f"{path}: targets[{wrong[0]}]: expected a finite number, got {targets[wrong[0]]}; correct it")
    return targets


def _check_finite(signals: Signals) -> None:
    beyond = np.argwhere(np.abs(signals.values) > LARGEST_VALUE)
    if len(beyond):
        step, channel = (int(number) for number in beyond[0])
        raise DataError(
            f"{signals.place_of_step(step)}: expected finite numbers, got {signals.values[step, channel]} in "
            f"values[{step}, {channel}]; correct it, or write NaN where a value is missing"
        )


def _listed(arrays: dict[str, np.ndarray]) -> str:
    return listed(arrays, 12) or "no array"
