"""Word vectors in text files, as word2vec and GloVe write them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recurra.errors import DataError
from recurra.text.files import read_lines


@dataclass(frozen=True)
class Vectors:
    """Vectors of the words that were wanted and found.

    words: [N]; array: float32 [N, E]; wanted: how many were asked for; lowered: how many of those found are that of the
    word in lower case, for want of one of their own.
    """

    words: list[str]
    array: np.ndarray
    wanted: int
    lowered: int

    @property
    def dim(self) -> int:
        """E, the width of a vector."""
        return int(self.array.shape[1])

    @property
    def coverage(self) -> str:
        """How many of the words have a vector, for people."""
        share = len(self.words) / max(self.wanted, 1)
        lowered = f", {self.lowered:,} of them in lower case only" if self.lowered else ""
        return f"{len(self.words):,} of {self.wanted:,} words ({share:.1%}){lowered}"


def read_vectors(path: Path, wanted: Collection[str]) -> Vectors:
    """Read the vectors of some words from a text file, plain or gzip; memory is that of those found.

    A line has a word and its E numbers, between spaces. The first line may hold two whole numbers instead, how many
    there are and E (word2vec). A word may hold spaces (GloVe 840B). The first of two vectors of a word counts.

    Raises: DataError with file and line for a line of another width and for what is no finite number, and for a file
    with the vector of no word.
    """
    sought = {*wanted, *(word.lower() for word in wanted)}
    found: dict[str, np.ndarray] = {}
    width = 0
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.rstrip().split(" ")
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            width = int(fields[1])
            continue
        if not width:
            width = len(fields) - 1
        word = " ".join(fields[:-width])
        if len(fields) <= width or width < 1 or not word:
            raise DataError(
                f"{path}:{number}: expected a word and {width or 'its'} numbers, got {line[:40]!r}; "
                "give vectors of word2vec or GloVe as text"
            )
        if word in sought and word not in found:
            found[word] = _numbers(fields[-width:], path, number)
    words = [word for word in wanted if word in found or word.lower() in found]
    if not words:
        raise DataError(f"{path}: expected vectors of some of {len(wanted)} words, got none of them; give another file")
    array = np.stack([found[word] if word in found else found[word.lower()] for word in words])
    return Vectors(words, array, len(wanted), sum(word not in found for word in words))


def _numbers(fields: list[str], path: Path, line: int) -> np.ndarray:
    try:
        numbers = np.array(fields, np.float32)
    except ValueError as error:
        raise DataError(f"{path}:{line}: expected {len(fields)} numbers, got another word ({error}); mend it") from None
    if not np.isfinite(numbers).all():
        raise DataError(f"{path}:{line}: expected finite numbers, got NaN or infinity; mend it")
    return numbers
