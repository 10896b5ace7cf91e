"""Batches of sentences: padded, sorted into like lengths, every sentence by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.data.buckets import Buckets
from recurra.data.stream import IGNORED
from recurra.errors import DataError

SCAN = 1 << 22  # tokens looked through at a time for the starts of sentences


@dataclass(frozen=True)
class SentenceBatch:
    """Some sentences, each from a fresh state.

    inputs: int64 [T, B], 0 on padding; targets: int64 [T, B], the token after each input, -100 on padding;
    lengths: int64 [B], the steps of each sentence that are not padding; T is the largest.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray


def sentence_bounds(tokens: np.ndarray, start_id: int) -> np.ndarray:
    """Where each sentence begins and the last one ends, int64 [sentences + 1]: each begins with the start token."""
    found = [np.flatnonzero(np.asarray(tokens[at : at + SCAN]) == start_id) + at for at in range(0, len(tokens), SCAN)]
    return np.concatenate([*found, [len(tokens)]]).astype(np.int64)


def sliding_windows(ids: np.ndarray, size: int, padding: int) -> np.ndarray:
    """All windows of `size` neighbouring tokens, int [windows, size], each one token after the one before it.

    A shorter sequence gives one window, padded at its end.

        >>> sliding_windows(np.array([7, 8, 9]), 2, 0).tolist()
        [[7, 8], [8, 9]]
        >>> sliding_windows(np.array([7, 8, 9]), 5, 0).tolist()
        [[7, 8, 9, 0, 0]]
    """
    missing = max(size - len(ids), 0)
    return np.lib.stride_tricks.sliding_window_view(np.pad(ids, (0, missing), constant_values=padding), size)


class Sentences:
    """Sentences in padded batches, each sentence once per epoch.

    tokens: integers [N], sentences one after another, each from its start token to its stop token. With `window`,
    not the sentences but all their sliding windows of so many steps are the items, a sentence that is shorter being
    one item. With `backward`, the words between start and stop come in reverse order.

    `shuffle`, `seed` and what iterating gives: as in `Buckets`. Memory: 32 bytes per item.

    Raises: DataError where there is no sentence.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        start_id: int,
        batch_size: int,
        *,
        window: int | None = None,
        shuffle: bool = True,
        seed: int = 1,
        backward: bool = False,
    ) -> None:
        self._tokens, self._backward = tokens, backward
        self._bounds = sentence_bounds(tokens, start_id)
        if len(self._bounds) < 2 or self._bounds[0] != 0:
            raise DataError(f"expected sentences, each after start token {start_id}, got none; give a longer text")
        self._sentence, self._offset = _items(np.diff(self._bounds) - 1, window)
        steps = np.diff(self._bounds)[self._sentence] - 1 - self._offset
        self._steps = steps if window is None else np.minimum(steps, window)
        self._buckets = Buckets(self._steps, batch_size, shuffle=shuffle, seed=seed)

    def __len__(self) -> int:
        return len(self._sentence)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        return self._buckets.steps_per_epoch

    @property
    def tokens_scored(self) -> int:
        """Predictions in a whole epoch."""
        return int(self._steps.sum())

    def __iter__(self) -> Iterator[SentenceBatch]:
        return map(self._batch, self._buckets)

    def _batch(self, items: np.ndarray) -> SentenceBatch:
        lengths = self._steps[items]
        inputs = np.zeros((lengths.max(), len(items)), np.int64)
        targets = np.full_like(inputs, IGNORED)
        for column, (item, steps) in enumerate(zip(items, lengths, strict=True)):
            ids = self._ids(self._sentence[item])[self._offset[item] :]
            inputs[:steps, column], targets[:steps, column] = ids[:steps], ids[1 : steps + 1]
        return SentenceBatch(inputs, targets, lengths)

    def _ids(self, sentence: int) -> np.ndarray:
        ids = self._tokens[self._bounds[sentence] : self._bounds[sentence + 1]]
        return np.concatenate([ids[:1], ids[-2:0:-1], ids[-1:]]) if self._backward else ids

    def state_dict(self) -> dict[str, int]:
        """The position, and what it belongs to."""
        return self._buckets.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position. Raises: CheckpointError where it was saved from other data or batches."""
        self._buckets.load_state_dict(state)


def _items(steps: np.ndarray, window: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The sentence and the offset in it of each item: one per sentence, or one per sliding window."""
    if window is None:
        return np.arange(len(steps)), np.zeros(len(steps), np.int64)
    windows = np.maximum(steps - window + 1, 1)
    first = np.cumsum(windows) - windows
    sentence = np.repeat(np.arange(len(steps)), windows)
    return sentence, np.arange(len(sentence)) - first[sentence]
