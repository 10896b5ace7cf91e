"""A layer alone: training, inference, ragged batches, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.benchmark import jax_scan, onnx_graph
from recurra.benchmark.clock import Contender
from recurra.benchmark.networks import make_input, our_layer, torch_layer
from recurra.benchmark.rows import LeftOut
from recurra.benchmark.workloads import Workload

Entries = list[Contender | LeftOut]


def ours(w: Workload, backends: Sequence[str], weights: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """recurra's layers by the name of the contender."""
    return {f"recurra ({backend})": our_layer(w, backend, weights) for backend in backends}


def peer_name(w: Workload) -> str:
    return "plain PyTorch loop" if w.peephole else f"torch.nn.{w.cell.upper()}"


def train(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """Forward and backward, the gradients of x and of all weights."""
    peer = torch_layer(w)
    x, gradient = make_input(w)
    layers = {**ours(w, backends, peer.state_dict()), peer_name(w): peer}
    entries: Entries = [
        Contender(name, gradients(layer, x, gradient, partial(_output, layer, x))) for name, layer in layers.items()
    ]
    if w.cell == "lstm":
        entries.append(jax_scan.train(w, peer.state_dict(), x.detach(), gradient))
    return entries


def ragged(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """As `train`, of a padded batch of unequal lengths; recurra takes the lengths, torch packs or runs over padding."""
    peer = torch_layer(w)
    x, gradient = make_input(w)
    lengths = torch.tensor(w.lengths)[torch.randperm(w.batch)]
    forwards: dict[str, tuple[nn.Module, Callable[[], Tensor]]] = {
        name: (layer, partial(_output, layer, x, lengths=lengths))
        for name, layer in ours(w, backends, peer.state_dict()).items()
    }
    forwards[f"{peer_name(w)}, packed"] = peer, partial(_packed_output, peer, x, lengths)
    forwards[f"{peer_name(w)}, padded"] = peer, partial(_output, peer, x)
    return [Contender(name, gradients(layer, x, gradient, run)) for name, (layer, run) in forwards.items()]


def inference(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """Forward without gradients."""
    peer = torch_layer(w)
    x = make_input(w)[0].detach()
    layers = {**ours(w, backends, peer.state_dict()), peer_name(w): peer}
    entries: Entries = [Contender(name, without_gradients(layer, x)) for name, layer in layers.items()]
    entries.append(jax_scan.inference(w, peer.state_dict(), x))
    entries.append(onnx_graph.inference(w, peer.state_dict(), x, threads))
    return entries


def step(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """One step of one sequence, without gradients; the state goes from each step into the next."""
    peer = torch_layer(w)
    x = make_input(w)[0].detach()
    layers = ours(w, backends, peer.state_dict())
    entries: Entries = []
    for name, layer in layers.items():
        entries.append(_stream(f"{name}, stream.step", layer, x[0], "float32"))
        entries.append(Contender(f"{name}, layer(x, state)", _stepping(layer, x)))
        entries += [_stream(f"{name}, stream.step", layer, x[0], numbers) for numbers in ("bf16", "int8")]
    one_step = getattr(nn, f"{w.cell.upper()}Cell")(w.size, w.size)
    one_step.load_state_dict({name.removesuffix("_l0"): value for name, value in peer.state_dict().items()})
    entries.append(Contender(peer_name(w), _stepping(peer, x)))
    entries.append(Contender(f"{peer_name(w)}Cell", _stepping_cell(one_step, x[0])))
    return entries


def gradients(layer: nn.Module, x: Tensor, gradient: Tensor, forward: Callable[[], Tensor]) -> Callable[[], Any]:
    """A run that gives the output and the gradients of x and of the weights, by name."""
    named = dict(sorted(layer.named_parameters()))
    wanted = [x, *named.values()]

    def run() -> dict[str, Tensor]:
        output = forward()
        found = torch.autograd.grad(output, wanted, gradient)
        return {"output": output, **dict(zip(["x", *named], found, strict=True))}

    return run


def _output(layer: nn.Module, x: Tensor, **options: Any) -> Tensor:
    output: Tensor = layer(x, **options)[0]
    return output


def _packed_output(layer: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    packed, _ = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    return pad_packed_sequence(packed, total_length=x.shape[0])[0]


def without_gradients(layer: nn.Module, x: Tensor) -> Callable[[], Any]:
    layer.eval()

    @torch.no_grad()
    def run() -> dict[str, Tensor]:
        return {"output": layer(x)[0]}

    return run


def _stepping(layer: nn.Module, x: Tensor) -> Callable[[], Any]:
    """x [1, 1, I]"""
    layer.eval()
    state: Any = None

    @torch.no_grad()
    def run() -> Any:
        nonlocal state
        output, state = layer(x, state)
        return output

    return run


def _stepping_cell(cell: nn.Module, x: Tensor) -> Callable[[], Any]:
    """x [1, I]"""
    state: Any = None

    @torch.no_grad()
    def run() -> Any:
        nonlocal state
        state = cell(x, state)
        return state[0] if isinstance(state, tuple) else state

    return run


def _stream(name: str, layer: Any, x: Tensor, numbers: str) -> Contender | LeftOut:
    """x [1, I]; `numbers` is what the weights are held in."""
    name = name if numbers == "float32" else f"{name}, {numbers} weights"
    if layer.stack.backend == "reference":
        return LeftOut(name, "streams run in the native backend alone")
    stream = layer.eval().stream(**({} if numbers == "float32" else {"weights": numbers}))
    return Contender(name, partial(stream.step, x))
