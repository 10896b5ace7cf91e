"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recurra.equations import Symbol, Weights, cell, relu, sigmoid, tanh
from recurra.errors import OptionError

ACTIVATIONS: Mapping[str, Callable[[object], Symbol]] = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid}


@cell(source="Elman 1990, Finding structure in time, Cognitive Science 14(2)")
def rnn(x: Symbol, h: Symbol, p: Weights, *, activation: str = "tanh") -> dict[str, Symbol]:
    """Elman's recurrent network: the hidden state is a squashed sum of the input and the hidden state before.

        h = a(W_ih x + W_hh h + b)

    activation: a, one of tanh, relu and sigmoid (whose values between 0 and 1 are those of the paper's units).

    Against torch.nn.RNN: one bias where torch has two that are added; sigmoid, which torch lacks.
    """
    if activation not in ACTIVATIONS:
        raise OptionError(f"cell 'rnn', option 'activation': expected {', '.join(ACTIVATIONS)}, got {activation!r}")
    return {"h": ACTIVATIONS[activation](p.W_ih @ x + p.W_hh @ h + p.b)}
