"""Which backend runs: the fastest that is available, or the one asked for by name, never another in its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from recurra.backends import extension, reference
from recurra.backends.call import Job
from recurra.errors import BackendError


@dataclass(frozen=True)
class Backend:
    """A way to run plans: jobs that do not depend on each other (a layer's directions), each giving its output [N, W]
    and final states [B, W]. `unavailable` says why it cannot run on a device ("cpu", "cuda"), or None where it can."""

    name: str
    run: Callable[[Sequence[Job]], list[tuple[Tensor, ...]]]
    unavailable: Callable[[str], str | None]


def _run_reference(jobs: Sequence[Job]) -> list[tuple[Tensor, ...]]:
    return [reference.run(call, tensors) for call, tensors in jobs]


def _run_native(jobs: Sequence[Job]) -> list[tuple[Tensor, ...]]:
    from recurra.backends.native.run import run  # needs the extension, which need not be there

    return run(jobs)


def _native_unavailable(device: str) -> str | None:
    return extension.unavailable() if device == "cpu" else "it runs on the CPU only"


BACKENDS: dict[str, Backend] = {
    "native": Backend("native", _run_native, _native_unavailable),
    "reference": Backend("reference", _run_reference, lambda device: None),
}
"""By name, the fastest first."""


def choose(name: str | None, device: str) -> Backend:
    """The backend `name`, or that of RECURRA_BACKEND, or the first that is available on `device`.

    Raises:
        BackendError: if the one asked for is unknown or unavailable; the message says why.
    """
    asked = name or os.environ.get("RECURRA_BACKEND")
    if not asked:
        return next(b for b in BACKENDS.values() if b.unavailable(device) is None)
    found = find_backend(asked)
    why = found.unavailable(device)
    if why is not None:
        raise BackendError(f"backend '{asked}' is not available on {device}: {why}")
    return found


def find_backend(name: str) -> Backend:
    """The backend of that name, available or not.

    Raises:
        BackendError: if there is none.
    """
    if name not in BACKENDS:
        raise BackendError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
    return BACKENDS[name]


def explain(name: str | None, device: str) -> str:
    """One line: the backend in use and why."""
    chosen = choose(name, device)
    if name or os.environ.get("RECURRA_BACKEND"):
        return f"{chosen.name} (asked for)"
    passed = []
    for backend in BACKENDS.values():
        if backend is chosen:
            break
        passed.append(f"{backend.name}: {backend.unavailable(device)}")
    return f"{chosen.name} ({'; '.join(passed)})" if passed else chosen.name
