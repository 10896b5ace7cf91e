"""A cell: its function, and the data that stand beside the equations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from recurra.errors import CellError, OptionError

if TYPE_CHECKING:
    from recurra.equations.symbols import Symbol, Weights

CellFunction = Callable[..., Mapping[str, Any]]


class Cell:
    """A recurrent cell, made from a function by `@cell`.

    The function's signature says what the cell has: the states are the arguments between x and p, options are
    keyword-only with a default, further inputs (per step or per sequence) keyword-only without.

    Attributes:
        name: the function's name.
        source: where the equations come from.
        init: initial values of weights or of the parts that `split` names, by pattern (`{"b.f": 1.0}`).
        sizes: what the equations leave open. A state or weight (its rows) stands beside the name of an option,
            "hidden_size", "input_size" or a whole number; a further input that is one number beside "number".
        states: names of the carried states, in order.
        options: names of the equation options with their defaults.
        inputs: names of the further inputs.
    """

    def __init__(
        self, function: CellFunction, source: str, init: Mapping[str, float], sizes: Mapping[str, str | int]
    ) -> None:
        if not inspect.isfunction(function):
            raise CellError(f"cell: expected a function of the equations, got {function!r}")
        self.function = function
        self.name = function.__name__
        self.source = source
        self.init = dict(init)
        self.sizes = dict(sizes)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        parameters = list(inspect.signature(function).parameters.values())
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        other = len(positional) + len(keywords) < len(parameters)
        if other or len(positional) < 3 or positional[0] != "x" or positional[-1] != "p":
            got = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters)
            raise CellError(
                f"cell '{self.name}', {self.filename}:{self.first_line}: expected the arguments x, the states, p, "
                f"then keyword-only options, as in `def cell(x, h, p, *, option=False)`; got ({got})"
            )
        self.states = tuple(positional[1:-1])
        self.options = {p.name: p.default for p in keywords if p.default is not p.empty}
        self.inputs = tuple(p.name for p in keywords if p.default is p.empty)
        for name, default in self.options.items():
            if not isinstance(default, bool | int | float | str):
                raise CellError(
                    f"cell '{self.name}', {self.filename}:{self.first_line}: option '{name}': expected a default that "
                    f"is True, False, a number or text, got {default!r}"
                )

    @property
    def filename(self) -> str:
        """The file that the function stands in."""
        return self.function.__code__.co_filename

    @property
    def first_line(self) -> int:
        """The line of that file where it begins."""
        return self.function.__code__.co_firstlineno

    def __repr__(self) -> str:
        return f"<cell {self.name}: states {', '.join(self.states)}; source {self.source}>"

    def __reduce__(self) -> str:
        """A copy of a cell is the cell itself; pickled, it is its name in its module, as a function is."""
        return self.function.__qualname__

    def step(self, x: Symbol, states: Mapping[str, Symbol], p: Weights, **options: Any) -> Mapping[str, Any]:
        """The equations of one step, for wrappers: states by name in, the output and states by name out."""
        return self.function(x, *(states[name] for name in self.states), p, **options)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` with the defaults filled in.

        Raises:
            OptionError: for an option this cell lacks, or a value of another kind than the default.
        """
        for name, value in options.items():
            if name not in self.options:
                has = ", ".join(self.options) or "no options"
                raise OptionError(f"cell '{self.name}' has no option '{name}'; it has: {has}")
            default = self.options[name]
            if type(value) is not type(default) and not (type(default) is float and type(value) is int):
                raise OptionError(
                    f"cell '{self.name}', option '{name}': expected {type(default).__name__} (default {default!r}), "
                    f"got {value!r}"
                )
        return {**self.options, **options}

    def size(self, name: str, input_size: int, hidden_size: int, options: Mapping[str, Any]) -> int | None:
        """The size that `sizes` states for `name`; None where it says nothing, as an option of 0 or False does."""
        stated = self.sizes.get(name)
        if stated == "number":
            return None
        if isinstance(stated, str):
            known = {"input_size": input_size, "hidden_size": hidden_size, **options}
            if stated not in known:
                raise CellError(
                    f"cell '{self.name}': sizes={{'{name}': '{stated}'}} names no option; "
                    f"expected one of {', '.join(known)}"
                )
            stated = known[stated]
        if stated is not None and stated < 0:
            raise OptionError(f"cell '{self.name}': the size of '{name}' is {stated}; expected a whole number from 1")
        return int(stated) if stated else None

    def state_sizes(self, input_size: int, hidden_size: int, options: Mapping[str, Any]) -> dict[str, int]:
        """The size of each state: hidden_size where `sizes` says nothing."""
        return {name: self.size(name, input_size, hidden_size, options) or hidden_size for name in self.states}


def cell(
    *bare: Any, source: str, init: Mapping[str, float] | None = None, sizes: Mapping[str, str | int] | None = None
) -> Callable[[CellFunction], Cell]:
    """Make a cell of a function that holds its equations.

    Args:
        source: where the equations come from (paper and year).
        init: initial values by name of a weight or of a part of it, `*` standing for any letters; weights not
            named are drawn from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)), as in torch.nn.
        sizes: what the equations leave open (see `Cell`).

    Raises:
        CellError: if the arguments are not x, states, p and keyword-only options.

    Example:
        >>> from recurra.equations import cell, tanh
        >>> @cell(source="Elman 1990")
        ... def elman(x, h, p):
        ...     return {"h": tanh(p.W_ih @ x + p.W_hh @ h + p.b)}
        >>> elman.states
        ('h',)
    """
    if bare:
        raise CellError("cell: expected keywords, as in `@cell(source='Elman 1990')` above a function")
    return lambda function: Cell(function, source, init or {}, sizes or {})
