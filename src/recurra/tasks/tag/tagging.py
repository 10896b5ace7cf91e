"""Letting a tagger tag: the likeliest tags of examples, their probability, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recurra.data import Examples
from recurra.metrics.spans import overall, score_spans
from recurra.models.tagger import IGNORED, Tagger
from recurra.tasks.examples import TensorBatch, each_batch
from recurra.tasks.tag.data import TAG, Fitted

PADDING = {TAG: IGNORED}
"""What stands for the tag behind a sentence's end."""


@dataclass(frozen=True)
class Tagged:
    """Tags of a text by a model.

    tags: int64 [N], numbers of tags; confidence: float32 [N], the probability of each tag at its place, where it was
    asked for; nats: the negative log-likelihood of the true tags, summed, where they are known.
    """

    tags: np.ndarray
    confidence: np.ndarray | None
    nats: float


@torch.no_grad()
def tag_examples(model: Tagger, examples: Examples, batch_size: int, *, confidence: bool = False) -> Tagged:
    """The likeliest tags, in the order of the examples."""
    tags = np.zeros(int(examples.lengths.sum()), np.int64)
    sure = np.zeros(len(tags), np.float32) if confidence else None
    nats = 0.0
    for batch in each_batch(examples, batch_size, model.output.weight.device, PADDING):
        emissions = model(batch)
        best = model.best(emissions, batch.lengths)  # [T, B]
        tokens = _tokens(examples, batch)
        real = _real(best, batch.lengths)
        tags[tokens] = best.T[real.T].cpu().numpy()
        if sure is not None:
            chosen = model.marginals(emissions, batch.lengths).gather(-1, best.unsqueeze(-1)).squeeze(-1)
            sure[tokens] = chosen.T[real.T].cpu().numpy()
        if TAG in batch.steps:
            nats += float(model.nats_of(emissions, batch.steps[TAG].long(), batch.lengths))
    return Tagged(tags, sure, nats)


@torch.no_grad()
def k_best(model: Tagger, examples: Examples, batch_size: int, k: int) -> list[list[tuple[np.ndarray, float]]]:
    """For each example the likeliest sequences of tags, at most k of them, with their probabilities."""
    found: list[list[tuple[np.ndarray, float]]] = [[] for _ in range(len(examples))]
    for batch in each_batch(examples, batch_size, model.output.weight.device, PADDING):
        paths, log_probs = model.k_best(model(batch), batch.lengths, k)  # [K, T, B], [K, B]
        for column, (place, length) in enumerate(zip(batch.places, batch.lengths.tolist(), strict=True)):
            for path, log_prob in zip(paths[:, :length, column].tolist(), log_probs[:, column].tolist(), strict=True):
                if log_prob > -np.inf:
                    found[place].append((np.array(path), float(np.exp(log_prob))))
    return found


def measure(fitted: Fitted, examples: Examples, found: Tagged) -> dict[str, float]:
    """Accuracy, span scores where the tags are of spans, nats per token, and how many tokens."""
    gold = np.asarray(examples.steps[TAG])
    metrics = {"accuracy": float((gold == found.tags).mean())}
    if fitted.scheme is not None:
        total = overall(score_spans(fitted.tags, gold, found.tags, examples.lengths))
        metrics |= {"span_precision": total.precision, "span_recall": total.recall, "span_f1": total.f1}
    return {**metrics, "nats_per_token": found.nats / len(gold), "tokens": len(gold)}


def _tokens(examples: Examples, batch: TensorBatch) -> np.ndarray:
    """The places, among all tokens, of the batch's tokens: sentence by sentence."""
    return np.concatenate([np.arange(examples.bounds[place], examples.bounds[place + 1]) for place in batch.places])


def _real(like: Tensor, lengths: Tensor) -> Tensor:
    """Where there are tokens, bool [T, B]."""
    return torch.arange(like.shape[0], device=like.device).unsqueeze(1) < lengths.to(like.device)
