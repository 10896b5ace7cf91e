"""What an installation has, and whether its fast backends compute what the reference computes: `recurra doctor`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

import recurra
from recurra.backends import BACKENDS
from recurra.backends.extension import extension
from recurra.benchmark import usable_cpus
from recurra.benchmark.limit import machine
from recurra.cells import CELLS
from recurra.errors import RecurraError
from recurra.layers.recurrent import Recurrent

ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest error of the self-test as a share of the largest value: far above rounding, far below a wrong kernel."""
WIDTH, STEPS, LENGTHS = 17, 9, [9, 9, 6, 4, 1]  # vectors and tiles of every instruction set end inside 17


def installation() -> dict[str, Any]:
    """Versions, machine, instruction set, threads and backends, as plain values."""
    return {
        "versions": {
            "recurra": recurra.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
        },
        "machine": {
            "system": platform.platform(),
            "architecture": platform.machine(),
            "processor": machine(),
            "cpus": len(usable_cpus()),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "extension": _extension(),
        "threads": {
            "native": _or_problem(recurra.get_num_threads),
            "torch": torch.get_num_threads(),
            "RECURRA_NUM_THREADS": os.environ.get("RECURRA_NUM_THREADS"),
        },
        "backends": {device: {name: unavailable(name, device) for name in BACKENDS} for device in devices()},
    }


def _extension() -> dict[str, Any]:
    """The instruction set in use and those that could be, and whose threads are shared; or what is wrong."""
    try:
        native = extension()
    except RecurraError as error:
        return {"problem": str(error)}
    return {
        "isa": native.isa(),
        "available_isas": native.available_isas(),
        "RECURRA_ISA": os.environ.get("RECURRA_ISA") or None,
        "thread_runtime": native.thread_runtime() or None,
    }


def devices() -> list[str]:
    """The kinds of device that torch has here."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def unavailable(backend: str, device: str) -> str | None:
    """Why a backend cannot run on a device, be it for the environment's settings; None where it can."""
    try:
        return BACKENDS[backend].unavailable(device)
    except RecurraError as error:
        return str(error)


def _or_problem(read: Any) -> Any:
    try:
        return read()
    except RecurraError as error:
        return str(error)


@dataclass(frozen=True)
class Check:
    """One cell, run by one backend in one dtype, against the reference in float64. Errors are shares of the largest
    value; `problem` is set where the run ended in an exception."""

    backend: str
    device: str
    cell: str
    dtype: str
    output_error: float
    gradient_error: float
    passed: bool
    problem: str | None = None


def self_test() -> Iterator[Check]:
    """Every registered cell by every backend there is but the reference: forward and gradient, a ragged batch."""
    for device in devices():
        for backend in BACKENDS:
            if backend == "reference" or unavailable(backend, device) is not None:
                continue
            for dtype in ALLOWED:
                for cell in CELLS:
                    yield check(cell, backend, device, dtype)


def check(cell: str, backend: str, device: str, dtype: torch.dtype) -> Check:
    """Compare one cell's outputs and gradients with the reference's."""
    facts = (backend, device, cell, str(dtype).removeprefix("torch."))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = Recurrent(cell, WIDTH, WIDTH, bidirectional=True, backend=backend, device=device, dtype=dtype)
        truth = Recurrent(cell, WIDTH, WIDTH, bidirectional=True, backend="reference", device=device)
        truth = truth.double()
        truth.load_state_dict(deepcopy(layer.state_dict()))
        x = torch.randn(STEPS, len(LENGTHS), WIDTH, device=device, dtype=dtype)
        weight = torch.randn(STEPS, len(LENGTHS), 2 * WIDTH, device=device, dtype=dtype)
    try:
        found = _results(layer, x, weight)
    except Exception as error:  # whatever it is, it is what the user needs to see
        return Check(*facts, float("inf"), float("inf"), False, f"{type(error).__name__}: {error}")
    expected = _results(truth, x.double(), weight.double())
    errors = [_error(a, b) for a, b in zip(found, expected, strict=True)]
    return Check(*facts, errors[0], max(errors[1:]), max(errors) <= ALLOWED[dtype])


def _results(layer: Recurrent, x: Tensor, weight: Tensor) -> list[Tensor]:
    """The output, and the gradients of its weighted sum with regard to x and all weights."""
    x = x.clone().requires_grad_()
    output, _ = layer(x, lengths=LENGTHS)
    return [output.detach(), *torch.autograd.grad((output * weight).sum(), [x, *layer.parameters()])]


def _error(found: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value; infinite where a number is NaN."""
    difference = float((found.double() - expected).abs().max())
    return (
        difference / max(float(expected.abs().max()), sys.float_info.min) if difference == difference else float("inf")
    )
