"""The parameters of a module that hold the weights of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.layers.initial import initialise
from recurra.layers.stack import Stack

Naming = Callable[[Iterable[str]], Mapping[str, tuple[str, ...]]]


def own_names(weights: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each weight is one parameter, named as in the equations."""
    return {name: (name,) for name in weights}


class Parameters:
    """Which parameters of a module hold which weights: a weight is the sum of its parameters; without any it is zero.

    Args:
        module: gets the parameters, layer by layer and direction by direction, in the order of `naming`.
        stack: what the weights are for.
        naming: from the weights' names in the equations, in their order, to the names of their parameters.
        suffix: whether a parameter's name ends in its layer and direction.

    Raises:
        ConfigError: if two weights of the cell would be held under one name.
    """

    def __init__(
        self,
        module: nn.Module,
        stack: Stack,
        naming: Naming = own_names,
        *,
        suffix: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.stack = stack
        self.names: list[dict[str, tuple[str, ...]]] = []
        self.trained: list[list[str]] = []
        self.zeros: list[str] = []
        for layer, direction in stack.runs:
            ending = stack.suffix(layer, direction) if suffix else ""
            shapes = stack.traced(layer).weights
            self.names.append({})
            self.trained.append([])
            for weight, held in naming(shapes).items():
                names = tuple(name + ending for name in held or (weight,))
                self.names[-1][weight] = names
                (self.trained[-1] if held else self.zeros).extend(names)
                for name in names:
                    self._register(module, name, torch.empty(shapes[weight], device=device, dtype=dtype))

    def _register(self, module: nn.Module, name: str, value: Tensor) -> None:
        if hasattr(module, name):
            raise ConfigError(
                f"cell '{self.stack.cell.name}': the parameter's name '{name}' is taken; rename the weight"
            )
        if name in self.zeros:  # a buffer, so that it follows the module from device to device
            module.register_buffer(name, value, persistent=False)
        else:
            module.register_parameter(name, nn.Parameter(value))

    def reset(
        self, module: nn.Module, init: Mapping[str, float] | None = None, init_range: float | None = None
    ) -> None:
        """Draw all anew (see `initialise`); initial values apply to weights that are one parameter."""
        for (layer, _), names, trained in zip(self.stack.runs, self.names, self.trained, strict=True):
            drawn = {name: getattr(module, name) for name in trained}
            alone = {w: drawn[held[0]] for w, held in names.items() if len(held) == 1 and held[0] in drawn}
            initialise(self.stack.traced(layer), drawn.values(), alone, init, init_range)
        for name in self.zeros:
            getattr(module, name).zero_()

    def weights(self, module: nn.Module) -> list[dict[str, Tensor]]:
        """The weights of each layer and direction, by their names in the equations."""
        return [
            {weight: reduce(torch.add, [getattr(module, n) for n in held]) for weight, held in names.items()}
            for names in self.names
        ]
