"""How well classes are told: accuracy, F1, a table per class, confusions, and the best threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassCounts:
    """What was found of each class, int64 [C] each.

    correct: examples of the class that were given it; predicted: examples that were given it; support: examples that
    are of it.

        >>> counts = count_classes(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
        >>> counts.f1.round(3).tolist(), float(counts.macro_f1.round(3))
        ([0.667, 0.667, 0.0], 0.667)
    """

    correct: np.ndarray
    predicted: np.ndarray
    support: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Share of the examples given a class that are of it, [C]; 0 where none was given it."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Share of the examples of a class that were given it, [C]; 0 where there is none."""
        return _ratio(self.correct, self.support)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, [C]; 0 where a class is neither there nor given."""
        return _ratio(2 * self.correct, self.predicted + self.support)

    @property
    def macro_f1(self) -> np.floating:
        """The mean of the F1 of the classes that are there or were given; 0 where there is none."""
        occurring = self.predicted + self.support > 0
        return np.float64(self.f1[occurring].mean() if occurring.any() else 0)

    @property
    def micro_f1(self) -> np.floating:
        """The F1 of all decisions together."""
        return np.float64(_ratio(2 * self.correct.sum(), (self.predicted + self.support).sum()))


def count_classes(targets: np.ndarray, predictions: np.ndarray, classes: int) -> ClassCounts:
    """The counts of predicted against true classes: numbers [N], or true and false [N, C] for several per example."""
    if targets.ndim == 2:
        return ClassCounts((targets & predictions).sum(0), predictions.sum(0), targets.sum(0))
    counts = confusion_matrix(targets, predictions, classes)
    return ClassCounts(np.diag(counts).copy(), counts.sum(0), counts.sum(1))


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many examples of the class of each row were given the class of each column, int64 [C, C]."""
    cells = np.bincount(targets.astype(np.int64) * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes)


def accuracy(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Share of the examples whose class, or all of whose labels, are right."""
    right = targets == predictions
    return float((right.all(1) if right.ndim == 2 else right).mean())


def best_threshold(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability from which on labels should be given, so that micro F1 is largest; in the middle of a gap.

    Args:
        targets: which labels each example has, [N, C]; probabilities: of each, [N, C].
    """
    order = np.argsort(-probabilities, axis=None, kind="stable")
    ranked, correct = probabilities.ravel()[order], np.cumsum(targets.ravel()[order])
    f1 = 2 * correct / (np.arange(1, len(ranked) + 1) + targets.sum())
    lower = np.append(ranked[1:], 0.0)
    gaps = ranked > lower  # equal probabilities are given labels together
    if not targets.any() or not gaps.any():
        return 0.5
    best = int(np.argmax(np.where(gaps, f1, -1)))
    return float((ranked[best] + lower[best]) / 2)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)
