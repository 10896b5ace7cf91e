"""A number for each step of a sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.layers.dropout import Dropout
from recurra.layers.recurrent import Recurrent


class StepRegressor(nn.Module):
    """Gives each step of a sequence a number.

    Args:
        encoder: from a batch to features [T, B, E]; it has an `output_size`.
        stack: the recurrent layers.
        dropout: probability, on the stack's output (the stack has its own between layers).

    Shapes: features [T, B, E] -> output of the stack [T, B, F] -> numbers [T, B]; those of padding have no meaning.
    """

    def __init__(self, encoder: nn.Module, stack: Recurrent, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder, self.stack, self.dropout = encoder, stack, Dropout(dropout)
        self.output = nn.Linear(stack.output_size, 1, dtype=next(stack.parameters()).dtype)

    def forward(self, batch: Any) -> Tensor:
        output, _ = self.stack(self.encoder(batch), None, batch.lengths)
        numbers: Tensor = self.output(self.dropout(output)).squeeze(-1)  # [T, B, F] -> [T, B]
        return numbers
