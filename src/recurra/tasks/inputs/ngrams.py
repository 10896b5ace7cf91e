"""Texts as a linear model reads them: which n-grams they hold, weighed by how telling each is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch

from recurra.data import Examples
from recurra.errors import DataError
from recurra.models.classifier import LinearClassifier
from recurra.tasks.inputs import Input
from recurra.text.normalise import Normalisation

_TOKEN = re.compile(r"\w+|[^\w\s]")
_INSIDE = "~"  # before an n-gram of characters, in place of the tab that tells it from words


class NgramInput(Input):
    """TF-IDF of the n-grams of words, and of characters if asked for, learned from the training texts.

    A value is (1 + ln count) * (1 + ln((1 + N) / (1 + n))), for N texts of which n hold the n-gram; the values of a
    text are scaled to length 1 (Salton & Buckley 1988; the formulas are those of scikit-learn with sublinear_tf).

    Args:
        normalisation: done to every text.
        ngrams: the longest n-gram of words; char_ngrams: the longest of characters inside a word with a blank on either
            side, from 2 on; 0 for none.
        features: the n-grams, in order; weights: 1 + ln((1 + N) / (1 + n)) of each.
    """

    kind: ClassVar[str] = "ngrams"

    def __init__(
        self, normalisation: Normalisation, ngrams: int, char_ngrams: int, features: list[str], weights: np.ndarray
    ) -> None:
        self.normalisation, self.ngrams, self.char_ngrams = normalisation, ngrams, char_ngrams
        self.features, self.weights = features, weights
        self._numbers = {feature: number for number, feature in enumerate(features)}

    @classmethod
    def fit(cls, texts: Iterable[str], options: Any) -> Self:
        """The input that `recurra.tasks.classify.options` ask for. Raises: ConfigError, DataError."""
        empty = cls(Normalisation.from_options(options), options.ngrams, options.char_ngrams, [], np.empty(0))
        texts_with: Counter[str] = Counter()
        total = 0
        for text in texts:
            texts_with.update(set(empty.split(text)))
            total += 1
        features = sorted(feature for feature, count in texts_with.items() if count >= options.min_count)
        if not features:
            raise DataError(f"expected n-grams in min_count={options.min_count} texts, got none; lower min_count")
        weights = np.array([1 + math.log((1 + total) / (1 + texts_with[feature])) for feature in features])
        return cls(empty.normalisation, options.ngrams, options.char_ngrams, features, weights)

    def split(self, text: str) -> Iterator[str]:
        """Every n-gram of a text, as often as it is there."""
        words = _TOKEN.findall(self.normalisation(text))
        for size in range(1, self.ngrams + 1):
            yield from map(" ".join, zip(*(words[first:] for first in range(size)), strict=False))
        for word in words if self.char_ngrams else ():
            inside = f" {word} "
            for size in range(2, self.char_ngrams + 1):
                yield from ("\t" + inside[first : first + size] for first in range(len(inside) - size + 1))

    def encode(self, texts: Iterable[str]) -> Examples:
        """The examples, without labels: int32 `steps["features"]`, float32 `steps["values"]`."""
        numbers, values, lengths = [np.empty(0, np.int32)], [np.empty(0, np.float32)], []
        for text in texts:
            counts = Counter(found for ngram in self.split(text) if (found := self._numbers.get(ngram)) is not None)
            known = np.array(sorted(counts), np.int32)
            value = (1 + np.log([counts[number] for number in known.tolist()])) * self.weights[known]
            numbers.append(known)
            values.append((value / max(float(np.linalg.norm(value)), 1e-12)).astype(np.float32))
            lengths.append(len(known))
        steps = {"features": np.concatenate(numbers), "values": np.concatenate(values)}
        return Examples(np.array(lengths, np.int64), steps, {})

    def tokens(self, steps: Mapping[str, np.ndarray], text: str | None = None) -> list[str]:
        """The n-grams of an encoded text; those of characters begin with ~."""
        return [self.features[number].replace("\t", _INSIDE) for number in steps["features"]]

    def classifier(self, classes: int, config: Any) -> LinearClassifier:
        """The untrained linear model on these features."""
        return LinearClassifier(len(self.features), classes, getattr(torch, config.dtype))

    def facts(self) -> dict[str, Any]:
        return {"n-grams": f"{len(self.features):,}"}

    def fields(self) -> dict[str, Any]:
        return {
            "normalisation": self.normalisation.fields(),
            "ngrams": self.ngrams,
            "char_ngrams": self.char_ngrams,
            "features": self.features,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        normalisation = Normalisation(**fields["normalisation"])
        return cls(normalisation, fields["ngrams"], fields["char_ngrams"], fields["features"], arrays["weights"])
