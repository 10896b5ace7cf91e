"""Codes handed to the kernels, by cell and form, made on first use and kept."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

from recurra.backends.extension import extension
from recurra.backends.native.code import Code
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


class Specification:
    """A cell in a form with its codes; the gradient's is None where none of its inputs and weights wants one.

    Tensors are found by their places, settled here once: a run is short beside a search by name. Attributes:
        given: how many tensors a run gets.
        forward_places: for each buffer of the forward code its place among the tensors given and made; -1 for none.
        gradient_places: the same for the gradient's, among the tensors given, what the forward run made, the gradients
            that arrive (of the output, and of each final state), and what it makes itself.
        results: places of the output and of the final states among what the forward run makes.
        kept: places there of what is kept for the gradient.
        gradients: for each tensor given the place of its gradient among what the gradient run makes, or None.
        made: rows and width of what the forward run makes.
        made_gradients: shape, or rows and width, of what the gradient run makes, and whether it begins with zeros.
    """

    def __init__(
        self,
        cell: Cell,
        form: Form,
        names: Sequence[tuple[str, str]],
        reverse: bool,
        forward: Compiled,
        gradient: Compiled | None,
    ) -> None:
        self.cell, self.reverse, self.forward, self.gradient = cell, reverse, forward, gradient
        self.given = len(names)
        made = [name for name, _, _ in forward.made]
        self.made = [(rows, width) for _, rows, width in forward.made]
        self.forward_places = _places(forward, [*names, *made])
        self.results = [made.index(name) for name in _results(cell)]
        self.kept = [place for place, name in enumerate(made) if _kind(name) == "saved"]
        self.gradient_places: list[int] = []
        self.gradients: list[int | None] = []
        self.made_gradients: list[tuple[tuple[int, ...] | None, int, int, bool]] = []
        if gradient is None:
            return
        entered = [("before", name) if name[0] == "state" else name for name in names]
        arriving = [("gradient", "output"), *(("state", state) for state in cell.states)]
        making = [name for name, _, _ in gradient.made]
        self.gradient_places = _places(gradient, [*entered, *made, *arriving, *making])
        wanted = [("final", name) if kind == "state" else ("gradient", kind, name) for kind, name in names]
        self.gradients = [making.index(name) if name in making else None for name in wanted]
        of_weights: dict[Hashable, tuple[int, ...]] = {
            ("gradient", "weight", name): shape for name, shape in traced(cell, form).weights.items()
        }
        self.made_gradients = [
            (of_weights.get(name), rows, width, name in gradient.code.zeroed) for name, rows, width in gradient.made
        ]


def _results(cell: Cell) -> list[tuple[str, ...]]:
    return [("output",), *(("final", state) for state in cell.states)]


def _places(code: Compiled, names: Sequence[Hashable]) -> list[int]:
    place = {name: k for k, name in enumerate(names)}  # of two of one name the later: a run's own
    return [-1 if name is None else place[name] for name in code.names]


_SPECIFICATIONS: list[Specification] = []


def specification(number: int) -> Specification:
    """The specification of that number."""
    return _SPECIFICATIONS[number]


@lru_cache(maxsize=4096)
def specify(
    cell: Cell, form: Form, names: tuple[tuple[str, str], ...], reverse: bool, wanted: frozenset[str] | None
) -> int:
    """The number of a specification: what crosses into torch's operators in its place."""
    _SPECIFICATIONS.append(Specification(cell, form, names, reverse, *_compile(cell, form, wanted)))
    return len(_SPECIFICATIONS) - 1


def forward_only(cell: Cell, form: Form) -> Compiled:
    """The code of a run without gradients."""
    return _compile(cell, form, None)[0]


@lru_cache(maxsize=4096)
def _compile(cell: Cell, form: Form, wanted: frozenset[str] | None) -> tuple[Compiled, Compiled | None]:
    weights = traced(cell, form).weights
    if wanted is None:
        return Compiled(forward_code(forward_plan(cell, form), weights), _FORWARD), None
    plans = training_plans(cell, form, wanted)
    forward = forward_code(plans.forward, weights)
    gradient = gradient_code(plans.gradient, weights, forward)
    return Compiled(forward, _FORWARD), Compiled(gradient, _GRADIENT)


def extents(batch: int, steps: int) -> tuple[int, ...]:
    """How many rows a buffer of each of `Rows` has, for B = `batch` sequences and N = `steps` rows of all steps."""
    return 1, batch, steps, 2 * batch
