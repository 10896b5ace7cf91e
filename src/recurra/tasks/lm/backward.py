"""A tokenizer as a backward model sees it: every text from its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.config import GenerationOptions
from recurra.errors import ConfigError
from recurra.text import Tokenizer


class Backward:
    """`tokenizer` with the tokens of every text in reverse order.

    What is generated lies before the prompt and is known when all of it is: the decoder gives it at its end.

    Raises: ConfigError with a stop string, which would be searched for from the wrong side.
    """

    def __init__(self, tokenizer: Tokenizer, options: GenerationOptions | None = None) -> None:
        if options is not None and options.stop is not None:
            raise ConfigError("stop has no meaning for a backward model, which writes from the end; leave it out")
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str) -> np.ndarray:
        return self._tokenizer.encode(text)[::-1]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [ids[::-1] for ids in self._tokenizer.encode_batch(texts)]

    def stream_decoder(self) -> _Collector:
        return _Collector(self._tokenizer)


class _Collector:
    """Collects tokens and gives their text, in reading order, when all have come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        return ""

    def finish(self) -> str:
        return self._tokenizer.decode(reversed(self._ids))
