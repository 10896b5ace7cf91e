"""Dilated recurrence (Chang et al. 2017, arXiv:1710.02224): the state of d steps ago takes the place of the last one.

A sequence then falls into d chains, step t into chain t mod d, that do not see each other; they run side by side as
d times the batch. A carried state has d slots [d, B, W]: slot j is what the j-th next step reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.layers.packing import Packing


class Chains:
    """The chains of a packed batch, run in one direction.

    Attributes:
        packing: how the chains are packed: ceil(T/d) steps, d*B sequences, chain by chain.
    """

    def __init__(self, outer: Packing, dilation: int, reverse: bool, device: torch.device) -> None:
        self.outer, self.dilation = outer, dilation
        steps, batch = outer.steps, outer.batch
        ends = torch.full((batch,), steps) if outer.lengths is None else outer.lengths  # [B]
        chain = torch.arange(dilation).unsqueeze(1)  # [d, 1]
        lengths = torch.clamp(-((chain - ends) // dilation), min=0).reshape(-1)  # ceil((length - chain) / d)
        self.packing = Packing(-(-steps // dilation), dilation * batch, lengths, device)
        same = chain.expand(dilation, batch)
        self._slot_of_chain = (ends - 1 - chain) % dilation if reverse else same  # [d, B]
        self._chain_of_slot = (-1 - same) % dilation if reverse else (ends + chain) % dilation

    def split(self, rows: Tensor) -> Tensor:
        """Packed rows of the batch, [N, W], as packed rows of the chains."""
        values = self.outer.unpack(rows)  # [N, W] -> [T, B, W]
        missing = self.packing.steps * self.dilation - self.outer.steps
        padded = torch.nn.functional.pad(values, (0, 0, 0, 0, 0, missing))
        return self.packing.pack(padded.reshape(self.packing.steps, self.packing.batch, values.shape[-1]))

    def join(self, rows: Tensor) -> Tensor:
        """The inverse of `split`."""
        values = self.packing.unpack(rows)  # [N, W] -> [ceil(T/d), d*B, W]
        whole = values.reshape(self.packing.steps * self.dilation, self.outer.batch, values.shape[-1])
        return self.outer.pack(whole[: self.outer.steps])

    def repeat(self, values: Tensor) -> Tensor:
        """What each sequence has, [B, W], for each of its chains: [d*B, W]"""
        return values.repeat(self.dilation, 1)

    def begin(self, slots: Tensor) -> Tensor:
        """Carried slots [d, B, W] -> initial state of each chain [d*B, W]"""
        return self._pick(slots, self._slot_of_chain).reshape(self.packing.batch, slots.shape[-1])

    def end(self, states: Tensor) -> Tensor:
        """Final state of each chain [d*B, W] -> slots [d, B, W]"""
        chains = states.reshape(self.dilation, self.outer.batch, states.shape[-1])
        return self._pick(chains, self._chain_of_slot)

    def _pick(self, values: Tensor, index: Tensor) -> Tensor:
        return values.gather(0, index.to(values.device).unsqueeze(-1).expand_as(values))
