"""Decoders that turn tokens into text one at a time, as they are generated."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from recurra.text.tokenizer import START, STOP, Tokenizer


class JoiningDecoder:
    """For tokens that are text by themselves: `space(left, right)` gives what stands between two of them."""

    def __init__(self, tokenizer: Tokenizer, space: Callable[[str, str], str]) -> None:
        self._tokenizer = tokenizer
        self._space = space
        self._silent = {tokenizer.specials.get(START), tokenizer.specials.get(STOP)}
        self._last: str | None = None

    def push(self, token_id: int) -> str:
        if token_id in self._silent:
            return ""
        text, last = self._tokenizer.token(token_id), self._last
        self._last = text
        return text if last is None else self._space(last, text) + text

    def finish(self) -> str:
        return ""


class ByteDecoder:
    """For tokens that are bytes of UTF-8: holds a character back until its last byte has come.

    Bytes that are not UTF-8, which a model may generate, become U+FFFD.
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        return self._decoder.decode(self._token_bytes(token_id))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)
