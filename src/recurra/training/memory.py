"""When memory does not suffice, and how to get less of it anew."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recurra.errors import TrainingError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
LARGEST_MMAP_THRESHOLD = 1 << 25
"""The largest that glibc takes; what is larger still comes from the system each time."""


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


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for what it allocates next; for programs, not for libraries to call.

    An update allocates what the one before has freed. glibc may give that back to the system in between, from where it
    comes again as pages of 4 KB that are cleared one by one. Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
