"""One token per byte of UTF-8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from recurra.text.decoders import ByteDecoder
from recurra.text.tokenizer import Tokenizer, sentence_tokens


class Byte(Tokenizer):
    """The 256 bytes. Nothing is unknown and every text comes back exactly: `decode(encode(text)) == text`.

    >>> Byte().encode("é").tolist()
    [195, 169]
    """

    unit: ClassVar[str] = "byte"

    def __init__(self, sentences: bool = False) -> None:
        super().__init__(256 + 2 * sentences, sentence_tokens(sentences, 256))

    @classmethod
    def train(cls, chunks: Iterable[str], options: Any, sentences: bool) -> Self:
        return cls(sentences)

    def encode_pieces(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]

    def token_bytes(self, token_id: int) -> bytes:
        """The byte itself; none for start and stop."""
        return b"" if token_id in self._names else bytes([token_id])

    def token(self, token_id: int) -> str:
        return self._names.get(token_id) or self.token_bytes(token_id).decode("utf-8", "backslashreplace")

    def stream_decoder(self) -> ByteDecoder:
        return ByteDecoder(self.token_bytes)

    def fields(self) -> dict[str, Any]:
        return {"sentences": self.start_id is not None}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        return cls(bool(fields["sentences"]))
