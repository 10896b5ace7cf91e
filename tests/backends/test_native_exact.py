"""What changes no bit: padding, the order of sequences, the number of threads, what runs beside or ran before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from layers.variants import VARIANTS, label
from torch import Tensor

import recurra
from recurra.layers.recurrent import Recurrent, States, map_state

pytestmark = pytest.mark.usefixtures("native")
each_variant = pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
T, B, I = 9, 21, 5


@pytest.fixture(autouse=True)
def own_threads():
    yield
    recurra.set_num_threads(None)


def make(cell_name: str, options: dict[str, Any], hidden: int, **wrappers: Any) -> Recurrent:
    torch.manual_seed(0)
    sizes = {"sizes": [hidden, hidden]}
    return Recurrent(cell_name, I, backend="native", **sizes, **wrappers, **options)


def ragged(batch: int) -> list[int]:
    drawn = torch.randint(0, T + 1, (batch,), generator=torch.Generator().manual_seed(batch)).tolist()
    return [T, 1, 0, *drawn][:batch]


def equal(first: Any, second: Any) -> bool:
    """To the bit, in tensors, lists and dicts."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    return len(first) == len(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))


def in_order(state: list[States], order: Tensor) -> list[States]:
    return map_state(lambda v: v.index_select(v.dim() - 2, order), state)


@each_variant
@pytest.mark.parametrize("hidden", [7, 65])
@pytest.mark.parametrize("batch", [2, 3, B])
def test_padding_and_order_never_change_a_bit(cell_name: str, options: dict[str, Any], hidden: int, batch: int) -> None:
    model = make(cell_name, options, hidden, bidirectional=True)
    recurra.set_num_threads(2)
    x, lengths = torch.randn(T, batch, I), ragged(batch)
    order = torch.randperm(batch)
    padded = torch.full((T + 4, batch, I), float("nan"))
    for b, length in enumerate(lengths):
        padded[:length, b] = x[:length, b]
    for gradient in (True, False):
        with torch.set_grad_enabled(gradient):
            output, state = model(x, lengths=lengths)
            other, other_state = model(padded[:, order], lengths=torch.tensor(lengths)[order])
        assert torch.equal(other[:T], output[:, order])
        assert not other[T:].any()
        assert equal(other_state, in_order(state, order))


@each_variant
@pytest.mark.parametrize(("batch", "hidden"), [(1, 257), (2, 129), (5, 65), (B, 65)])
def test_the_number_of_threads_changes_no_bit_of_outputs_and_states(
    cell_name: str, options: dict[str, Any], batch: int, hidden: int
) -> None:
    """Enough work that threads are used. Gradients of weights, sums over all rows, agree to the bit as well."""
    model = make(cell_name, options, hidden, bidirectional=True)
    x, lengths = torch.randn(2 * T, batch, I).requires_grad_(), [2 * n for n in ragged(batch)]
    found = []
    for threads in (1, 2, 3):
        recurra.set_num_threads(threads)
        output, state = model(x, lengths=lengths)
        gradients = torch.autograd.grad(output.square().sum(), [x, *model.parameters()], allow_unused=True)
        found.append(([output.detach(), map_state(Tensor.detach, state)], [g for g in gradients if g is not None]))
    for results, gradients in found[1:]:
        assert equal(results, found[0][0])
        assert equal(gradients, found[0][1])


@each_variant
def test_two_directions_side_by_side_are_each_alone(cell_name: str, options: dict[str, Any]) -> None:
    """The backward direction is the forward one on each sequence turned round."""
    both = Recurrent(cell_name, I, 17, bidirectional=True, backend="native", **options)
    alone = Recurrent(cell_name, I, 17, backend="native", **options)
    x, lengths = torch.randn(T, B, I), ragged(B)
    output, state = both(x, lengths=lengths)
    width = both.output_size // 2
    for suffix, reverse in (("_l0", False), ("_l0_reverse", True)):
        mine = {n.removesuffix(suffix) + "_l0": v for n, v in both.state_dict().items() if n.endswith(suffix)}
        alone.load_state_dict({n: v for n, v in mine.items() if n in alone.state_dict()})
        turned = x.clone()
        for b, n in enumerate(lengths):
            turned[:n, b] = x[:n, b].flip(0) if reverse else x[:n, b]
        single, (final,) = alone(turned, lengths=lengths)
        for b, n in enumerate(lengths):
            expected = output[:n, b, width * reverse : width * (reverse + 1)]
            assert torch.equal(single[:n, b].flip(0) if reverse else single[:n, b], expected)
        assert equal(final, state[int(reverse)])


def test_a_run_repeats_to_the_bit() -> None:
    """Memory of an earlier run, of other sizes, is never read."""
    model, other = make("lstm", {"peephole": True}, 33), make("gru", {}, 129)
    x = torch.randn(T, B, I)
    first = model(x, lengths=ragged(B))
    for _ in range(3):
        other(torch.randn(2 * T, 2 * B, I).fill_(float("nan")))[0].sum().backward()
        assert equal(model(x, lengths=ragged(B)), first)
