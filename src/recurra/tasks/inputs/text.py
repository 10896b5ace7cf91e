"""Texts as a network reads them: normalised, cut into tokens, each a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import numpy as np
import torch

from recurra.data import Examples
from recurra.models.classifier import TokenEmbedding
from recurra.tasks.inputs import Input
from recurra.text import TOKENIZERS, Tokenizer, Word, train_tokenizer
from recurra.text.normalise import Normalisation
from recurra.text.tokenizer import STOP
from recurra.text.vectors import Vectors

BLOCK = 1024  # texts encoded at a time: only their tokens are kept


class TextInput(Input):
    """Normalisation and tokenizer, learned from the training texts.

    Args:
        normalisation: done to every text, in training and prediction alike.
        tokenizer: of mode sentences; a text of which nothing is left is its one token [STOP].
        max_length: tokens of a text that are read, from its beginning; None for all.
        width: E of the pretrained vectors, None where the embedding starts from chance.
    """

    kind: ClassVar[str] = "text"

    def __init__(
        self,
        normalisation: Normalisation,
        tokenizer: Tokenizer,
        max_length: int | None = None,
        width: int | None = None,
    ) -> None:
        self.normalisation, self.tokenizer = normalisation, tokenizer
        self.max_length, self.width = max_length, width

    @classmethod
    def fit(cls, texts: Iterable[str], options: Any) -> Self:
        """The input that `recurra.tasks.classify.options` ask for. Raises: ConfigError, DataError."""
        normalisation = Normalisation.from_options(options)
        names = ("unit", "split", "number_token", "min_count", "vocabulary_size")
        chosen = {name: getattr(options, name) for name in names}
        chunks = (normalisation(text) + "\n" for text in texts)
        tokenizer = train_tokenizer(SimpleNamespace(**chosen, lowercase=False, mode="sentences"), chunks)
        return cls(normalisation, tokenizer, options.max_length)

    def encode(self, texts: Iterable[str]) -> Examples:
        """The examples, without labels: int32 `steps["tokens"]`, at least one for each text."""
        blocks = [np.empty(0, np.int32)]
        lengths: list[int] = []
        for block in _blocks(map(self.normalisation, texts)):
            ids = [self._cut(ids) for ids in self.tokenizer.encode_batch(block)]
            lengths += map(len, ids)
            blocks.append(np.concatenate(ids).astype(np.int32))
        return Examples(np.array(lengths, np.int64), {"tokens": np.concatenate(blocks)}, {})

    def _cut(self, ids: np.ndarray) -> np.ndarray:
        return ids[: self.max_length] if len(ids) else np.array([self.tokenizer.specials[STOP]])

    def tokens(self, steps: Mapping[str, np.ndarray], text: str | None = None) -> list[str]:
        """The names of an encoded text's tokens; with the text, words outside the vocabulary as they stand there."""
        names = [self.tokenizer.token(int(number)) for number in steps["tokens"]]
        if text is None or not isinstance(self.tokenizer, Word):
            return names
        words = self.tokenizer.divide(self.normalisation(text))[: self.max_length]
        return words or names

    def words(self) -> list[str]:
        """The words that may have pretrained vectors."""
        return self.tokenizer.words if isinstance(self.tokenizer, Word) else []

    def start_vectors(self, vectors: Vectors) -> np.ndarray:
        """The vectors of all tokens, float32 [V, E], NaN for those that have none; sets `width`."""
        assert isinstance(self.tokenizer, Word)
        self.width = vectors.dim
        array = np.full((self.tokenizer.size, vectors.dim), np.nan, np.float32)
        numbers = {word: number for number, word in enumerate(self.tokenizer.words, self.tokenizer.first)}
        array[[numbers[word] for word in vectors.words]] = vectors.array
        return array

    def encoder(self, config: Any) -> TokenEmbedding:
        """The embedding, `embedding_dim` or the pretrained vectors wide."""
        tokenizer = self.tokenizer
        unknown = tokenizer.specials[STOP] if tokenizer.unknown_id is None else tokenizer.unknown_id
        return TokenEmbedding(
            tokenizer.size,
            self.width or config.embedding_dim,
            word_dropout=config.word_dropout,
            unknown=unknown,
            dropout=config.dropout,
            frozen=config.freeze_embedding,
            dtype=getattr(torch, config.dtype),
        )

    def facts(self) -> dict[str, Any]:
        return {"vocabulary": f"{self.tokenizer.size:,} {self.tokenizer.unit}s"}

    def unknown_rate(self, examples: Examples) -> float:
        """Share of the tokens that are outside the vocabulary."""
        tokens = examples.steps["tokens"]
        return self.tokenizer.count_unknown(tokens) / max(len(tokens), 1)

    def fields(self) -> dict[str, Any]:
        return {
            "normalisation": self.normalisation.fields(),
            "tokenizer": self.tokenizer.to_json(),
            "max_length": self.max_length,
            "width": self.width,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        tokenizer = TOKENIZERS[fields["tokenizer"]["unit"]].from_fields(fields["tokenizer"])
        return cls(Normalisation(**fields["normalisation"]), tokenizer, fields["max_length"], fields["width"])


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while block := list(islice(rest, BLOCK)):
        yield block
