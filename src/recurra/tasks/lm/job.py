"""The training job of a language model: batches, loss and evaluation, on running text and on sentences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data import IGNORED, EvaluationStream, Sentences, TokenStream
from recurra.layers.recurrent import States
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm.data import Part
from recurra.tasks.lm.options import LMConfig
from recurra.text import Tokenizer
from recurra.training import BatchLoss

EVALUATION_STEPS = 128  # steps of a chunk while evaluating: long enough that the cost per chunk vanishes


class StreamJob:
    """Running text with carried state: truncated backpropagation through time, TBPTT(k1, k2).

    Every k1 steps (`bptt`) the weights are updated by the losses of these k1 steps, differentiated back through the
    last k2 (`bptt_window`): Williams & Peng 1990. The carried state is that where the next window begins. (Masks that
    are one for all steps, of recurrent and weight dropout, are drawn anew there.)
    """

    maximize, part = False, "valid"

    def __init__(self, config: LMConfig, model: LanguageModel, train: Part, evaluate: Callable[[], dict[str, float]],
                 sample: Callable[[], str | None]) -> None:  # fmt: skip
        self.config, self.model = config, model
        self.batches = TokenStream(in_direction(train.tokens, config), config.batch_size, config.bptt)
        self.window = config.bptt_window or config.bptt
        self.monitor = f"nats_per_{config.unit_name}"
        self.evaluate, self.sample = evaluate, sample

    def loss(self, batch: Any, state: Any) -> BatchLoss:
        stop, steps = batch.start + len(batch.inputs), len(batch.inputs)
        first, following = batch.start, steps  # where this window begins, and, from there, where the next one does
        if self.window > self.config.bptt:
            first = max(0, stop - self.window)
            following = max(0, min(stop + self.config.bptt, self.batches.length) - self.window) - first
        inputs, targets = batch.inputs, batch.targets
        if first < batch.start:
            inputs, _ = self.batches.columns(first, stop)
        tokens = to_device(inputs, self.model)
        features = []
        if following:
            piece, state = self.model(tokens[:following], state)
            features.append(piece)
        if following < len(tokens):
            features.append(self.model(tokens[following:], state)[0])
        scored = torch.cat(features)[-steps:]
        return batch_loss(self.config, self.model, scored, targets, state)


class SentenceJob:
    """Sentences, each from a fresh state."""

    maximize, part = False, "valid"

    def __init__(self, config: LMConfig, model: LanguageModel, train: Part, start_id: int,
                 evaluate: Callable[[], dict[str, float]], sample: Callable[[], str | None]) -> None:  # fmt: skip
        self.config, self.model = config, model
        self.batches = Sentences(
            train.tokens, start_id, config.batch_size, window=config.window, seed=config.seed,
            backward=config.direction == "backward",
        )  # fmt: skip
        self.monitor = f"nats_per_{config.unit_name}"
        self.evaluate, self.sample = evaluate, sample

    def loss(self, batch: Any, state: Any) -> BatchLoss:
        features, _ = self.model(to_device(batch.inputs, self.model), None, batch.lengths)
        return batch_loss(self.config, self.model, features, batch.targets, None)


def batch_loss(
    config: LMConfig, model: LanguageModel, features: Tensor, targets: np.ndarray, state: list[States] | None
) -> BatchLoss:
    """The loss by `loss_reduction`: mean over tokens, or summed over steps and averaged over rows (Zaremba 2014)."""
    tokens = int((targets != IGNORED).sum())
    rows = targets.shape[1] if config.loss_reduction == "sum" else None
    divisor = rows or max(tokens, 1)
    loss = model.nats(features, to_device(targets, model), divisor=divisor)
    return BatchLoss(loss, loss.item() * divisor, tokens, state, weight=rows)


def in_direction(tokens: np.ndarray, config: LMConfig) -> np.ndarray:
    """The text as the model reads it: from its end for a backward model. A view."""
    return tokens[::-1] if config.direction == "backward" else tokens


def to_device(array: np.ndarray, model: LanguageModel) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(model.output.weight.device)


def line_end(tokenizer: Tokenizer) -> int | None:
    """The token of a line end, from which running text starts; None where the text had none."""
    ids = tokenizer.encode("\n")
    return int(ids[0]) if len(ids) == 1 and ids[0] != tokenizer.unknown_id else None


@torch.no_grad()
def evaluate(
    model: LanguageModel, config: LMConfig, tokenizer: Tokenizer, part: Part, batch_size: int
) -> dict[str, float]:
    """Score every token of a part exactly once, whatever the batch size.

    Returns:
        Nats, bits and perplexity per token, bits per character, the number of tokens and the rate of unknown ones.
        Units are in the names; a sentence's stop symbol counts as a token and its line end as a character.
    """
    nats, count = (_sentence_nats if tokenizer.start_id is not None else _stream_nats)(
        model, config, tokenizer, part, batch_size
    )
    mean, unit = nats / count, config.unit_name
    characters = part.characters + (part.lines if tokenizer.start_id is not None else 0)
    metrics = {
        f"nats_per_{unit}": mean,
        f"bits_per_{unit}": mean / math.log(2),
        f"perplexity_per_{unit}": math.exp(min(mean, 700.0)),  # exp(710) has no float
        "bits_per_character": nats / math.log(2) / characters,
        f"{unit}s": count,
        "unknown_rate": part.unknown_rate,
    }
    return metrics


def _stream_nats(
    model: LanguageModel, config: LMConfig, tokenizer: Tokenizer, part: Part, batch_size: int
) -> tuple[float, int]:
    steps = max(config.bptt, EVALUATION_STEPS)
    stream = EvaluationStream(
        in_direction(part.tokens, config), batch_size, steps, warmup=steps, before=line_end(tokenizer)
    )
    total, state = 0.0, None
    for chunk in stream:
        features, state = model(to_device(chunk.inputs, model), state)
        total += model.nats(features, to_device(chunk.targets, model)).item()
    return total, stream.tokens_scored


def _sentence_nats(
    model: LanguageModel, config: LMConfig, tokenizer: Tokenizer, part: Part, batch_size: int
) -> tuple[float, int]:
    assert tokenizer.start_id is not None
    backward = config.direction == "backward"
    sentences = Sentences(part.tokens, tokenizer.start_id, batch_size, shuffle=False, backward=backward)
    total = 0.0
    for batch in sentences:
        features, _ = model(to_device(batch.inputs, model), None, batch.lengths)
        total += model.nats(features, to_device(batch.targets, model)).item()
    return total, sentences.tokens_scored
