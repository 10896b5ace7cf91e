"""Codes handed to the kernels, by cell and form, made on first use and kept."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from recurra.backends.extension import extension
from recurra.backends.native.code import Code, Rows
from recurra.backends.native.lowering import forward_code, gradient_code
from recurra.equations.cell import Cell
from recurra.equations.plans import forward_plan, traced, training_plans
from recurra.equations.trace import Form


class Compiled:
    """A code as the kernels hold it; `names` are its buffers', None where a run makes its own, `made` go out."""

    def __init__(self, code: Code, kinds: frozenset[str]) -> None:
        self.code = code
        self.handle = extension().Code(*code.encode())
        self.names: list[Hashable | None] = [buffer.name for buffer in code.buffers]
        self.names[0] = None  # the constants
        self.made = [
            (buffer.name, buffer.rows, buffer.width) for buffer in code.buffers[1:] if _kind(buffer.name) in kinds
        ]


_FORWARD = frozenset({"output", "final", "saved"})
_GRADIENT = frozenset({"final", "gradient"})


def _kind(name: Hashable) -> object:
    return name[0] if isinstance(name, tuple) and name != ("gradient", "output") else None


@dataclass(frozen=True, eq=False)
class Specification:
    """A cell in a form, and for which of its inputs and weights gradients are wanted (None: no gradient at all)."""

    cell: Cell
    form: Form
    names: tuple[tuple[str, str], ...]
    reverse: bool
    wanted: frozenset[str] | None
    forward: Compiled
    gradient: Compiled | None
    shapes: dict[str, tuple[int, ...]]


_SPECIFICATIONS: list[Specification] = []


def specification(number: int) -> Specification:
    """The specification of that number."""
    return _SPECIFICATIONS[number]


@lru_cache(maxsize=4096)
def specify(
    cell: Cell, form: Form, names: tuple[tuple[str, str], ...], reverse: bool, wanted: frozenset[str] | None
) -> int:
    """The number of a specification: what crosses into torch's operators in its place."""
    forward, gradient = _compile(cell, form, wanted)
    _SPECIFICATIONS.append(
        Specification(cell, form, names, reverse, wanted, forward, gradient, dict(traced(cell, form).weights))
    )
    return len(_SPECIFICATIONS) - 1


@lru_cache(maxsize=4096)
def _compile(cell: Cell, form: Form, wanted: frozenset[str] | None) -> tuple[Compiled, Compiled | None]:
    weights = traced(cell, form).weights
    if wanted is None:
        return Compiled(forward_code(forward_plan(cell, form), weights), _FORWARD), None
    plans = training_plans(cell, form, wanted)
    forward = forward_code(plans.forward, weights)
    gradient = gradient_code(plans.gradient, weights, forward)
    return Compiled(forward, _FORWARD), Compiled(gradient, _GRADIENT)


def extent(rows: Rows, batch: int, steps: int) -> int:
    """How many rows a buffer has, for B = `batch` sequences and N = `steps` rows of all steps."""
    return {Rows.ONCE: 1, Rows.SEQUENCE: batch, Rows.STEP: steps, Rows.CARRY: 2 * batch}[rows]
