"""A batch as it enters a stack, packed, and how it leaves in the shape it came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurra.equations.graph import Rate
from recurra.errors import LengthsError, ShapeError
from recurra.layers.dilation import Chains
from recurra.layers.packing import Packing
from recurra.layers.stack import Stack


@dataclass(frozen=True)
class FurtherInput:
    """What a cell reads besides x: packed rows [N, W] per step, or [B, W] per sequence; W=1 and width None a number."""

    values: Tensor
    width: int | None
    rate: Rate


@dataclass(frozen=True)
class Batch:
    """How a batch is packed, and the cell's further inputs."""

    packing: Packing
    inputs: Mapping[str, FurtherInput]

    def split(self, chains: Chains) -> Batch:
        """The same batch as the chains of a dilated layer."""
        inputs = {
            name: replace(i, values=chains.split(i.values) if i.rate is Rate.STEP else chains.repeat(i.values))
            for name, i in self.inputs.items()
        }
        return Batch(chains.packing, inputs)


def open_batch(
    stack: Stack,
    x: Tensor | PackedSequence,
    lengths: Sequence[int] | Tensor | None,
    inputs: Mapping[str, Tensor],
    like: Tensor | None,
    batch_first: bool,
) -> tuple[Tensor, Batch]:
    """Packed rows [N, I] of x, which has the type of the weight `like` (if there is one), and the batch they belong to.

    Raises:
        ShapeError, LengthsError: where x, the lengths or the further inputs do not fit each other.
    """
    _check_input(x, stack.input_size, like, batch_first)
    cell = stack.cell
    if set(inputs) != set(cell.inputs):
        wanted, got = ", ".join(cell.inputs) or "none", ", ".join(inputs) or "none"
        raise ShapeError(f"further inputs of cell '{cell.name}': expected {wanted}, got {got}")
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise LengthsError("lengths: expected none beside a PackedSequence, which has its own; leave them out")
        packing, rows = Packing.of(x), x.data
    else:
        x = x.transpose(0, 1) if batch_first else x
        packing = Packing(x.shape[0], x.shape[1], lengths, x.device)
        rows = packing.pack(x)
    further = {name: _further_input(stack, name, value, packing, batch_first) for name, value in inputs.items()}
    return rows, Batch(packing, further)


def close_batch(rows: Tensor, batch: Batch, x: Tensor | PackedSequence, batch_first: bool) -> Tensor | PackedSequence:
    """The output, from packed rows, in the form that x came in: zeros where a sequence has ended."""
    if isinstance(x, PackedSequence):
        return PackedSequence(rows, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    output = batch.packing.unpack(rows)
    return output.transpose(0, 1) if batch_first else output


def _further_input(stack: Stack, name: str, value: Tensor, packing: Packing, batch_first: bool) -> FurtherInput:
    """Per step [T, B, W] or per sequence [B, W]; without W where it is one number."""
    if not isinstance(value, Tensor):
        raise ShapeError(f"input '{name}': expected a tensor, got {type(value).__name__}")
    widths = {stack.further_width(layer, name) for layer in range(stack.num_layers)}
    number = None in widths
    whole = value.unsqueeze(-1) if number else value  # [T, B, W] or [B, W]
    width = None if number else whole.shape[-1]
    if widths == {width}:
        whole = whole.transpose(0, 1) if batch_first and whole.dim() == 3 else whole
        if whole.dim() == 3 and whole.shape[:2] == (packing.steps, packing.batch):
            return FurtherInput(packing.pack(whole), width, Rate.STEP)
        if whole.dim() == 2 and whole.shape[0] == packing.batch:
            return FurtherInput(whole, width, Rate.SEQUENCE)
    axes = f"{packing.batch}, {packing.steps}" if batch_first else f"{packing.steps}, {packing.batch}"
    last = "" if number else ", " + "/".join(map(str, sorted(w for w in widths if w is not None)))
    raise ShapeError(
        f"input '{name}': expected [{axes}{last}] (per step) or [{packing.batch}{last}] (per sequence), "
        f"got {list(value.shape)}"
    )


def _check_input(x: Tensor | PackedSequence, input_size: int, like: Tensor | None, batch_first: bool) -> None:
    """Raise ShapeError where x has not the shape, or the type, that a stack of weights as `like` reads."""
    if not isinstance(x, Tensor | PackedSequence):
        raise ShapeError(f"x: expected a tensor or a PackedSequence, got {type(x).__name__}")
    packed = isinstance(x, PackedSequence)
    values = x.data if isinstance(x, PackedSequence) else x
    if values.dim() != (2 if packed else 3) or values.shape[-1] != input_size:
        axes = "N" if packed else "B, T" if batch_first else "T, B"
        raise ShapeError(f"x: expected [{axes}, {input_size}], got {list(values.shape)}")
    if like is not None and values.dtype != like.dtype and not torch.is_autocast_enabled(values.device.type):
        raise ShapeError(f"x: expected {like.dtype} as the weights, got {values.dtype}; convert with x.to(...)")
