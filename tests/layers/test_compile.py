"""torch.compile of a network with our layers in it: a break between two graphs, as around torch.nn.LSTM."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recurra.nn
from recurra.layers.recurrent import Recurrent

# What torch's compiler says of itself when a graph begins behind a break.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

LAYERS = {
    "Recurrent": lambda: Recurrent("lstm", 4, 6, num_layers=2, peephole=True),
    "bidirectional": lambda: Recurrent("gru", 4, 3, bidirectional=True),
    "recompute": lambda: Recurrent("lstm", 4, 6, recompute=True),
    "LSTM": lambda: recurra.nn.LSTM(4, 6),
}


class Network(nn.Module):
    """Something for the compiler to do before the layer and after it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = nn.Linear(4, 4), layer, nn.Linear(6, 2)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        output, _ = self.layer(torch.relu(self.before(x)), lengths=lengths)
        result: Tensor = self.after(output).tanh()
        return result


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The compiler as new, telling what it compiles."""
    from torch._dynamo import reset
    from torch._dynamo.testing import CompileCounterWithBackend

    reset()
    yield CompileCounterWithBackend
    reset()


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_equals_eager_and_lengths_compile_nothing_new(name: str, backend: str, graphs: Any) -> None:
    torch.manual_seed(0)
    network, counter = Network(LAYERS[name]()), graphs(backend)
    compiled = torch.compile(network, backend=counter)
    counts = []
    for steps in (5, 7, 9, 4):
        x = torch.randn(steps, 3, 4, requires_grad=True)
        leaves = [x, *network.parameters()]
        for lengths in (None, torch.tensor([steps, 2, 1])):
            expected, found = network(x, lengths), compiled(x, lengths)
            torch.testing.assert_close(found, expected)
            pairs = zip(*(torch.autograd.grad(y.square().sum(), leaves) for y in (found, expected)), strict=True)
            for gradient, truth in pairs:
                torch.testing.assert_close(gradient, truth)
        counts.append(counter.frame_count)
    assert counts[0] >= 2  # the linear layers are compiled
    assert len(set(counts[1:])) == 1  # the second length is taken as a sign that others will come


def test_compiled_without_gradients(graphs: Any) -> None:
    network, counter = Network(LAYERS["Recurrent"]()).eval(), graphs("eager")
    compiled, x = torch.compile(network, backend=counter), torch.randn(5, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x))


def test_compiled_steps_with_the_state_carried(graphs: Any) -> None:
    layer, counter = Recurrent("lstm", 4, 6, num_layers=2).eval(), graphs("eager")
    compiled, x = torch.compile(layer, backend=counter), torch.randn(7, 1, 4)
    with torch.no_grad():
        state, outputs, counts = None, [], []
        for step in x.split(1):
            output, state = compiled(step, state)
            outputs.append(output)
            counts.append(counter.frame_count)
        torch.testing.assert_close(torch.cat(outputs), layer(x)[0])
    assert len(set(counts[1:])) == 1


def test_the_compiler_is_imported_only_where_it_is_used() -> None:
    """It takes longer to import than torch."""
    code = (
        "import sys, torch, recurra.nn; recurra.nn.LSTM(2, 3)(torch.randn(4, 1, 2)); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
