"""What is said of each cell holds: gradients, conventions, truncated error flow, numbers of weights.

The equations themselves are checked against plain loops in tests/layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recurra
from recurra.backends import BACKENDS, Backend, Job, reference
from recurra.cells import CELLS, find_cell
from recurra.cells.elman import ACTIVATIONS
from recurra.errors import ConfigError
from recurra.layers import forward
from recurra.layers.recurrent import Recurrent

T, B, I, H = 4, 3, 2, 3
LENGTHS = [2, 4, 1]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    *[("rnn", {"activation": name}) for name in ACTIVATIONS if name != "tanh"],
    *[("lstm", {name: True}) for name in ("peephole", "coupled", "layer_norm")],
    ("lstm", {}),
    ("lstm", {"projection": 2}),
    ("lstm", {"peephole": True, "coupled": True, "layer_norm": True, "projection": 4}),
    ("lstm_1997", {}),
    ("lstm_1997", {"truncated": True}),
    *[("gru", {"reset_after": after, "z_keeps": keeps}) for after in (True, False) for keeps in (True, False)],
    ("min_gru", {}),
    ("min_lstm", {}),
    ("sru", {}),
]
each_variant = pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=str)
DIAGONAL = ("min_gru", "min_lstm", "sru")


def make(cell: str, options: dict[str, Any], *layers: int, **wrappers: Any) -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(cell, I, sizes=layers or (H, H), dtype=torch.float64, **wrappers, **options)


def leaves(model: Recurrent, batch: int = B) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """A random input and a random state."""
    torch.manual_seed(2)
    x = torch.randn(T, batch, I, dtype=torch.float64, requires_grad=True)
    shapes = [model.stack.state_shapes(layer, batch) for layer, _ in model.stack.runs]
    state = [{n: torch.randn(s, dtype=torch.float64, requires_grad=True) for n, s in named.items()} for named in shapes]
    return x, state


def flat(state: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    return [value for states in state for value in states.values()]


def test_every_cell_and_option_is_in_the_list() -> None:
    for name, cell in CELLS.items():
        listed = [options for variant, options in VARIANTS if variant == name]
        for option, default in cell.options.items():
            assert any(options.get(option, default) != default for options in listed), (name, option)


@each_variant
def test_numeric_gradients(cell: str, options: dict[str, Any]) -> None:
    """torch.autograd.gradcheck of input, states and weights, in float64."""
    if options.get("truncated"):
        pytest.skip("a truncated gradient is not the numeric one")
    model = make(cell, options, H)
    x, state = leaves(model, 2)
    names = list(state[0])
    weights = dict(model.named_parameters())

    def run(x: Tensor, *values: Tensor) -> list[Tensor]:
        begin = [dict(zip(names, values[: len(names)], strict=True))]
        changed = dict(zip(weights, values[len(names) :], strict=True))
        output, final = torch.func.functional_call(model, changed, (x, begin, [4, 2]))
        return [output, *flat(final)]

    inputs = (x, *flat(state), *weights.values())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    if cell in ("lstm", "gru") and not options:
        assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@each_variant
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_both_gradients_agree(
    cell: str, options: dict[str, Any], training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The derived gradient and autograd through the loop, ragged, with the wrappers that change the equations."""
    rates = {"zoneout": 0.3} | ({} if cell in DIAGONAL else {"recurrent_dropout": 0.3, "weight_dropout": 0.3})
    model = make(cell, options, bidirectional=True, dilation=[1, 2], **rates).train(training)
    x, state = leaves(model)
    wanted = [x, *flat(state), *model.parameters()]

    def gradients() -> list[Tensor]:
        torch.manual_seed(3)
        output, final = model(x, state, LENGTHS)
        results = [output, *flat(final)]
        torch.manual_seed(4)
        loss = sum((torch.randn_like(value) * value).sum() for value in results)
        found = torch.autograd.grad(loss, wanted, allow_unused=True)  # type: ignore[arg-type]
        return [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]

    def by(gradient: str) -> Backend:
        def run(jobs: Sequence[Job]) -> list[tuple[Tensor, ...]]:
            return [reference.run(call, tensors, gradient) for call, tensors in jobs]

        return Backend("reference", run, lambda device: None)

    monkeypatch.setattr(forward, "choose", lambda name, device: by("derived"))
    derived = gradients()
    monkeypatch.setattr(forward, "choose", lambda name, device: by("autograd"))
    torch.testing.assert_close(gradients(), derived, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reset_after", [True, False])
def test_conventions_of_z_are_one_model(reset_after: bool) -> None:
    """With the signs of the rows of z changed, z keeps the old state where it admitted the new one."""
    keeps = make("gru", {"reset_after": reset_after, "z_keeps": True}, H)
    admits = make("gru", {"reset_after": reset_after, "z_keeps": False}, H)
    x, state = leaves(keeps)
    expected = keeps(x, state)[0]
    assert not torch.allclose(admits(x, state)[0], expected)
    with torch.no_grad():
        for name, weight in admits.weights()[0].items():
            if name != "W_hn":
                weight[H : 2 * H].neg_()
    torch.testing.assert_close(admits(x, state)[0], expected, rtol=1e-12, atol=1e-12)


def test_the_truncated_lstm_of_1997() -> None:
    """The same forward pass; errors go back through the memory and nowhere else."""
    full, truncated = make("lstm_1997", {}, H), make("lstm_1997", {"truncated": True}, H)
    x, state = leaves(full)
    output, final = truncated(x, state)
    assert torch.equal(output, full(x, state)[0])
    h, c = state[0]["h"], state[0]["c"]
    (through_h,) = torch.autograd.grad(output.sum(), h, retain_graph=True, allow_unused=True)
    assert through_h is None or not through_h.any()
    (through_memory,) = torch.autograd.grad(final[0]["c"].sum(), c)
    assert torch.equal(through_memory, torch.ones_like(c))  # the constant error carousel
    assert not torch.equal(torch.autograd.grad(full(x, state)[1][0]["c"].sum(), c)[0], torch.ones_like(c))


def test_forget_bias_starts_at_one_in_our_cell_and_not_in_torch_s_face() -> None:
    (weights,) = Recurrent("lstm", I, 50).weights()
    assert torch.equal(weights["b"][50:100], torch.ones(50))
    (face,) = recurra.nn.LSTM(I, 50).weights()
    assert float(face["b"][50:100].detach().max()) < 1
    assert not torch.equal(face["b"][50:100], torch.ones(50))
    (chosen,) = Recurrent("lstm", I, 50, init={"b.f": 0.0}).weights()
    assert not chosen["b"][50:100].any()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_numbers_of_weights() -> None:
    """Textbook counts, each with its arithmetic; and torch's, which has a second bias."""
    V, N = 50_000, 100
    assert count(Recurrent("rnn", 1003, 4)) == 4 * 1003 + 4 * 4 + 4
    rnn = N * V + N * N + N + 3 * (2 * N * N + N)
    with torch.device("meta"):
        assert count(Recurrent("rnn", V, N, 4)) == rnn
        assert count(Recurrent("lstm", V, N, 4)) == 4 * rnn
        assert count(Recurrent("lstm", V, N, 4, peephole=True)) == 4 * rnn + 4 * 3 * N
        assert count(Recurrent("lstm", V, N, 4, coupled=True)) == 3 * rnn
        assert count(Recurrent("gru", V, N, 4, reset_after=False)) == 3 * rnn
        assert count(Recurrent("gru", V, N, 4)) == 3 * rnn + 4 * 3 * N
        assert count(Recurrent("lstm", V, N, projection=30)) == 4 * N * (V + 30 + 1) + 30 * N
        assert count(Recurrent("min_gru", V, N)) == 2 * (N * V + N)
        assert count(Recurrent("sru", N, N)) == 3 * N * N + 4 * N
        assert count(nn.LSTM(V, N, 4)) == 4 * rnn + 4 * 4 * N == count(recurra.nn.LSTM(V, N, 4))


def test_cells_are_found_by_name() -> None:
    for name, cell in CELLS.items():
        assert find_cell(name) is cell is find_cell(cell)
        assert cell.source
        assert cell.__doc__
    with pytest.raises(ConfigError, match=r"unknown cell 'grru'; did you mean 'gru'\?"):
        find_cell("grru")


def test_the_backend_asked_for_by_name_runs() -> None:
    model = Recurrent("lstm", I, H, backend="reference")
    assert model.stack.backend in BACKENDS
    assert model(torch.randn(T, B, I))[0].shape == (T, B, H)
    with pytest.raises(recurra.errors.BackendError, match="unknown backend 'natve'"):
        Recurrent("lstm", I, H, backend="natve")(torch.randn(T, B, I))
