"""What a backend is asked to run: one cell over one packed batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from recurra.equations.cell import Cell
from recurra.equations.plans import traced
from recurra.equations.trace import Form


class Layout:
    """How many sequences are active at each step, rows sorted by length, longest first.

    Packed values of every step are [N, W]: the active rows of step 0, then those of step 1, and so on, N in all.
    """

    def __init__(self, active: Sequence[int], batch: int) -> None:
        self.active = list(active)
        self.batch = batch
        self._sequence_of: Tensor | None = None

    @property
    def length(self) -> int:
        """The number of steps at which any sequence is active."""
        return len(self.active)

    @cached_property
    def rows(self) -> int:
        """N, the number of packed rows."""
        return sum(self.active)

    def sequence_of(self, device: torch.device) -> Tensor:
        """For each packed row the sequence it belongs to, [N]."""
        if self._sequence_of is None or self._sequence_of.device != device:
            index = torch.arange(self.batch)
            self._sequence_of = torch.cat([index[:n] for n in self.active] or [index[:0]]).to(device)
        return self._sequence_of


@dataclass(frozen=True)
class Call:
    """A cell, its form, the layout of the batch, the direction, and the (kind, name) of each tensor that goes with it.

    Kinds are "input" (packed [N, W] per step or [B, W] per sequence), "state" ([B, W]) and "weight".
    """

    cell: Cell
    form: Form
    layout: Layout
    reverse: bool
    names: tuple[tuple[str, str], ...]

    def per_step(self, name: str) -> bool:
        """Whether an input has rows for every step (x has), or one for each sequence."""
        cell = traced(self.cell, self.form)
        return {**cell.inputs, **cell.masks}[name].rate.per_step

    def named(self, tensors: Sequence[Tensor]) -> dict[tuple[str, str], Tensor]:
        """`tensors`, in the order of `names`, by (kind, name)."""
        return dict(zip(self.names, tensors, strict=True))


Job = tuple[Call, Sequence[Tensor]]
"""A call and its tensors, in the order of `Call.names`."""
