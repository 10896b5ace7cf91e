"""The recurrent language model: embedding, recurrent stack, output layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from recurra.data import IGNORED
from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent, States, map_state
from recurra.layers.softmax import linear_cross_entropy
from recurra.models.stream import ModelStream


class LanguageModel(nn.Module):
    """Predicts the next token from all before it.

    Args:
        vocabulary: V, the number of tokens.
        stack: the recurrent stack; its input is embedding_dim wide, or V where embedding_dim is 0.
        embedding_dim: E, the width of the learned embedding; 0 for one-hot input.
        dropout: probability, on the embedding's and on the stack's output (the stack has its own between layers).
        tie_weights: the output layer's matrix is the embedding's (Press & Wolf 2017, arXiv:1608.05859).

    Shapes:
        tokens [T, B] -> features [T, B, F] -> logits [T, B, V].

    Raises:
        ConfigError: if weights are tied and the widths differ.
    """

    def __init__(
        self,
        vocabulary: int,
        stack: Recurrent,
        *,
        embedding_dim: int,
        dropout: float = 0.0,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        like = next(stack.parameters())
        self.embedding = nn.Embedding(vocabulary, embedding_dim, dtype=like.dtype) if embedding_dim else None
        self.stack = stack
        self.output = nn.Linear(stack.output_size, vocabulary, dtype=like.dtype)
        self.dropout = nn.Dropout(dropout)
        if self.embedding is not None:
            nn.init.uniform_(self.embedding.weight, -(embedding_dim**-0.5), embedding_dim**-0.5)
        if tie_weights:
            if self.embedding is None or embedding_dim != stack.output_size:
                width, got = stack.output_size, embedding_dim or "one-hot input"
                raise ConfigError(
                    f"tie_weights: expected an embedding as wide as the stack's output, {width}, got {got}; "
                    f"set embedding_dim to {width}"
                )
            self.output.weight = self.embedding.weight

    def forward(
        self, tokens: Tensor, state: Sequence[States] | None = None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Tensor, list[States]]:
        """Features after each token, and the state after the last.

        Args:
            tokens: [T, B] token ids.
            state: as an earlier call returned it, or None for zeros.
            lengths: tokens of each row, where rows end early.

        Returns:
            Features [T, B, F], dropped out while training; the state.
        """
        if self.embedding is not None:
            x = self.embedding(tokens)  # [T, B] -> [T, B, E]
        else:
            x = one_hot(tokens, self.vocabulary).to(self.output.weight.dtype)  # [T, B] -> [T, B, V]
        output, final = self.stack(self.dropout(x), state, lengths)
        return self.dropout(output), final

    def logits(self, features: Tensor) -> Tensor:
        """[..., F] -> [..., V]"""
        logits: Tensor = self.output(features)
        return logits

    def nats(self, features: Tensor, targets: Tensor, reduction: str = "sum", divisor: float = 1.0) -> Tensor:
        """Cross-entropy in nats of targets [T, B] (IGNORED is not scored): summed and divided by `divisor`, or [T, B]
        for reduction "none".

        The logits of all tokens are never held where the native backend runs, or where no gradient is wanted.
        """
        losses = linear_cross_entropy(
            features.flatten(0, 1), self.output.weight, self.output.bias, targets.flatten(), ignore_index=IGNORED,
            reduction=reduction, divisor=divisor, backend=self.stack.stack.backend,
        )  # fmt: skip
        return losses.reshape(targets.shape) if reduction == "none" else losses

    @torch.no_grad()
    def next_log_probs(
        self, tokens: Tensor, state: Sequence[States] | None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Tensor, list[States]]:
        """Log-probabilities [B, V] of the token after each row of tokens [T, B], and the state there."""
        features, final = self(tokens, state, lengths)
        last = features[-1] if lengths is None else _last(features, torch.as_tensor(lengths))
        return torch.log_softmax(self.logits(last), -1), final

    def stream(self, batch: int = 1, weights: str | None = None) -> ModelStream:
        """A stream: the model one token at a time, its state kept inside (see `recurra.models.stream`).

        Args:
            batch: sequences to begin with; more may join.
            weights: None to read the weights as they are, "bf16" or "int8" to compute with copies rounded to these.

        Raises:
            ConfigError: for a bidirectional stack; BackendError where the native backend is missing.
        """
        return ModelStream(self, batch, weights)


def _last(features: Tensor, lengths: Tensor) -> Tensor:
    """The features at each row's last token: [T, B, F] -> [B, F]"""
    rows = torch.arange(features.shape[1], device=features.device)
    return features[lengths.to(features.device) - 1, rows]


def select_rows(state: Sequence[States], rows: Tensor) -> list[States]:
    """The state of the sequences `rows` [K] (repeats allowed), each tensor's batch axis being its last but one."""
    return map_state(lambda value: value.index_select(value.dim() - 2, rows.to(value.device)), state)


def join_rows(*states: Sequence[States]) -> list[States]:
    """States of several batches side by side as the state of one."""
    return [
        {name: torch.cat([part[name] for part in parts], dim=parts[0][name].dim() - 2) for name in parts[0]}
        for parts in zip(*states, strict=True)
    ]
