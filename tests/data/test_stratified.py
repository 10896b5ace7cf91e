"""Stratified parts: sizes, shares of classes, chance by seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.stratified import stratified


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)),
    seed=st.integers(0, 5),
)
def test_every_class_has_its_share(counts: list[int], shares: tuple[float, float], seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    sizes = [int(share * len(labels)) for share in shares]
    left, *parts = stratified(labels, sizes, seed)
    assert [len(part) for part in parts] == sizes
    assert sorted([*left, *(place for part in parts for place in part)]) == list(range(len(labels)))
    for part, size in zip(parts, sizes, strict=True):
        assert part == sorted(part)
        found = Counter(labels[place] for place in part)
        for name, count in enumerate(counts):
            assert abs(found[name] - count * size / len(labels)) < 1 + len(counts)  # rounding of every class
    if sum(sizes) <= len(labels) - len(counts):
        assert {labels[place] for place in left} == set(range(len(counts)))


def test_the_seed_decides() -> None:
    labels = "ab" * 50
    assert stratified(labels, [10], 1) == stratified(labels, [10], 1)
    assert stratified(labels, [10], 1) != stratified(labels, [10], 2)
