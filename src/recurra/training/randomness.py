"""Seeds, states of the random number generators, and settings that make a run repeatable to the bit."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recurra.backends import choose, get_num_threads
from recurra.backends.extension import extension
from recurra.backends.threads import num_threads

if TYPE_CHECKING:
    from recurra.config import TrainingOptions


def seed_everything(seed: int) -> None:
    """Seed torch on every device, NumPy's global generator and Python's; call it before making a model."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (the legacy generator takes 32 bits)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """States of torch's generators (CUDA's where it is in use), NumPy's global one and Python's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "python": random.getstate(),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda_state, device)
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])


def environment(device: torch.device, backend: str | None) -> dict[str, Any]:
    """What must be equal, beside seed and data, for results equal to the bit; `backend` as the options name it."""
    threads: int | str = torch.get_num_threads()
    chosen = choose(backend, device.type).name
    if chosen == "native":
        chosen = f"native ({extension().isa()})"
        native = get_num_threads()
        threads = threads if native == threads else f"{threads} (native: {native})"
    return {"threads": threads, "device": device.type, "backend": chosen, "torch": torch.__version__}


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Whatever random numbers are drawn inside, the ones drawn after are the same."""
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(state)


@contextmanager
def reproducible(options: TrainingOptions) -> Iterator[None]:
    """The options' thread count and deterministic algorithms, until the end of the block.

    Raises: with `deterministic`, torch raises RuntimeError where an operation has no deterministic form.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if options.deterministic:
        # cuBLAS is repeatable only with a workspace of fixed size (its documentation, "Results
        # reproducibility"); it reads this at its first product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Filling every new tensor costs a pass over memory that no operation here reads before it writes.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with nullcontext() if options.threads is None else num_threads(options.threads):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
