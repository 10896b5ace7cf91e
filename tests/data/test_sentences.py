"""Batches of sentences and sliding windows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data import SentenceBatch, Sentences, sliding_windows
from recurra.data.sentences import sentence_bounds
from recurra.errors import CheckpointError, DataError

START, STOP = 100, 101
TEXTS = st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=20)


def flat(texts: list[list[int]]) -> np.ndarray:
    return np.array([token for text in texts for token in (START, *text, STOP)], np.uint8)


def items(batches: list[SentenceBatch]) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The inputs and targets of every item, padding checked and taken off."""
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for batch in batches:
        assert batch.inputs.shape == batch.targets.shape == (batch.lengths.max(), len(batch.lengths))
        for column, steps in enumerate(batch.lengths):
            assert (batch.inputs[steps:, column] == 0).all()
            assert (batch.targets[steps:, column] == -100).all()
            found[tuple(batch.inputs[:steps, column]), tuple(batch.targets[:steps, column])] += 1
    return found


@given(texts=TEXTS, rows=st.integers(1, 7), shuffle=st.booleans(), backward=st.booleans())
def test_each_sentence_once(texts: list[list[int]], rows: int, shuffle: bool, backward: bool) -> None:
    sentences = Sentences(flat(texts), START, rows, shuffle=shuffle, backward=backward)
    batches = list(sentences)
    words = [text[::-1] if backward else text for text in texts]
    assert items(batches) == Counter(((START, *text), (*text, STOP)) for text in words)
    assert len(batches) == sentences.steps_per_epoch
    assert sentences.tokens_scored == sum(len(text) + 1 for text in texts)
    assert len(sentences) == len(texts)


@given(texts=TEXTS, rows=st.integers(1, 7), window=st.integers(1, 12))
def test_sliding_windows_of_sentences(texts: list[list[int]], rows: int, window: int) -> None:
    batches = list(Sentences(flat(texts), START, rows, window=window))
    expected: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for text in texts:
        ids = [START, *text, STOP]
        for first in range(max(len(ids) - window, 1)):
            part = ids[first : first + window + 1]
            expected[tuple(part[:-1]), tuple(part[1:])] += 1
    assert items(batches) == expected


@given(ids=st.lists(st.integers(0, 99), min_size=1, max_size=12), size=st.integers(1, 15))
def test_sliding_windows(ids: list[int], size: int) -> None:
    windows = sliding_windows(np.array(ids), size, -1).tolist()
    padded = ids + [-1] * (size - len(ids))
    assert windows == [padded[first : first + size] for first in range(len(padded) - size + 1)]


@given(texts=TEXTS, rows=st.integers(1, 5), taken=st.integers(0, 30), window=st.sampled_from([None, 3]))
def test_a_saved_position_continues_exactly(texts: list[list[int]], rows: int, taken: int, window: int | None) -> None:
    whole, broken, resumed = (Sentences(flat(texts), START, rows, seed=5, window=window) for _ in range(3))
    expected = [batch.inputs.tolist() for _ in range(31) for batch in whole]
    got = []
    while len(got) < taken:
        for batch in broken:
            got.append(batch.inputs.tolist())
            if len(got) == taken:
                break
    resumed.load_state_dict(broken.state_dict())
    while len(got) < len(expected):
        got += [batch.inputs.tolist() for batch in resumed]
    assert got == expected


def test_the_order_is_new_each_epoch_and_made_from_the_seed() -> None:
    random = np.random.default_rng(0)
    tokens = flat([random.integers(0, 99, random.integers(1, 30)).tolist() for _ in range(400)])
    one, same, other = (Sentences(tokens, START, 8, seed=seed) for seed in (1, 1, 2))
    first, again = [b.inputs.tolist() for b in one], [b.inputs.tolist() for b in one]
    assert first == [b.inputs.tolist() for b in same]
    assert first != again
    assert first != [b.inputs.tolist() for b in other]


def test_like_lengths_share_a_batch() -> None:
    random = np.random.default_rng(0)
    tokens = flat([random.integers(0, 99, random.integers(1, 50)).tolist() for _ in range(2000)])
    for shuffle in (True, False):
        batches = list(Sentences(tokens, START, 16, shuffle=shuffle))
        padding = sum(int((batch.targets == -100).sum()) for batch in batches)
        assert padding < 0.05 * sum(batch.lengths.sum() for batch in batches)
    lengths = [int(batch.lengths.max()) for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    shuffled = [int(batch.lengths.max()) for batch in Sentences(tokens, START, 16)]
    assert shuffled != sorted(shuffled)


def test_bounds_across_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.data.sentences.SCAN", 3)
    assert sentence_bounds(flat([[1], [], [1, 2, 3, 4]]), START).tolist() == [0, 3, 5, 11]


def test_what_has_no_sentences() -> None:
    for tokens in (np.arange(5), np.array([1, START, 2, STOP]), np.array([], np.uint8)):
        with pytest.raises(DataError, match="expected sentences, each after start token 100, got none"):
            Sentences(tokens, START, 2)


def test_a_position_of_other_data_is_refused() -> None:
    sentences = Sentences(flat([[1], [2]]), START, 2)
    for other in (Sentences(flat([[1]]), START, 2), Sentences(flat([[1], [2]]), START, 2, seed=9)):
        with pytest.raises(CheckpointError, match="resume with the same text and options"):
            sentences.load_state_dict(other.state_dict())
