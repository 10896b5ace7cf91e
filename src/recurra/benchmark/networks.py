"""The networks that compete: recurra's, torch.nn's and plain loops, with the same weights and the same input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import recurra.nn
from recurra.benchmark.workloads import Workload

PEEPHOLES = ("p_i_l0", "p_f_l0", "p_o_l0")
FACES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


class PeepholeLoop(nn.Module):
    """A peephole LSTM as it is written in plain PyTorch: the input's product for all steps at once, then a loop.

    Shapes: x [T, B, I] -> output [T, B, H], as torch.nn.LSTM with one layer; weights by the names of recurra.nn.LSTM.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        like = nn.LSTM(input_size, hidden_size)
        for name, value in like.named_parameters():
            self.register_parameter(name, value)
        for name in PEEPHOLES:
            self.register_parameter(name, nn.Parameter(torch.empty(hidden_size).uniform_(-0.1, 0.1)))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        w = dict(self.named_parameters())
        entering = x @ w["weight_ih_l0"].T + (w["bias_ih_l0"] + w["bias_hh_l0"])  # [T, B, I] -> [T, B, 4H]
        recurrent = w["weight_hh_l0"].T
        h = c = x.new_zeros(x.shape[1], recurrent.shape[0])
        outputs = []
        for start in entering.unbind(0):
            i, f, g, o = torch.addmm(start, h, recurrent).chunk(4, -1)  # [B, 4H] -> 4 of [B, H]
            i, f = torch.sigmoid(i + w["p_i_l0"] * c), torch.sigmoid(f + w["p_f_l0"] * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + w["p_o_l0"] * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)


class TorchModel(nn.Module):
    """A language model as it is written with torch.nn: tokens [T, B] -> logits [T, B, V]."""

    def __init__(self, vocabulary: int, size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.stack = nn.LSTM(size, size, layers)
        self.output = nn.Linear(size, vocabulary)

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Any]:
        output, state = self.stack(self.embedding(tokens), state)
        return self.output(output), state


def torch_layer(w: Workload) -> nn.Module:
    """The peer, from which all others take their weights: torch.nn's, or the loop where torch.nn has none."""
    torch.manual_seed(1)
    if w.peephole:
        return PeepholeLoop(w.size, w.size)
    layer: nn.Module = getattr(nn, FACES[w.cell])(w.size, w.size, w.layers, bidirectional=w.directions == 2)
    return layer


def our_layer(w: Workload, backend: str, weights: Mapping[str, Tensor], recompute: bool = False) -> nn.Module:
    """recurra's layer with the peer's weights."""
    options = {"backend": backend, "recompute": recompute, **({"peephole": True} if w.peephole else {})}
    face = getattr(recurra.nn, FACES[w.cell])
    layer: nn.Module = face(w.size, w.size, w.layers, bidirectional=w.directions == 2, **options)
    layer.load_state_dict(weights)
    return layer


def make_input(w: Workload) -> tuple[Tensor, Tensor]:
    """x [T, B, H], which wants a gradient as it does in a network, and the gradient of the output [T, B, D*H]."""
    torch.manual_seed(2)
    x = torch.randn(w.steps, w.batch, w.size, requires_grad=True)
    return x, torch.randn(w.steps, w.batch, w.size * w.directions)
