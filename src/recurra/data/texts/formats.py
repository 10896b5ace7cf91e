"""The layouts of files of texts: each gives, record by record, file, line, text and labels as they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from recurra.config import listed, nearest, quoted
from recurra.data.texts.tables import Report, csv_rows, json_objects, refuse, text_lines, tsv_rows
from recurra.data.texts.trees import read_tree
from recurra.errors import ConfigError, DataError
from recurra.text.files import read_chunks

FASTTEXT = re.compile(r"(?<!\S)__label__(\S*)\s*")
COLUMN = re.compile(r"-?[1-9]\d*")
SHOWN = 12  # column names in a message
SEPARATORS = {";": "';'", "\t": "$'\\t'", ",": ",", "|": "'|'"}  # as a shell wants them

Found = tuple[Path, int, str, Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """How a file of texts is laid out; the options of `recurra train classify` say what each field means.

    `label` is None where the labels are not wanted.
    """

    format: str = "csv"
    text: str = "text"
    label: str | None = "label"
    header: bool | None = None
    separator: str | None = None
    label_separator: str | None = None
    multilabel: bool = False
    multilabel_separator: str = ","
    phrases: bool = False


TOLD: dict[str, tuple[str, ...]] = {
    "csv": ("text", "label", "header", "separator"),
    "tsv": ("text", "label", "header", "separator"),
    "jsonl": ("text", "label"),
    "label-first": ("separator",),
    "trees": ("phrases",),
}
"""Which of these fields a format makes use of; formats that are not named of none."""


def check_told(path: Path, kind: str, told: Sequence[str]) -> None:
    """Refuse fields that were given and have no effect on files of this format. Raises: ConfigError."""
    for name in told:
        if name not in TOLD.get(kind, ()):
            raise ConfigError(f"{name} has no effect on {path.name}, which is read as {kind}; leave it out")


def _csv(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    separator = layout.separator or ","
    if len(separator) != 1 or separator in '"\r\n':
        raise ConfigError(
            f"separator: expected one character, no quote or line end, between columns of CSV, got {separator!r}; "
            "format tsv takes any"
        )
    return _table(path, layout, csv_rows(path, separator, report), report)


def _tsv(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    return _table(path, layout, tsv_rows(path, layout.separator or "\t"), report)


def _table(path: Path, layout: Layout, rows: Iterator[tuple[int, list[str]]], report: Report) -> Iterator[Found]:
    flags = {"--text": layout.text} | ({} if layout.label is None else {"--label": layout.label})
    line, first = next(rows, (1, []))
    if not first:
        return
    header = not all(map(COLUMN.fullmatch, flags.values())) if layout.header is None else layout.header
    find = _named_column if header else _numbered_column
    text, *label = [find(path, line, first, flag, wanted) for flag, wanted in flags.items()]
    if text in label:
        what = f"--text {layout.text} and --label {layout.label} are one column"
        refuse(path, line, f"{what}; give another for one of them")
    for number, row in rows if header else chain([(line, first)], rows):
        if len(row) == len(first):
            yield path, number, row[text], [row[one] for one in label]
        else:
            report(path, number, f"expected {len(first)} fields as in the first row, got {len(row)}; mend it")


def _named_column(path: Path, line: int, names: list[str], flag: str, wanted: str) -> int:
    """The index of a column by its name or, where no name is like it, by its number."""
    count = names.count(wanted)
    if count == 1:
        return names.index(wanted)
    if count == 0 and COLUMN.fullmatch(wanted):
        return _numbered_column(path, line, names, flag, wanted)
    if count > 1:
        numbers = [number for number, name in enumerate(names, start=1) if name == wanted]
        shown = ", ".join(map(str, numbers))
        refuse(path, line, f"expected one column {wanted!r}, got columns {shown}; give {flag} {numbers[0]} --header")
    hint = _separator_hint(names) or nearest(wanted, names)
    hint = hint or f"; give {flag} NAME, or NUMBER where there is no header"
    refuse(path, line, f"expected one column {wanted!r} in the header, got {listed(names, SHOWN)}{hint}")


def _separator_hint(row: list[str]) -> str:
    """The end of a message about a row that another separator would have parted."""
    marks = [shell for mark, shell in SEPARATORS.items() if mark in row[0]] if len(row) == 1 else []
    return f"; give --separator {marks[0]}" if marks else ""


def _numbered_column(path: Path, line: int, row: list[str], flag: str, wanted: str) -> int:
    if not COLUMN.fullmatch(wanted):
        raise ConfigError(
            f"{flag} {wanted}: a table without a header has no names; give the column's number, 1 or more"
        )
    number = int(wanted)
    if abs(number) > len(row):
        hint = _separator_hint(row) or "; give another number"
        refuse(path, line, f"expected a column {wanted} ({flag}), got {len(row)} columns{hint}")
    return number - 1 if number > 0 else len(row) + number


def _jsonl(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    if layout.text == layout.label:
        raise ConfigError(f"text and label: expected two keys, got {layout.text!r} for both; give another for one")
    for line, values in json_objects(path, report):
        wanted = [layout.text, *([] if layout.label is None else [layout.label])]
        if missing := [name for name in wanted if name not in values]:
            names = listed(values, SHOWN) or "none"
            report(path, line, f"expected a key {missing[0]!r}, got {names}{nearest(missing[0], values)}")
            continue
        text = values[layout.text]
        label = () if layout.label is None else _json_labels(values[layout.label])
        if not isinstance(text, str):
            report(path, line, f"expected text in {layout.text!r}, got {quoted(text)}; give a string")
        elif label is None:
            report(path, line, f"expected a label in {layout.label!r}, got {quoted(values[layout.label or ''])}")
        else:
            yield path, line, text, label


def _json_labels(value: Any) -> Sequence[str] | None:
    """The labels in a JSON value: text, a number, true or false, or a list of these; None where it is none."""
    values = value if isinstance(value, list) else [value]
    known = [v for v in values if isinstance(v, str | int) or (isinstance(v, float) and math.isfinite(v))]
    if len(known) < len(values):
        return None
    return [_json_label(v) for v in known]


def _json_label(value: str | float) -> str:
    """A label's name: of a whole number the same with decimals or without, as in signals."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _fasttext(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    for line, text in _full_lines(path):
        labels = FASTTEXT.findall(text)
        if labels or layout.label is None:
            yield path, line, FASTTEXT.sub("", text).strip(), labels
        else:
            report(path, line, f"expected __label__NAME and a text, got {text[:40]!r}; label it")


def _label_first(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    for line, text in _full_lines(path):
        label, *rest = text.split(layout.separator, 1)
        if rest:
            yield path, line, rest[0].strip(), [label]
        else:
            between = "space" if layout.separator is None else repr(layout.separator)
            report(path, line, f"expected a label, {between} and a text, got {text[:40]!r}; mend it")


def _lines(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    if layout.label is not None:
        raise ConfigError("format=lines: has texts and no labels; give another --format")
    return ((path, line, text, ()) for line, text in _full_lines(path))


def _trees(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    known: set[tuple[str, str]] = set()
    for line, text in _full_lines(path):
        try:
            nodes = list(read_tree(text, layout.phrases))
        except ValueError as error:
            report(path, line, f"expected a tree as (3 (2 so) (4 good)), got {error}; mend it")
            continue
        for label, words in nodes:
            if (label, words) not in known:
                yield path, line, words, [label]
            if layout.phrases:  # each different phrase counts once
                known.add((label, words))


def _folder(path: Path, layout: Layout, report: Report) -> Iterator[Found]:
    """A class is a folder, a text is a file in it; in the order of their names."""
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder with a folder of texts for each class, got a file")
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if not entry.is_dir():
            raise DataError(f"{entry}: expected folders only, one for each class, got a file; move it away")
        for file in sorted(one for one in entry.rglob("*") if one.is_file() and not one.name.startswith(".")):
            yield file, 1, "".join(read_chunks(file)).removeprefix("\ufeff"), [entry.name]


def _full_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers, without their ends."""
    for line, text in enumerate(text_lines(path), start=1):
        if not text.isspace():
            yield line, text.rstrip("\r\n")


FORMATS: dict[str, Callable[[Path, Layout, Report], Iterator[Found]]] = {
    "csv": _csv,
    "tsv": _tsv,
    "jsonl": _jsonl,
    "fasttext": _fasttext,
    "label-first": _label_first,
    "lines": _lines,
    "trees": _trees,
    "folder": _folder,
}
