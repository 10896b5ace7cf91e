"""The kernels as torch operators: tensors in, tensors out, no gradient of their own.

Being operators they know shapes without numbers (fake and meta tensors), so that what traces a model sees one node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.backends.extension import extension
from recurra.backends.native.compiled import Specification, extents, specification
from recurra.backends.plain import is_plain
from recurra.backends.threads import use_threads

_native = extension()

_library = torch.library.Library("recurra", "DEF")
_library.define("scan(Tensor[] tensors, int[] numbers, int[] active, int batch) -> Tensor[]")
_library.define(
    "scan_gradient(Tensor[] tensors, Tensor[] saved, Tensor[] gradients, int[] numbers, int[] active, int batch) "
    "-> Tensor[]"
)


def scan(tensors: Sequence[Tensor], *how: Any) -> Sequence[Tensor]:
    """The operator `scan`; arguments as in its definition."""
    return (_scan if is_plain(tensors) else torch.ops.recurra.scan)(tensors, *how)


def scan_gradient(
    tensors: Sequence[Tensor], saved: Sequence[Tensor], gradients: Sequence[Tensor], *how: Any
) -> Sequence[Tensor]:
    """The operator `scan_gradient`; arguments as in its definition."""
    run = _scan_gradient if is_plain((*tensors, *gradients)) else torch.ops.recurra.scan_gradient
    return run(tensors, saved, gradients, *how)


def _scan(tensors: Sequence[Tensor], numbers: Sequence[int], active: Sequence[int], batch: int) -> list[Tensor]:
    jobs = [specification(number) for number in numbers]
    made = _outputs(tensors, jobs, active, batch)
    given, making = _Cut(tensors), _Cut(made)
    runs = []
    for spec in jobs:
        held = [*given.take(spec.given), *making.take(len(spec.made))]
        runs.append((spec.forward.handle, _pointers(spec.forward_places, held), spec.reverse, False))
    _run(tensors, runs, active, batch)
    return made


def _outputs(
    tensors: Sequence[Tensor], jobs: Sequence[Specification], active: Sequence[int], batch: int
) -> list[Tensor]:
    like, rows = tensors[0], extents(batch, sum(active))
    return [like.new_empty(rows[kind], width) for spec in jobs for kind, width in spec.made]


def _scan_fake(tensors: Sequence[Tensor], numbers: Sequence[int], active: Sequence[int], batch: int) -> list[Tensor]:
    return _outputs(tensors, [specification(number) for number in numbers], active, batch)


def _scan_gradient(
    tensors: Sequence[Tensor],
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    numbers: Sequence[int],
    active: Sequence[int],
    batch: int,
) -> list[Tensor]:
    jobs = [specification(number) for number in numbers]
    made = _gradients(tensors, jobs, active, batch)
    given, kept, arriving, making = _Cut(tensors), _Cut(saved), _Cut(gradients), _Cut(made)
    runs = []
    for spec in jobs:
        assert spec.gradient is not None
        held = [
            *given.take(spec.given),
            *kept.take(len(spec.made)),
            *arriving.take(len(spec.results)),
            *making.take(len(spec.made_gradients)),
        ]
        runs.append((spec.gradient.handle, _pointers(spec.gradient_places, held), not spec.reverse, spec.reverse))
    _run(tensors, runs, active, batch)
    return made


def _gradients(
    tensors: Sequence[Tensor], jobs: Sequence[Specification], active: Sequence[int], batch: int
) -> list[Tensor]:
    like, rows = tensors[0], extents(batch, sum(active))
    return [
        (like.new_zeros if zeroed else like.new_empty)((rows[kind], width) if shape is None else shape)
        for spec in jobs
        for shape, kind, width, zeroed in spec.made_gradients
    ]


def _scan_gradient_fake(
    tensors: Sequence[Tensor],
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    numbers: Sequence[int],
    active: Sequence[int],
    batch: int,
) -> list[Tensor]:
    return _gradients(tensors, [specification(number) for number in numbers], active, batch)


class _Cut:
    """Tensors of several runs in one list, taken run by run."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors, self.at = tensors, 0

    def take(self, count: int) -> Sequence[Tensor]:
        self.at += count
        return self.tensors[self.at - count : self.at]


def _pointers(places: Sequence[int], held: Sequence[Tensor]) -> list[int]:
    return [held[place].data_ptr() if place >= 0 else 0 for place in places]


def _run(tensors: Sequence[Tensor], runs: Sequence[object], active: Sequence[int], batch: int) -> None:
    use_threads(_native)
    _native.run(tensors[0].dtype is torch.float64, runs, active, batch)


_library.impl("scan", _scan, "CPU")
_library.impl("scan", _scan_fake, "Meta")
_library.impl("scan_gradient", _scan_gradient, "CPU")
_library.impl("scan_gradient", _scan_gradient_fake, "Meta")
