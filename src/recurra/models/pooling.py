"""One vector for a sequence, from the outputs of all its steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.layers.recurrent import Recurrent


class LastPooling(nn.Module):
    """What each direction gives at its own end: forward at the last step, backward at the first, side by side."""

    backward_units: Tensor

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.output_size = stack.output_size
        self.register_buffer("backward_units", _backward_units(stack), persistent=False)

    def forward(self, output: Tensor, lengths: Tensor) -> Tensor:
        """output [T, B, F], lengths [B] -> [B, F]"""
        rows = torch.arange(output.shape[1], device=output.device)
        last = output[lengths.to(output.device) - 1, rows]  # [B, F]
        return torch.where(self.backward_units, output[0], last)


class MeanPooling(nn.Module):
    """The mean over the steps."""

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.output_size = stack.output_size

    def forward(self, output: Tensor, lengths: Tensor) -> Tensor:
        """output [T, B, F], zeros after each end; lengths [B] -> [B, F]"""
        return output.sum(0) / lengths.to(output).unsqueeze(-1)


class MaxPooling(nn.Module):
    """The largest value of each unit over the steps."""

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.output_size = stack.output_size

    def forward(self, output: Tensor, lengths: Tensor) -> Tensor:
        """output [T, B, F], lengths [B] -> [B, F]"""
        return output.masked_fill(padding(output, lengths), -torch.inf).amax(0)


class AttentionPooling(nn.Module):
    """The steps weighed by how much each matters: a = softmax over t of v . tanh(W h_t + b), and the sum of a_t h_t.

    Source: Yang et al. 2016, "Hierarchical attention networks for document classification", equations 5 to 7.
    """

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.output_size = stack.output_size
        dtype = next(stack.parameters()).dtype
        self.hidden = nn.Linear(stack.output_size, stack.output_size, dtype=dtype)
        self.score = nn.Linear(stack.output_size, 1, bias=False, dtype=dtype)

    def weights(self, output: Tensor, lengths: Tensor) -> Tensor:
        """How much each step counts, [T, B, 1]; each sequence's sum to 1."""
        scores = self.score(torch.tanh(self.hidden(output)))  # [T, B, F] -> [T, B, 1]
        return torch.softmax(scores.masked_fill(padding(output, lengths), -torch.inf), 0)

    def forward(self, output: Tensor, lengths: Tensor) -> Tensor:
        """output [T, B, F], lengths [B] -> [B, F]"""
        return (self.weights(output, lengths) * output).sum(0)


POOLINGS: dict[str, type[LastPooling | MeanPooling | MaxPooling | AttentionPooling]] = {
    "last": LastPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}


def padding(output: Tensor, lengths: Tensor) -> Tensor:
    """Which steps lie after a sequence's end: true there, [T, B, 1]."""
    steps = torch.arange(len(output), device=output.device).unsqueeze(-1)
    return (steps >= lengths.to(output.device)).unsqueeze(-1)


def _backward_units(stack: Recurrent) -> Tensor:
    """Which units of the output belong to the backward direction, [F]: the second half of each layer's."""
    layers = stack.stack
    shown = range(layers.num_layers) if layers.skip else [layers.num_layers - 1]
    halves = []
    for layer in shown:
        width = layers.layer_output_size(layer) // layers.directions
        halves += [torch.full((width,), direction == 1) for direction in range(layers.directions)]
    return torch.cat(halves).to(next(stack.parameters()).device)
