"""From a cell's function to a graph: call it with symbols, check what it returns, lower what was recorded.

Names of parts and places of errors come from the function itself. Options and `if`s over them are plain Python
and are resolved here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recurra.equations.cell import Cell
from recurra.equations.graph import Block, Graph, Node, Rate, copy_node, rebuild
from recurra.equations.lower import lower
from recurra.equations.sizes import Size
from recurra.equations.symbols import Operand, Symbol, Tracer, Weights, symbol
from recurra.errors import RecurraError


@dataclass(frozen=True)
class Form:
    """All that a traced cell depends on besides its equations; hashable, so that plans can be cached by it.

    `inputs` are the cell's further inputs as (name, width or None for a number, rate); `zoneout` is (state,
    probability) for each state that has it. In training, zoneout and recurrent dropout read masks, which become
    inputs; in evaluation zoneout blends by its probability and recurrent dropout does nothing.
    """

    input_size: int
    hidden_size: int
    options: tuple[tuple[str, Any], ...] = ()
    inputs: tuple[tuple[str, int | None, Rate], ...] = ()
    zoneout: tuple[tuple[str, float], ...] = ()
    recurrent_dropout: bool = False
    training: bool = False


@dataclass(frozen=True)
class Traced:
    """A cell's graph (its output is the result "output") and what is known of its weights.

    `weights` gives each weight's shape: (rows, columns), (size,) or () for a scalar. `parts` gives what `split`
    named: "b.f" -> (weight, first row, rows). `masks` are the inputs that zoneout and dropout read.
    """

    cell: Cell
    form: Form
    graph: Graph
    inputs: dict[str, Node]
    weights: dict[str, tuple[int, ...]]
    parts: dict[str, tuple[str, int, int]]
    masks: dict[str, Node] = field(default_factory=dict)

    @property
    def output(self) -> Node:
        """The value that the cell gives, the first entry of what it returned."""
        return self.graph.results["output"]

    def recurrent_blocks(self) -> list[Block]:
        """The parts of matrices that multiply something that depends on a state."""
        nodes = [n for n in self.graph.nodes() if n.op == "product" and n.rate is Rate.LOOP]
        return [n.data.blocks[0][0] for n in nodes]


def trace(cell: Cell, form: Form) -> Traced:
    """Record the graph of `cell` at the sizes and options of `form`.

    Raises:
        CellError: naming the cell, the line and the operation, where the function cannot be traced.
    """
    options = cell.check_options(dict(form.options))
    tracer = Tracer(cell.name, cell.filename, cell.first_line)
    _check_form(tracer, cell, form)
    sizes = cell.state_sizes(form.input_size, form.hidden_size, options)
    stated = {name: cell.size(name, form.input_size, form.hidden_size, options) for name in cell.sizes}
    tracer.stated = {name: size for name, size in stated.items() if size is not None and name not in sizes}
    inputs = {"x": _leaf(tracer, "input", "x", form.input_size, Rate.STEP)}
    inputs |= {name: _leaf(tracer, "input", name, width, rate) for name, width, rate in form.inputs}
    masks = {
        f"zoneout.{name}": _leaf(tracer, "input", f"zoneout.{name}", sizes[name], Rate.STEP)
        for name, _ in form.zoneout
        if form.training
    }
    states = {name: _leaf(tracer, "state", name, size, Rate.LOOP) for name, size in sizes.items()}
    extras = {name: inputs[name] for name in cell.inputs}
    step = _zoneout(cell.step, dict(form.zoneout), masks)
    returned = _call(tracer, lambda: step(inputs["x"], states, Weights(tracer), **extras, **options))
    values = _check_returned(tracer, returned, states)
    lowered = lower(tracer, states, {**inputs, **masks}, values)
    read, blends = ({name: lowered.inputs[name] for name in group} for group in (inputs, masks))
    traced = Traced(cell, form, lowered.graph, read, lowered.weights, lowered.parts, blends)
    return _drop_recurrent(traced) if form.recurrent_dropout and form.training else traced


def _check_form(tracer: Tracer, cell: Cell, form: Form) -> None:
    given = [name for name, _, _ in form.inputs]
    if set(given) != set(cell.inputs):
        expected = ", ".join(cell.inputs) or "none"
        tracer.fail(f"expected the further inputs: {expected}; got: {', '.join(given) or 'none'}", tracer.first_line)
    for name, _ in form.zoneout:
        if name not in cell.states:
            tracer.fail(f"zoneout of '{name}': the states are {', '.join(cell.states)}", tracer.first_line)


def _leaf(tracer: Tracer, op: str, name: str, width: int | None, rate: Rate) -> Symbol:
    return Symbol(tracer, op, (), None if width is None else Size(width), tracer.first_line, name, rate)


def _call(tracer: Tracer, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except RecurraError:
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == tracer.filename]
        line, text = (frames[-1].lineno, frames[-1].line) if frames else (None, "")
        known = "; values take + - * / @ and recurra's functions only" if isinstance(error, TypeError) else ""
        where = f" in `{text}`" if text else ""
        tracer.fail(f"{type(error).__name__}{where}: {' '.join(str(error).split())}{known}", line)


def _check_returned(tracer: Tracer, returned: Any, states: Mapping[str, Symbol]) -> dict[str, Symbol]:
    """The returned dict as symbols: output first, every state there, nothing undeclared, each of its state's size."""
    names = ", ".join(states)
    if not isinstance(returned, Mapping) or not returned:
        tracer.fail(
            f"returned {type(returned).__name__}: expected a dict of the output and the states {names}",
            tracer.first_line,
        )
    for name, value in returned.items():
        if not isinstance(value, (Operand, int, float)):
            tracer.fail(f"returned '{name}' of type {type(value).__name__}: expected a value", tracer.first_line)
    values = {name: symbol(tracer, value) for name, value in returned.items()}
    extra = [name for name in list(values)[1:] if name not in states]
    if extra:
        tracer.fail(
            f"returned '{extra[0]}', which is not a state: declared are {names} (the arguments between x and p)",
            tracer.first_line,
        )
    missing = [name for name in states if name not in values]
    if missing:
        tracer.fail(f"did not return the new value of state '{missing[0]}'", tracer.first_line)
    for name, value in values.items():
        if value.length is None:
            tracer.fail(f"returned '{name}' is one number: expected a row", value.line)
        size = states[name].length if name in states else None
        if size is not None and not tracer.agree(size, value.length):
            tracer.fail(
                f"returned '{name}' has size {value.length.value}, the state has {size.value}: sizes do not agree",
                value.line,
            )
    return values


def _zoneout(step: Callable[..., Mapping[str, Any]], rates: dict[str, float], masks: Mapping[str, Symbol]) -> Any:
    """`step` with zoneout around it (Krueger et al. 2017): with its probability, a state keeps its old value.

    In training the mask holds 1 where the new value is taken; in evaluation the blend is by the expectation.
    """

    def blended(x: Symbol, states: Mapping[str, Symbol], p: Weights, **options: Any) -> dict[str, Any]:
        new = dict(step(x, states, p, **options))
        for name, rate in rates.items():
            if name in new:  # a missing state is reported where the returned dict is checked
                new[name] = states[name] + masks.get(f"zoneout.{name}", 1.0 - rate) * (new[name] - states[name])
        return new

    return blended if rates else step


def _drop_recurrent(traced: Traced) -> Traced:
    """Recurrent dropout (Gal & Ghahramani 2016): each product whose operand depends on a state reads mask * operand.

    On the graph and not on the states: a state may enter elementwise too (GRU), where it must stay whole.
    """
    masks: dict[Node, Node] = {}

    def replace(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op != "product" or node.rate is not Rate.LOOP:
            return None
        (operand,) = args
        value = operand.args[0] if operand.op == "stop" else operand  # one mask, with and without stop_gradient
        name = f"recurrent_dropout.{len(masks)}"
        mask = masks.setdefault(value, graph.leaf("input", name, operand.width, Rate.SEQUENCE))
        return graph.make("product", graph.make("mul", mask, operand), data=node.data)

    graph = rebuild(traced.graph, replace)
    inputs = {name: copy_node(graph, node, ()) for name, node in traced.inputs.items()}
    kept = {name: copy_node(graph, node, ()) for name, node in traced.masks.items()}
    dropped = {str(mask.data): mask for mask in masks.values()}
    return Traced(traced.cell, traced.form, graph, inputs, traced.weights, traced.parts, {**kept, **dropped})
