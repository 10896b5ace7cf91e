"""recurra.nn against torch.nn: outputs, states, gradients, weights both ways, shapes; and its own keywords."""

from __future__ import annotations

import copy
import doctest
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra import nn as ours
from recurra.cells import CELLS
from recurra.errors import ConfigError, LengthsError, OptionError, ShapeError

T, B, I, H = 6, 4, 5, 7
LENGTHS = [3, 6, 1, 6]
MODULES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 3, "bidirectional": True}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"bias": False, "proj_size": 2, "batch_first": True}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {"bias": False}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("RNN", {"bias": False, "num_layers": 2}),
]
CELL_MODULES: list[tuple[str, dict[str, Any]]] = [
    (name, {**options, **bias})
    for name, options in [("LSTMCell", {}), ("GRUCell", {}), ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"})]
    for bias in ({}, {"bias": False})
]
each_module = pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
each_cell_module = pytest.mark.parametrize(("name", "options"), CELL_MODULES, ids=str)


def pair(
    name: str, options: dict[str, Any], dtype: torch.dtype = torch.float64, inputs: int = I, hidden: int = H
) -> tuple[nn.Module, nn.Module]:
    """Our module and torch's, with the same weights."""
    torch.manual_seed(3)
    theirs = getattr(nn, name)(inputs, hidden, dtype=dtype, **options)
    mine = getattr(ours, name)(inputs, hidden, dtype=dtype, **options)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def begin(name: str, options: dict[str, Any], dtype: torch.dtype, batch: int = B, hidden: int = H) -> Any:
    """A random initial state in torch's shapes."""
    runs = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    widths = [options.get("proj_size") or hidden, hidden] if name == "LSTM" else [hidden]
    states = [torch.randn(runs, batch, width, dtype=dtype, requires_grad=True) for width in widths]
    return tuple(states) if name == "LSTM" else states[0]


def flat(result: Any) -> list[Tensor]:
    """The tensors of an output and a state, whatever their nesting; those of a PackedSequence padded."""
    if isinstance(result, PackedSequence):
        return [pad_packed_sequence(result)[0]]
    return [result] if isinstance(result, Tensor) else [t for part in result for t in flat(part)]


def with_gradients(module: nn.Module, call: Callable[[nn.Module], Any], leaves: list[Tensor]) -> list[Tensor]:
    """Results, then the gradients of leaves and parameters by their names, of a fixed random sum of the results."""
    results = flat(call(module))
    generator = torch.Generator().manual_seed(4)
    loss = sum((r * torch.randn(r.shape, generator=generator, dtype=torch.float64).to(r.dtype)).sum() for r in results)
    gradients = torch.autograd.grad(loss, [*leaves, *dict(sorted(module.named_parameters())).values()])
    return [r.detach() for r in (*results, *gradients)]


def packed(x: Tensor, lengths: list[int], batch_first: bool) -> PackedSequence:
    return pack_padded_sequence(x, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False)


def case(name: str, options: dict[str, Any], dtype: torch.dtype) -> tuple[Tensor, Any, list[Tensor]]:
    torch.manual_seed(5)
    shape = (B, T, I) if options.get("batch_first") else (T, B, I)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    hx = begin(name, options, dtype)
    return x, hx, [x, *flat(hx)]


@each_module
@pytest.mark.parametrize("form", ["whole", "packed", "packed sorted", "lengths"])
def test_agrees_with_torch(name: str, options: dict[str, Any], form: str) -> None:
    mine, theirs = pair(name, options)
    x, hx, leaves = case(name, options, torch.float64)
    first = options.get("batch_first", False)
    lengths = sorted(LENGTHS, reverse=True) if form == "packed sorted" else LENGTHS

    def call(module: nn.Module) -> Any:
        if form == "whole":
            return module(x, hx)
        if form == "packed sorted":
            return module(pack_padded_sequence(x, lengths, batch_first=first), hx)
        if form == "packed" or module is theirs:
            return module(packed(x, lengths, first), hx)
        output, state = module(x, hx, lengths=lengths)
        return output.transpose(0, 1) if first else output, state

    expected = with_gradients(theirs, call, leaves)
    torch.testing.assert_close(with_gradients(mine, call, leaves), expected, rtol=1e-10, atol=1e-10)
    if form == "packed":
        output, reference = call(mine)[0], call(theirs)[0]
        assert torch.equal(output.batch_sizes, reference.batch_sizes)
        assert torch.equal(output.sorted_indices, reference.sorted_indices)
        torch.testing.assert_close(output.data, reference.data)


@each_module
def test_without_a_state_it_starts_at_zero(name: str, options: dict[str, Any]) -> None:
    mine, theirs = pair(name, options)
    x, _, leaves = case(name, options, torch.float64)
    for call in (lambda m: m(x), lambda m: m(packed(x, LENGTHS, options.get("batch_first", False)))):
        expected = with_gradients(theirs, call, leaves[:1])
        torch.testing.assert_close(with_gradients(mine, call, leaves[:1]), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@each_module
def test_float32_errs_at_most_twice_as_much_as_torch(name: str, options: dict[str, Any]) -> None:
    """The largest error over outputs, states and gradients, each relative to its own size, against float64."""
    mine, theirs = pair(name, options, torch.float32, 33, 40)
    exact = copy.deepcopy(theirs).double()
    torch.manual_seed(6)
    x = torch.randn(20, 16, 33, requires_grad=True)
    precise = x.detach().double().requires_grad_()
    truth = with_gradients(exact, lambda m: m(precise), [precise])
    worst = []
    for module in (mine, theirs):
        found = with_gradients(module, lambda m: m(x), [x])
        worst.append(max(float((f.double() - t).norm() / t.norm()) for f, t in zip(found, truth, strict=True)))
    assert worst[0] <= 2 * worst[1]


@each_module
@pytest.mark.parametrize("hidden", [1, 7, 17, 33])
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (4, 1)])
def test_awkward_sizes(name: str, options: dict[str, Any], hidden: int, steps: int, batch: int) -> None:
    if options.get("proj_size", 0) >= hidden:
        pytest.skip("torch projects to fewer units only")
    mine, theirs = pair(name, options, hidden=hidden)
    x = torch.randn((batch, steps, I) if options.get("batch_first") else (steps, batch, I), dtype=torch.float64)
    hx = begin(name, options, torch.float64, batch, hidden)
    expected = with_gradients(theirs, lambda m: m(x, hx), flat(hx))
    found = with_gradients(mine, lambda m: m(x, hx), flat(hx))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@each_module
def test_without_a_batch(name: str, options: dict[str, Any]) -> None:
    mine, theirs = pair(name, options)
    x = torch.randn(T, I, dtype=torch.float64)  # batch_first or not
    hx = begin(name, options, torch.float64)
    hx = tuple(v[:, 0] for v in hx) if isinstance(hx, tuple) else hx[:, 0]
    for state in (None, hx):
        torch.testing.assert_close(flat(mine(x, state)), flat(theirs(x, state)), rtol=1e-10, atol=1e-10)


@each_module
def test_non_contiguous_input(name: str, options: dict[str, Any]) -> None:
    mine, theirs = pair(name, options)
    shape = (B, T, I) if options.get("batch_first") else (T, B, I)
    x = torch.randn(shape[1], 2 * shape[0], I, dtype=torch.float64)[:, ::2].transpose(0, 1)
    hx = begin(name, options, torch.float64)
    strided = tuple(v.mT.contiguous().mT for v in hx) if isinstance(hx, tuple) else hx.mT.contiguous().mT
    assert not x.is_contiguous()
    torch.testing.assert_close(flat(mine(x, strided)), flat(theirs(x, hx)), rtol=1e-10, atol=1e-10)


@each_module
def test_weights_keys_order_and_first_draw(name: str, options: dict[str, Any]) -> None:
    """Both ways: torch loads ours, strictly; the same seed draws the same weights."""
    torch.manual_seed(8)
    theirs = getattr(nn, name)(I, H, **options)
    torch.manual_seed(8)
    mine = getattr(ours, name)(I, H, **options)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for key, value in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[key], value), key
    torch.manual_seed(9)
    fresh = getattr(ours, name)(I, H, **options)
    theirs.load_state_dict(fresh.state_dict())
    x = torch.randn(2, 3, I)
    torch.testing.assert_close(flat(fresh(x)), flat(theirs(x)))
    assert [len(group) for group in mine.all_weights] == [len(group) for group in theirs.all_weights]


@each_module
def test_attributes_of_torch(name: str, options: dict[str, Any]) -> None:
    mine, theirs = pair(name, {**options, "num_layers": 2, "dropout": 0.2})
    for attribute in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(mine, attribute) == getattr(theirs, attribute), attribute
    assert mine.proj_size == theirs.proj_size
    mine.flatten_parameters()


def test_arguments_stand_in_the_order_of_torch() -> None:
    for name, arguments in {
        "LSTM": (I, H, 2, False, True, 0.5, True, 3, "cpu", torch.float64),
        "GRU": (I, H, 2, False, True, 0.5, True),  # what follows is proj_size in torch's code, device in its signature
        "RNN": (I, H, 2, "relu", False, True, 0.5, True),
        "LSTMCell": (I, H, False, "cpu", torch.float64),
        "GRUCell": (I, H, False, "cpu", torch.float64),
        "RNNCell": (I, H, False, "relu", "cpu", torch.float64),
    }.items():
        mine, theirs = getattr(ours, name)(*arguments), getattr(nn, name)(*arguments)
        shapes = [{k: (v.shape, v.dtype) for k, v in m.state_dict().items()} for m in (mine, theirs)]
        assert shapes[0] == shapes[1], name
        for attribute in ("bias", "batch_first", "dropout", "bidirectional", "nonlinearity"):
            if hasattr(theirs, attribute) and not name.endswith("Cell"):
                assert getattr(mine, attribute) == getattr(theirs, attribute), (name, attribute)


@each_cell_module
def test_cell_modules(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(10)
    theirs = getattr(nn, name)(I, H, dtype=torch.float64, **options)
    torch.manual_seed(10)
    mine = getattr(ours, name)(I, H, dtype=torch.float64, **options)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(B, H, dtype=torch.float64, requires_grad=True) for _ in range(2 if "LSTM" in name else 1)]
    hx = tuple(states) if len(states) > 1 else states[0]
    expected = with_gradients(theirs, lambda m: m(x, hx), [x, *states])
    torch.testing.assert_close(with_gradients(mine, lambda m: m(x, hx), [x, *states]), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(flat(mine(x)), flat(theirs(x)), rtol=1e-10, atol=1e-10)
    row = tuple(s[0] for s in states) if len(states) > 1 else states[0][0]
    for state in (None, row):
        torch.testing.assert_close(flat(mine(x[0], state)), flat(theirs(x[0], state)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "options"), [("LSTM", {"peephole": True}), ("GRU", {"reset_after": False})], ids=str)
def test_cell_modules_take_equation_options_and_zoneout(name: str, options: dict[str, Any]) -> None:
    """One step at a time, by the module of one step, gives what the module of all steps gives."""
    torch.manual_seed(11)
    whole = getattr(ours, name)(I, H, zoneout=0.3, dtype=torch.float64, **options).eval()
    step = getattr(ours, f"{name}Cell")(I, H, zoneout=0.3, dtype=torch.float64, **options).eval()
    step.load_state_dict({key.removesuffix("_l0"): value for key, value in whole.state_dict().items()})
    x = torch.randn(T, B, I, dtype=torch.float64)
    hx, outputs = None, []
    for t in range(T):
        hx = step(x[t], hx)
        outputs.append(hx[0] if isinstance(hx, tuple) else hx)
    torch.testing.assert_close(torch.stack(outputs), whole(x)[0], rtol=1e-10, atol=1e-10)
    step.train()
    assert not torch.equal(flat(step(x[0]))[0], flat(step(x[0]))[0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("face", [ours.LSTM, ours.GRU, ours.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_any_cell_under_any_face(cell: str, face: type, bias: bool) -> None:
    module = face(I, H, 2, bidirectional=True, cell=cell, bias=bias, zoneout=0.1)
    x = torch.randn(T, B, I)
    output, state = module(x, lengths=LENGTHS)
    assert output.shape == (T, B, 2 * H)
    states = state if isinstance(state, tuple) else (state,)
    assert [s.shape for s in states] == [(4, B, H)] * len(CELLS[cell].states)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert any("bias" in key for key in module.state_dict()) is bias


def test_carried_state_in_every_form() -> None:
    """What comes back goes in: stacked where all are of one shape, with dilation too, else a list."""
    x = torch.randn(T, B, I, dtype=torch.float64)
    forms: list[tuple[dict[str, Any], Any]] = [
        ({"hidden_size": H, "num_layers": 2}, (2, B, H)),
        ({"hidden_size": H, "num_layers": 2, "dilation": 2, "bidirectional": False}, (2, 2, B, H)),
        ({"sizes": [3, 3]}, (2, B, 3)),
        ({"sizes": [3, 5]}, [(B, 3), (B, 5)]),
        ({"hidden_size": H, "num_layers": 2, "dilation": [1, 2]}, [(B, H), (2, B, H)]),
    ]
    for options, shapes in forms:
        module = ours.LSTM(I, **options, dtype=torch.float64)
        output, (h, c) = module(x)
        for state in (h, c):
            found = state.shape if isinstance(state, Tensor) else [v.shape for v in state]
            assert found == shapes
        first, hx = module(x[:2])
        second, (h2, _) = module(x[2:], hx)
        torch.testing.assert_close(torch.cat([first, second]), output, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(h2, h, rtol=1e-12, atol=1e-12)


def test_dropout_between_layers_is_that_of_torch() -> None:
    """Same seed, same masks: torch draws them as we do, from the output of each layer but the last."""
    mine, theirs = pair("GRU", {"num_layers": 3, "dropout": 0.4})
    x = torch.randn(T, B, I, dtype=torch.float64)
    results = []
    for module in (mine, theirs):
        torch.manual_seed(12)
        results.append(module(x)[0])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)
    with pytest.warns(UserWarning, match="only one layer"):
        ours.LSTM(I, H, dropout=0.5)


HX = torch.zeros(1, B, H)
WRONG_CALLS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("width", lambda: ours.LSTM(I, H)(torch.zeros(T, B, 9)), ShapeError, "x: expected [T, B, 5], got [6, 4, 9]"),
    ("axes", lambda: ours.GRU(I, H, batch_first=True)(torch.zeros(I)), ShapeError, "x: expected [B, T, 5], got [5]"),
    ("type", lambda: ours.RNN(I, H)(torch.zeros(T, B, I).double()), ShapeError, "x: expected torch.float32 as the"),
    ("hx alone", lambda: ours.LSTM(I, H)(torch.zeros(T, B, I), HX), ShapeError, "hx: expected a tuple (h, c), got Te"),
    ("hx of one", lambda: ours.LSTM(I, H)(torch.zeros(T, B, I), (HX,)), ShapeError, "hx: expected a tuple (h, c)"),
    ("hx rows", lambda: ours.GRU(I, H)(torch.zeros(T, B, I), torch.zeros(1, 3, H)), ShapeError, "state 'h' of layer 0: "
     "expected shape [4, 7], got [3, 7]"),
    ("hx layers", lambda: ours.GRU(I, H, 2)(torch.zeros(T, B, I), HX), ShapeError, "hx 'h': expected 2 (layers times "
     "directions), got 1"),
    ("hx with batch", lambda: ours.GRU(I, H)(torch.zeros(T, I), torch.zeros(1, 1, H)), ShapeError, "state 'h'"),
    ("hx a number", lambda: ours.GRU(I, H)(torch.zeros(T, B, I), 3), ShapeError, "hx 'h': expected 1 (layers"),
    ("cell x", lambda: ours.GRUCell(I, H)(torch.zeros(B, 9)), ShapeError, "x: expected"),
    ("cell hx", lambda: ours.LSTMCell(I, H)(torch.zeros(B, I), torch.zeros(B, H)), ShapeError, "hx: expected a tuple"),
    ("lengths", lambda: ours.GRU(I, H)(torch.zeros(T, B, I), lengths=[1]), LengthsError, "lengths: expected 4"),
    ("lengths twice", lambda: ours.GRU(I, H)(packed(torch.zeros(T, B, I), LENGTHS, False), lengths=LENGTHS),
     LengthsError, "lengths: expected none beside a PackedSequence"),
    ("lengths of one", lambda: ours.GRU(I, H)(torch.zeros(T, I), lengths=[T]), LengthsError, "[T, B, I], got [T, I]"),
    ("packed width", lambda: ours.GRU(I, H)(packed(torch.zeros(T, B, 2), LENGTHS, False)), ShapeError, "[N, 5], got"),
]  # fmt: skip
WRONG_OPTIONS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("unknown", lambda: ours.LSTM(I, H, peep=True), OptionError, "cell 'lstm' has no option 'peep'; it has: peephole, "
     "coupled, layer_norm, projection"),
    ("of another cell", lambda: ours.GRU(I, H, peephole=True), OptionError, "it has: reset_after, z_keeps"),
    ("proj_size", lambda: ours.LSTM(I, H, proj_size=2, cell="gru"), OptionError, "has no option 'projection'"),
    ("twice", lambda: ours.LSTM(I, H, proj_size=2, projection=2), ConfigError, "proj_size and projection"),
    ("activation", lambda: ours.RNN(I, H, activation="relu"), ConfigError, "nonlinearity"),
    ("nonlinearity", lambda: ours.RNN(I, H, nonlinearity="gelu"), OptionError, "sigmoid, got 'gelu'"),
    ("no nonlinearity", lambda: ours.RNN(I, H, nonlinearity="relu", cell="gru"), OptionError, "no option 'activation'"),
    ("cell", lambda: ours.LSTM(I, H, cell="lsmt"), ConfigError, "unknown cell 'lsmt'; did you mean 'lstm'?"),
    ("no size", lambda: ours.LSTM(I), ConfigError, "expected hidden_size and num_layers, or sizes"),
    ("two sizes", lambda: ours.LSTM(I, H, sizes=[1]), ConfigError, "or sizes instead of both"),
    ("layers", lambda: ours.LSTM(I, H, 0), ConfigError, "num_layers: expected a whole number from 1, got 0"),
    ("hidden", lambda: ours.LSTM(I, 0), ConfigError, "hidden_size: expected a whole number from 1, got 0"),
    ("fraction", lambda: ours.LSTM(I, 2.5), ConfigError, "hidden_size: expected a whole number from 1, got 2.5"),
    ("dropout", lambda: ours.LSTM(I, H, 2, dropout=1.5), ConfigError, "dropout: expected a probability"),
    ("cell option", lambda: ours.GRUCell(I, H, dilation=2), OptionError, "no option 'dilation'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"), [row[1:] for row in WRONG_CALLS], ids=[r[0] for r in WRONG_CALLS]
)
def test_wrong_calls(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "message"), [row[1:] for row in WRONG_OPTIONS], ids=[r[0] for r in WRONG_OPTIONS]
)
def test_wrong_options(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"peephole": True, "dilation": 2}], ids=str)
def test_copies_and_pickles(options: dict[str, Any]) -> None:
    module = ours.LSTM(I, H, 2, **options)
    x = torch.randn(T, B, I)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied(x)[0], module(x)[0])
        assert copied.stack.cell is module.stack.cell
        assert all(a is not b for a, b in zip(copied.parameters(), module.parameters(), strict=True))


def test_functional_call_and_double_follow_the_parameters() -> None:
    module = ours.LSTM(I, H, bias=False)
    x = torch.randn(T, B, I)
    zeros = {name: torch.zeros_like(value) for name, value in module.named_parameters()}
    assert not torch.func.functional_call(module, zeros, (x,))[0].any()
    assert module.double()(x.double())[0].dtype == torch.float64
    meta = ours.LSTM(I, H, bias=False, device="meta").to_empty(device="cpu")
    meta.reset_parameters()
    assert meta(x)[0].isfinite().all()


@pytest.mark.parametrize("name", ["recurra.nn", "recurra.layers.recurrent"])
def test_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_runs_in_its_type(name: str, dtype: torch.dtype) -> None:
    """Output and gradients as near to float32's as bfloat16 allows, whatever type x comes in."""
    torch.manual_seed(0)
    module = getattr(ours, name)(I, H)
    x = torch.randn(T, B, I).to(dtype)
    exact, _ = module(x.float())
    exact.sum().backward()
    expected = {n: p.grad.clone() for n, p in module.named_parameters()}
    module.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = module(x)
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert torch.allclose(output.float(), exact, atol=0.05)
    for n, p in module.named_parameters():
        assert p.grad.dtype == torch.float32
        assert torch.allclose(p.grad, expected[n], atol=0.05 * expected[n].abs().max().item())


def test_no_bias_survives_to_empty() -> None:
    torch.manual_seed(0)
    plain = ours.LSTM(I, H, bias=False)
    moved = ours.LSTM(I, H, bias=False, device="meta").to_empty(device="cpu")
    moved.load_state_dict(plain.state_dict())
    x = torch.randn(T, B, I)
    assert torch.equal(moved(x)[0], plain(x)[0])


def test_dropout_may_be_set_later() -> None:
    module = ours.LSTM(I, H, 2, dropout=0.5)
    module.dropout = 0.0
    x = torch.randn(T, B, I)
    assert torch.equal(module(x)[0], module.eval()(x)[0])
    with pytest.raises(ConfigError, match="dropout: expected a probability"):
        module.dropout = 1.5


def test_another_cell_starts_as_it_says() -> None:
    module = ours.LSTM(I, H, cell="min_lstm")
    assert torch.equal(module.bias_l0[:H], torch.ones(H))  # the forget gate, f
    assert "bias_ih_l0" not in dict(module.named_parameters())
