"""Parameters whose memory is read outside torch: noticed when they move, are replaced, or change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recurra.backends.extension import extension
from recurra.errors import ShapeError


@dataclass(frozen=True)
class Weight:
    """A weight that is the sum of parameters of a module, or zeros where there are none."""

    module: nn.Module
    names: tuple[str, ...]
    shape: tuple[int, ...]


class Tracked:
    """The memory of some weights; `fresh` says at each use, in a fraction of a microsecond, whether it is still theirs.

    References to the memory are held, so that an address stays good, and belongs to no other tensor, until it is
    taken anew. What a module computes each time (torch's parametrizations) is taken anew at each use.

    Args:
        weights: the weights, of one type.
        place: called with a weight's number and the addresses of its parts whenever they are taken.
    """

    def __init__(self, weights: Sequence[Weight], place: Callable[[int, list[int]], None]) -> None:
        self.weights, self._place = list(weights), place
        self._modules = list({id(w.module): w.module for w in weights}.values())
        self.watch = extension().Watch(Tensor)
        self.load()

    @staticmethod
    def dtype_of(weights: Sequence[Weight]) -> torch.dtype:
        """The type of the weights as they are now."""
        found = next((getattr(w.module, w.names[0]).dtype for w in weights if w.names), None)
        return torch.get_default_dtype() if found is None else found

    def load(self) -> None:
        """Take the addresses.

        Raises:
            ShapeError: for weights on another device, or whose types or shapes do not fit the network.
        """
        self.dtype = self.dtype_of(self.weights)
        owners = [module._parameters for module in self._modules]
        self.computed = any(name not in w.module._parameters for w in self.weights for name in w.names)
        self._held = [self._parts(w) for w in self.weights]
        watched = [getattr(w.module, name) for w in self.weights for name in w.names]
        borrowed = owners, [list(parameters.values()) for parameters in owners], [] if self.computed else watched
        self.watch.set(*borrowed, self.computed)
        self._borrowed = borrowed  # after those it had
        self.copied = any(not value.is_contiguous() for value in watched)
        for number, parts in enumerate(self._held):
            self._place(number, [part.data_ptr() for part in parts])

    def fresh(self) -> bool:
        """Whether every address is still that of its parameter."""
        return bool(self.watch.same())

    def changed(self) -> bool:
        """Whether values have changed since `mark` (not where they were written through `.data`)."""
        return not self.watch.marked()

    def mark(self) -> None:
        """Take the values as they are now for what `changed` compares with."""
        self.watch.mark()

    def _parts(self, weight: Weight) -> list[Tensor]:
        parts = [getattr(weight.module, name).detach() for name in weight.names]
        for name, part in zip(weight.names, parts, strict=True):
            if part.shape != weight.shape or part.dtype != self.dtype or not part.is_cpu:
                raise ShapeError(
                    f"stream: expected '{name}' as {list(weight.shape)}, {self.dtype}, cpu, "
                    f"got {list(part.shape)}, {part.dtype}, {part.device}"
                )
        return [part.contiguous() for part in parts] or [torch.zeros(weight.shape, dtype=self.dtype)]
