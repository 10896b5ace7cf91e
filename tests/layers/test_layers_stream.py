"""Streams of layers: what the layer gives over a whole sequence, step by step, whoever joins, leaves or trains."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from variants import VARIANTS, WRAPPERS, label

import recurra.nn
from recurra.equations import cell, sigmoid, split, tanh
from recurra.errors import BackendError, ConfigError, RecurraError, ShapeError
from recurra.layers.recurrent import Recurrent

pytestmark = pytest.mark.usefixtures("native")

T, B, I, H = 7, 3, 4, 4
STEPPED = [wrapper for wrapper in WRAPPERS if wrapper != {"bidirectional": True}]
PAIRS = [{"residual": True, "skip": True}, {"dilation": [2, 3], "skip": True}, {"zoneout": 0.3, "dilation": 2}]


def reference(module: Any) -> Any:
    """The same module in evaluation mode over [T, B, I], by the definition of correct."""
    found = copy.deepcopy(module).eval()
    found.batch_first = False
    found.stack = replace(found.stack, backend="reference")
    return found


def make(cell: str, options: dict[str, Any], dtype: torch.dtype = torch.float64) -> Recurrent:
    layers = {} if "sizes" in options else {"hidden_size": H, "num_layers": 2}
    return Recurrent(cell, I, **layers, **options, init_range=0.7, dtype=dtype)


def steps(stream: Any, x: Tensor) -> Tensor:
    """[T, B, I] -> [T, B, F]"""
    return torch.stack([stream.step(each) for each in x])


@torch.no_grad()
def check(module: Recurrent, dtype: torch.dtype, bound: float) -> None:
    """Two pieces of a sequence, the state of the first taken out of the stream and put into another."""
    x = torch.randn(T, B, I, dtype=dtype)
    expected, state = reference(module).double()(x.double())
    first = module.stream(B)
    outputs = steps(first, x[:3])
    second = module.stream(B)
    second.state = first.state
    found = torch.cat([outputs, steps(second, x[3:])])
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)
    for values, others in zip(second.state, state, strict=True):
        for name, value in values.items():
            torch.testing.assert_close(value.double(), others[name], rtol=0, atol=bound)


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
def test_a_stream_is_the_layer(cell: str, options: dict[str, Any]) -> None:
    check(make(cell, options), torch.float64, 1e-12)
    check(make(cell, options, torch.float32), torch.float32, 5e-6)


@pytest.mark.parametrize("cell", sorted({cell for cell, _ in VARIANTS}))
@pytest.mark.parametrize("wrapper", [*STEPPED, *PAIRS], ids=label)
def test_wrappers(cell: str, wrapper: dict[str, Any]) -> None:
    try:
        module = make(cell, wrapper)
    except ConfigError:
        pytest.skip("the cell has not this wrapper")
    check(module, torch.float64, 1e-12)


@pytest.mark.parametrize("size", [1, 7, 17, 33, 100])
@pytest.mark.parametrize("batch", [1, 2, 5, 9, 13])
def test_awkward_sizes(size: int, batch: int) -> None:
    module = Recurrent("lstm", size, size + 2, 2, dtype=torch.float64, init_range=0.5)
    x = torch.randn(4, batch, size, dtype=torch.float64)
    with torch.no_grad():
        expected, _ = reference(module)(x)
    torch.testing.assert_close(steps(module.stream(batch), x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [None, "bf16", "int8"])
@pytest.mark.parametrize("size", [5, 40, 130])
def test_a_row_does_not_depend_on_the_others(weights: str | None, size: int) -> None:
    """To the bit, at every batch size from 1 to 17."""
    module = Recurrent("gru", 6, size, init_range=0.5)
    x = torch.randn(3, 17, 6)
    alone = torch.cat([steps(module.stream(1, weights), x[:, row : row + 1]) for row in range(17)], 1)
    for batch in (2, 3, 4, 5, 8, 9, 16, 17):
        assert torch.equal(steps(module.stream(batch, weights), x[:, :batch]), alone[:, :batch])


@pytest.mark.parametrize("options", [{}, {"dilation": 3}, {"skip": True}], ids=label)
@pytest.mark.parametrize("seed", range(4))
def test_sequences_come_and_go(options: dict[str, Any], seed: int) -> None:
    """At random, some with a state: each is, to the bit, what it is in a stream of its own."""
    rng = random.Random(seed)
    module = Recurrent("lstm", I, H, 2, init_range=0.7, **options)
    stream, alone = module.stream(1), [module.stream()]
    for _ in range(60):
        act = rng.random()
        if act < 0.25 and len(alone) < 20:
            n = rng.randint(1, 3)
            other = module.stream(n)
            given = rng.random() < 0.5
            for _ in range(rng.randint(1, 5) if given else 0):
                other.step(torch.randn(n, I))
            state = other.state if given else None
            assert stream.join(n, state) == range(len(alone), len(alone) + n)
            for row in range(n):
                alone.append(module.stream())
                alone[-1].state = [{k: v[..., row : row + 1, :] for k, v in each.items()} for each in other.state]
        elif act < 0.45 and len(alone) > 1:
            going = rng.sample(range(len(alone)), rng.randint(1, len(alone) - 1))
            stream.leave(going)
            alone = [one for row, one in enumerate(alone) if row not in going]
        elif act < 0.5:
            row = rng.randrange(len(alone))
            stream.reset(row)
            alone[row].reset()
        assert stream.batch == len(alone)
        x = torch.randn(len(alone), I)
        assert torch.equal(stream.step(x), torch.cat([one.step(x[row : row + 1]) for row, one in enumerate(alone)]))


def test_all_may_leave() -> None:
    stream = Recurrent("gru", I, H).stream(2)
    stream.leave([1, 0])
    assert stream.step(torch.empty(0, I)).shape == (0, H)
    assert stream.join(2) == range(2)
    assert not stream.state[0]["h"].any()


@pytest.mark.parametrize("face", [recurra.nn.LSTM, recurra.nn.GRU, recurra.nn.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_the_face_of_torch(face: Any, bias: bool) -> None:
    """torch.nn itself is the truth; the state has its form."""
    module = face(I, H, 2, bias=bias, dtype=torch.float64)
    theirs = getattr(torch.nn, face.__name__)(I, H, 2, bias=bias, dtype=torch.float64)
    theirs.load_state_dict(module.state_dict())
    x = torch.randn(T, B, I, dtype=torch.float64)
    with torch.no_grad():
        expected, state = theirs(x)
    stream = module.stream(B)
    torch.testing.assert_close(steps(stream, x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(stream.state, state, rtol=0, atol=1e-12)
    stream.reset()
    stream.state = state
    with torch.no_grad():
        torch.testing.assert_close(steps(stream, x), theirs(x, state)[0], rtol=0, atol=1e-12)


@cell(source="made up for this test", sizes={"context": "input_size", "gap": "number"})
def informed(x, h, p, *, context, gap):  # type: ignore[no-untyped-def]
    i, f = split(p.W_ih @ x + p.W_hh @ h + p.W_c @ context + p.b, "i f")
    return {"h": sigmoid(f) * h + gap * sigmoid(i) * tanh(h + p.v * context)}


def test_further_inputs() -> None:
    module = Recurrent(informed, H, H, 2, dtype=torch.float64)
    x, context = torch.randn(2, T, B, H, dtype=torch.float64)
    gap = torch.rand(T, B, dtype=torch.float64)
    with torch.no_grad():
        expected, _ = reference(module)(x, context=context, gap=gap)
    stream = module.stream(B)
    found = [stream.step(x[t], gap=gap[t], context=context[t].T.contiguous().T) for t in range(T)]
    torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-12)
    for inputs, message in [
        ({}, "further inputs of cell 'informed': expected context, gap, got none"),
        ({"context": context[0]}, "further inputs of cell 'informed': expected context, gap, got context"),
        (
            {"context": context[0, 1:], "gap": gap[0]},
            "input 'context': expected [3, 4], torch.float64, cpu, got [2, 4], torch.float64, cpu",
        ),
        (
            {"context": context[0], "gap": gap[0].float()},
            "input 'gap': expected [3], torch.float64, cpu, got [3], torch.float32, cpu",
        ),
    ]:
        with pytest.raises(ShapeError) as caught:
            stream.step(x[0], **inputs)
        assert str(caught.value) == message


# Weights that change


def trained(module: torch.nn.Module) -> None:
    optimiser = torch.optim.SGD(module.parameters(), 0.5)
    module(torch.randn(T, B, I, dtype=next(module.parameters()).dtype))[0].sum().backward()
    optimiser.step()


def loaded(module: torch.nn.Module) -> None:
    module.load_state_dict({name: value + 0.1 for name, value in module.state_dict().items()})


def assigned(module: torch.nn.Module) -> None:
    module.load_state_dict({name: value + 0.1 for name, value in module.state_dict().items()}, assign=True)


def replaced(module: torch.nn.Module) -> None:
    name, value = next(iter(module.named_parameters()))
    setattr(module, name, torch.nn.Parameter(value.detach() - 0.2))


def moved(module: torch.nn.Module) -> None:
    for value in module.parameters():
        value.data = value.data * 1.5


def strided(module: torch.nn.Module) -> None:
    """A parameter that is not contiguous is copied, and then changes in place."""
    name, value = next((n, v) for n, v in module.named_parameters() if v.dim() == 2)
    setattr(module, name, torch.nn.Parameter(value.detach().T.contiguous().T))
    module.stream(B).step(torch.randn(B, I, dtype=value.dtype))
    with torch.no_grad():
        getattr(module, name).mul_(1.5)


def widened(module: torch.nn.Module) -> None:
    module.double()


CHANGES = [trained, loaded, assigned, replaced, moved, strided]


@pytest.mark.parametrize("weights", [None, "bf16", "int8"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("face", [False, True])
def test_weights_are_never_stale(change: Callable[[Any], None], weights: str | None, face: bool) -> None:
    """After each change a stream goes on as one made after it does from the same state."""
    module: Any = recurra.nn.LSTM(I, H, 2) if face else Recurrent("lstm", I, H, 2)
    stream = module.stream(B, weights)
    for _ in range(2):
        x = torch.randn(B, I)
        before = stream.step(x)
        state = stream.state
        change(module)
        fresh = module.stream(B, weights)
        fresh.state = state
        x = torch.randn(B, I)
        assert torch.equal(stream.step(x), fresh.step(x))
        assert not torch.equal(stream.step(torch.zeros(B, I)), before)


def test_strided_weights_change_in_a_running_stream() -> None:
    module = Recurrent("lstm", I, H)
    module.W_hh_l0 = torch.nn.Parameter(module.W_hh_l0.detach().T.contiguous().T)
    stream, x = module.stream(B), torch.randn(2, B, I)
    stream.step(x[0])
    with torch.no_grad():
        module.W_hh_l0.mul_(1.5)
    fresh = module.stream(B)
    fresh.state = stream.state
    assert torch.equal(stream.step(x[1]), fresh.step(x[1]))


def test_refresh_sees_what_torch_does_not_count() -> None:
    module = Recurrent("lstm", I, H)
    stream, x = module.stream(B, "bf16"), torch.randn(B, I)
    module.W_ih_l0.data.mul_(2)
    stream.refresh()
    assert torch.equal(stream.step(x), module.stream(B, "bf16").step(x))


def test_a_parametrized_module() -> None:
    """torch's parametrizations compute a weight anew each time: so does each step see it."""
    module = Recurrent("lstm", I, H, dtype=torch.float64)
    torch.nn.utils.parametrizations.weight_norm(module, "W_hh_l0")
    x = torch.randn(T, B, I, dtype=torch.float64)
    stream = module.stream(B)
    with torch.no_grad():
        torch.testing.assert_close(steps(stream, x), module(x)[0], rtol=0, atol=1e-12)
        module.parametrizations.W_hh_l0.original0.mul_(1.5)
    stream.reset()
    with torch.no_grad():
        torch.testing.assert_close(steps(stream, x), module(x)[0], rtol=0, atol=1e-12)


def test_a_module_that_changes_type_takes_its_stream_with_it() -> None:
    module = Recurrent("lstm", I, H, 2, dilation=2)
    stream, x = module.stream(B), torch.randn(T, B, I)
    steps(stream, x)
    state = stream.state
    module.double()
    found = stream.step(x[0].double())
    with torch.no_grad():
        doubled = [{name: value.double() for name, value in each.items()} for each in state]
        torch.testing.assert_close(found, module(x[:1].double(), doubled)[0][0], rtol=0, atol=1e-12)
    narrow = module.float().stream(B, "int8")
    module.double()
    with pytest.raises(ConfigError) as caught:
        narrow.step(x[0].double())
    assert str(caught.value) == "stream: expected weights of float32, got torch.float64; convert the module"


def test_the_mode_of_the_module_does_not_matter() -> None:
    module = Recurrent("gru", I, H, 2, dropout=0.5, recurrent_dropout=0.5, weight_dropout=0.5, zoneout=0.2)
    x = torch.randn(T, B, I)
    assert torch.equal(steps(module.train().stream(B), x), steps(module.eval().stream(B), x))


# Rounded weights


@pytest.mark.parametrize(("weights", "bound"), [("bf16", 2**-8), ("int8", 1 / 254)])
def test_rounded_weights_err_by_what_they_are_rounded(weights: str, bound: float) -> None:
    """One product: bf16 is off by 2^-8 of each weight, int8 by half a step of 1/127 of a row's largest weight."""

    @cell(source="made up for this test")
    def product(x, h, p):  # type: ignore[no-untyped-def]
        return {"h": p.W @ x}

    for width, rows in [(300, 70), (7, 200), (64, 1)]:
        module = Recurrent(product, width, rows)
        x = torch.randn(5, width)
        W = module.W_l0.detach().double()
        exact = x.double() @ W.T
        most = W.abs() if weights == "bf16" else W.abs().amax(1, keepdim=True).expand_as(W)
        allowed = x.double().abs() @ (most * bound).T + 1e-5
        error = (module.stream(5, weights).step(x).double() - exact).abs()
        assert (error <= allowed).all()
        assert error.max() > allowed.max() * 1e-3


def test_bf16_rounds_as_torch() -> None:
    module = Recurrent("lstm", I, H, 2, init_range=0.7)
    rounded = copy.deepcopy(module)
    with torch.no_grad():
        for value in rounded.parameters():
            if value.dim() == 2:
                value.copy_(value.bfloat16().float())
    x = torch.randn(T, B, I)
    torch.testing.assert_close(steps(module.stream(B, "bf16"), x), steps(rounded.stream(B), x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_rounded_weights_that_are_not_finite(weights: str) -> None:
    """A weight that is no number is not hidden by rounding it."""
    module = Recurrent("rnn", I, H)
    with torch.no_grad():
        module.W_hh_l0[1, 2] = torch.nan
    stream = module.stream(1, weights)
    assert stream.step(torch.randn(1, I)).isnan().tolist() == [[False, True, False, False]]


# Bad input


X = "x: expected [2, 4], torch.float32, cpu, got"
BAD: list[tuple[Callable[[Any], Any], type[RecurraError], str]] = [
    (lambda s: s.step(torch.zeros(2, 5)), ShapeError, f"{X} [2, 5], torch.float32, cpu"),
    (lambda s: s.step(torch.zeros(1, 2, 4)), ShapeError, f"{X} [1, 2, 4], torch.float32, cpu"),
    (lambda s: s.step(torch.zeros(3, 4)), ShapeError, f"{X} [3, 4], torch.float32, cpu"),
    (lambda s: s.step(torch.zeros(2, 4).double()), ShapeError, f"{X} [2, 4], torch.float64, cpu"),
    (lambda s: s.step(torch.zeros(2, 4, device="meta")), ShapeError, f"{X} [2, 4], torch.float32, meta"),
    (lambda s: s.step([0.0] * 4), ShapeError, "x: expected a tensor, got list"),
    (
        lambda s: s.step(torch.zeros(2, 4), y=torch.zeros(2)),
        ShapeError,
        "further inputs of cell 'lstm': expected none, got y",
    ),
    (lambda s: s.leave(2), ShapeError, "rows: expected numbers from 0 to 1, each once, got [2]"),
    (lambda s: s.leave([0, 0]), ShapeError, "rows: expected numbers from 0 to 1, each once, got [0, 0]"),
    (lambda s: s.reset([-1]), ShapeError, "rows: expected numbers from 0 to 1, each once, got [-1]"),
    (lambda s: s.join(0), ConfigError, "join: expected n of at least 1, got 0"),
    (lambda s: s.join(2, s.state[:0]), ShapeError, "state: expected a list of 1 (one per layer and direction), got 0"),
    (lambda s: s.join(3, s.state), ShapeError, "state 'h' of layer 0: expected shape [3, 3], got [2, 3]"),
    (lambda s: setattr(s, "state", [{"h": torch.zeros(2, 3)}]), ShapeError, "state: expected h, c, got h"),
]


@pytest.mark.parametrize(("act", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input(act: Callable[[Any], Any], error: type[RecurraError], message: str) -> None:
    stream = Recurrent("lstm", 4, 3).stream(2)
    stream.step(torch.randn(2, 4))
    before = stream.state
    with pytest.raises(error) as caught:
        act(stream)
    assert str(caught.value) == message
    assert stream.batch == 2
    torch.testing.assert_close(stream.state, before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "how", "message"),
    [
        (
            {"bidirectional": True},
            {},
            "stream: expected layers of one direction, got bidirectional=True, which reads the end first",
        ),
        ({}, {"weights": "fp8"}, "weights: expected None, 'bf16' or 'int8', got 'fp8'"),
        ({}, {"batch": 0}, "batch: expected a whole number of at least 1, got 0"),
        (
            {"dtype": torch.float16},
            {},
            "stream: expected weights of float32 or float64, got torch.float16; convert the module",
        ),
        (
            {"dtype": torch.float64},
            {"weights": "int8"},
            "stream: expected weights of float32, got torch.float64; convert the module",
        ),
    ],
)
def test_what_has_no_stream(options: dict[str, Any], how: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recurrent("lstm", I, H, **options).stream(**how)
    assert str(caught.value) == message


def test_another_backend_has_no_stream() -> None:
    with pytest.raises(BackendError) as caught:
        Recurrent("lstm", I, H, backend="reference").stream()
    assert str(caught.value).startswith("stream: expected the backend native, got reference;")


def test_a_weight_whose_shape_changed() -> None:
    module = Recurrent("rnn", I, H)
    stream = module.stream()
    module.b_l0 = torch.nn.Parameter(torch.zeros(H + 1))
    with pytest.raises(ShapeError) as caught:
        stream.step(torch.zeros(1, I))
    assert str(caught.value) == "stream: expected 'b_l0' as [4], torch.float32, cpu, got [5], torch.float32, cpu"
    module.b_l0 = torch.nn.Parameter(torch.zeros(H))
    stream.step(torch.zeros(1, I))


def test_threads_each_with_a_stream() -> None:
    module = Recurrent("lstm", 32, 48, 2)
    x = torch.randn(4, 50, 2, 32)
    expected = [steps(module.stream(2), each) for each in x]
    found: list[Tensor | None] = [None] * 4

    def run(number: int) -> None:
        found[number] = steps(module.stream(2), x[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))  # type: ignore[arg-type]


def test_one_stream_from_several_threads() -> None:
    """Steps come one after the other: as many as were asked for."""

    @cell(source="made up for this test")
    def counter(x, n, p):  # type: ignore[no-untyped-def]
        return {"n": n + x}

    stream = Recurrent(counter, 1, 1).stream()
    threads = [threading.Thread(target=lambda: [stream.step(torch.ones(1, 1)) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.state[0]["n"].item() == 2000
