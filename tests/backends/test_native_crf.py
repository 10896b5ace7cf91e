"""The native conditional random field: as torch operators, its rounding, threads, and memory that is never left."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from recurra.backends import get_num_threads, linear_chain, set_num_threads
from recurra.backends.linear_chain import Chain

pytestmark = pytest.mark.usefixtures("native")


@pytest.fixture
def several_threads():
    yield set_num_threads
    set_num_threads(None)


def random_chain(steps, batch, tags, *, scale=1.0, forbidden=0.0, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    lengths = torch.randint(1, steps + 1, (batch,), generator=generator)
    lengths[-1] = steps
    transitions = numbers(tags, tags)
    never = torch.rand(tags, tags, generator=generator) < forbidden
    transitions[never.fill_diagonal_(False)] = -float("inf")
    chain = Chain(numbers(steps, batch, tags), lengths, transitions, numbers(tags), numbers(tags))
    if forbidden:  # staying at one tag is never forbidden
        gold = torch.randint(tags, (batch,), generator=generator).expand(steps, batch).contiguous()
    else:
        gold = torch.randint(tags, (steps, batch), generator=generator)
    return chain, gold


def results(values, chain, gold):
    """Values, and the gradients of their sum."""
    floats = [t.detach().clone().requires_grad_() for t in (chain.emissions, *chain[2:])]
    each = values(Chain(floats[0], chain.lengths, *floats[1:]), gold, summed=False)
    return [each.detach(), *torch.autograd.grad(each.sum(), floats)]


def native_values(*given, **options):
    from recurra.backends.native import crf

    return crf.values(*given, **options)


@pytest.mark.parametrize("forbidden", [0.0, 0.4])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("size", [(1, 40, 17), (40, 32, 17), (60, 8, 13), (30, 4, 150), (300, 3, 5)], ids=str)
def test_single_precision_errs_at_most_twice_as_much_as_torch(size, scale, forbidden):
    chain, gold = random_chain(*size, scale=scale, forbidden=forbidden, dtype=torch.float32)
    doubles = Chain(*(t.double() if t.is_floating_point() else t for t in chain))
    truth = results(linear_chain.values, doubles, gold)
    theirs = results(linear_chain.values, chain, gold)
    ours = results(native_values, chain, gold)
    for other, one, true in zip(theirs, ours, truth, strict=True):
        rounding = 1e-7 * true.abs().max()
        assert (one - true).abs().max() <= 2 * (other - true).abs().max() + rounding
        assert (one - true).norm() <= 2 * (other - true).norm() + rounding


@pytest.mark.parametrize("size", [(40, 33, 17), (7, 5, 200), (300, 4, 30)], ids=str)
def test_any_number_of_threads_gives_the_same(several_threads, size):
    chain, gold = random_chain(*size)
    several_threads(1)
    alone = results(native_values, chain, gold)
    paths = torch.ops.recurra.chain_best_paths(*chain, 3)
    for count in (2, 3, 7):
        several_threads(count)
        assert get_num_threads() == count
        found = results(native_values, chain, gold)
        for place in (0, 1, 3, 4):  # all but the gradient of the transitions, which is a sum over the threads
            assert torch.equal(found[place], alone[place])
        torch.testing.assert_close(found[2], alone[2], rtol=1e-12, atol=1e-12)
        for one, other in zip(torch.ops.recurra.chain_best_paths(*chain, 3), paths, strict=True):
            assert torch.equal(one, other)


def test_a_second_pass_backward_gives_the_same():
    chain, gold = random_chain(6, 4, 5)
    floats = [t.requires_grad_() for t in (chain.emissions, *chain[2:])]
    loss = native_values(chain, gold, summed=True)
    first = torch.autograd.grad(loss, floats, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(loss, floats, torch.tensor(2.0).double())
    for one, copy, other in zip(first, kept, second, strict=True):
        assert torch.equal(one, copy)
        torch.testing.assert_close(2 * one, other)


@pytest.mark.parametrize("wanted", range(1, 16))
@pytest.mark.parametrize("summed", [False, True])
def test_what_is_frozen_has_no_gradient(wanted, summed):
    chain, gold = random_chain(6, 4, 5)
    every = results(native_values, chain, gold)[1:]
    floats = [t.requires_grad_(bool(wanted >> k & 1)) for k, t in enumerate((chain.emissions, *chain[2:]))]
    native_values(chain, gold, summed=summed).sum().backward()
    for leaf, gradient in zip(floats, every, strict=True):
        if leaf.requires_grad:
            torch.testing.assert_close(leaf.grad, gradient)
        else:
            assert leaf.grad is None


def test_tensors_that_are_not_contiguous():
    chain, gold = random_chain(6, 4, 5)
    strange = Chain(
        chain.emissions.transpose(0, 2).contiguous().transpose(0, 2),
        chain.lengths.repeat_interleave(2)[::2],
        chain.transitions.T.contiguous().T,
        chain.start.repeat_interleave(2)[::2],
        chain.end.expand(2, 5)[1],
    )
    for one, other in zip(
        results(native_values, strange, gold.T.contiguous().T), results(native_values, chain, gold), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_shapes_are_known_without_numbers():
    chain, gold = random_chain(6, 4, 5)
    operators = torch.ops.recurra
    real = [
        operators.chain_values(*chain, gold), *operators.chain_gradient(*chain, gold, None),
        *operators.chain_best_paths(*chain, 3),
    ]  # fmt: skip
    with FakeTensorMode() as mode:
        *fake, fake_gold = (mode.from_tensor(t) for t in (*chain, gold))
        found = [
            operators.chain_values(*fake, fake_gold), *operators.chain_gradient(*fake, fake_gold, None),
            *operators.chain_best_paths(*fake, 3),
        ]  # fmt: skip
    assert [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in real]


def test_an_index_out_of_range_never_reaches_memory():
    """The layer's own checks come first; this is what stands behind them."""
    chain, gold = random_chain(6, 4, 5)
    for wrong in (0, 7, -1, 2**40):
        lengths = chain.lengths.clone()
        lengths[1] = wrong
        with pytest.raises(ValueError, match="lengths from 1"):
            torch.ops.recurra.chain_values(*chain._replace(lengths=lengths), None)
        with pytest.raises(ValueError, match="lengths from 1"):
            torch.ops.recurra.chain_best_paths(*chain._replace(lengths=lengths), 1)
    for wrong in (-1, 5, 2**40):
        gold[0, 2] = wrong
        with pytest.raises(ValueError, match="tags below"):
            torch.ops.recurra.chain_values(*chain, gold)
