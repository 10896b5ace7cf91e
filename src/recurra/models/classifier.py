"""The recurrent classifier: encoder, recurrent stack, summary of the sequence, output layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.layers.recurrent import Recurrent
from recurra.models.pooling import POOLINGS


class Classifier(nn.Module):
    """Scores of C classes for a sequence.

    Args:
        encoder: gives [T, B, I] for a batch; its `output_size` is I.
        stack: reads that; of both directions or one.
        classes: C.
        pooling: how the outputs of all steps become one vector (see `recurra.models.pooling`).
        dropout: probability, on the summary (encoder and stack have their own).

    Padding never changes a result: the stack does not read it, and no summary counts it.
    """

    threshold: Tensor

    def __init__(
        self, encoder: nn.Module, stack: Recurrent, classes: int, *, pooling: str = "last", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder, self.stack = encoder, stack
        self.pooling = POOLINGS[pooling](stack)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(self.pooling.output_size, classes, dtype=next(stack.parameters()).dtype)
        self.register_buffer("threshold", torch.tensor(0.5))
        """Probability from which on a label is given, where an example may have several: chosen on validation data."""

    def forward(self, batch: Any) -> Tensor:
        """Scores (logits) [B, C] of a batch of examples (`recurra.tasks.examples.TensorBatch`)."""
        return self.scores(self.encoder(batch), batch.lengths)

    def scores(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [T, B, I], lengths [B] -> [B, C]"""
        output, _ = self.stack(x, None, lengths)
        summary = self.pooling(output, lengths)  # [T, B, F] -> [B, F]
        scores: Tensor = self.output(self.dropout(summary))
        return scores


class TokenEmbedding(nn.Module):
    """A vector for each token.

    Args:
        vocabulary: V; width: E.
        word_dropout: probability that a token becomes `unknown` while training, so that the model learns what to make
            of words it does not know (Iyyer et al. 2015, "Deep unordered composition rivals syntactic methods").
        dropout: probability, on the vectors' numbers.
        frozen: leave the vectors as they are.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        word_dropout: float = 0.0,
        unknown: int = 0,
        dropout: float = 0.0,
        frozen: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, dtype=dtype)
        nn.init.uniform_(self.embedding.weight, -(width**-0.5), width**-0.5)
        self.embedding.weight.requires_grad_(not frozen)
        self.output_size, self.word_dropout, self.unknown = width, word_dropout, unknown
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Any) -> Tensor:
        """The vectors [T, B, E] of `batch.steps["tokens"]` [T, B]."""
        tokens = batch.steps["tokens"].long()
        if self.training and self.word_dropout:
            tokens = tokens.masked_fill(
                torch.rand(tokens.shape, device=tokens.device) < self.word_dropout, self.unknown
            )
        vectors: Tensor = self.dropout(self.embedding(tokens))
        return vectors


class LinearClassifier(nn.Module):
    """Scores that are sums over a sequence's features: its value times the weights of its number.

    Args:
        features: V; classes: C.
    """

    threshold: Tensor

    def __init__(self, features: int, classes: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weights = nn.Embedding(features, classes, dtype=dtype)
        self.bias = nn.Parameter(torch.zeros(classes, dtype=dtype))
        nn.init.zeros_(self.weights.weight)
        self.register_buffer("threshold", torch.tensor(0.5))

    def forward(self, batch: Any) -> Tensor:
        """`steps["features"]`, `steps["values"]`: [T, B] -> [B, C]"""
        return self.contributions(batch).sum(0) + self.bias

    def contributions(self, batch: Any) -> Tensor:
        """What each feature adds to each class: [T, B, C]"""
        return self.weights(batch.steps["features"].long()) * batch.steps["values"].unsqueeze(-1)
