"""The parameters of a module that hold the weights of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.layers.initial import initialise
from recurra.layers.one_step import OneStep
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
        self.one_step = OneStep(self)
        self.names: list[dict[str, tuple[str, ...]]] = []
        for layer, direction in stack.runs:
            ending = stack.suffix(layer, direction) if suffix else ""
            shapes = stack.traced(layer).weights
            self.names.append({weight: tuple(n + ending for n in held) for weight, held in naming(shapes).items()})
            for weight, held in self.names[-1].items():
                for name in held:
                    if hasattr(module, name):
                        raise ConfigError(
                            f"cell '{stack.cell.name}': the parameter's name '{name}' is taken; rename the weight"
                        )
                    value = torch.empty(shapes[weight], device=device, dtype=dtype)
                    module.register_parameter(name, nn.Parameter(value))

    def dtype(self, module: nn.Module) -> torch.dtype | None:
        """The type of the weights; None without any."""
        return next((value.dtype for value in module.parameters()), None)

    def reset(
        self, module: nn.Module, init: Mapping[str, float] | None = None, init_range: float | None = None
    ) -> None:
        """Draw all anew (see `initialise`); initial values apply to weights that are one parameter."""
        for (layer, _), names in zip(self.stack.runs, self.names, strict=True):
            drawn = [getattr(module, name) for held in names.values() for name in held]
            alone = {weight: getattr(module, held[0]) for weight, held in names.items() if len(held) == 1}
            initialise(self.stack.traced(layer), drawn, alone, init, init_range)

    def weights(self, module: nn.Module) -> list[dict[str, Tensor]]:
        """The weights of each layer and direction, by their names in the equations."""
        return [
            {
                weight: reduce(torch.add, [getattr(module, name) for name in held])
                if held
                else next(module.parameters(), torch.empty(0)).new_zeros(self.stack.traced(layer).weights[weight])
                for weight, held in names.items()
            }
            for (layer, _), names in zip(self.stack.runs, self.names, strict=True)
        ]
