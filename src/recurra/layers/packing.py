"""Ragged batches: rows sorted by length and packed, so that padding is never computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurra.backends import Layout
from recurra.errors import LengthsError


class Packing:
    """How a padded batch [T, B, W] becomes packed rows [N, W] and back.

    Args:
        steps: T.
        batch: B.
        lengths: for each sequence its number of steps, 0 to T; None where all have T.
        device: where the batch lives.
        order: the sequences, longest first, where this is settled already.

    Raises:
        LengthsError: if the lengths do not fit the batch.
    """

    def __init__(
        self,
        steps: int,
        batch: int,
        lengths: Sequence[int] | Tensor | None,
        device: torch.device | str = "cpu",
        order: Tensor | None = None,
    ) -> None:
        self.steps, self.batch = steps, batch
        self.lengths: Tensor | None = None
        self.order: Tensor | None = None
        self._rows: Tensor | None = None
        if lengths is None:
            self.layout = Layout([batch] * steps, batch)
            return
        self.lengths = check_lengths(lengths, steps, batch)
        if order is None:
            order = torch.sort(self.lengths, descending=True, stable=True).indices
        active = (self.lengths > torch.arange(steps).unsqueeze(1)).sum(1).tolist()  # [T]
        self.layout = Layout([n for n in active if n], batch)
        self.order = order.to(device)
        self._places = torch.argsort(order).to(device)
        if self.layout.rows < steps * batch or not torch.equal(order, torch.arange(batch)):
            rows = [t * batch + order[:n] for t, n in enumerate(active)]
            self._rows = torch.cat(rows).to(device) if rows else order[:0].to(device)

    @classmethod
    def of(cls, sequence: PackedSequence) -> Packing:
        """The packing that torch has done already."""
        active = sequence.batch_sizes
        batch = int(active[0])
        ordered = (active.unsqueeze(1) > torch.arange(batch)).sum(0)  # [B], longest first
        order = torch.arange(batch) if sequence.sorted_indices is None else sequence.sorted_indices.cpu()
        lengths = torch.empty_like(ordered).index_copy(0, order, ordered)
        return cls(len(active), batch, lengths, sequence.data.device, order)

    def pack(self, values: Tensor) -> Tensor:
        """[T, B, W] -> [N, W]"""
        flat = values.reshape(self.steps * self.batch, values.shape[-1])
        return flat if self._rows is None else flat.index_select(0, self._rows)

    def unpack(self, rows: Tensor) -> Tensor:
        """[N, W] -> [T, B, W], zeros where a sequence has ended."""
        if self._rows is not None:
            flat = rows.new_zeros(self.steps * self.batch, rows.shape[-1])
            rows = flat.index_copy(0, self._rows, rows)
        return rows.reshape(self.steps, self.batch, rows.shape[-1])

    def sort(self, values: Tensor) -> Tensor:
        """One row for each sequence, [B, W], in the order of the packed rows."""
        return values if self.order is None else values.index_select(0, self.order)

    def unsort(self, values: Tensor) -> Tensor:
        """The inverse of `sort`."""
        return values if self.order is None else values.index_select(0, self._places)


def check_lengths(lengths: Sequence[int] | Tensor, steps: int, batch: int, least: int = 0) -> Tensor:
    """The lengths as int64 on the CPU.

    Raises:
        LengthsError: if they are not one whole number from `least` to `steps` for each sequence.
    """
    try:
        found = torch.as_tensor(lengths).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise LengthsError(f"lengths: expected whole numbers, got {lengths!r}") from None
    if found.dim() != 1 or len(found) != batch:
        got = "one number" if found.dim() == 0 else "x".join(map(str, found.shape))
        raise LengthsError(f"lengths: expected {batch} (one per sequence of the batch), got {got}")
    if found.is_floating_point() or found.dtype == torch.bool:
        raise LengthsError(f"lengths: expected whole numbers, got {found.dtype}")
    if batch and (int(found.min()) < least or int(found.max()) > steps):
        bad = int(found.min()) if int(found.min()) < least else int(found.max())
        raise LengthsError(f"lengths: expected {least} to {steps} (the steps of the batch), got {bad}")
    return found.to(torch.int64)
