"""Initial values of a cell's weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from recurra.equations import Traced
from recurra.errors import ConfigError


@torch.no_grad()
def initialise(
    traced: Traced,
    drawn: Iterable[Tensor],
    weights: Mapping[str, Tensor],
    init: Mapping[str, float] | None = None,
    init_range: float | None = None,
) -> None:
    """Draw weights from U(-1/sqrt(H), 1/sqrt(H)), as torch.nn does, then set what is named.

    Args:
        traced: the cell at its sizes; its own `init` comes first.
        drawn: all tensors, in the order in which they are drawn.
        weights: those that values can be set in, by the names in the equations.
        init: values by pattern: a weight ("b"), a part that `split` names ("b.f"), `*` for any letters.
        init_range: r, to draw all from U(-r, r) instead, biases of the cell's own `init` too.

    Raises:
        ConfigError: if a pattern of `init` names nothing in this cell.
    """
    for pattern, value in (init or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"init '{pattern}': expected a number, got {value!r}")
    if init_range is not None and not init_range > 0:
        raise ConfigError(f"init_range: expected a number above 0, got {init_range!r}")
    bound = init_range or 1 / math.sqrt(traced.form.hidden_size)  # to the bit as torch.nn
    for weight in drawn:
        torch.nn.init.uniform_(weight, -bound, bound)
    for pattern, value in traced.cell.init.items():
        if init_range is None or not pattern.startswith("b"):
            _set(traced, weights, pattern, value)
    for pattern, value in (init or {}).items():
        if not _set(traced, weights, pattern, value):
            known = ", ".join([*traced.weights, *traced.parts])
            raise ConfigError(f"init '{pattern}' names no weight of cell '{traced.cell.name}'; it has {known}")


def _set(traced: Traced, weights: Mapping[str, Tensor], pattern: str, value: float) -> bool:
    whole = [name for name in weights if fnmatchcase(name, pattern)]
    parts = [name for name in traced.parts if fnmatchcase(name, pattern) and traced.parts[name][0] in weights]
    for name in whole:
        weights[name].fill_(value)
    for name in parts:
        weight, first, rows = traced.parts[name]
        weights[weight][first : first + rows].fill_(value)
    return bool(whole or parts)
