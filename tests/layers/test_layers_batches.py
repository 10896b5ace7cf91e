"""Batches: padding, order, chunks, dilation, odd sizes, further inputs; and saved weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence
from variants import VARIANTS, label

from recurra.equations import Symbol, Weights, cell, tanh
from recurra.errors import CellError, ShapeError
from recurra.layers.recurrent import Recurrent, States, map_state

T, B, I, H = 6, 4, 3, 4
LENGTHS = [3, 6, 1, 4]
each_variant = pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
STACKS: list[dict[str, Any]] = [
    {"num_layers": 2, "bidirectional": True},
    {"sizes": [4, 3], "dilation": [1, 3]},
    {"num_layers": 2, "bidirectional": True, "dilation": 2, "skip": True},
]


def make(cell_name: str, options: dict[str, Any], **wrappers: Any) -> Recurrent:
    torch.manual_seed(0)
    wrappers |= {} if "sizes" in wrappers else {"hidden_size": H}
    return Recurrent(cell_name, I, dtype=torch.float64, **wrappers, **options)


def random_x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (T, B, I)), dtype=torch.float64)


def assert_close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@each_variant
@pytest.mark.parametrize("wrappers", STACKS, ids=label)
def test_padding_and_order_change_nothing(cell_name: str, options: dict[str, Any], wrappers: dict[str, Any]) -> None:
    """More padding, of NaN at that, and another order of sequences: same outputs, states and gradients."""
    model = make(cell_name, options, **wrappers)
    x = random_x()
    padded = torch.full((T + 3, B, I), float("nan"), dtype=torch.float64)
    for b, length in enumerate(LENGTHS):
        padded[:length, b] = x[:length, b]
    order = torch.tensor([2, 0, 3, 1])
    padded = padded[:, order].requires_grad_()
    output, state = model(x, lengths=LENGTHS)
    other, other_state = model(padded, lengths=torch.tensor(LENGTHS)[order])
    assert_close(other[:T], output[:, order])
    assert not other[T:].any()
    assert not any(output[length:, b].any() for b, length in enumerate(LENGTHS))
    assert_close(other_state, map_state(lambda v: v.index_select(v.dim() - 2, order), state))
    gradients = torch.autograd.grad(other.square().sum(), [padded, *model.parameters()])
    assert_close(list(gradients[1:]), list(torch.autograd.grad(output.square().sum(), [*model.parameters()])))
    for b, length in enumerate(torch.tensor(LENGTHS)[order].tolist()):
        assert not gradients[0][length:, b].any()
        assert bool((gradients[0][:length, b] != 0).any())


@each_variant
@pytest.mark.parametrize("wrappers", STACKS[:2], ids=label)
def test_a_batch_is_its_sequences(cell_name: str, options: dict[str, Any], wrappers: dict[str, Any]) -> None:
    model = make(cell_name, options, **wrappers)
    x = random_x()
    output, state = model(x, lengths=LENGTHS)
    for b, length in enumerate(LENGTHS):
        alone, alone_state = model(x[:length, b : b + 1])
        assert_close(alone[:, 0], output[:length, b])
        assert_close(alone_state, map_state(lambda v, b=b: v.narrow(v.dim() - 2, b, 1), state))


@each_variant
@pytest.mark.parametrize("wrappers", [{"num_layers": 2}, {"num_layers": 3, "dilation": [1, 2, 5]}], ids=label)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_chunks_equal_the_whole(
    cell_name: str, options: dict[str, Any], wrappers: dict[str, Any], lengths: Sequence[int] | None
) -> None:
    """With the state carried, through chunks of 1, 2 and 3 steps; a sequence that has ended keeps its state."""
    model = make(cell_name, options, **wrappers)
    x = random_x()
    whole, final = model(x, lengths=lengths)
    outputs: list[Tensor] = []
    state: list[States] | None = None
    for start, size in ((0, 1), (1, 2), (3, 3)):
        rest = None if lengths is None else [min(max(n - start, 0), size) for n in lengths]
        output, state = model(x[start : start + size], state, rest)
        outputs.append(output)
    assert_close(torch.cat(outputs), whole)
    assert_close(state, final)


def test_chunks_of_a_backward_layer_equal_the_whole() -> None:
    """The backward direction reads the chunks from the last to the first."""
    model = make("lstm", {}, bidirectional=True, dilation=2)
    x = random_x()
    whole, final = model(x)
    state: list[States] | None = None
    outputs: list[Tensor] = []
    for start, size in ((3, 3), (1, 2), (0, 1)):
        output, state = model(x[start : start + size], state)
        outputs.insert(0, output[..., H:])
    assert_close(torch.cat(outputs), whole[..., H:])
    assert state is not None
    assert_close(state[1], final[1])


@each_variant
def test_saved_and_loaded_is_equal_to_the_bit(cell_name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = make(cell_name, options, num_layers=2, bidirectional=True)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = Recurrent(cell_name, I, H, 2, bidirectional=True, dtype=torch.float64, **options)
    x = random_x()
    assert not torch.equal(other(x)[0], model(x)[0])
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other(x, lengths=LENGTHS)[0], model(x, lengths=LENGTHS)[0])


@each_variant
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (5, 1)])
@pytest.mark.parametrize("hidden", [1, 7, 17, 33])
def test_odd_sizes(cell_name: str, options: dict[str, Any], steps: int, batch: int, hidden: int) -> None:
    model = Recurrent(cell_name, 1, hidden, bidirectional=True, **options)
    x = torch.randn(steps, batch, 1, requires_grad=True)
    output, _ = model(x)
    assert output.shape == (steps, batch, model.output_size)
    double = model.double()(x.double())[0]
    torch.testing.assert_close(output.double(), double, rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(double.sum(), list(model.parameters()))
    assert all(g.isfinite().all() for g in gradients)


@each_variant
def test_nothing_to_read(cell_name: str, options: dict[str, Any]) -> None:
    """No steps, or none for any sequence: no output, and the state as it was."""
    model = make(cell_name, options, num_layers=2, bidirectional=True, dilation=2)
    state = map_state(torch.randn_like, model(random_x())[1])
    output, final = model(random_x(0, B, I), state)
    assert output.shape == (0, B, model.output_size)
    assert_close(final, state)
    output, final = model(random_x(), state, [0] * B)
    assert not output.any()
    assert_close(final, state)
    output.sum().backward()


@each_variant
def test_forms_of_input(cell_name: str, options: dict[str, Any]) -> None:
    """Batch first, not contiguous, and packed by torch: the same numbers."""
    model = make(cell_name, options, num_layers=2, bidirectional=True, dilation=[1, 3])
    x = random_x()
    output, state = model(x, lengths=LENGTHS)
    strided = random_x(I, B, 2 * T).permute(2, 1, 0)[::2].copy_(x)
    assert not strided.is_contiguous()
    assert_close(model(strided, lengths=LENGTHS), (output, state))
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    packed_output, packed_state = model(packed)
    assert_close(packed_output.data, pack_padded_sequence(output, torch.tensor(LENGTHS), enforce_sorted=False).data)
    assert_close(packed_state, state)
    model.batch_first = True
    first, first_state = model(x.transpose(0, 1), lengths=LENGTHS)
    assert_close(first.transpose(0, 1), output)
    assert_close(first_state, state)


@cell(source="GRU-D's decay of the state (Che et al. 2018), on an Elman network", sizes={"gap": "number"})
def decaying(x: Symbol, h: Symbol, p: Weights, *, gap: Symbol) -> dict[str, Symbol]:
    return {"h": tanh(p.W_ih @ x + p.W_hh @ (gap * h) + p.b)}


@cell(source="an Elman network that reads a context", sizes={"context": "context_size"})
def informed(x: Symbol, h: Symbol, p: Weights, *, context: Symbol, context_size: int = 6) -> dict[str, Symbol]:
    return {"h": tanh(p.W_ih @ x + p.W_hh @ h + p.W_ch @ context + p.b)}


@cell(source="as `informed`, with the size of the context left open")
def uninformed(x: Symbol, h: Symbol, p: Weights, *, context: Symbol) -> dict[str, Symbol]:
    return {"h": tanh(p.W_ih @ x + p.W_hh @ h + p.W_ch @ context + p.b)}


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("batch", [2, T])  # T steps, T sequences, rows of T: nothing but the axes tells them apart
@pytest.mark.parametrize("own", [decaying, informed], ids=["number", "row"])
def test_further_inputs(own: Any, batch: int, dilation: int, batch_first: bool, per_step: bool) -> None:
    model = Recurrent(own, I, H, dilation=dilation, batch_first=batch_first, dtype=torch.float64)
    x = random_x(T, batch, I)
    lengths = [T - b % 3 for b in range(batch)]
    row = () if own is decaying else (6,)
    value = random_x(T, batch, *row) if per_step else random_x(batch, *row)
    each = value if per_step else value.expand(T, *value.shape)
    (w,) = model.weights()
    expected = torch.zeros(T, batch, H, dtype=torch.float64)
    for b, length in enumerate(lengths):
        history = [torch.zeros(H, dtype=torch.float64)] * dilation
        for t in range(length):
            old, further = history[t], each[t, b]
            from_h = w["W_hh"] @ (further * old) if own is decaying else w["W_hh"] @ old + w["W_ch"] @ further
            history.append(torch.tanh(w["W_ih"] @ x[t, b] + from_h + w["b"]))
            expected[t, b] = history[-1]
    given = value.transpose(0, 1) if batch_first and per_step else value
    given_x = x.transpose(0, 1) if batch_first else x
    output, _ = model(given_x, lengths=lengths, **{own.inputs[0]: given})
    assert_close(output.transpose(0, 1) if batch_first else output, expected)


def test_further_inputs_that_do_not_fit() -> None:
    x = random_x()
    model = Recurrent(informed, I, H, dtype=torch.float64)
    for inputs, message in (
        ({}, r"further inputs of cell 'informed': expected context, got none"),
        ({"gap": x}, r"expected context, got gap"),
        (
            {"context": random_x(T, B, 5)},
            r"expected \[6, 4, 6\] \(per step\) or \[4, 6\] \(per sequence\), got \[6, 4, 5\]",
        ),
        ({"context": random_x(T, 6)}, r"or \[4, 6\] \(per sequence\), got \[6, 6\]"),
    ):
        with pytest.raises(ShapeError, match=message):
            model(x, **inputs)
    with pytest.raises(ShapeError, match=r"input 'gap': expected \[6, 4\] \(per step\) or \[4\] \(per sequence\)"):
        Recurrent(decaying, I, H, dtype=torch.float64)(x, gap=random_x(B, T))
    with pytest.raises(CellError, match=r"further input 'context' is open; state it in @cell\(sizes="):
        Recurrent(uninformed, I, H)
