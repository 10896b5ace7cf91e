"""How likely a model finds sentences, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recurra.decoding.context import column, evaluating
from recurra.errors import DataError
from recurra.layers.recurrent import States
from recurra.models.language_model import IGNORED, LanguageModel, select_rows
from recurra.text import Tokenizer

BATCH = 64  # sentences side by side: enough that a step costs little more than one of a single row


@dataclass(frozen=True)
class Score:
    """Log-probabilities of one sentence, in nats.

    `tokens` are the readable names of its tokens, with those that end it if they were asked for, and `log_probs`
    the log-probability of each after all before it.
    """

    text: str
    tokens: tuple[str, ...]
    log_probs: tuple[float, ...]

    @property
    def log_prob(self) -> float:
        """Log-probability of the whole sentence, in nats; 0 of nothing."""
        return math.fsum(self.log_probs)


def score(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    start: Sequence[int],
    end: Sequence[int] = (),
    state: Sequence[States] | None = None,
) -> list[Score]:
    """Log-probabilities of sentences, each by itself from one start; up to rounding no score depends on the others.

    Args:
        texts: the sentences.
        start: tokens read before each sentence and not scored, at least one.
        end: tokens scored after each sentence (the stop token, a line end); none to leave its end open.
        state: the state before `start`, of one row; zeros where None.

    Raises:
        DataError: without a start token.
    """
    if not len(start):
        raise DataError("start: expected at least one token to predict the first from, got none; give one")
    sentences = [[*ids.tolist(), *end] for ids in tokenizer.encode_batch(texts)]
    by_length = sorted(range(len(texts)), key=lambda index: len(sentences[index]))  # so that little is padding
    by_length = [index for index in by_length if sentences[index]]
    log_probs: dict[int, list[float]] = {}
    with evaluating(model):
        if len(start) > 1:
            _, state = model(column(model, start[:-1]), state)
        for first in range(0, len(by_length), BATCH):
            batch = by_length[first : first + BATCH]
            found = _score_batch(model, start[-1], [sentences[index] for index in batch], state)
            log_probs.update(zip(batch, found, strict=True))
    return [
        Score(text, tuple(tokenizer.token(token) for token in ids), tuple(log_probs.get(index, ())))
        for index, (text, ids) in enumerate(zip(texts, sentences, strict=True))
    ]


def _score_batch(
    model: LanguageModel, before: int, sentences: Sequence[Sequence[int]], state: Sequence[States] | None
) -> list[list[float]]:
    """The log-probabilities of the tokens of each sentence, after the token `before` in `state`."""
    device = model.output.weight.device
    lengths = [len(sentence) for sentence in sentences]
    rows, steps = len(sentences), max(lengths)
    targets = torch.full((rows, steps), IGNORED)  # [B, T]
    for row, sentence in enumerate(sentences):
        targets[row, : len(sentence)] = torch.tensor(sentence)
    inputs = torch.cat([torch.full((rows, 1), before), targets[:, :-1].clamp(min=0)], 1)
    if state is not None:
        state = select_rows(state, torch.zeros(rows, dtype=torch.int64))
    features, _ = model(inputs.T.to(device), state, lengths)  # [T, B] -> [T, B, F]
    log_probs = -model.nats(features, targets.T.to(device), reduction="none").T.cpu().double()  # [T, B] -> [B, T]
    return [row[:length].tolist() for row, length in zip(log_probs, lengths, strict=True)]
