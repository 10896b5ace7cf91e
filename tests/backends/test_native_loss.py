"""The native cross-entropy as a torch operator: shapes without numbers, threads, memory."""

import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from recurra.backends import get_num_threads, set_num_threads
from recurra.layers import linear_cross_entropy

pytestmark = pytest.mark.usefixtures("native")


@pytest.fixture
def several_threads():
    yield set_num_threads
    set_num_threads(None)


def results(rows, width, classes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(rows, width, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(classes, width, generator=generator, dtype=dtype).requires_grad_()
    bias = torch.randn(classes, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.randint(classes, (rows,), generator=generator)
    options = {"label_smoothing": 0.1, "backend": "native"}
    loss = linear_cross_entropy(features, weight, bias, targets, **options)
    loss.backward()
    with torch.no_grad():
        each = linear_cross_entropy(features, weight, bias, targets, reduction="none", **options)
    return [loss.detach(), each, features.grad, weight.grad, bias.grad]


@pytest.mark.parametrize("size", [(500, 20, 70), (130, 40, 3000), (9, 300, 9000), (700, 200, 2000)], ids=str)
def test_any_number_of_threads_gives_the_same(several_threads, size):
    several_threads(1)
    alone = results(*size)
    for count in (2, 3, 7):
        several_threads(count)
        assert get_num_threads() == count
        for one, other in zip(results(*size), alone, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", [(True, True, True), (False, True, False)])
def test_shapes_are_known_without_numbers(wanted):
    real = [torch.zeros(6, 4), torch.zeros(9, 4), torch.zeros(9), torch.zeros(6).long()]
    options = (-100, 0.0)
    losses = torch.ops.recurra.linear_cross_entropy(*real, *options)
    gradients = torch.ops.recurra.linear_cross_entropy_gradient(*real, *options, None, wanted)
    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(t) for t in real]
        assert torch.ops.recurra.linear_cross_entropy(*fake, *options).shape == losses.shape
        found = torch.ops.recurra.linear_cross_entropy_gradient(*fake, *options, None, wanted)
    assert [t.shape for t in found] == [t.shape for t in gradients]
    assert [t.shape == like.shape for t, like in zip(gradients[1:], real, strict=False)] == list(wanted)


MEMORY = """
import resource, torch
from recurra.layers import linear_cross_entropy
rows, width, classes = 2000, 16, 50_000
features, weight = torch.randn(rows, width).requires_grad_(), torch.randn(classes, width).requires_grad_()
targets = torch.randint(classes, (rows,))
linear_cross_entropy(features[:10], weight, None, targets[:10], backend="native").backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    linear_cross_entropy(features, weight, None, targets, backend="native", reduction="none")
middle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
linear_cross_entropy(features, weight, None, targets, backend="native").backward()
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((middle - before) / 1024, (after - before) / 1024)
"""


def test_logits_are_never_held():
    """All of them would be 400 MB."""
    output = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    evaluating, training = map(float, output.split())
    assert evaluating < 16
    assert training < 48
