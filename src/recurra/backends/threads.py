"""How many threads the native backend uses: the user's choice, or torch's number at each call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from recurra.errors import ConfigError

MOST = 1024

_chosen: int | None = None


def set_num_threads(count: int | None) -> None:
    """Use `count` threads in the native backend, or, with None, as many as torch (or RECURRA_NUM_THREADS) again.

    torch's own operations keep the number of `torch.set_num_threads`. Where both numbers are equal the two share
    one team of threads; unequal ones cost time at each change between them.

    Raises:
        ConfigError: if `count` is no whole number from 1 to 1024.

    Example:
        >>> set_num_threads(2)
        >>> get_num_threads()
        2
        >>> set_num_threads(None)
    """
    global _chosen
    _chosen = None if count is None else _checked("threads", count)


def get_num_threads() -> int:
    """The number of threads that the native backend uses.

    That of `set_num_threads`, or else of RECURRA_NUM_THREADS, or else of `torch.get_num_threads`.

    Raises:
        ConfigError: if RECURRA_NUM_THREADS counts and is no whole number from 1 to 1024.
    """
    return _chosen or _from_environment() or torch.get_num_threads()


@cache
def _from_environment() -> int | None:
    """RECURRA_NUM_THREADS, read once: a look into the environment takes longer than a small step of a cell."""
    written = os.environ.get("RECURRA_NUM_THREADS")
    if not written:
        return None
    return _checked(
        "RECURRA_NUM_THREADS", int(written) if written.isascii() and written.isdigit() and len(written) < 9 else written
    )


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Use `count` threads inside, in the native backend and in torch, whatever else was asked for."""
    global _chosen
    former, of_torch = _chosen, torch.get_num_threads()
    set_num_threads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        _chosen = former
        torch.set_num_threads(of_torch)


def use_threads(extension: Any) -> None:
    """Tell the extension the number for what this Python thread calls next; every call into the kernels begins so."""
    extension.set_threads(get_num_threads())


def _checked(name: str, count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
        raise ConfigError(f"{name}: expected a whole number from 1 to {MOST}, got {count!r}")
    return count
