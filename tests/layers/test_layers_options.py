"""Options: every one that is accepted is applied, to every cell; every one that cannot be is refused, in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import by_hand
import pytest
import torch
from torch import Tensor
from torch.nn.functional import dropout
from variants import DIAGONAL, VARIANTS, WRAPPERS, label

from recurra.cells import CELLS
from recurra.equations import cell, tanh
from recurra.errors import BackendError, ConfigError, LengthsError, OptionError, RecurraError, ShapeError
from recurra.layers.forward import _OneRun
from recurra.layers.recurrent import Recurrent, map_state

T, B, I, H = 6, 3, 4, 4
OPTIONS = [(cell, options) for cell, options in VARIANTS if options]


def results(model: Recurrent, x: Tensor) -> list[Tensor]:
    """The output of one seeded run, and the gradients of the parameters."""
    torch.manual_seed(1)
    output, _ = model(x)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum(), parameters)
    return [output.detach(), *gradients]


def shapes(model: Recurrent) -> dict[str, Any]:
    return {name: p.shape for name, p in model.named_parameters()}


def assert_applied(changed: Recurrent, plain: Recurrent) -> None:
    """Every parameter takes part, and with the same weights something comes out otherwise."""
    x = torch.randn(T, B, I)
    found = results(changed, x)
    assert all(gradient.isfinite().all() and gradient.any() for gradient in found[1:])
    if shapes(changed) != shapes(plain):
        return
    plain.load_state_dict(changed.state_dict())
    assert not all(torch.equal(a, b) for a, b in zip(found, results(plain, x), strict=True))


@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=label)
def test_each_equation_option_is_applied(cell: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    assert_applied(Recurrent(cell, I, H, 2, **options), Recurrent(cell, I, H, 2))


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
@pytest.mark.parametrize("wrapper", WRAPPERS, ids=label)
def test_each_wrapper_is_applied_to_each_cell(cell: str, options: dict[str, Any], wrapper: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layers = {} if "sizes" in wrapper else {"hidden_size": H, "num_layers": 2}
    if cell in DIAGONAL and set(wrapper) & {"recurrent_dropout", "weight_dropout"}:
        with pytest.raises(ConfigError, match=f"cell '{cell}' multiplies no state by a matrix; use dropout or zoneout"):
            Recurrent(cell, I, **layers, **options, **wrapper)
        return
    if "residual" in wrapper and "projection" in options:
        wrapper = {**wrapper, "sizes": [5, 6]}  # the projection's width stays; the second layer has it on both sides
        layers = {}
    changed = Recurrent(cell, I, **layers, **options, **wrapper)
    plain = Recurrent(cell, I, **({"sizes": [5, 6]} if wrapper.get("residual") and not layers else
                                  {"hidden_size": H, "num_layers": 2}), **options)  # fmt: skip
    assert_applied(changed, plain)


STOCHASTIC = [{"dropout": 0.5}, {"recurrent_dropout": 0.5}, {"zoneout": 0.5}, {"weight_dropout": 0.5}]


@pytest.mark.parametrize("wrapper", STOCHASTIC, ids=label)
def test_chance_is_for_training_only(wrapper: dict[str, Any]) -> None:
    model = Recurrent("lstm", I, H, 2, **wrapper)
    x = torch.randn(T, B, I)
    assert not torch.equal(model(x)[0], model(x)[0])
    torch.manual_seed(4)
    first = model(x)[0]
    torch.manual_seed(4)
    assert torch.equal(model(x)[0], first)
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_zoneout_keeps_its_share_of_the_old_state(rate: float) -> None:
    """In one step from a random state, that share of units (of 20,000, to 4 standard deviations) stays as it was."""
    model = Recurrent("gru", I, 200, zoneout=rate)
    state = [{"h": torch.randn(100, 200)}]
    output, _ = model(torch.randn(1, 100, I), state)
    kept = float((output[0] == state[0]["h"]).double().mean())
    assert abs(kept - rate) < 4 * (rate * (1 - rate) / 20_000) ** 0.5


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_recurrent_dropout_masks(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One mask [B, H] for all steps and chains, 0 or 1/keep, of mean 1."""
    drawn: list[Tensor] = []
    draw = _OneRun._mask

    def record(self: _OneRun, node: Any, empty: Tensor) -> Tensor:
        drawn.append(draw(self, node, empty))
        return drawn[-1]

    monkeypatch.setattr(_OneRun, "_mask", record)
    Recurrent("lstm", I, 200, recurrent_dropout=rate, dilation=3)(torch.randn(7, 100, I))
    (mask,) = drawn
    assert mask.shape == (100, 200)
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / (1 - rate)]))
    dropped = float((mask == 0).double().mean())
    assert abs(dropped - rate) < 4 * (rate * (1 - rate) / 20_000) ** 0.5


RECURRENT_MATRICES = {
    ("lstm", ()): ["W_hh"],
    ("lstm", (("projection", 3),)): ["W_hh", "W_hr"],
    ("gru", ()): ["W_hh"],
    ("gru", (("reset_after", False),)): ["W_hh", "W_hn"],
}


@pytest.mark.parametrize(("cell", "options"), RECURRENT_MATRICES, ids=str)
def test_weight_dropout_by_definition(cell: str, options: tuple[tuple[str, Any], ...]) -> None:
    """The recurrent matrices, in the order of the equations, each with one mask for all steps."""
    model = Recurrent(cell, I, H, weight_dropout=0.4, dtype=torch.float64, **dict(options))
    x = torch.randn(T, B, I, dtype=torch.float64)
    torch.manual_seed(7)
    output, _ = model(x)
    torch.manual_seed(7)
    (weights,) = model.weights()
    for name in RECURRENT_MATRICES[cell, options]:
        mask = dropout(torch.ones_like(weights[name]), 0.4)
        assert 0 < int((mask == 0).sum()) < mask.numel()
        weights[name] = weights[name] * mask
    shape = model.stack.state_shapes(0, B)
    begin = {name: torch.zeros(1, *size, dtype=torch.float64) for name, size in shape.items()}
    expected, _ = by_hand.run_layer(cell, dict(model.stack.options), weights, x, begin, [T] * B)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)


def test_weight_dropout_gradients_reach_kept_weights_only() -> None:
    model = Recurrent("lstm", I, 30, weight_dropout=0.5, dtype=torch.float64)
    model(torch.randn(T, B, I, dtype=torch.float64))[0].sum().backward()
    share = float((model.W_hh_l0.grad == 0).double().mean())  # type: ignore[union-attr]
    assert 0.4 < share < 0.6
    assert bool((model.W_ih_l0.grad != 0).all())  # type: ignore[union-attr]


def test_skip_and_residual_by_hand_built_stacks() -> None:
    """Graves 2013 and residual connections from layers of one, with the same weights."""
    x = torch.randn(T, B, I, dtype=torch.float64)
    skip = Recurrent("lstm", I, H, 3, skip=True, dtype=torch.float64)
    layers = [Recurrent("lstm", width, H, dtype=torch.float64) for width in (I, I + H, I + H)]
    residual = Recurrent("gru", I, H, 3, residual=True, dtype=torch.float64)
    plain = [Recurrent("gru", I, H, dtype=torch.float64) for _ in range(3)]
    for stack, singles in ((skip, layers), (residual, plain)):
        for k, single in enumerate(singles):
            weights = {n.replace(f"_l{k}", "_l0"): v for n, v in stack.state_dict().items() if f"_l{k}" in n}
            single.load_state_dict(weights)
    first = layers[0](x)[0]
    second = layers[1](torch.cat([x, first], -1))[0]
    third = layers[2](torch.cat([x, second], -1))[0]
    torch.testing.assert_close(skip(x)[0], torch.cat([first, second, third], -1))
    assert skip.output_size == 3 * H
    below = x
    for single in plain:
        below = below + single(below)[0]
    torch.testing.assert_close(residual(x)[0], below)


@torch.no_grad()
def test_cell_init_and_init() -> None:
    model = Recurrent("lstm", I, H, layer_norm=True, num_layers=2)
    weights = model.weights()[1]
    assert torch.equal(weights["b"][H : 2 * H], torch.ones(H))
    assert all(torch.equal(weights[g], torch.ones_like(weights[g])) for g in ("g_ih", "g_hh", "g_c"))
    assert not weights["b_c"].any()
    assert float(weights["W_ih"].abs().max()) <= H**-0.5
    (changed,) = Recurrent("lstm", I, H, init={"b.f": 2.0, "W_hh.g": 0.0, "p_*": 0.5}, peephole=True).weights()
    assert torch.equal(changed["b"][H : 2 * H], torch.full((H,), 2.0))
    assert not changed["W_hh"][2 * H : 3 * H].any()
    assert changed["W_hh"][: 2 * H].all()
    assert torch.equal(changed["p_o"], torch.full((H,), 0.5))
    (ranged,) = Recurrent("lstm", I, H, init_range=0.01, init={"b.i": 3.0}).weights()
    assert float(ranged["b"][H:].abs().max()) <= 0.01
    assert torch.equal(ranged["b"][:H], torch.full((H,), 3.0))
    with pytest.raises(
        ConfigError, match=r"init 'b\.q' names no weight of cell 'lstm'; it has W_ih, W_hh, b, .*W_ih\.i"
    ):
        Recurrent("lstm", I, H, init={"b.q": 1.0})


def make(**options: Any) -> Callable[[], Any]:
    return lambda: Recurrent(**{"cell": "lstm", "input_size": I, "hidden_size": H} | options)


@cell(source="none")
def clash(x: Any, h: Any, p: Any, *, dropout: float = 0.5) -> dict[str, Any]:
    return {"h": tanh(p.W @ x)}


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (make(cell=len), ConfigError, "cell: expected a name or a Cell (a function becomes one by @cell), got <built-in"),
    (make(cell="LSTM"), ConfigError, "unknown cell 'LSTM'; did you mean 'lstm'?"),
    (make(cell=clash), ConfigError, "cell 'clash': its option 'dropout' is a keyword of every layer; rename it"),
    (make(zonout=0.1), ConfigError, "unknown option 'zonout'; did you mean 'zoneout'?"),
    (make(num_layers="2"), ConfigError, "num_layers: expected a whole number from 1, got '2'"),
    (make(dropout="0.5"), ConfigError, "dropout: expected a probability, at least 0 and below 1, got '0.5'"),
    (make(dilation=1.5), ConfigError, "dilation: expected a whole number from 1, got 1.5"),
    (make(init={"b": "1"}), ConfigError, "init 'b': expected a number, got '1'"),
    (make(init_range=0.0), ConfigError, "init_range: expected a number above 0, got 0.0"),
    (make(backend="fast"), BackendError, "unknown backend 'fast'; known are native, reference"),
    (make(cell="lstn"), ConfigError, "unknown cell 'lstn'; did you mean 'lstm'?"),
    (make(cell="zzz"), ConfigError, "unknown cell 'zzz'; known are rnn, lstm, lstm_1997, gru, min_gru, min_lstm, sru"),
    (make(peepholes=True), OptionError, "has no option 'peepholes'; it has: peephole, coupled, layer_norm, projection"),
    (make(cell="gru", peephole=True), OptionError, "cell 'gru' has no option 'peephole'; it has: reset_after, z_keeps"),
    (make(cell="sru", peephole=True), OptionError, "cell 'sru' has no option 'peephole'; it has: no options"),
    (make(peephole=1), OptionError, "option 'peephole': expected bool (default False), got 1"),
    (make(projection=-3), OptionError, "the size of 'h' is -3; expected a whole number from 1"),
    (make(cell="rnn", activation="gelu"), OptionError, "expected tanh, relu, sigmoid, got 'gelu'"),
    (make(input_size=0), ConfigError, "input_size: expected a whole number from 1, got 0"),
    (make(hidden_size=0), ConfigError, "hidden_size: expected a whole number from 1, got 0"),
    (make(num_layers=0), ConfigError, "num_layers: expected a whole number from 1, got 0"),
    (make(hidden_size=None, sizes=[]), ConfigError, "sizes: expected a whole number from 1, got 0"),
    (make(hidden_size=None, sizes=[3, -1]), ConfigError, "sizes: expected a whole number from 1, got -1"),
    (make(sizes=[3]), ConfigError, "or sizes instead of both, got hidden_size="),
    (make(hidden_size=None), ConfigError, "or sizes instead of both, got hidden_size=None"),
    (make(dilation=0), ConfigError, "dilation: expected a whole number from 1, got 0"),
    (make(dilation=[1, 2, 4]), ConfigError, "dilation: expected one number, or 1 (one per layer), got 3"),
    (make(dropout=1.0), ConfigError, "dropout: expected a probability, at least 0 and below 1, got 1.0"),
    (make(recurrent_dropout=-0.1), ConfigError, "recurrent_dropout: expected a probability"),
    (make(zoneout=2), ConfigError, "zoneout of h: expected a probability"),
    (make(zoneout={"z": 0.1}), ConfigError, "zoneout: cell 'lstm' has no state 'z'; it has h, c"),
    (make(hidden_size=5, residual=True), ConfigError, "residual: expected a layer whose input and output are of one"),
    (make(skip=True), ConfigError, "skip: expected at least 2 layers"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[row[2][:40] for row in WRONG])
def test_wrong_options(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    assert_raises(call, error, message)


def run(lengths: Any = None, state: Any = None, shape: tuple[int, ...] = (T, B, I)) -> Callable[[], Any]:
    return lambda: Recurrent("lstm", I, H, 2)(torch.zeros(shape), state, lengths)


ZEROS = [{"h": torch.zeros(B, H), "c": torch.zeros(B, H)} for _ in range(2)]
WRONG_RUNS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (run(shape=(T, I)), ShapeError, "x: expected [T, B, 4], got [6, 4]"),
    (run(shape=(T, B, 9)), ShapeError, "x: expected [T, B, 4], got [6, 3, 9]"),
    (run([1, 2]), LengthsError, "lengths: expected 3 (one per sequence of the batch), got 2"),
    (run([]), LengthsError, "lengths: expected 3 (one per sequence of the batch), got 0"),
    (run(4), LengthsError, "lengths: expected 3 (one per sequence of the batch), got one number"),
    (run(torch.ones(3, 1).long()), LengthsError, "lengths: expected 3 (one per sequence of the batch), got 3x1"),
    (run([1, 2, T + 1]), LengthsError, "lengths: expected 0 to 6 (the steps of the batch), got 7"),
    (run([1, -2, 3]), LengthsError, "lengths: expected 0 to 6 (the steps of the batch), got -2"),
    (run([1.0, 2.0, 3.0]), LengthsError, "lengths: expected whole numbers, got torch.float32"),
    (run([True, True, False]), LengthsError, "lengths: expected whole numbers, got torch.bool"),
    (run(["a", "b", "c"]), LengthsError, "lengths: expected whole numbers, got ['a', 'b', 'c']"),
    (run(state=ZEROS[:1]), ShapeError, "state: expected a list of 2 (one per layer and direction), got 1"),
    (run(state=ZEROS[0]["h"]), ShapeError, "state: expected a list of 2 (one per layer and direction), got Tensor"),
    (run(state=map_state(torch.Tensor.double, ZEROS)), ShapeError, "expected torch.float32 as x, got torch.float64"),
    (run(state=[{"h": ZEROS[0]["h"], "c": None}, ZEROS[1]]), ShapeError, "expected shape [3, 4], got NoneType"),
    (lambda: Recurrent("lstm", I, H)([1.0]), ShapeError, "x: expected a tensor or a PackedSequence, got list"),
    (run(state=[{"h": ZEROS[0]["h"]}, ZEROS[1]]), ShapeError, "state: expected h, c, got h"),
    (run(state=map_state(lambda v: v[:2], ZEROS)), ShapeError, "state 'h' of layer 0: expected shape [3, 4], got"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG_RUNS, ids=[row[2][:60] for row in WRONG_RUNS])
def test_wrong_runs(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    assert_raises(call, error, message)


def assert_raises(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, RecurraError)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_description_names_what_is_not_default() -> None:
    model = Recurrent("gru", 3, 4, 2, zoneout=0.1, dilation=2, z_keeps=False, batch_first=True)
    assert (
        repr(model)
        == "Recurrent(gru, 3 -> 4 -> 4, z_keeps=False, zoneout={'h': 0.1}, dilation=[2, 2], batch_first=True)"
    )


def test_deepcopy_is_apart() -> None:
    for name in CELLS:
        model = Recurrent(name, I, H, 2)
        twin = copy.deepcopy(model)
        x = torch.randn(T, B, I)
        assert torch.equal(twin(x)[0], model(x)[0])
        with torch.no_grad():
            next(iter(twin.parameters())).add_(1.0)
        assert not torch.equal(twin(x)[0], model(x)[0])


def test_a_cell_without_weights_runs() -> None:
    @cell(source="none")
    def leaky(x: Any, h: Any, p: Any) -> dict[str, Any]:
        return {"h": 0.5 * h + x}

    output, _ = Recurrent(leaky, I, I)(torch.ones(3, 1, I))
    assert output[:, 0, 0].tolist() == [1.0, 1.5, 1.75]
