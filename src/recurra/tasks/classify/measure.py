"""What scores say of examples: probabilities, classes, metrics."""

from __future__ import annotations

import numpy as np

from recurra.metrics.classification import accuracy, count_classes

NATS = "nats_per_example"


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities of classes of which one is true, [N, C]."""
    shifted = scores - scores.max(1, keepdims=True)
    log_probs: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return log_probs


def probabilities(scores: np.ndarray, multilabel: bool) -> np.ndarray:
    """The probability of each class, [N, C]: of exactly one, or each by itself."""
    if not multilabel:
        return np.exp(log_softmax(scores))
    return np.exp(-np.logaddexp(0, -scores))


def decide(probability: np.ndarray, multilabel: bool, threshold: float) -> np.ndarray:
    """The class of each example, [N], or which labels it is given, [N, C]."""
    return probability >= threshold if multilabel else probability.argmax(1)


def nats(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of each example's class, or of all its labels together, [N]."""
    if targets.ndim == 2:
        signs = np.where(targets, -1.0, 1.0)
        summed: np.ndarray = np.logaddexp(0, signs * scores).sum(1)
        return summed
    return -np.take_along_axis(log_softmax(scores), np.asarray(targets)[:, None], 1)[:, 0]


def measure(scores: np.ndarray, targets: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """The metrics of scores [N, C] against classes [N], or labels [N, C]."""
    multilabel = targets.ndim == 2
    given = decide(probabilities(scores, multilabel), multilabel, threshold)
    counts = count_classes(targets, given, scores.shape[1])
    several = {"micro_f1": float(counts.micro_f1)} if multilabel else {}
    return {
        "accuracy": accuracy(targets, given),
        **several,
        "macro_f1": float(counts.macro_f1),
        NATS: float(nats(scores, targets).mean()),
    }
