"""The native backend among torch's own ways: as torch.nn's modules behave, so do ours."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from native_runs import counted
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import recurra.nn
from recurra.layers.recurrent import Recurrent

pytestmark = pytest.mark.usefixtures("native")
T, B, I, H = 5, 3, 4, 6
PAIRS = [(recurra.nn.LSTM, nn.LSTM), (recurra.nn.GRU, nn.GRU), (recurra.nn.RNN, nn.RNN)]
each_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["LSTM", "GRU", "RNN"])


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_BACKEND", "native")
    torch.manual_seed(0)


def pair(ours: Any, theirs: Any, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Ours and torch's, of the same weights."""
    first, second = ours(I, H, **options), theirs(I, H, **options)
    first.load_state_dict(second.state_dict())
    return first, second


def random_x(**options: Any) -> Tensor:
    return torch.randn(T, B, I, **options)


def flat(result: Any) -> list[Tensor]:
    """Output and states in a row."""
    if isinstance(result, Tensor):
        return [result]
    return [tensor for part in result for tensor in flat(part)]


# Gradients


def by_parameters(model: nn.Module) -> tuple[Callable[..., Any], list[Tensor]]:
    names = [name for name, _ in model.named_parameters()]

    def call(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(flat(torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x,))))

    return call, list(model.parameters())


@pytest.mark.parametrize("options", [{"peephole": True}, {"cell": "gru", "reset_after": False}, {"layer_norm": True}])
def test_gradients_are_numerically_right(options: dict[str, Any]) -> None:
    model = Recurrent(options.pop("cell", "lstm"), 2, 3, bidirectional=True, dtype=torch.float64, **options)
    names = [name for name, _ in model.named_parameters()]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        held = dict(zip(names, weights, strict=True))
        output, state = torch.func.functional_call(model, held, (x,), {"lengths": [3, 1]})
        return (output, *(v for states in state for v in states.values()))

    with counted() as counts:
        assert torch.autograd.gradcheck(call, (x, *model.parameters()))
    assert len(counts) > 10


def test_gradients_of_gradients_are_numerically_right() -> None:
    call, weights = by_parameters(recurra.nn.LSTM(1, 2, dtype=torch.float64))
    x = torch.randn(2, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(call, (x, *weights))


@each_pair
def test_a_gradient_penalty_is_as_torchs(ours: Any, theirs: Any) -> None:
    """create_graph through the kernels, then backward through the gradient."""
    found = []
    x = random_x(dtype=torch.float64)
    for model in pair(ours, theirs):
        leaf = x.clone().requires_grad_()
        model.double()
        (first,) = torch.autograd.grad(model(leaf)[0].square().sum(), leaf, create_graph=True)
        found.append([first.detach(), *torch.autograd.grad(first.square().sum(), [leaf, *model.parameters()])])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("only", ["x", "h", "c", "a weight"])
def test_a_gradient_for_one_tensor_alone(only: str) -> None:
    found = []
    x, h, c = random_x(), torch.randn(1, B, H), torch.randn(1, B, H)
    for model in pair(recurra.nn.LSTM, nn.LSTM):
        model.requires_grad_(False)
        leaf = {"x": x, "h": h, "c": c}.get(only, model.weight_hh_l0).detach().clone().requires_grad_()
        given = {"x": x, "h": h, "c": c} | ({only: leaf} if only != "a weight" else {})
        if only == "a weight":
            model.weight_hh_l0 = nn.Parameter(leaf)
            leaf = model.weight_hh_l0
        loss = model(given["x"], (given["h"], given["c"]))[0].square().sum()
        found.append(torch.autograd.grad(loss, leaf)[0])
    torch.testing.assert_close(*found)


def test_the_graph_may_be_kept_and_run_again() -> None:
    model = recurra.nn.LSTM(I, H)
    output = model(random_x())[0].sum()
    output.backward(retain_graph=True)
    first = model.weight_hh_l0.grad.clone()
    output.backward()
    assert torch.equal(model.weight_hh_l0.grad, 2 * first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        output.backward()


def spoil_output(model: nn.Module, output: Tensor, h: Tensor) -> None:
    output.mul_(2)


def spoil_output_unseen(model: nn.Module, output: Tensor, h: Tensor) -> None:
    with torch.no_grad():
        output.zero_()


def spoil_weight(model: nn.Module, output: Tensor, h: Tensor) -> None:
    with torch.no_grad():
        model.weight_hh_l0.mul_(2)


@pytest.mark.parametrize("spoil", [spoil_output, spoil_output_unseen, spoil_weight])
@each_pair
def test_what_is_changed_in_place_before_the_backward_pass_is_an_error(ours: Any, theirs: Any, spoil: Any) -> None:
    for model in pair(ours, theirs):
        output, state = model(random_x())
        loss = output.square().sum()
        spoil(model, output, flat(state)[0])
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing(reentrant: bool) -> None:
    model = recurra.nn.LSTM(I, H, 2)
    x = random_x(requires_grad=True)
    model(x)[0].square().sum().backward()
    expected = [x.grad, *(p.grad for p in model.parameters())]
    x.grad = None
    model.zero_grad()
    with counted() as counts:
        checkpoint(lambda value: model(value)[0], x, use_reentrant=reentrant).square().sum().backward()
    assert len(counts) == 6  # two layers: forward, forward again, backward
    found = [x.grad, *(p.grad for p in model.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_without_gradients() -> None:
    model = recurra.nn.LSTM(I, H)
    x = random_x()
    with_graph = model(x)[0]
    assert with_graph.requires_grad
    with torch.no_grad():
        assert not model(x)[0].requires_grad
        assert torch.equal(model(x)[0], with_graph)
    with torch.inference_mode():
        output = model(x)[0]
    assert output.is_inference()
    assert torch.equal(output, with_graph)


# Types


@pytest.mark.parametrize(("ours", "theirs"), [PAIRS[0], PAIRS[2]], ids=["LSTM", "RNN"])  # torch's GRU gives float32
def test_autocast_gives_torchs_types(ours: Any, theirs: Any) -> None:
    types, outputs = [], []
    x = random_x()
    for model in pair(ours, theirs):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = flat(model(leaf))
        sum(v.float().square().sum() for v in result).backward()
        types.append([v.dtype for v in (*result, leaf.grad, *(p.grad for p in model.parameters()))])
        outputs.append([v.detach().float() for v in result])
    assert types[0] == types[1]
    assert types[0][0] is torch.bfloat16
    torch.testing.assert_close(*outputs, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_pair
def test_modules_of_half_the_width(ours: Any, theirs: Any, dtype: torch.dtype) -> None:
    """The type of torch's, and no further from float64 than torch's own, which rounds at each step."""
    errors = []
    x = random_x().to(dtype)
    for model in pair(ours, theirs):
        model.to(dtype)
        truth = [v.detach() for v in flat(copy.deepcopy(model).double()(x.double()))]
        leaf = x.clone().requires_grad_()
        result = flat(model(leaf))
        sum(v.sum() for v in result).backward()
        assert {v.dtype for v in (*result, leaf.grad, *(p.grad for p in model.parameters()))} == {dtype}
        errors.append(max(float((v.detach().double() - t).abs().max()) for v, t in zip(result, truth, strict=True)))
    assert errors[0] <= errors[1] + torch.finfo(dtype).eps


# Copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_is_apart_and_equal(copied: Any) -> None:
    model, x = recurra.nn.LSTM(I, H, 2, peephole=True), random_x()
    expected = model(x)[0]
    other = copied(model)
    assert torch.equal(other(x)[0], expected)
    with torch.no_grad():
        other.weight_ih_l0.zero_()
    assert torch.equal(model(x)[0], expected)
    assert not torch.equal(other(x)[0], expected)


def test_weights_that_change_are_seen_at_once() -> None:
    """Nothing packed outlives a call: in place, by a new parameter, by load_state_dict, by an optimiser."""
    model, x = recurra.nn.LSTM(I, H), random_x()
    reference = nn.LSTM(I, H)

    def changed() -> None:
        reference.load_state_dict(model.state_dict())
        torch.testing.assert_close(model(x)[0], reference(x)[0])

    changed()
    with torch.no_grad():
        model.weight_hh_l0.mul_(-1)
    changed()
    model.bias_ih_l0 = nn.Parameter(torch.randn(4 * H))
    changed()
    model.load_state_dict(nn.LSTM(I, H).state_dict())
    changed()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    model(x)[0].sum().backward()
    optimiser.step()
    changed()


# Without numbers


@each_pair
def test_the_meta_device(ours: Any, theirs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_BACKEND")  # the kernels run on the CPU only
    shapes = []
    for kind in (ours, theirs):
        result = flat(kind(I, H, device="meta")(random_x(device="meta")))
        assert all(v.is_meta for v in result)
        shapes.append([v.shape for v in result])
    assert shapes[0] == shapes[1]


@each_pair
def test_fake_tensors(ours: Any, theirs: Any) -> None:
    """Shapes forward and backward; the kernels do not run."""
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    with FakeTensorMode(), counted() as counts:
        model, x = ours(I, H, bidirectional=True), random_x(requires_grad=True)
        output, state = model(x)
        output.sum().backward()
    assert isinstance(output, FakeTensor)
    assert output.shape == (T, B, 2 * H)
    assert flat(state)[0].shape == (2, B, H)
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert counts == []


# Several processes


WORKER = """
import os, sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import recurra.nn
rank, world = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=world)
torch.manual_seed(0)
model = recurra.nn.LSTM(4, 6, 2, backend="native")
x = torch.randn(5, 4, 4)
model(x)[0].square().mean().backward()
alone = [p.grad.clone() for p in model.parameters()]
model.zero_grad()
parallel = DistributedDataParallel(model)
share = x.chunk(world, 1)[rank]
parallel(share)[0].square().mean().backward()
for a, p in zip(alone, model.parameters()):
    torch.testing.assert_close(p.grad, a)
dist.barrier()  # one that leaves early takes the connection from the other
print("equal", flush=True)
os._exit(0)  # gloo's threads are not always joined when Python ends, which then aborts
"""


def test_distributed_data_parallel(tmp_path: Any) -> None:
    """Two processes, each on its share of the batch: the gradients of the whole."""
    world = 2
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for rank in range(world)
    ]  # fmt: skip
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err
        assert out.strip().endswith("equal")
