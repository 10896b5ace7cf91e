"""Dilated recurrence (Chang et al. 2017, arXiv:1710.02224): the state of d steps ago takes the place of the last one.

A sequence then falls into d chains, step t into chain t mod d, that do not see each other; they run side by side as
d times the batch. A carried state has d slots [d, B, W]: slot j is what the j-th next step reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Chains:
    """The chains of a batch of T steps, B sequences, with their lengths, run in one direction."""

    def __init__(
        self, steps: int, batch: int, lengths: Sequence[int] | Tensor | None, dilation: int, reverse: bool
    ) -> None:
        self.steps, self.batch, self.dilation = steps, batch, dilation
        self.chain_steps = -(-steps // dilation)
        full = torch.full((batch,), steps)
        ends = full if lengths is None else torch.as_tensor(lengths).cpu().to(torch.int64)  # [B]
        chain = torch.arange(dilation).unsqueeze(1)  # [d, 1]
        self.lengths = torch.clamp(-((chain - ends) // dilation), min=0).reshape(-1)  # ceil((length - chain) / d)
        slot = chain
        self._slot_of_chain = (ends - 1 - chain) % dilation if reverse else slot.expand(dilation, batch)  # [d, B]
        self._chain_of_slot = (-1 - slot).expand(dilation, batch) % dilation if reverse else (ends + slot) % dilation

    def split(self, values: Tensor) -> Tensor:
        """[T, B, W] -> [ceil(T/d), d*B, W]"""
        missing = self.chain_steps * self.dilation - self.steps
        padded = torch.nn.functional.pad(values, (0, 0, 0, 0, 0, missing))
        return padded.reshape(self.chain_steps, self.dilation * self.batch, values.shape[-1])

    def join(self, values: Tensor) -> Tensor:
        """[ceil(T/d), d*B, W] -> [T, B, W]"""
        return values.reshape(self.chain_steps * self.dilation, self.batch, values.shape[-1])[: self.steps]

    def begin(self, slots: Tensor) -> Tensor:
        """Carried slots [d, B, W] -> initial state of each chain [d*B, W]"""
        return self._pick(slots, self._slot_of_chain).reshape(self.dilation * self.batch, slots.shape[-1])

    def end(self, states: Tensor) -> Tensor:
        """Final state of each chain [d*B, W] -> slots [d, B, W]"""
        chains = states.reshape(self.dilation, self.batch, states.shape[-1])
        return self._pick(chains, self._chain_of_slot)

    def _pick(self, values: Tensor, index: Tensor) -> Tensor:
        return values.gather(0, index.to(values.device).unsqueeze(-1).expand_as(values))
