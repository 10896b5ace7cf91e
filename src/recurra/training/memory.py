"""When memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recurra.errors import TrainingError


@contextmanager
def enough_memory(device: object, advice: str) -> Iterator[None]:
    """Turn the errors of a full memory, on any device, into a TrainingError that gives advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On the CPU torch has no class of its own for it.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(f"{device}: out of memory; {advice}") from None
