"""Tensors of torch's own class whose numbers only torch's way to a kernel can read give what plain ones give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from recurra.backends.plain import is_plain
from recurra.layers.recurrent import Recurrent
from recurra.layers.softmax import linear_cross_entropy

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": torch._neg_view,
    "zeros without memory": lambda x: torch._efficientzerotensor(x.shape, dtype=x.dtype),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_inputs_and_gradients_that_are_views(view: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    layer = Recurrent("lstm", 4, 8)
    x = torch.randn(3, 2, 4)
    strange = view(x)
    plain = strange + torch.zeros(3, 2, 4)  # the same numbers, in memory
    assert is_plain([x])
    assert not is_plain([strange])
    torch.testing.assert_close(layer(strange)[0], layer(plain)[0], rtol=0, atol=0)
    weights = list(layer.parameters())
    gradient = view(torch.randn(3, 2, 8))
    found = torch.autograd.grad(layer(x)[0], weights, gradient)
    expected = torch.autograd.grad(layer(x)[0], weights, gradient + torch.zeros(3, 2, 8))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_features_of_an_output_layer_that_are_views(view: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    features, weight, targets = torch.randn(7, 5), torch.randn(6, 5, requires_grad=True), torch.randint(0, 6, (7,))
    strange = view(features)
    plain = strange + torch.zeros(7, 5)
    losses = [linear_cross_entropy(given, weight, None, targets) for given in (strange, plain)]
    torch.testing.assert_close(losses[0], losses[1])
    gradients = [torch.autograd.grad(loss, weight)[0] for loss in losses]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_loss_of_shapes_alone_has_a_gradient() -> None:
    with FakeTensorMode():
        features, weight = torch.randn(7, 5), torch.randn(6, 5, requires_grad=True)
        linear_cross_entropy(features, weight, None, torch.randint(0, 6, (7,)), reduction="sum").backward()
        assert weight.grad is not None
        assert weight.grad.shape == weight.shape


@pytest.mark.parametrize("divisor", [1.0, 3.0])
def test_a_divided_sum(divisor: float) -> None:
    torch.manual_seed(0)
    made = []
    for by in (divisor, 1.0):
        torch.manual_seed(1)
        features, weight = torch.randn(7, 5, requires_grad=True), torch.randn(6, 5, requires_grad=True)
        targets = torch.tensor([0, 5, -100, 2, 3, 1, -100])
        loss = linear_cross_entropy(features, weight, None, targets, reduction="sum", divisor=by) * (by / divisor)
        made.append((loss, *torch.autograd.grad(loss, [features, weight])))
    torch.testing.assert_close(made[0], made[1])


def test_all_targets_ignored_is_nan_with_gradients_of_zero() -> None:
    features, weight = torch.randn(3, 5, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    loss = linear_cross_entropy(features, weight, None, torch.full((3,), -100))
    assert loss.isnan()
    for gradient in torch.autograd.grad(loss, [features, weight]):
        assert not gradient.any()
