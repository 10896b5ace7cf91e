"""The kernels as torch operators: tensors in, tensors out, no gradient of their own.

Being operators they know shapes without numbers (fake and meta tensors), so that what traces a model sees one node.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from recurra.backends.extension import extension
from recurra.backends.native.compiled import Compiled, Specification, extent, specification
from recurra.backends.threads import use_threads

_native = extension()

_library = torch.library.Library("recurra", "DEF")
_library.define("scan(Tensor[] tensors, int[] numbers, int[] active, int batch) -> Tensor[]")
_library.define(
    "scan_gradient(Tensor[] tensors, Tensor[] saved, Tensor[] gradients, int[] numbers, int[] active, int batch) "
    "-> Tensor[]"
)

Named = dict[Hashable, Tensor]


def _scan(tensors: Sequence[Tensor], numbers: Sequence[int], active: Sequence[int], batch: int) -> list[Tensor]:
    jobs = [specification(number) for number in numbers]
    made = _outputs(tensors, jobs, active, batch)
    runs = []
    for spec, given, named in zip(jobs, _split(tensors, jobs), made, strict=True):
        runs.append((spec.forward, given | named, spec.reverse, False))
    _run(runs, active, batch)
    return _flat(made)


def _outputs(
    tensors: Sequence[Tensor], jobs: Sequence[Specification], active: Sequence[int], batch: int
) -> list[Named]:
    like, steps = tensors[0], sum(active)
    made: list[Named] = []
    for spec in jobs:
        made.append({n: like.new_empty(extent(rows, batch, steps), width) for n, rows, width in spec.forward.made})
    return made


def _scan_fake(tensors: Sequence[Tensor], numbers: Sequence[int], active: Sequence[int], batch: int) -> list[Tensor]:
    return _flat(_outputs(tensors, [specification(number) for number in numbers], active, batch))


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
    runs = []
    kept, arriving = iter(saved), iter(gradients)
    for spec, given, named in zip(jobs, _split(tensors, jobs), made, strict=True):
        assert spec.gradient is not None
        entered = {("before", name): tensor for name, tensor in given.items() if _kind(name) == "state"}
        given = {name: tensor for name, tensor in given.items() if _kind(name) != "state"} | entered
        given |= {name: next(kept) for name, _, _ in spec.forward.made}
        given["gradient", "output"] = next(arriving)
        given |= {("state", name): next(arriving) for name in spec.cell.states}
        runs.append((spec.gradient, given | named, not spec.reverse, spec.reverse))
    _run(runs, active, batch)
    return _flat(made)


def _gradients(
    tensors: Sequence[Tensor], jobs: Sequence[Specification], active: Sequence[int], batch: int
) -> list[Named]:
    like, steps = tensors[0], sum(active)
    made: list[Named] = []
    for spec in jobs:
        assert spec.gradient is not None
        named: Named = {}
        for name, rows, width in spec.gradient.made:
            make = like.new_zeros if name in spec.gradient.code.zeroed else like.new_empty
            weight = isinstance(name, tuple) and name[:2] == ("gradient", "weight")
            shape = spec.shapes[name[2]] if weight else (extent(rows, batch, steps), width)  # type: ignore[index]
            named[name] = make(shape)
        made.append(named)
    return made


def _scan_gradient_fake(
    tensors: Sequence[Tensor],
    saved: Sequence[Tensor],
    gradients: Sequence[Tensor],
    numbers: Sequence[int],
    active: Sequence[int],
    batch: int,
) -> list[Tensor]:
    return _flat(_gradients(tensors, [specification(number) for number in numbers], active, batch))


def _flat(made: Sequence[Named]) -> list[Tensor]:
    return [tensor for named in made for tensor in named.values()]


def _split(tensors: Sequence[Tensor], jobs: Sequence[Specification]) -> list[Named]:
    """Each job's tensors by (kind, name)."""
    found: list[Named] = []
    left = iter(tensors)
    for spec in jobs:
        found.append({name: next(left) for name in spec.names})
    return found


def _kind(name: Hashable) -> object:
    return name[0] if isinstance(name, tuple) else None


def _run(
    runs: Sequence[tuple[Compiled, Mapping[Hashable, Tensor], bool, bool]], active: Sequence[int], batch: int
) -> None:
    jobs = []
    doubles = False
    for compiled, named, reverse, forward_reverse in runs:
        pointers = [0 if name is None else named[name].data_ptr() for name in compiled.names]
        jobs.append((compiled.handle, pointers, reverse, forward_reverse))
        doubles = next(iter(named.values())).dtype is torch.float64
    use_threads(_native)
    _native.run(doubles, jobs, active, batch)


_library.impl("scan", _scan, "CPU")
_library.impl("scan", _scan_fake, "Meta")
_library.impl("scan_gradient", _scan_gradient, "CPU")
_library.impl("scan_gradient", _scan_gradient_fake, "Meta")
