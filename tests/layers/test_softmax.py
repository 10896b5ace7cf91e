"""The output layer with its cross-entropy against torch's, on every backend."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from recurra.backends import BACKENDS
from recurra.errors import ConfigError, DataError, ShapeError
from recurra.layers import linear_cross_entropy, softmax

IGNORED = -100
SIZES = ((1, 1, 1), (2, 3, 5), (9, 7, 33), (17, 1, 257), (33, 64, 48), (70, 33, 1000), (400, 9, 300), (385, 20, 5000))


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "native":
        request.getfixturevalue("native")
    return request.param


def problem(rows, width, classes, *, ignored=0.0, bias=True, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, width, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(classes, width, generator=generator, dtype=torch.float64).to(dtype)
    start = torch.randn(classes, generator=generator, dtype=torch.float64).to(dtype) if bias else None
    targets = torch.randint(classes, (rows,), generator=generator)
    targets[torch.rand(rows, generator=generator) < ignored] = IGNORED
    return features, weight, start, targets


def by_torch(features, weight, bias, targets, **options):
    return cross_entropy(linear(features, weight, bias), targets, **options)


def with_gradients(function, tensors, targets, gradient=None, **options):
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in tensors]
    loss = function(*leaves, targets, **options)
    loss.backward(gradient)
    return [loss.detach(), *(t.grad for t in leaves if t is not None)]


@pytest.mark.parametrize("reduction", softmax.REDUCTIONS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("smoothing", "ignored", "bias"), [(0.0, 0.0, True), (0.1, 0.4, True), (1.0, 0.0, False), (0.0, 0.4, False)]
)
def test_losses_and_gradients(backend, size, smoothing, ignored, bias, reduction):
    *tensors, targets = problem(*size, ignored=ignored, bias=bias)
    if (targets == IGNORED).all():
        targets[0] = 0
    gradient = torch.rand(len(targets), dtype=torch.float64) if reduction == "none" else torch.tensor(0.7).double()
    options = {"label_smoothing": smoothing, "reduction": reduction}
    found = with_gradients(linear_cross_entropy, tensors, targets, gradient, backend=backend, **options)
    wanted = with_gradients(by_torch, tensors, targets, gradient, **options)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    with torch.no_grad():
        alone = linear_cross_entropy(*tensors, targets, backend=backend, **options)
    torch.testing.assert_close(alone, wanted[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_single_precision_errs_at_most_twice_as_much_as_torch(native, scale):
    *tensors, targets = problem(300, 100, 5003, dtype=torch.float32)
    tensors[1] *= scale / 10
    truth = with_gradients(by_torch, [t.double() for t in tensors], targets, reduction="sum")
    theirs = with_gradients(by_torch, tensors, targets, reduction="sum")
    ours = with_gradients(linear_cross_entropy, tensors, targets, reduction="sum", backend="native")
    each = by_torch(*tensors, targets, reduction="none"), linear_cross_entropy(*tensors, targets, reduction="none")
    truths = by_torch(*[t.double() for t in tensors], targets, reduction="none")
    for other, one, true in [*zip(theirs, ours, truth, strict=True), (*each, truths)]:
        rounding = 1e-7 * true.abs().max()
        assert (one - true).abs().max() <= 2 * (other - true).abs().max() + rounding
        assert (one - true).norm() <= 2 * (other - true).norm() + rounding


def test_gradient_checks(native):
    features, weight, bias, targets = problem(5, 3, 7)
    leaves = [t.requires_grad_() for t in (features, weight, bias)]
    targets[1] = IGNORED
    for reduction in softmax.REDUCTIONS:

        def loss(*tensors, reduction=reduction):
            return linear_cross_entropy(*tensors, targets, reduction=reduction, label_smoothing=0.2, backend="native")

        assert torch.autograd.gradcheck(loss, leaves)
        assert torch.autograd.gradgradcheck(loss, leaves)


def test_a_second_pass_backward_gives_the_same(native):
    features, weight, bias, targets = problem(20, 6, 50)
    leaves = [t.requires_grad_() for t in (features, weight, bias)]
    loss = linear_cross_entropy(*leaves, targets, backend="native")
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(loss, leaves, torch.tensor(2.0).double())
    for one, copy, other in zip(first, kept, second, strict=True):
        assert torch.equal(one, copy)
        torch.testing.assert_close(2 * one, other)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("wanted", range(1, 7))
def test_what_is_frozen_has_no_gradient(native, wanted):
    *tensors, targets = problem(30, 8, 90)
    every = with_gradients(linear_cross_entropy, tensors, targets, backend="native")[1:]
    leaves = [t.requires_grad_(bool(wanted >> k & 1)) for k, t in enumerate(tensors)]
    linear_cross_entropy(*leaves, targets, backend="native").backward()
    for leaf, gradient in zip(leaves, every, strict=True):
        if leaf.requires_grad:
            torch.testing.assert_close(leaf.grad, gradient)
        else:
            assert leaf.grad is None


def test_tied_weights_have_the_sum_of_both_gradients(backend):
    _, weight, bias, targets = problem(6, 4, 9)

    def loss(function, weight):
        return function(torch.tanh(torch.embedding(weight, targets.flip(0))), weight, bias, targets)

    ours, theirs = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    loss(lambda *given: linear_cross_entropy(*given, backend=backend), ours).backward()
    loss(by_torch, theirs).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("where", ["bias of a target", "bias of no target", "all biases", "feature"])
def test_infinity_and_nan_go_as_in_torch(backend, number, where):
    features, weight, bias, targets = problem(12, 5, 700)
    if where == "bias of a target":
        bias[targets[3]] = number
    elif where == "bias of no target":
        targets[targets == 699] = 0
        bias[699] = number
    elif where == "all biases":
        bias[:] = number
    else:
        features[2, 1] = number
    for reduction in ("none", "sum"):
        gradient = torch.ones(12).double() if reduction == "none" else None
        found = with_gradients(
            linear_cross_entropy, (features, weight, bias), targets, gradient, reduction=reduction, backend=backend
        )
        wanted = with_gradients(by_torch, (features, weight, bias), targets, gradient, reduction=reduction)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


def test_classes_ruled_out(native):
    features, weight, bias, targets = problem(12, 5, 9000)
    targets %= 3000
    bias[3000:] = -float("inf")
    found = with_gradients(linear_cross_entropy, (features, weight, bias), targets, backend="native")
    wanted = with_gradients(linear_cross_entropy, (features, weight[:3000], bias[:3000]), targets, backend="reference")
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1])
    torch.testing.assert_close(found[2][:3000], wanted[2])
    assert not found[2][3000:].any()


def test_logits_far_from_zero(backend):
    features, weight, bias, targets = problem(4, 3, 40, dtype=torch.float32)
    bias += 1e4
    weight *= 1e3
    found = linear_cross_entropy(features, weight, bias, targets, reduction="none", backend=backend)
    torch.testing.assert_close(found, by_torch(features, weight, bias, targets, reduction="none"))


def test_no_rows_that_count(backend):
    for rows in (0, 3):
        *tensors, targets = problem(rows, 4, 6)
        targets[:] = IGNORED
        loss, *gradients = with_gradients(linear_cross_entropy, tensors, targets, reduction="sum", backend=backend)
        assert loss == 0
        assert not any(gradient.any() for gradient in gradients)
        assert [g.shape for g in gradients] == [t.shape for t in tensors]
        assert linear_cross_entropy(*tensors, targets, backend=backend).isnan()


def test_an_ignored_row_may_be_anything(native):
    features, weight, bias, targets = problem(4, 3, 5)
    features[2], targets[2], targets[[0, 1, 3]] = float("nan"), 7, 4
    loss, d_features, d_weight, _ = with_gradients(
        linear_cross_entropy, (features, weight, bias), targets, ignore_index=7, reduction="sum", backend="native",
    )  # fmt: skip
    assert loss.isfinite()
    assert d_weight.isfinite().all()
    assert not d_features[2].any()


def test_tensors_that_are_not_contiguous(native):
    features, weight, bias, targets = problem(40, 10, 60)
    found = linear_cross_entropy(
        features.T.contiguous().T, weight[:, ::2].repeat(1, 2), bias.repeat_interleave(2)[::2],
        targets.repeat_interleave(2)[::2], backend="native",
    )  # fmt: skip
    torch.testing.assert_close(found, by_torch(features, weight[:, ::2].repeat(1, 2), bias, targets))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_are_computed_in_single_precision(native, dtype):
    *tensors, targets = problem(40, 30, 200, dtype=dtype)
    found = with_gradients(linear_cross_entropy, tensors, targets, backend="native")
    wanted = with_gradients(by_torch, [t.float() for t in tensors], targets)
    assert {t.dtype for t in found} == {dtype}
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other.to(dtype))


def test_autocast(native):
    *tensors, targets = problem(40, 30, 200, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = with_gradients(linear_cross_entropy, tensors, targets, backend="native")
        theirs = with_gradients(by_torch, tensors, targets)
    rounded = with_gradients(by_torch, [t.bfloat16().float() for t in tensors], targets)
    assert [t.dtype for t in found] == [t.dtype for t in theirs]
    for one, other, narrow in zip(found, rounded, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=1e-4)
        torch.testing.assert_close(one, narrow, rtol=5e-2, atol=5e-3)


@pytest.mark.parametrize("target", [10, -1, 2**40, -(2**62)])
@pytest.mark.parametrize("differentiable", [False, True])
def test_a_target_that_is_no_class(backend, target, differentiable):
    features, weight, bias, targets = problem(3, 4, 10)
    targets[2] = target
    with pytest.raises(DataError, match=rf"^targets: expected 0 to 9, or -100 to ignore.*{target}"):
        linear_cross_entropy(features, weight.requires_grad_(differentiable), bias, targets, backend=backend)


WRONG = {
    "features: expected [N, F], got [4]": {"features": torch.zeros(4)},
    "weight: expected [V, 4] as the features, got [10, 3]": {"weight": torch.zeros(10, 3)},
    "weight: expected [V, 4] as the features, got [0, 4]": {"weight": torch.zeros(0, 4)},
    "bias: expected [10] as the weight, got [9]": {"bias": torch.zeros(9)},
    "targets: expected [3] of int64, got [2] of torch.int64": {"targets": torch.zeros(2).long()},
    "targets: expected [3] of int64, got [3] of torch.int32": {"targets": torch.zeros(3).int()},
    "features, weight and bias: expected one type, got torch.float32, torch.float64; convert with x.to(...)": {
        "bias": torch.zeros(10).double()
    },
    "label_smoothing: expected 0 to 1, got 1.5": {"label_smoothing": 1.5},
    "label_smoothing: expected 0 to 1, got nan": {"label_smoothing": float("nan")},
    "reduction: expected mean, sum, none, got 'average'": {"reduction": "average"},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    right = {
        "features": torch.zeros(3, 4), "weight": torch.zeros(10, 4), "bias": None, "targets": torch.zeros(3).long()
    }  # fmt: skip
    with pytest.raises((ShapeError, ConfigError)) as raised:
        linear_cross_entropy(**right | WRONG[message])
    assert str(raised.value) == message


def test_torch_computes_some_rows_at_a_time(monkeypatch):
    features, weight, bias, targets = problem(20, 4, 9, ignored=0.3)
    monkeypatch.setattr(softmax, "LOGITS", 30)
    for reduction in softmax.REDUCTIONS:
        found = linear_cross_entropy(features, weight, bias, targets, reduction=reduction, backend="reference")
        with torch.no_grad():
            chunked = linear_cross_entropy(features, weight, bias, targets, reduction=reduction, backend="reference")
        torch.testing.assert_close(found, chunked)
