"""The reference backend on cells written by hand: double backward, empty batches, masks, what is asked for."""

from __future__ import annotations

import pytest
import torch
from agreement import error, layout_of
from eager import evaluate
from torch import Tensor

from recurra.backends import reference
from recurra.backends.call import Call
from recurra.cells import gru, lstm, lstm_1997
from recurra.equations import Cell, Form, cell, concat, sigmoid, split, stop_gradient, tanh, trace
from recurra.equations.graph import Rate

GRADIENTS = ("derived", "autograd")
Key = tuple[str, str]


def batch(cell: Cell, form: Form, lengths: list[int], seed: int = 0) -> dict[Key, Tensor]:
    """Random tensors for a cell, masks among them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    traced = trace(cell, form)
    tensors = {("state", name): normal(len(lengths), traced.graph.states[name][0].width or 0) for name in cell.states}
    tensors["input", "x"] = normal(sum(lengths), form.input_size)
    for name, node in traced.masks.items():
        rows = sum(lengths) if node.rate is Rate.STEP else len(lengths)
        tensors["input", name] = (normal(rows, node.width or 0) > -0.5).double() / 0.7
    return tensors | {("weight", name): normal(*shape) * 0.5 for name, shape in traced.weights.items()}


def run(
    cell: Cell, form: Form, lengths: list[int], tensors: dict[Key, Tensor], gradient: str = "derived"
) -> tuple[Tensor, ...]:
    return reference.run(Call(cell, form, layout_of(lengths), False, tuple(tensors)), list(tensors.values()), gradient)


def wanting_all(tensors: dict[Key, Tensor]) -> dict[Key, Tensor]:
    return {key: tensor.clone().requires_grad_() for key, tensor in tensors.items()}


def gradients(loss: Tensor, leaves: dict[Key, Tensor]) -> list[Tensor]:
    """With zeros where a leaf is not reached."""
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves.values(), strict=True)]


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_and_gradients_of_gradients_are_numerically_right(gradient: str, reverse: bool) -> None:
    form = Form(2, 3, options=(("reset_after", False),))
    tensors = wanting_all(batch(gru, form, [3, 1]))
    call = Call(gru, form, layout_of([3, 1]), reverse, tuple(tensors))
    assert torch.autograd.gradcheck(lambda *t: reference.run(call, t, gradient), list(tensors.values()))
    assert torch.autograd.gradgradcheck(lambda *t: reference.run(call, t, gradient), list(tensors.values()))


def test_a_gradient_of_a_gradient_respects_stop_gradient() -> None:
    form = Form(2, 3, options=(("truncated", True),))
    tensors = batch(lstm_1997, form, [3, 2])
    found = []
    for gradient in GRADIENTS:
        leaves = wanting_all(tensors)
        output, *_ = run(lstm_1997, form, [3, 2], leaves, gradient)
        (first,) = torch.autograd.grad(output.square().sum(), leaves["state", "c"], create_graph=True)
        found.append(gradients(first.square().sum(), leaves))
    assert max(error(a, b) for a, b in zip(*found, strict=True)) < 1e-12
    assert any(value.any() for value in found[0])


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("lengths", [[], [0, 0], [0]])
def test_an_empty_batch_gives_the_initial_states_and_their_gradients(gradient: str, lengths: list[int]) -> None:
    leaves = wanting_all(batch(lstm, Form(2, 3), lengths))
    output, h, c = run(lstm, Form(2, 3), lengths, leaves, gradient)
    assert output.shape == (0, 3)
    assert torch.equal(h, leaves["state", "h"])
    assert torch.equal(c, leaves["state", "c"])
    found = gradients(output.sum() + 2 * h.sum() + 3 * c.sum(), leaves)
    for (kind, name), value in zip(leaves, found, strict=True):
        expected = {"h": 2.0, "c": 3.0}.get(name, 0.0) if kind == "state" else 0.0
        assert torch.equal(value, torch.full_like(value, expected))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("lengths", [[2, 1], [0, 0]])
def test_one_tensor_may_be_the_initial_value_of_two_states(gradient: str, lengths: list[int]) -> None:
    form = Form(2, 3)
    tensors = batch(lstm, form, lengths)
    one = tensors["state", "h"].clone().requires_grad_()
    shared = {**tensors, ("state", "h"): one, ("state", "c"): one}
    _, h, c = run(lstm, form, lengths, shared, gradient)
    (found,) = torch.autograd.grad((h * c).sum() + h.sum(), one)
    leaves = wanting_all({**tensors, ("state", "c"): tensors["state", "h"]})
    _, h, c = run(lstm, form, lengths, leaves, gradient)
    both = torch.autograd.grad((h * c).sum() + h.sum(), [leaves["state", "h"], leaves["state", "c"]])
    assert error(found, both[0] + both[1]) < 1e-12


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_only_what_is_asked_for_gets_a_gradient(gradient: str) -> None:
    tensors = batch(lstm, Form(2, 3), [3, 1])
    full = wanting_all(tensors)
    everything = torch.autograd.grad(run(lstm, Form(2, 3), [3, 1], full, gradient)[0].sum(), list(full.values()))
    for key, expected in zip(full, everything, strict=True):
        leaves = {**tensors, key: tensors[key].clone().requires_grad_()}
        (found,) = torch.autograd.grad(run(lstm, Form(2, 3), [3, 1], leaves, gradient)[0].sum(), leaves[key])
        assert error(found, expected) < 1e-12, key


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    tensors = batch(lstm, Form(2, 3), [3, 1])
    assert all(t.grad_fn is None for t in run(lstm, Form(2, 3), [3, 1], tensors))
    with torch.no_grad():
        assert all(t.grad_fn is None for t in run(lstm, Form(2, 3), [3, 1], wanting_all(tensors)))


def test_an_input_that_nothing_reads_has_no_gradient() -> None:
    @cell(source="test")
    def deaf(x, h, p):
        return {"h": tanh(p.W_hh @ h)}

    leaves = wanting_all(batch(deaf, Form(2, 3), [3, 1]))
    for gradient in GRADIENTS:
        output, _ = run(deaf, Form(2, 3), [3, 1], leaves, gradient)
        assert torch.autograd.grad(output.sum(), leaves["input", "x"], allow_unused=True) == (None,)


def test_a_second_backward_pass_through_one_run_gives_the_same() -> None:
    leaves = wanting_all(batch(gru, Form(2, 3), [3, 1]))
    output, _ = run(gru, Form(2, 3), [3, 1], leaves)
    first = torch.autograd.grad(output.sum(), list(leaves.values()), retain_graph=True)
    second = torch.autograd.grad(output.sum(), list(leaves.values()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_and_gradients_have_the_dtype_of_the_tensors(dtype: torch.dtype) -> None:
    leaves = wanting_all({key: t.to(dtype) for key, t in batch(gru, Form(2, 3), [3, 1]).items()})
    results = run(gru, Form(2, 3), [3, 1], leaves)
    assert {t.dtype for t in (*results, *torch.autograd.grad(results[0].sum(), list(leaves.values())))} == {dtype}


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_batch_s_rows_do_not_meet(gradient: str) -> None:
    """NaN in one sequence leaves all others alone, forward and backward."""
    form = Form(2, 3, options=(("layer_norm", True),))
    clean = wanting_all(batch(lstm, form, [3, 2, 1]))
    dirty = wanting_all({key: t.detach() for key, t in clean.items()})
    dirty["input", "x"].data[1] = float("nan")  # step 0 of the second sequence
    keep = [0, 2, 3, 5]  # packed rows of the first and the third
    rows = []
    for leaves in (clean, dirty):
        output, *_ = run(lstm, form, [3, 2, 1], leaves, gradient)
        (found,) = torch.autograd.grad(output[keep].sum(), leaves["input", "x"])
        rows.append((output[keep], found[keep]))
    assert all(torch.equal(a, b) for a, b in zip(*rows, strict=True))


# Recurrent dropout: the masked equations written out as cells of their own, whose masks are further inputs.


@cell(source="test")
def masked_lstm(x, h, c, p, *, m0):
    i, f, g, o = split(p.W_ih @ x + p.W_hh @ (m0 * h) + p.b, "i f g o")
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return {"h": sigmoid(o) * tanh(c), "c": c}


@cell(source="test")
def masked_gru(x, h, p, *, m0, m1):
    x_r, x_z, x_n = split(p.W_ih @ x + p.b, "r z n")
    h_r, h_z = split(p.W_hh @ (m0 * h), "r z")
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = tanh(x_n + p.W_hn @ (m1 * (r * h)))
    return {"h": n + z * (h - n)}


@cell(source="test")
def masked_1997(x, h, c, p, *, m0):
    i, g, o = split(p.W_ih @ x + p.W_hh @ (m0 * stop_gradient(h)) + p.b, "i g o")
    c = c + sigmoid(i) * tanh(g)
    return {"h": sigmoid(o) * tanh(c), "c": c}


@cell(source="test")
def joint(x, h, p):
    return {"h": tanh(p.W @ concat(x, h) + p.U @ stop_gradient(h))}


@cell(source="test")
def masked_joint(x, h, p, *, m0):
    return {"h": tanh(p.W @ concat(x, m0 * h) + p.U @ (m0 * stop_gradient(h)))}


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(
    ("plain", "masked", "options"),
    [
        (lstm, masked_lstm, ()),
        (gru, masked_gru, (("reset_after", False),)),
        (lstm_1997, masked_1997, (("truncated", True),)),
        (joint, masked_joint, ()),
    ],
)
def test_recurrent_dropout_masks_what_each_recurrent_product_reads(
    plain: Cell, masked: Cell, options: tuple[tuple[str, bool], ...], gradient: str
) -> None:
    form = Form(2, 3, options=options, recurrent_dropout=True, training=True)
    lengths = [4, 4, 2, 1]
    tensors = batch(plain, form, lengths)
    masks = {name: mask for (kind, name), mask in tensors.items() if name.startswith("recurrent_dropout")}
    written = {(kind, name.replace("recurrent_dropout.", "m")): t for (kind, name), t in tensors.items()}
    widths = tuple((f"m{k}", mask.shape[1], Rate.SEQUENCE) for k, mask in enumerate(masks.values()))
    assert tuple(name for name, *_ in widths) == masked.inputs
    mine, theirs = wanting_all(tensors), wanting_all(written)
    results = run(plain, form, lengths, mine, gradient)
    expected = evaluate(masked, Form(2, 3, inputs=widths), lengths, False, theirs)
    assert max(error(a, b) for a, b in zip(results, expected, strict=True)) < 1e-12
    found = gradients(torch.cat([r.flatten() for r in results]).square().sum(), mine)
    truth = gradients(torch.cat([r.flatten() for r in expected]).square().sum(), theirs)
    assert max(error(a, b) for a, b in zip(found, truth, strict=True)) < 1e-12


def test_in_evaluation_recurrent_dropout_does_nothing() -> None:
    plain, dropped = Form(2, 3), Form(2, 3, recurrent_dropout=True)
    tensors = batch(lstm, plain, [3, 1])
    assert batch(lstm, dropped, [3, 1]).keys() == tensors.keys()
    pairs = zip(run(lstm, plain, [3, 1], tensors), run(lstm, dropped, [3, 1], tensors), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_zoneout_keeps_the_old_state_where_the_mask_is_0(gradient: str) -> None:
    form = Form(2, 3, zoneout=(("h", 0.3), ("c", 0.3)), training=True)
    tensors = batch(lstm, form, [1, 1])
    for name in ("h", "c"):
        tensors["input", f"zoneout.{name}"] = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    new = run(lstm, Form(2, 3), [1, 1], {key: t for key, t in tensors.items() if not key[1].startswith("zoneout")})
    mixed = run(lstm, form, [1, 1], wanting_all(tensors), gradient)
    for k, name in enumerate(("h", "c")):
        mask = tensors["input", f"zoneout.{name}"]
        assert error(mixed[k + 1], torch.where(mask == 1, new[k + 1], tensors["state", name])) < 1e-12
