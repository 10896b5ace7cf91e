"""What decoding starts from: a model in evaluation mode, and the tokens it has read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from recurra.errors import DataError
from recurra.models.language_model import LanguageModel
from recurra.text import Tokenizer


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """Switch dropout and gradients off, and leave every module in the mode it was found in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def encode_context(tokenizer: Tokenizer, start: Sequence[int], text: str) -> list[int]:
    """The start tokens and then those of a text.

    Raises:
        DataError: if there is nothing to read, or a text of which no token is known.
    """
    ids = tokenizer.encode(text)
    if len(ids) and tokenizer.count_unknown(ids) == len(ids):
        raise DataError(
            f"prompt: expected text that the model knows, got {text!r}, of which nothing is known; reword it"
        )
    if not len(start) + len(ids):
        raise DataError("expected a start token or a prompt to predict from, got neither; give a prompt")
    return [*start, *ids.tolist()]


def column(model: LanguageModel, tokens: Sequence[int]) -> Tensor:
    """Tokens as a batch of one row on the model's device: [T, 1]"""
    return torch.tensor(tokens, device=model.output.weight.device).unsqueeze(1)
