"""Every cell with every equation option, and every wrapper option: the lists that the contract tests run over."""

from __future__ import annotations

from typing import Any

from recurra.cells import CELLS
from recurra.cells.elman import ACTIVATIONS

Variant = tuple[str, dict[str, Any]]


def other_values(default: object) -> list[Any]:
    """Values besides an option's default."""
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [default + 3]
    return [name for name in ACTIVATIONS if name != default]


def variants() -> list[Variant]:
    """Each cell as it is, with each option changed alone, and with all changed."""
    found: list[Variant] = []
    for name, cell in CELLS.items():
        changed = {option: other_values(default) for option, default in cell.options.items()}
        found.append((name, {}))
        found += [(name, {option: value}) for option, values in changed.items() for value in values]
        if len(changed) > 1:
            found.append((name, {option: values[0] for option, values in changed.items()}))
    return found


def label(value: object) -> str:
    if isinstance(value, dict):
        return "+".join(f"{k}={v}" for k, v in value.items()) or "plain"
    return str(value)


VARIANTS = variants()
WRAPPERS: list[dict[str, Any]] = [
    {"bidirectional": True},
    {"dropout": 0.5},
    {"recurrent_dropout": 0.5},
    {"zoneout": 0.4},
    {"weight_dropout": 0.5},
    {"residual": True},
    {"skip": True},
    {"dilation": 2},
    {"dilation": [1, 3]},
    {"sizes": [6, 5]},
    {"batch_first": True},
]
DIAGONAL = ("min_gru", "min_lstm", "sru")
"""Cells without a product of a state: nothing for recurrent_dropout and weight_dropout to act on."""
