"""The tagger: features of each step, a recurrent stack, and a tag for each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recurra.layers.crf import LinearChainCRF
from recurra.layers.dropout import Dropout
from recurra.layers.recurrent import Recurrent
from recurra.layers.softmax import linear_cross_entropy

IGNORED = -100
"""The target of steps that are not scored."""


class Tagger(nn.Module):
    """Gives each step of a sequence a tag.

    Args:
        encoder: from a batch to features [T, B, E]; it has an `output_size`.
        stack: the recurrent layers.
        tags: C, how many tags.
        dropout: probability, on the features and on the stack's output (the stack has its own between layers).
        crf: a linear-chain CRF over the tags; None for a softmax at each step.
        drop_input: whether `dropout` is for the features too: not where they are few and measured, as those of signals.

    Shapes: features [T, B, E] -> hidden [T, B, F] -> emissions [T, B, C].
    """

    def __init__(
        self,
        encoder: nn.Module,
        stack: Recurrent,
        tags: int,
        *,
        dropout: float = 0.0,
        crf: LinearChainCRF | None = None,
        drop_input: bool = True,
    ) -> None:
        super().__init__()
        self.encoder, self.stack, self.crf, self.drop_input = encoder, stack, crf, drop_input
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(stack.output_size, tags, dtype=next(stack.parameters()).dtype)

    def hidden(self, batch: Any) -> Tensor:
        """What the output layer reads, [T, B, F], dropped out while training."""
        features = self.encoder(batch)
        output, _ = self.stack(self.dropout(features) if self.drop_input else features, None, batch.lengths)
        dropped: Tensor = self.dropout(output)
        return dropped

    def forward(self, batch: Any) -> Tensor:
        """Emissions [T, B, C]; those of padding have no meaning."""
        emissions: Tensor = self.output(self.hidden(batch))
        return emissions

    def nats(self, batch: Any, tags: Tensor) -> Tensor:
        """Negative log-likelihood of tags [T, B] in nats, summed; IGNORED on padding."""
        if self.crf is not None:
            return self.nats_of(self(batch), tags, batch.lengths)
        return linear_cross_entropy(
            self.hidden(batch).flatten(0, 1), self.output.weight, self.output.bias, tags.flatten(),
            ignore_index=IGNORED, reduction="sum", backend=self.stack.stack.backend,
        )  # fmt: skip

    def nats_of(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """As `nats`, from emissions that are there."""
        if self.crf is not None:
            return self.crf.nll(emissions, tags, lengths)
        return cross_entropy(emissions.flatten(0, 1), tags.flatten(), ignore_index=IGNORED, reduction="sum")

    def best(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest tags [T, B], of whole sequences with a CRF; those of padding have no meaning."""
        return emissions.argmax(-1) if self.crf is None else self.crf.decode(emissions, lengths).tags[0].clamp(min=0)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The probability of each tag at each step, [T, B, C]."""
        return emissions.softmax(-1) if self.crf is None else self.crf.marginals(emissions, lengths)

    @torch.no_grad()
    def k_best(self, emissions: Tensor, lengths: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k likeliest sequences of tags [K, T, B] and their log-probabilities [K, B]; -inf where there are fewer.

        Tags that do not depend on each other are a CRF whose transitions are all zero.
        """
        crf = self.crf
        if crf is None:
            crf = LinearChainCRF(emissions.shape[-1]).to(emissions.device, emissions.dtype)
        paths = crf.decode(emissions, lengths, k)
        return paths.tags, paths.scores - crf.partition(emissions, lengths)
