"""The contract: every cell, option and wrapper, native against reference, in both types, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from layers.variants import DIAGONAL, VARIANTS, WRAPPERS, label
from native_runs import ROUNDING, counted, evaluated, everything, mean_error, random_state, relative_errors
from torch import Tensor

from recurra.backends.native.code import Outer, Total
from recurra.backends.native.compiled import specification, specify
from recurra.cells import CELLS
from recurra.equations.plans import traced
from recurra.layers.recurrent import Recurrent

pytestmark = pytest.mark.usefixtures("native")
TOLERANCE = 1e-10
each_variant = pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)


def make(cell_name: str, options: dict[str, Any], width: int, dtype: torch.dtype, **wrappers: Any) -> Recurrent:
    """With no weight at a value that could hide an error."""
    torch.manual_seed(1)
    model = Recurrent(cell_name, width, dtype=dtype, **wrappers, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.05, 0.6 / max(parameter.shape[-1], 1) ** 0.5 if parameter.dim() > 1 else 0.4)
    return model


def assert_same(model: Recurrent, x: Tensor, lengths: Sequence[int] | None = None) -> None:
    """Results and gradients in training, results in evaluation."""
    batch = x.shape[0 if model.batch_first else 1]
    state = random_state(model, batch)
    expected = everything(model, x, state, lengths, "reference")
    errors = relative_errors(everything(model, x, state, lengths, "native"), expected)
    assert max(errors) < TOLERANCE, errors
    model.eval()
    errors = relative_errors(
        evaluated(model, x, state, lengths, "native"), evaluated(model, x, state, lengths, "reference")
    )
    assert max(errors) < TOLERANCE, errors


def random_x(*shape: int) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@each_variant
@pytest.mark.parametrize("wrapper", [{}, *WRAPPERS], ids=label)
def test_every_wrapper_on_a_ragged_batch(cell_name: str, options: dict[str, Any], wrapper: dict[str, Any]) -> None:
    """Two layers of 4 units; lengths with 0 and 1; states carried in."""
    if cell_name in DIAGONAL and set(wrapper) & {"recurrent_dropout", "weight_dropout"}:
        pytest.skip("nothing for it to act on")
    sizes = {} if "sizes" in wrapper else {"sizes": [4, 4]}
    if "residual" in wrapper and "projection" in options:
        sizes = {"sizes": [5, 6]}
    model = make(cell_name, options, 4, torch.float64, **sizes | wrapper)
    shape = (4, 5, 4) if "batch_first" in wrapper else (5, 4, 4)
    assert_same(model, random_x(*shape), [3, 5, 0, 1])


SIZES = [  # T, B, I, H
    (1, 1, 1, 1),
    (1, 7, 33, 17),
    (7, 1, 1, 33),
    (17, 3, 7, 1),
    (3, 33, 17, 7),
    (2, 9, 33, 257),
    (5, 17, 257, 33),
]


def random_lengths(steps: int, batch: int) -> list[int]:
    """With the whole length, 0 and 1 among them where there are so many."""
    drawn = torch.randint(0, steps + 1, (batch,), generator=torch.Generator().manual_seed(5)).tolist()
    return [steps, 1, 0, *drawn][:batch] if batch < 4 else [*drawn[3:], 0, steps, 1]


@each_variant
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_awkward_sizes_in_both_types(cell_name: str, options: dict[str, Any], size: tuple[int, int, int, int]) -> None:
    """float64 agrees; float32 errs at most twice what the reference errs in it, both against float64."""
    steps, batch, width, hidden = size
    lengths = random_lengths(steps, batch)
    model = make(cell_name, options, width, torch.float64, sizes=[hidden], bidirectional=True)
    x, state = random_x(steps, batch, width), random_state(model, batch)
    truth = everything(model, x, state, lengths, "reference")
    errors = relative_errors(everything(model, x, state, lengths, "native"), truth)
    assert max(errors) < TOLERANCE, errors
    with torch.no_grad():  # the same numbers in both types: those that float32 has
        for value in (x, *(v for s in state for v in s.values()), *model.parameters()):
            value.copy_(value.float())
    truth = everything(model, x, state, lengths, "reference")
    model = model.float()
    x = x.detach().float().requires_grad_()
    state = [{n: v.detach().float().requires_grad_() for n, v in s.items()} for s in state]
    native, reference = (
        mean_error(everything(model, x, state, lengths, backend), truth) for backend in ("native", "reference")
    )
    assert native <= (max(2 * reference, 4 * ROUNDING) if hidden == 1 else 2 * reference)  # of few numbers luck decides


@each_variant
@pytest.mark.parametrize("batch", [3, 12])
def test_memory_that_is_not_contiguous(cell_name: str, options: dict[str, Any], batch: int) -> None:
    """x, states and weights as views with strides of their own."""
    model = make(cell_name, options, 5, torch.float64, sizes=[6])
    for name, parameter in list(model.named_parameters()):
        wide = torch.randn(*parameter.shape[:-1], 2 * parameter.shape[-1], dtype=torch.float64)
        setattr(model, name, torch.nn.Parameter(wide[..., ::2]))
    x = random_x(5, batch, 14).permute(2, 1, 0)[:7, :, :].detach()  # [7, B, 5], columns first
    assert not x.is_contiguous()
    state = [
        {n: v.detach()[:1].expand_as(v).requires_grad_() for n, v in s.items()} for s in random_state(model, batch)
    ]
    for lengths in (None, [7, 1, *range(1, 8), 0, 3, 5][:batch]):
        expected = everything(model, x.requires_grad_(), state, lengths, "reference")
        errors = relative_errors(everything(model, x, state, lengths, "native"), expected)
        assert max(errors) < TOLERANCE, errors


@each_variant
def test_only_what_needs_a_gradient_gets_one(cell_name: str, options: dict[str, Any]) -> None:
    """Each leaf alone, and all but it: equal to the whole's gradient, None elsewhere, and no stage makes the others."""
    model = make(cell_name, options, 3, torch.float64, sizes=[4])
    x, state = random_x(4, 3, 3), random_state(model, 3)
    leaves = {("input", "x"): x} | {("state", n): v for n, v in state[0].items()}
    leaves |= {("weight", n): v for n, v in zip(model.held.names[0], model.parameters(), strict=True)}
    lengths = [4, 1, 3]
    whole = gradients(model, x, state, lengths, list(leaves.values()))
    for alone in leaves:
        for wanted in ([alone], [key for key in leaves if key != alone]):
            for key, leaf in leaves.items():
                leaf.requires_grad_(key in wanted)
            found = gradients(model, x, state, lengths, [leaves[key] for key in wanted])
            chosen = [g for g, key in zip(whole, leaves, strict=True) if key in wanted]
            assert max(relative_errors(found, chosen)) < 1e-12
            assert made_by_stages(cell_name, model, wanted) == {key for key in wanted if key[0] != "state"}
            output, _ = model(x, state, lengths)
            output.sum().backward()
            assert all((leaf.grad is None) for key, leaf in leaves.items() if key not in wanted)
            for leaf in leaves.values():
                leaf.grad = None
    for leaf in leaves.values():
        leaf.requires_grad_()


def gradients(model: Recurrent, x: Tensor, state: Any, lengths: Any, leaves: list[Tensor]) -> list[Tensor]:
    with counted() as counts:
        output, (final,) = model(x, state, lengths)
        loss = (output * torch.linspace(-1, 2, output.numel(), dtype=torch.float64).view_as(output)).sum()
        loss = loss + sum((k + 2) * v.square().sum() for k, v in enumerate(final.values()))
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    assert counts == [1, 1]
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=True)]


def made_by_stages(cell_name: str, model: Recurrent, wanted: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which gradients the stages of the gradient's code write."""
    cell, form = CELLS[cell_name], model.stack.form(0, training=True)
    weights = [("weight", name) for name in traced(cell, form).weights]
    names = (("input", "x"), *(("state", name) for name in cell.states), *weights)
    compiled = specification(
        specify(cell, form, names, False, frozenset(n for kind, n in wanted if kind != "state"))
    ).gradient
    assert compiled is not None
    code = compiled.code
    written: set[int] = set()
    for stage in (*code.before, *code.loop, *code.after):
        if isinstance(stage, Outer):
            written.add(stage.buffer)
        elif isinstance(stage, Total) or hasattr(stage, "result"):
            written.add(code.slots[stage.result.slot].buffer)
        else:
            written |= {code.slots[i.result.slot].buffer for i in stage.instructions if i.result.register is None}
    named = {code.buffers[k].name for k in written}
    return {name[1:] for name in named if isinstance(name, tuple) and name[0] == "gradient" and len(name) == 3}


@each_variant
@pytest.mark.parametrize("dilation", [1, 3])
def test_chunks_with_the_state_carried_equal_the_whole(cell_name: str, options: dict[str, Any], dilation: int) -> None:
    model = make(cell_name, options, 3, torch.float64, sizes=[5, 5], dilation=dilation)
    model.stack.__dict__["backend"] = "native"
    x = random_x(9, 4, 3)
    whole, final = model(x)
    state, outputs = None, []
    for part in x.split([1, 3, 5]):
        output, state = model(part, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)
    leaves = [x, *model.parameters()]
    found = torch.autograd.grad(torch.cat(outputs).square().sum(), leaves)
    torch.testing.assert_close(found, torch.autograd.grad(whole.square().sum(), leaves), rtol=1e-10, atol=1e-10)


@each_variant
def test_a_number_that_is_no_number_stays_in_its_sequence(cell_name: str, options: dict[str, Any]) -> None:
    """NaN and infinity in one sequence leave all others alone, to the bit, forward and backward to x."""
    model = make(cell_name, options, 3, torch.float32, sizes=[9, 9])
    model.stack.__dict__["backend"] = "native"
    clean = random_x(4, 11, 3).detach().float()
    rows = []
    for poison in (None, float("nan"), float("inf")):
        x = clean.clone()
        if poison is not None:
            x[1, 5] = poison
        x.requires_grad_()
        output, _ = model(x, lengths=[4, 2, 4, 3, 4, 4, 1, 4, 4, 4, 2])
        (found,) = torch.autograd.grad(output[:, [k for k in range(11) if k != 5]].sum(), x)
        rows.append([v[:, [k for k in range(11) if k != 5]] for v in (output, found)])
        assert poison is None or not output[1:, 5].isfinite().all()
    assert all(torch.equal(a, b) for other in rows[1:] for a, b in zip(rows[0], other, strict=True))
