"""A language model computed by its stream, token by token: how well it predicts with rounded weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurra.data import IGNORED
from recurra.layers.recurrent import States
from recurra.models.stream import ModelStream

if TYPE_CHECKING:
    from recurra.models.language_model import LanguageModel


class SteppedModel:
    """What evaluation asks of a `LanguageModel`, from `model.stream(weights=...)`.

    Example:
        >>> import torch
        >>> from recurra.layers.recurrent import Recurrent
        >>> from recurra.models.language_model import LanguageModel
        >>> model = LanguageModel(9, Recurrent("lstm", 4, 16), embedding_dim=4)
        >>> log_probs, state = SteppedModel(model, "bf16")(torch.tensor([[1, 2], [3, 4], [5, 6]]), None)
        >>> log_probs.shape
        torch.Size([3, 2, 9])
    """

    def __init__(self, model: LanguageModel, weights: str | None) -> None:
        self.output = model.output
        self._model, self._weights = model, weights
        self._stream: ModelStream | None = None

    def __call__(
        self, tokens: Tensor, state: Sequence[States] | None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Tensor, list[States]]:
        """Tokens [T, B] -> log-probabilities [T, B, V], and the state after T tokens. `lengths` change neither: what
        a row has behind its end is not scored."""
        rows = tokens.shape[1]
        if self._stream is None or self._stream.batch != rows:
            self._stream = self._model.stream(rows, self._weights)
        if state is None:
            self._stream.reset()
        else:
            self._stream.state = state
        return torch.stack([self._stream.step(each) for each in tokens]), self._stream.state

    def nats(self, log_probs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of targets [T, B] in nats, summed over those that are scored."""
        scored = targets != IGNORED
        return -log_probs[scored].gather(1, targets[scored].unsqueeze(1)).double().sum()
