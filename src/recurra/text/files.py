"""Reading text files of any size in a stream, and writing files so that a kill leaves none half-written."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from recurra.errors import DataError

CHUNK = 1 << 20  # bytes read at a time: large enough that Python's cost per chunk vanishes
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LONGEST_LINE = 1 << 20  # characters in one sentence: bounds the memory taken by a file without line ends


@dataclass(frozen=True)
class Span:
    """A part of a text file: bytes `start` to `stop` (None: to its end), counted after decompression."""

    path: Path
    start: int = 0
    stop: int | None = None


def as_span(source: Path | Span) -> Span:
    """The span that covers a whole file, or the span itself."""
    return source if isinstance(source, Span) else Span(source)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading; gzip is recognised by its first two bytes, whatever the file's name."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path) if zipped else open(path, "rb")  # type: ignore[return-value]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading and turn what goes wrong with it meanwhile into one DataError."""
    try:
        with open_binary(path) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: expected whole gzip, got a damaged file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check path and rights") from None


def read_blocks(source: Path | Span) -> Iterator[bytes]:
    """Yield the bytes of a file or span in blocks of at most `CHUNK` bytes.

    Raises: DataError where the file cannot be read, or is damaged gzip.
    """
    span = as_span(source)
    position = span.start
    stop = float("inf") if span.stop is None else span.stop
    with reading(span.path) as file:
        file.seek(position)
        while block := file.read(int(min(CHUNK, stop - position))):
            position += len(block)
            yield block


def read_chunks(source: Path | Span) -> Iterator[str]:
    """Yield the text of a UTF-8 file or span in chunks, every character as it stands (CRLF stays CRLF).

    No character is cut in two, and memory stays at a few megabytes whatever the file's size.
    Raises: DataError with the byte offset (after decompression) of the first byte that is not UTF-8.
    """
    span = as_span(source)
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = span.start
    for block in chain(read_blocks(span), [b""]):
        undecoded = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{span.path}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x} at "
                f"byte offset {position - undecoded + error.start}; "
                f"convert the file first, e.g. {conversion(error.object[error.start :])}"
            ) from None
        position += len(block)
        if text:
            yield text


def conversion(found: bytes) -> str:
    """The command that makes UTF-8 of a text in which these bytes were found in place of it."""
    return f"iconv -f {'utf-16' if found.startswith(UTF16_MARKS) else 'latin1'} -t utf-8"


def read_lines(source: Path | Span) -> Iterator[str]:
    """Yield the lines of a UTF-8 file or span without their line ends (LF or CRLF); memory is one line's.

    Raises: DataError for a line of more than `LONGEST_LINE` characters.
    """
    span = as_span(source)
    rest, number = "", 1
    for text in read_chunks(span):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
        number += len(lines)
        if len(rest) > LONGEST_LINE:
            raise DataError(
                f"{span.path}:{number}: expected one sentence per line, got a line of more than "
                f"{LONGEST_LINE} characters; use mode=stream"
            )
    if rest:
        yield rest.removesuffix("\r")


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """Open `path`.part for writing and rename it to `path` once whole and on disk; on any error remove it.

    So `path` is, at every moment, absent, as it was before, or whole. Errors of the disk pass as OSError.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
