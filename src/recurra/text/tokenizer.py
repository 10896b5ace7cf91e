"""What every tokenizer offers: text to numbers and back, special tokens, saving."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from recurra.errors import DataError, FolderError
from recurra.text.files import written_aside

FORMAT, FORMAT_VERSION = "recurra tokenizer", 1
UNKNOWN, NUMBER, START, STOP = "[UNK]", "[number]", "[START]", "[STOP]"

PIECE = 1 << 16  # characters encoded at a time
# The last place in a piece where a space follows something else: no token of any unit reaches across it.
_CUT = re.compile(r".*\S(?=\s)", re.DOTALL)


class StreamDecoder(Protocol):
    """Turns tokens into text one by one; what it has given is never taken back or half a character."""

    def push(self, token_id: int) -> str:
        """The text that this token completes, perhaps none."""

    def finish(self) -> str:
        """The text still held back at the end (an incomplete character, as U+FFFD)."""


def pieces(chunks: Iterable[str]) -> Iterator[str]:
    """Cut a text into pieces of at most `PIECE` characters, before a space where there is one.

    The cuts depend on the text alone, not on how it came in chunks: a file read in a stream gives the same
    tokens as the same text in memory.
    """
    rest = ""
    for chunk in chunks:
        text, begin = rest + chunk, 0
        while len(text) - begin > PIECE:
            cut = _CUT.match(text, begin, begin + PIECE)
            end = cut.end() if cut else begin + PIECE
            yield text[begin:end]
            begin = end
        rest = text[begin:]
    if rest:
        yield rest


class Tokenizer(ABC):
    """A map between text and token numbers 0 to V-1.

    `size` is V. `specials` holds the numbers of tokens that stand for no text of their own; they have names, but
    a name spelled out in a user's text is text like any other and never becomes the special token.
    """

    unit: ClassVar[str]

    def __init__(self, size: int, specials: Mapping[str, int]) -> None:
        self.size = size
        self.specials = dict(specials)
        self._names = {number: name for name, number in specials.items()}

    @property
    def unknown_id(self) -> int | None:
        """The token of everything outside the vocabulary; None where nothing is outside."""
        return self.specials.get(UNKNOWN)

    @property
    def start_id(self) -> int | None:
        """The token before a sentence; None in stream mode."""
        return self.specials.get(START)

    @property
    def stop_id(self) -> int | None:
        """The token after a sentence; None in stream mode."""
        return self.specials.get(STOP)

    @property
    def excluded_ids(self) -> tuple[int, ...]:
        """Tokens that are never generated: unknown and start."""
        return tuple(sorted(self.specials[name] for name in (UNKNOWN, START) if name in self.specials))

    @abstractmethod
    def encode_pieces(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The token numbers, int64, of each of some texts that `pieces` has cut."""

    @abstractmethod
    def token(self, token_id: int) -> str:
        """A readable name of a token, for tables and plots."""

    @abstractmethod
    def stream_decoder(self) -> StreamDecoder:
        """A decoder for tokens as they are generated."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What the constructor needs, as JSON."""

    @classmethod
    @abstractmethod
    def train(cls, chunks: Iterable[str], options: Any, sentences: bool) -> Self:
        """Build the vocabulary of a text that comes in chunks."""

    @classmethod
    @abstractmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `fields`; KeyError, TypeError or ValueError where they do not fit."""

    def encode(self, text: str) -> np.ndarray:
        """The token numbers of a text, int64 [T]."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The token numbers of each text, int64 [T] each. Raises: DataError for what is not Unicode text."""
        for text in texts:
            check_unicode(text)
        cut = [list(pieces([text])) for text in texts]
        encoded = iter(self.encode_pieces([piece for text in cut for piece in text]))
        empty = np.empty(0, np.int64)
        return [np.concatenate([empty, *islice(encoded, len(text))]) for text in cut]

    def encode_sentences(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The token numbers of each sentence between the start and the stop token. Needs sentences mode."""
        if self.start_id is None or self.stop_id is None:
            raise DataError("expected a tokenizer of mode=sentences, got one of mode=stream; use encode_batch")
        start, stop = np.array([self.start_id]), np.array([self.stop_id])
        return [np.concatenate([start, ids, stop]) for ids in self.encode_batch(texts)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some tokens; start and stop tokens give none."""
        decoder = self.stream_decoder()
        return "".join([decoder.push(int(token_id)) for token_id in ids]) + decoder.finish()

    def count_unknown(self, ids: np.ndarray) -> int:
        """How many of the tokens are the unknown token."""
        return 0 if self.unknown_id is None else int(np.count_nonzero(ids == self.unknown_id))

    def to_json(self) -> dict[str, Any]:
        """Everything `load_tokenizer` needs."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "unit": self.unit, **self.fields()}

    def save(self, path: Path) -> None:
        """Write the tokenizer as JSON, whole or not at all. Raises: FolderError."""
        try:
            with written_aside(Path(path)) as file:
                file.write(json.dumps(self.to_json(), ensure_ascii=True, indent=0).encode())
        except OSError as error:
            raise FolderError(f"{path}: cannot be written ({error.strerror}); free some space") from None


def check_unicode(text: str) -> None:
    """Refuse a string with half a surrogate pair, as the shell makes of bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"expected Unicode text, got {text[error.start]!a} at character {error.start}; give it as UTF-8"
        ) from None


def sentence_tokens(sentences: bool, first: int) -> dict[str, int]:
    """The start and stop tokens numbered from `first`, or none in stream mode."""
    return {START: first, STOP: first + 1} if sentences else {}


def strings(fields: dict[str, Any], name: str) -> list[str]:
    """A list of distinct strings from JSON; TypeError or ValueError where it is something else."""
    values = fields[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} is not a list of strings")
    if len(set(values)) != len(values):
        raise ValueError(f"{name} has duplicates")
    return values
