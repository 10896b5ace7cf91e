"""Tagged sentences: files of CoNLL columns and CoNLL-U, one word per line, as arrays of numbers."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recurra.config import nearest
from recurra.data.texts.tables import LINE_ENDS, is_stdin, name_of, refuse
from recurra.errors import ConfigError, DataError
from recurra.text.files import conversion, reading

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U (universaldependencies.org/format)."""

DOCUMENT = "-DOCSTART-"  # the word that starts a document in the files of CoNLL 2003
LONGEST_LINE = 1 << 20  # bytes in a line: bounds the memory taken by a file without line ends
SHOWN = 60  # characters of a bad line shown
_ID = re.compile(r"([0-9]+)([-.][0-9]+)?")


@dataclass(frozen=True)
class Column:
    """One column of a file: its different values in the order they appear, and the value of each token.

    ids: int32 [N], places in `values`.
    """

    values: list[str]
    ids: np.ndarray

    def __getitem__(self, tokens: slice) -> list[str]:
        return [self.values[place] for place in self.ids[tokens]]

    def used(self) -> list[str]:
        """The values that some token has."""
        return [self.values[place] for place in np.unique(self.ids)]


@dataclass(frozen=True)
class TaggedText:
    """Sentences of words, with a tag for each where the file was read for its tags.

    path: of the file, for messages; lengths: int64 [sentences], words in each; lines: int32 [N], the line in the file
    of each word, counted from 1. N is the number of words.
    """

    path: Path
    words: Column
    tags: Column | None
    lengths: np.ndarray
    lines: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The first word of each sentence, int64 [sentences]."""
        return np.cumsum(self.lengths) - self.lengths

    def cut(self, first: int, stop: int) -> TaggedText:
        """The sentences from `first` to before `stop`."""
        tokens = slice(int(self.lengths[:first].sum()), int(self.lengths[:stop].sum()))
        words = Column(self.words.values, self.words.ids[tokens])
        tags = None if self.tags is None else Column(self.tags.values, self.tags.ids[tokens])
        return TaggedText(self.path, words, tags, self.lengths[first:stop], self.lines[tokens])

    def sentences(self) -> Iterator[slice]:
        """The words of each sentence, in order."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            yield slice(int(start), int(start + length))


def read_conll(
    path: Path, column: str | None = None, word_column: str | None = None, *, tagged: bool = True
) -> TaggedText:
    """Read a file of CoNLL columns or of CoNLL-U, plain or gzip.

    One word per line, its columns between tabs or, where the first line has no tab, between white space; a line that
    is empty or white space ends a sentence, and so do the end of the file and a line of -DOCSTART-. A file whose first
    word has ten columns between tabs, the first a number, is CoNLL-U: there ranges (`8-9`) and empty nodes (`8.1`) are
    no words, and columns have names. A line that starts with # and has not the columns of a word is a comment.

    Args:
        path: of the file; `-` is stdin.
        column: of the tags: a number counted from 1, or from the end with a minus, or a CoNLL-U name; None for the
            last, or `upos` in CoNLL-U.
        word_column: of the words, in the same way; None for the first, or `form` in CoNLL-U.
        tagged: False to read words alone.

    Raises: DataError with file and line for what cannot be read, ConfigError for a column that has no such name.
    """
    return _Reader(Path(path), column, word_column, tagged).read()


@dataclass
class _Values:
    """A column as it grows."""

    places: dict[str, int] = field(default_factory=dict)
    ids: array[int] = field(default_factory=lambda: array("i"))

    def add(self, value: str) -> None:
        self.ids.append(self.places.setdefault(value, len(self.places)))

    def column(self) -> Column:
        return Column(list(self.places), np.frombuffer(self.ids, np.int32) if self.ids else np.empty(0, np.int32))


class _Reader:
    """The state of reading one file."""

    def __init__(self, path: Path, column: str | None, word_column: str | None, tagged: bool) -> None:
        self.source, self.path = path, Path(name_of(path))
        self.asked, self.asked_word, self.tagged = column, word_column, tagged
        self.words, self.tags, self.lines, self.lengths = _Values(), _Values(), array("i"), array("q")
        self.width = self.word = self.tag = -1  # known from the first word's line on
        self.first_line = self.begun = 0
        self.tabs = self.conllu = False
        self.expected_id = 1

    def read(self) -> TaggedText:
        for number, line in _numbered_lines(self.source):
            if not line or line.isspace():
                self.end_sentence()
            else:
                self.read_line(number, line)
        self.end_sentence()
        if not self.lengths:
            raise DataError(f"{self.path}: expected words, one per line, got none; give a file of CoNLL columns")
        lengths, lines = np.frombuffer(self.lengths, np.int64), np.frombuffer(self.lines, np.int32)
        tags = self.tags.column() if self.tagged else None
        return TaggedText(self.path, self.words.column(), tags, lengths, lines)

    def read_line(self, number: int, line: str) -> None:
        if line.startswith(DOCUMENT) and not line.removeprefix(DOCUMENT)[:1].strip():
            self.end_sentence()
            return
        columns = self.split(number, line)
        if columns is None:
            return
        if self.conllu and not self.is_word(number, columns[0]):
            return
        self.words.add(self.checked(number, columns[self.word], "word"))
        if self.tagged:
            self.tags.add(self.checked(number, columns[self.tag], "tag"))
        self.lines.append(number)

    def split(self, number: int, line: str) -> list[str] | None:
        """The columns of a line; None for a comment."""
        if self.width < 0:
            if line == "#" or line.startswith("# "):
                return None
            self.learn_columns(number, line)
        columns = line.split("\t") if self.tabs else line.split()
        if line.startswith("#") and (self.conllu or len(columns) != self.width):
            return None
        if len(columns) != self.width:
            raise DataError(
                f"{self.path}:{number}: expected {_count(self.width)} as in line {self.first_line}, "
                f"got {len(columns)}: {line[:SHOWN]!r}; mend the line"
            )
        return columns

    def learn_columns(self, number: int, line: str) -> None:
        """Take separator, number of columns and kind of file from its first word."""
        self.tabs = "\t" in line
        columns = line.split("\t") if self.tabs else line.split()
        self.width, self.first_line = len(columns), number
        self.conllu = self.tabs and len(columns) == len(CONLLU) and _ID.fullmatch(columns[0]) is not None
        self.word = self.find_column(self.asked_word or ("form" if self.conllu else "1"), columns)
        self.tag = self.find_column(self.asked or ("upos" if self.conllu else "-1"), columns) if self.tagged else -1
        if self.word == self.tag:
            asked = f"column {self.asked}" if self.asked else "the only column"
            raise DataError(f"{self.path}:{number}: {asked} has the words; expected tags in another; give --column")

    def find_column(self, asked: str, columns: Sequence[str]) -> int:
        if re.fullmatch(r"[-+]?[0-9]+", asked):
            place = int(asked)
            if not 1 <= abs(place) <= self.width:
                raise DataError(
                    f"{self.path}:{self.first_line}: column {asked}: expected 1 to {self.width}, or -{self.width} "
                    f"to -1 from the end, of the columns {' '.join(columns)[:SHOWN]!r}; give one of these"
                )
            return place - 1 if place > 0 else self.width + place
        if asked.lower() not in CONLLU:
            raise ConfigError(
                f"column: expected a number or a name of CoNLL-U ({', '.join(CONLLU)}), got {asked!r}"
                f"{nearest(asked.lower(), CONLLU)}"
            )
        if not self.conllu:
            raise DataError(
                f"{self.path}:{self.first_line}: expected CoNLL-U for column {asked!r}, ten columns between tabs "
                f"of which the first is a number, got {_count(self.width)}: {' '.join(columns)[:SHOWN]!r}; "
                "give the column's number"
            )
        return CONLLU.index(asked.lower())

    def is_word(self, number: int, identity: str) -> bool:
        """Whether a line of CoNLL-U is a word; words are numbered from 1 in each sentence."""
        found = _ID.fullmatch(identity)
        if found is not None and found.group(2):
            return False
        if found is None or int(identity) != self.expected_id:
            raise DataError(
                f"{self.path}:{number}: expected word {self.expected_id} of the sentence, got id {identity[:SHOWN]!r}; "
                + ("put a blank line before it" if identity == "1" else "number the words from 1")
            )
        self.expected_id += 1
        return True

    def checked(self, number: int, value: str, what: str) -> str:
        if not value or value.isspace():
            raise DataError(f"{self.path}:{number}: expected a {what}, got an empty column; mend the line")
        return value

    def end_sentence(self) -> None:
        if len(self.lines) > self.begun:
            self.lengths.append(len(self.lines) - self.begun)
            self.begun = len(self.lines)
        self.expected_id = 1


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line, without its line end. Raises: DataError with the line that is not UTF-8."""
    with nullcontext(sys.stdin.buffer) if is_stdin(path) else reading(path) as file:
        raws: Iterable[bytes] = iter(lambda: file.readline(LONGEST_LINE), b"")
        for number, raw in enumerate(raws, 1):
            if len(raw) == LONGEST_LINE:
                raise DataError(
                    f"{name_of(path)}:{number}: expected a word per line, got a line of {LONGEST_LINE} bytes or more"
                )
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{name_of(path)}:{number}: expected UTF-8 text, got byte 0x{raw[error.start]:02x}; "
                    f"convert the file first, e.g. {conversion(raw[error.start :])}"
                ) from None
            text = (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")
            if number == 1 and "\r" in text:
                refuse(path, number, LINE_ENDS)
            yield number, text


def _count(columns: int) -> str:
    return f"{columns} column{'s' * (columns != 1)}"
