"""recompute=True: the same numbers as the plain run, in less memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import pytest
import torch
from torch import Tensor
from variants import DIAGONAL, VARIANTS, WRAPPERS, label

import recurra.nn
from recurra.backends import BACKENDS, reference
from recurra.benchmark import Workload, memory
from recurra.equations import cell, sigmoid, tanh
from recurra.layers.recurrent import Recurrent

T, B, I = 11, 4, 3  # pieces of 3, 3, 3 and 2 steps
LENGTHS = [7, 11, 1, 4]
available = pytest.mark.parametrize("backend", [name for name, b in BACKENDS.items() if b.unavailable("cpu") is None])


def run(model: Any, recompute: bool, x: Tensor, lengths: Sequence[int] | None = None, **inputs: Tensor) -> list[Tensor]:
    """Output, final states and the gradients of x, initial states, further inputs and weights; the same masks."""
    model.stack.__dict__["recompute"] = recompute  # the stack is frozen; its weights are to stay the same
    torch.manual_seed(5)
    shapes = [model.stack.state_shapes(layer, B) for layer, _ in model.stack.runs]
    state = [{n: torch.randn(s, dtype=torch.float64, requires_grad=True) for n, s in named.items()} for named in shapes]
    output, final = model(x, state, lengths, **inputs)
    results = [output, *(value for states in final for value in states.values())]
    loss = torch.stack([(r * torch.randn_like(r)).sum() for r in results]).sum()
    leaves = [x, *(v for s in state for v in s.values()), *inputs.values(), *model.parameters()]
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [r.detach() for r in results] + [torch.zeros(()) if g is None else g for g in found]


def assert_same(model: Any, x: Tensor, lengths: Sequence[int] | None = None, **inputs: Tensor) -> None:
    expected, found = (run(model, again, x, lengths, **inputs) for again in (False, True))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def random_x(steps: int = T) -> Tensor:
    return torch.randn(steps, B, I, dtype=torch.float64, requires_grad=True)


@available
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
def test_every_cell(cell_name: str, options: dict[str, Any], lengths: list[int] | None, backend: str) -> None:
    """In both directions at once: each has its own pieces."""
    model = Recurrent(
        cell_name, I, 5, bidirectional=True, recompute=True, dtype=torch.float64, backend=backend, **options
    )
    assert_same(model, random_x(), lengths)


@pytest.mark.parametrize("cell_name", ["lstm", "gru", "sru"])
@pytest.mark.parametrize("wrapper", [*WRAPPERS, {"zoneout": 0.3, "recurrent_dropout": 0.3, "dilation": 2}], ids=label)
def test_every_wrapper(cell_name: str, wrapper: dict[str, Any]) -> None:
    """Masks are drawn once, and not again where values are computed again."""
    if cell_name in DIAGONAL and set(wrapper) & {"recurrent_dropout", "weight_dropout"}:
        pytest.skip("nothing for it to act on")
    sizes = {} if "sizes" in wrapper else {"sizes": [I, I]}
    model = Recurrent(cell_name, I, recompute=True, dtype=torch.float64, **sizes | wrapper)
    x = random_x()
    assert_same(model, x.transpose(0, 1).detach().requires_grad_() if "batch_first" in wrapper else x, LENGTHS)


@available
def test_further_inputs(backend: str) -> None:
    """Per step cut into pieces, per sequence given to each of them."""

    @cell(source="here", sizes={"gate": "hidden_size", "context": 2, "gap": "number"})
    def timed(x, h, p, *, gate, context, gap):  # type: ignore[no-untyped-def]
        n = tanh(p.W_ih @ x + p.W_hh @ h + p.W_c @ context + p.b)
        return {"h": h + sigmoid(gate + gap) * (n - h)}

    model = Recurrent(timed, I, 5, recompute=True, dtype=torch.float64, backend=backend)
    gate, context, gap = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((T, B, 5), (B, 2), (T, B))
    )
    for lengths in (None, LENGTHS):
        assert_same(model, random_x(), lengths, gate=gate, context=context, gap=gap)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 16])
def test_short_sequences(steps: int) -> None:
    model = Recurrent("lstm", I, 5, bidirectional=True, recompute=True, dtype=torch.float64)
    assert_same(model, random_x(steps))


def test_sequences_without_a_step() -> None:
    model = Recurrent("gru", I, 5, bidirectional=True, recompute=True, dtype=torch.float64)
    assert_same(model, random_x(), [0, 11, 0, 3])
    assert_same(model, random_x(), [0, 0, 0, 0])


def test_the_face_of_torch() -> None:
    model = recurra.nn.LSTM(I, 5, 2, bidirectional=True, recompute=True, dtype=torch.float64)
    peer = torch.nn.LSTM(I, 5, 2, bidirectional=True, dtype=torch.float64)
    peer.load_state_dict(model.state_dict())
    x = random_x()
    mine, truth = (torch.autograd.grad(m(x)[0].square().sum(), [x, *m.parameters()]) for m in (model, peer))
    for a, b in zip(mine, truth, strict=True):
        torch.testing.assert_close(a, b)
    assert "recompute=True" in repr(model)


def test_a_gradient_of_a_gradient() -> None:
    model = Recurrent("gru", 2, 3, recompute=True, dtype=torch.float64)
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: model(x)[0].square(), (x,))


def test_frozen_weights() -> None:
    """Only what is asked for has a gradient."""
    model = Recurrent("lstm", I, 5, recompute=True, dtype=torch.float64)
    x = random_x().detach()
    model.W_ih_l0.requires_grad_(False)
    output, _ = model(x)
    output.sum().backward()
    assert model.W_ih_l0.grad is None
    assert all(p.grad is not None for name, p in model.named_parameters() if name != "W_ih_l0")


def test_runs_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gradients once; with them each piece again, in the backward pass."""
    lengths: list[int] = []
    plain = reference.run
    monkeypatch.setattr(
        reference, "run", lambda call, tensors: lengths.append(call.layout.length) or plain(call, tensors)
    )
    model, x = Recurrent("rnn", I, 5, recompute=True, dtype=torch.float64, backend="reference"), random_x()
    with torch.no_grad():
        model(x)
    assert lengths == [T]
    lengths.clear()
    output, _ = model(x)
    pieces = [3, 3, 3, 2]
    assert isqrt(T) == 3
    assert lengths == pieces
    output.sum().backward()
    assert lengths == [*pieces, *pieces[::-1]]


@pytest.mark.slow
@pytest.mark.skipif(not (memory.PROCESS / "clear_refs").is_file(), reason="the peak of memory cannot be set back")
def test_less_memory_for_a_long_sequence(native: Any) -> None:
    """A training step of 10,000 steps peaks lower by most of the kept values; output and gradient of x remain."""
    w = Workload("memory", "memory", "lstm", 10_000, 4, 256, one_thread=True)
    results, _ = memory.measure(w, ["native"])
    peaks = {result.name: result.median for result in results}
    assert peaks["recurra (native), recompute"] < 2 / 3 * peaks["recurra (native)"]
