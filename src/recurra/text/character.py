"""One token per character (Unicode code point)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from recurra.errors import DataError
from recurra.text.decoders import JoiningDecoder
from recurra.text.tokenizer import UNKNOWN, Tokenizer, sentence_tokens, strings

CODE_POINTS = 0x110000


class Character(Tokenizer):
    """The characters of the training text, in code point order, then [UNK] for all others.

    Any text of known characters comes back exactly: `decode(encode(text)) == text`.

        >>> Character("abc").encode("cab?").tolist()
        [2, 0, 1, 3]
    """

    unit: ClassVar[str] = "char"

    def __init__(self, characters: Sequence[str], sentences: bool = False) -> None:
        known = len(characters)
        super().__init__(known + 1 + 2 * sentences, {UNKNOWN: known, **sentence_tokens(sentences, known + 1)})
        self.characters = list(characters)
        self._table = np.full(CODE_POINTS, known, np.int64)  # code point -> token
        self._table[[ord(character) for character in characters]] = np.arange(known)

    @classmethod
    def train(cls, chunks: Iterable[str], options: Any, sentences: bool) -> Self:
        counts = np.zeros(CODE_POINTS, np.int64)
        for chunk in chunks:
            seen = np.bincount(_code_points(chunk))
            counts[: len(seen)] += seen
        if sentences:  # line ends separate the sentences and are in none
            counts[[ord("\n"), ord("\r")]] = 0
        limit = None if options.vocabulary_size is None else options.vocabulary_size - 1 - 2 * sentences
        common = np.argsort(-counts, kind="stable")[:limit]
        kept = sorted(int(code) for code in common if counts[code] >= max(options.min_count, 1))
        if not kept:
            raise DataError(
                f"expected characters seen min_count={options.min_count} times, got none; "
                "give a longer text or lower min_count"
            )
        return cls([chr(code) for code in kept], sentences)

    def encode_pieces(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self._table[_code_points(text)] for text in texts]

    def token(self, token_id: int) -> str:
        return self._names[token_id] if token_id in self._names else self.characters[token_id]

    def stream_decoder(self) -> JoiningDecoder:
        return JoiningDecoder(self, lambda left, right: "")

    def fields(self) -> dict[str, Any]:
        return {"characters": self.characters, "sentences": self.start_id is not None}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        return cls(strings(fields, "characters"), bool(fields["sentences"]))


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
