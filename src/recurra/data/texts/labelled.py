"""Texts with their labels, from every layout that a file of them has, each with its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from recurra.data.texts.formats import FORMATS, Layout
from recurra.data.texts.tables import Report, refuse, text_lines
from recurra.errors import DataError

SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".trees": "trees"}
BEGINNINGS = {"fasttext": r"__label__", "jsonl": r"\{", "trees": r"\([^\s()]+ \("}
"""Format by the end of a file's name, and by a pattern that its first line begins with."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Labelled(NamedTuple):
    """A text, its labels (one, unless there may be several; none where they are not read), and where it stood."""

    text: str
    labels: tuple[str, ...]
    path: Path
    line: int


def format_by_name(path: Path) -> str | None:
    """The format that a file's name tells, or that a folder has; None where the name tells none."""
    return "folder" if path.is_dir() else SUFFIXES.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def find_format(path: Path) -> str:
    """The format of a file or folder, by its name or its first line. Raises: DataError where neither tells."""
    if named := format_by_name(path):
        return named
    first = next((line for line in islice(text_lines(path), 100) if not line.isspace()), "")
    for name, beginning in BEGINNINGS.items():
        if re.match(beginning, first):
            return name
    known = ", ".join(name for name in FORMATS if name not in ("lines", "folder"))
    raise DataError(
        f"{path}: cannot tell the format from its name or first line, {first.strip()[:40]!r}; give --format ({known})"
    )


def read_labelled(path: Path, layout: Layout, report: Report = refuse) -> Iterator[Labelled]:
    """The texts of a file or folder, in order, read in a stream.

    Args:
        path: a file, plain or gzip; a folder for format "folder"; `-` is stdin.
        layout: how it is laid out.
        report: called with each fault; by default the first raises DataError, one line with file and line.

    Raises: DataError for a file that cannot be read, ConfigError for columns that a headerless file cannot have.
    """
    if path.is_dir() and layout.format != "folder":
        raise DataError(f"{path}: expected a file of format {layout.format}, got a folder; give the file")
    for where, line, text, raw in FORMATS[layout.format](path, layout, report):
        if not text or text.isspace():
            report(where, line, "expected a text, got an empty one; fill it in or delete it")
            continue
        if _SURROGATE.search(text):
            report(where, line, "expected Unicode text, got half a surrogate pair; mend it")
            continue
        labels = () if layout.label is None else _labels(raw, layout)
        if isinstance(labels, str):
            report(where, line, labels)
        else:
            yield Labelled(text, labels, where, line)


def _labels(raw: Sequence[str], layout: Layout) -> tuple[str, ...] | str:
    """The labels of an example; a message where they are faulty."""
    if layout.multilabel and len(raw) == 1:
        raw = raw[0].split(layout.multilabel_separator)
    names = [name.strip() for name in raw]
    if layout.label_separator is not None:
        names = [name.partition(layout.label_separator)[0].strip() for name in names]
    if layout.multilabel:
        return tuple(dict.fromkeys(filter(None, names)))
    if len(names) != 1:
        return f"expected one label, got {len(names)}; give --multilabel if there may be several"
    if not names[0]:
        return "expected a label, got an empty one; fill it in or delete the line"
    return (names[0],)
