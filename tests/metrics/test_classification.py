"""Metrics of classes against scikit-learn, and the best threshold against all thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from recurra.metrics.classification import accuracy, best_threshold, confusion_matrix, count_classes


@given(data=st.data(), classes=st.integers(2, 6), examples=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_one_class_each(data: st.DataObject, classes: int, examples: int) -> None:
    numbers = st.lists(st.integers(0, classes - 1), min_size=examples, max_size=examples)
    targets, given_ = np.array(data.draw(numbers)), np.array(data.draw(numbers))
    counts = count_classes(targets, given_, classes)
    every = range(classes)
    expected = oracle.precision_recall_fscore_support(targets, given_, labels=every, zero_division=0)
    for ours, theirs in zip((counts.precision, counts.recall, counts.f1, counts.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert counts.macro_f1 == pytest.approx(oracle.f1_score(targets, given_, average="macro", zero_division=0))
    assert counts.micro_f1 == pytest.approx(oracle.f1_score(targets, given_, average="micro", zero_division=0))
    assert accuracy(targets, given_) == pytest.approx(oracle.accuracy_score(targets, given_))
    np.testing.assert_array_equal(
        confusion_matrix(targets, given_, classes), oracle.confusion_matrix(targets, given_, labels=every)
    )


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 4), examples=st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_several_labels_each(seed: int, classes: int, examples: int) -> None:
    random = np.random.default_rng(seed)
    targets, given_ = random.random((2, examples, classes)) < 0.4
    counts = count_classes(targets, given_, classes)
    expected = oracle.precision_recall_fscore_support(targets, given_, zero_division=0, average=None)
    for ours, theirs in zip((counts.precision, counts.recall, counts.f1, counts.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert accuracy(targets, given_) == pytest.approx((targets == given_).all(1).mean())
    assert counts.micro_f1 == pytest.approx(oracle.f1_score(targets, given_, average="micro", zero_division=0))


@given(seed=st.integers(0, 10_000), examples=st.integers(1, 8), ties=st.booleans())
def test_the_threshold_is_the_best_of_all(seed: int, examples: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    targets, probabilities = random.random((examples, 3)) < 0.4, random.random((examples, 3))
    if ties:
        probabilities = probabilities.round(1) * 0.8 + 0.1

    def f1(threshold: float) -> float:
        return float(count_classes(targets, probabilities >= threshold, 3).micro_f1)

    found = f1(best_threshold(targets, probabilities))
    assert found == pytest.approx(
        max(map(f1, [0.5, *probabilities.ravel(), *(probabilities.ravel() + 1e-9)]), default=0)
    )


def test_nothing_to_choose_a_threshold_by() -> None:
    assert best_threshold(np.zeros((2, 2), bool), np.full((2, 2), 0.3)) == 0.5
