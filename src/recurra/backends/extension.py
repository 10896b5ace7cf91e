"""The compiled extension `recurra._native`: found once, with the reason where it is missing."""

from __future__ import annotations

import importlib
import logging
from functools import cache
from types import ModuleType
from typing import Any

from recurra.errors import BackendError

LOGGER = logging.getLogger("recurra")


def extension() -> Any:
    """The module `recurra._native`.

    Raises:
        BackendError: where it is missing, or RECURRA_ISA names an instruction set that the CPU lacks.
    """
    why = unavailable()
    if why is not None:
        raise BackendError(why)
    return _find()[0]


def unavailable() -> str | None:
    """Why the extension cannot be used, or None where it can; the first time that it is missing is logged.

    Raises:
        BackendError: if RECURRA_ISA names an instruction set that the CPU lacks: what was asked for is never replaced.
    """
    module, why = _find()
    if module is not None:
        _isa(module)
    return why


@cache
def _find() -> tuple[ModuleType | None, str | None]:
    name = "recurra._native"
    try:
        return importlib.import_module(name), None
    except ModuleNotFoundError as error:
        why = "the compiled extension is missing; install a C++ compiler (g++ or clang++), then recurra again"
        if error.name != name:
            raise
    except ImportError as error:
        why = f"the compiled extension does not load: {error}"
    LOGGER.warning("recurra computes in plain PyTorch: %s", why)
    return None, why


@cache
def _isa(module: ModuleType) -> str:
    try:
        return str(module.isa())
    except ValueError as error:
        raise BackendError(str(error)) from None
