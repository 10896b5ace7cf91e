"""Series in .ts files, the format of the UEA archive, sktime and aeon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recurra.config import listed, nearest, quoted
from recurra.data.signals.fields import class_name, numbered_lines, parse_values
from recurra.data.signals.record import Signals, joined
from recurra.errors import DataError


@dataclass(frozen=True)
class Header:
    """What the lines before @data say: the classes (None: the cases have no label) and how many channels there are."""

    classes: tuple[str, ...] | None
    channels: int | None


def read_ts(path: Path) -> Signals:
    """Read a .ts file: header lines begin with @, comments with #; then one case per line, its channels between
    colons, their values between commas, a missing one as ? or NaN, the class at the end.

    Cases may be of unequal length; the channels of a case may not.
    Raises: DataError with file and line for time stamps, numbers to predict in place of classes, and ragged cases.
    """
    lines = numbered_lines(path)
    header = _read_header(lines, path)
    series, places, labels = [], [], []
    channels = header.channels
    for number, line in lines:
        place = f"{path}:{number}"
        if line.startswith("#"):
            continue
        parts = line.split(":")
        if header.classes is not None:
            labels.append(_class(parts.pop(), header.classes, place))
        channels = channels or len(parts)
        if len(parts) != channels:
            given = "as @dimensions says" if header.channels else "as in the first case"
            label = " and a class" if header.classes is not None else ""
            raise DataError(
                f"{place}: expected {channels} channels{label} between colons, {given}, got {len(parts)}{label}; "
                "correct the line"
            )
        series.append(_case(parts, place))
        places.append(place)
    return joined(path, series, places, labels=labels if header.classes is not None else None)


def _read_header(lines: Iterator[tuple[int, str]], path: Path) -> Header:
    """Read up to @data. What is said there of the data itself and can be seen in it is passed over."""
    said: dict[str, list[str]] = {}
    for number, line in lines:
        if line.startswith("#"):
            continue
        name, *words = line.split()
        name = name.lower()
        if not name.startswith("@"):
            raise DataError(f"{path}:{number}: expected a header line that begins with @, got {line[:40]!r}; add @data")
        if name == "@data":
            return _header(said, f"{path}:{number}")
        if name == "@timestamps" and words[:1] != ["false"]:
            raise DataError(
                f"{path}:{number}: expected values without time stamps (@timeStamps false), got "
                f"{quoted(' '.join(words))}; write the values at equal intervals, ? where one is missing"
            )
        if name == "@targetlabel" and words[:1] != ["false"]:
            raise DataError(
                f"{path}:{number}: expected classes (@classLabel), got a number to predict for each series "
                "(@targetLabel); give a file with classes"
            )
        said[name] = words
    raise DataError(f"{path}: expected a line @data and cases after it, got none; give a whole .ts file")


def _header(said: dict[str, list[str]], place: str) -> Header:
    words = said.get("@classlabel", [])
    if words[:1] == ["true"] and words[1:]:
        classes: tuple[str, ...] | None = tuple(class_name(word, place) for word in words[1:])
    elif words[:1] == ["false"]:
        classes = None
    else:
        raise DataError(
            f"{place}: expected before @data a line '@classLabel true' with the classes, or '@classLabel false', got "
            f"{quoted(' '.join(['@classLabel', *words])) if words else 'none'}; add it"
        )
    given = said.get("@dimensions") or said.get("@dimension")
    if given and not (given[0].isdecimal() and int(given[0])):
        raise DataError(f"{place}: expected a number of channels after @dimensions, got {quoted(given[0])}; correct it")
    univariate = said.get("@univariate", [])[:1] == ["true"]
    return Header(classes, int(given[0]) if given else 1 if univariate else None)


def _class(field: str, classes: tuple[str, ...], place: str) -> str:
    found = class_name(field, place)
    if found not in classes:
        raise DataError(
            f"{place}: expected a class of @classLabel ({listed(classes)}) after the last colon, got {quoted(found)}"
            f"{nearest(found, classes) or '; correct one of them'}"
        )
    return found


def _case(parts: list[str], place: str) -> np.ndarray:
    """The values of one case, [T, I]."""
    if "(" in parts[0]:
        raise DataError(
            f"{place}: expected values between commas, got time stamps ({parts[0][:20].strip()}...); "
            "write the values at equal intervals, ? where one is missing"
        )
    channels = [part.split(",") for part in parts]
    for number, channel in enumerate(channels, 1):
        if len(channel) != len(channels[0]):
            raise DataError(
                f"{place}: expected {len(channels[0])} values in channel {number}, as in channel 1, "
                f"got {len(channel)}; fill up with ?"
            )
    names = [f"{n}" for n in range(1, len(channels) + 1)]
    values = [parse_values(channel, f"{place}, channel {name}") for name, channel in zip(names, channels, strict=True)]
    return np.stack(values, axis=1)
