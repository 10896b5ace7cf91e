"""Words as input: their embedding, characters, shape, beginnings and endings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from recurra.data.conll import Column
from recurra.data.word_forms import WordForms, WordVocabulary
from recurra.errors import ConfigError
from recurra.models.word_features import WordFeatures
from recurra.tasks.inputs import Input
from recurra.text.vectors import read_vectors

WORD = "word"
"""The field of a batch with the number of each token's word form."""


class WordsInput(Input):
    """What is known of words: a vocabulary, and vectors for some of them where they were given.

    vectors: float32 [words, E], a row for each word of the vocabulary, NaN for those without one; None without vectors.
    """

    kind = "words"

    def __init__(
        self, vocabulary: WordVocabulary, vectors: np.ndarray | None = None, coverage: str | None = None
    ) -> None:
        self.vocabulary, self.vectors, self.coverage = vocabulary, vectors, coverage
        self.forms = WordForms(vocabulary)

    @classmethod
    def learn(cls, words: Column, config: Any, others: Mapping[str, Column] | None = None) -> Self:
        """From the words of the training part.

        `others`: words of the other parts; of these only those become known that have a vector in `config.vectors`.

        Raises: DataError, ConfigError: for vectors that cannot be used.
        """
        counts = np.bincount(words.ids, minlength=len(words.values)).tolist()
        vocabulary = WordVocabulary.learn(
            {word: count for word, count in zip(words.values, counts, strict=True) if count},
            min_count=config.min_count,
            vocabulary_size=config.vocabulary_size,
            lowercase=config.lowercase,
            affix_lengths=config.affixes or (),
        )
        if config.vectors is None:
            return cls(vocabulary)
        return cls(*_with_vectors(vocabulary, config, others or {}))

    def encode(self, words: Column) -> np.ndarray:
        """The form of each token, int32 [N]; forms not met before are taken into the table."""
        forms: np.ndarray = self.forms.add(words.values)[words.ids]
        return forms

    def fields(self) -> dict[str, Any]:
        return {**self.vocabulary.fields(), "coverage": self.coverage}

    def arrays(self) -> dict[str, np.ndarray]:
        return {} if self.vectors is None else {"vectors": self.vectors}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        vocabulary, vectors = WordVocabulary.from_fields(fields), arrays.get("vectors")
        if vectors is not None and len(vectors) != len(vocabulary.words):
            raise ValueError(f"{len(vectors)} vectors of {len(vocabulary.words)} words")
        return cls(vocabulary, vectors, fields["coverage"])

    def encoder(self, config: Any) -> WordFeatures:
        features = WordFeatures(
            self.forms,
            config.embedding_dim,
            characters=config.char_features,
            char_size=config.char_size,
            shapes=config.shape_features,
            word_dropout=config.word_dropout,
            backend=config.backend,
        ).to(getattr(torch, config.dtype))
        weight = features.embedding.weight
        if self.vectors is not None and not weight.is_meta:
            vectors = torch.from_numpy(self.vectors).to(weight)
            with torch.no_grad():
                weight[1:] = torch.where(vectors.isnan(), weight[1:], vectors)
        return features

    def facts(self) -> dict[str, Any]:
        known = self.vocabulary
        affixes = len(known.beginnings) + len(known.endings)
        return {
            "vocabulary": f"{len(known.words):,} words, {len(known.characters):,} characters"
            + (f", {affixes:,} beginnings and endings" if affixes else ""),
            **({"vectors": self.coverage} if self.coverage else {}),
        }


def _with_vectors(
    vocabulary: WordVocabulary, config: Any, others: Mapping[str, Column]
) -> tuple[WordVocabulary, np.ndarray, str]:
    """The vocabulary with the words of other parts that have a vector, the vectors, and how many words have one."""
    path = Path(config.vectors)
    lower = vocabulary.lowercase
    new = {word.lower() if lower else word for column in others.values() for word in column.values}
    unseen = sorted(new - set(vocabulary.words))
    found = read_vectors(path, [*vocabulary.words, *unseen])
    if found.dim != config.embedding_dim:
        raise ConfigError(
            f"embedding_dim={config.embedding_dim}: the vectors in {path} are {found.dim} wide; "
            f"give --embedding-dim {found.dim}"
        )
    place = {word: row for row, word in enumerate(found.words)}
    words = [*vocabulary.words, *(word for word in unseen if word in place)]
    vectors = np.full((len(words), found.dim), np.nan, np.float32)
    rows = [number for number, word in enumerate(words) if word in place]
    vectors[rows] = found.array[[place[words[row]] for row in rows]]
    known = WordVocabulary.from_fields({**vocabulary.fields(), "words": words})
    return known, vectors, found.coverage
