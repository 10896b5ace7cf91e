"""How near predicted numbers come to the true ones, and to their order in each sequence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def regression_metrics(targets: np.ndarray, predictions: np.ndarray, bounds: np.ndarray) -> dict[str, float]:
    """Measures of the predictions for all steps, and of their order within each sequence.

    Args:
        targets, predictions: [sum T]; bounds: where each sequence begins and the last one ends, [N + 1].

    Returns:
        mse, mae; r2, the share of the variance of all targets that is explained (0: no better than their mean);
        rank_correlation, Spearman's, the mean over the sequences whose targets differ; best_found, the share of these
        sequences whose highest prediction stands at a highest target. What is not defined (equal targets only) is not
        among them.
    """
    errors = np.asarray(predictions, np.float64) - targets
    metrics = {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
    variance = float(np.var(targets))
    if variance > 0:
        metrics["r2"] = 1 - metrics["mse"] / variance
    parts = [slice(begin, end) for begin, end in pairwise(bounds) if np.ptp(targets[begin:end]) > 0]
    if parts:
        ranked = [rank_correlation(targets[part], predictions[part]) for part in parts]
        found = [targets[part][np.argmax(predictions[part])] == targets[part].max() for part in parts]
        metrics |= {"rank_correlation": float(np.mean(ranked)), "best_found": float(np.mean(found))}
    return metrics


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two rows of numbers; equal numbers share their mean rank; 0 where all are equal.

    >>> round(rank_correlation(np.array([1, 2, 3]), np.array([10, 30, 20])), 6)
    0.5
    """
    ranks = np.stack([_ranks(first), _ranks(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(ranks).sum(axis=1).prod())
    return float(ranks[0] @ ranks[1] / spread) if spread > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each number in rising order, from 0; equal ones share the mean of theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[where]
