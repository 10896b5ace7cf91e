"""Files of any size as arrays of tokens on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from recurra.errors import DataError
from recurra.text.files import Span, as_span, read_chunks, read_lines, written_aside
from recurra.text.tokenizer import Tokenizer, pieces

PIECES = 16  # pieces of 64 Ki characters encoded at a time: work for several threads in a few 10 MB
SENTENCES = 1 << 13  # sentences encoded at a time


@dataclass(frozen=True)
class Encoded:
    """A file as tokens.

    tokens: uint8, uint16 or int32 [N] by vocabulary size, read from disk as needed; characters: of the text, with
    line ends in stream mode and without in sentences mode; unknown: how many tokens are [UNK]; lines: of the file,
    or sentences; symbols: how many tokens are start and stop symbols.
    """

    tokens: np.ndarray
    characters: int
    unknown: int
    lines: int
    symbols: int = 0

    @property
    def unknown_rate(self) -> float:
        """The share of the text's own tokens, without symbols, that are [UNK]."""
        return self.unknown / max(1, len(self.tokens) - self.symbols)


def token_type(size: int) -> type[np.unsignedinteger | np.signedinteger]:
    """The smallest number type that holds tokens 0 to size-1."""
    if size <= 1 << 8:
        return np.uint8
    return np.uint16 if size <= 1 << 16 else np.int32


def encode_file(source: Path | Span, tokenizer: Tokenizer, out: Path) -> Encoded:
    """Encode a text file, or a part of one, into the file `out` and map that into memory.

    The text is read in a stream, so memory does not grow with it; `out` appears under its name only when whole.
    With a tokenizer that has start and stop tokens, each line is a sentence between them, and blank lines are
    skipped; otherwise the text is one stream of tokens.

    Raises: DataError for a text that cannot be read or has no tokens, and for a disk that is full.
    """
    kind = token_type(tokenizer.size)
    characters = unknown = lines = total = 0
    batches = _stream_batches if tokenizer.start_id is None else _sentence_batches
    try:
        with written_aside(out) as file:
            for ids, new_characters, new_lines in batches(source, tokenizer):
                file.write(ids.astype(kind).data)
                total += len(ids)
                characters += new_characters
                unknown += tokenizer.count_unknown(ids)
                lines += new_lines
            if not total:
                raise DataError(f"{as_span(source).path}: expected a text, got no tokens; give a longer text")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); free some space") from None
    symbols = 0 if tokenizer.start_id is None else 2 * lines
    return Encoded(np.memmap(out, kind, "r"), characters, unknown, lines, symbols)


def _stream_batches(source: Path | Span, tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, int, int]]:
    """Tokens, characters and lines of batch after batch of a running text."""
    texts = pieces(read_chunks(source))
    last = "\n"
    while batch := list(islice(texts, PIECES)):
        last = batch[-1][-1]
        lines = sum(text.count("\n") for text in batch)
        yield np.concatenate(tokenizer.encode_pieces(batch)), sum(map(len, batch)), lines
    yield np.empty(0, np.int64), 0, int(last != "\n")  # a last line without its line end


def _sentence_batches(source: Path | Span, tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, int, int]]:
    """Tokens, characters and sentences of batch after batch of lines that are not blank."""
    sentences = (line for line in read_lines(source) if line.strip())
    while batch := list(islice(sentences, SENTENCES)):
        yield np.concatenate(tokenizer.encode_sentences(batch)), sum(map(len, batch)), len(batch)
