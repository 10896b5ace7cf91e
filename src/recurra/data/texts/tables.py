"""Rows of tables and JSON objects, one by one, each with the line that it begins on."""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from recurra.errors import DataError
from recurra.text.files import CHUNK, conversion, read_chunks

LONGEST = 1 << 24  # characters in one line or field: a quote that is never closed should not fill the memory
STDIN = Path("-")
LINE_ENDS = "expected lines that end in LF or CRLF, got CR alone; convert them first, e.g. tr '\\r' '\\n'"

Report = Callable[[Path, int, str], None]
"""Called with file, line and fault of a record that cannot be used; where it returns, the record is left out."""


def refuse(path: Path, line: int, what: str) -> NoReturn:
    """The `Report` of reading: the first fault ends it."""
    raise DataError(f"{name_of(path)}:{line}: {what}")


def name_of(path: Path) -> str:
    """What messages call a file: its path, or stdin."""
    return "stdin" if is_stdin(path) else str(path)


def is_stdin(path: Path) -> bool:
    """Whether a path is `-`."""
    return str(path) == str(STDIN)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or gzip, or of stdin, with their ends, without a byte order mark.

    Raises: DataError for what is not UTF-8, cannot be read, or has a line of more than `LONGEST` characters, or for
    lines that all end in CR alone.
    """
    rest, number = "", 1
    for chunk in _stdin_chunks() if is_stdin(path) else read_chunks(path):
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            yield (line.removeprefix("\ufeff") if number == 1 else line) + "\n"
            number += 1
        if len(rest) > LONGEST:
            refuse(path, number, f"expected a line of at most {LONGEST} characters, got a longer one; cut it")
    if number == 1 and "\r" in rest.rstrip("\r"):
        refuse(path, number, LINE_ENDS)
    if rest:
        yield rest.removeprefix("\ufeff") if number == 1 else rest


def _stdin_chunks() -> Iterator[str]:
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        block = sys.stdin.buffer.read(CHUNK)
        held = len(decoder.getstate()[0])
        try:
            yield decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DataError(
                f"stdin: expected UTF-8 text, got byte 0x{error.object[error.start]:02x} at byte offset "
                f"{read - held + error.start}; convert it first, e.g. {conversion(error.object[error.start :])}"
            ) from None
        read += len(block)
        if not block:
            return


def csv_rows(path: Path, separator: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV table (RFC 4180: quotes may hold separators, line ends and doubled quotes)."""
    csv.field_size_limit(LONGEST)
    rows = csv.reader(text_lines(path), delimiter=separator, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            broken = f"expected a row of CSV, got a broken one ({error}); mend its quotes"
            report(path, line, LINE_ENDS if "new-line character" in str(error) else broken)
            return  # where the next row begins is anyone's guess
        if row:
            yield line, row


def tsv_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table without quotes: a line is a row, and every separator parts two fields."""
    for line, text in enumerate(text_lines(path), start=1):
        if text := text.rstrip("\r\n"):
            yield line, text.split(separator)


def json_objects(path: Path, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one JSON object per line."""
    for line, text in enumerate(text_lines(path), start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            report(path, line, f"expected one JSON object per line, got {text.strip()[:40]!r} ({_reason(error)})")
            continue
        if isinstance(value, dict):
            yield line, value
        else:
            report(path, line, f"expected a JSON object, got {text.strip()[:40]!r}; write {{...}} on each line")


def _reason(error: Exception) -> str:
    return str(error).partition(": line ")[0]
