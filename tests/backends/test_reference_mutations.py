"""The random cells can fail: each rule of the gradient, made wrong by 1 %, is found."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from agreement import worst_error
from random_cells import draw

from recurra.backends import operations
from recurra.equations import derive, trace
from recurra.equations.graph import Graph, Node

SEEDS = range(400)


def found(operation: str, gradient: str = "derived") -> bool:
    """Whether a random cell that uses the operation shows an error."""
    for seed in SEEDS:
        example = draw(seed)
        if any(node.op == operation for node in trace(example.cell, example.form).graph.nodes()):
            error = worst_error(example, (gradient,))
            if error is not None and error > 1e-4:
                return True
    return False


def scaled(rule: derive.Adjoint, argument: int) -> derive.Adjoint:
    def wrong(graph: Graph, g: Node, y: Node, args: list[Node]) -> Iterable[Node | None]:
        shares = list(rule(graph, g, y, args))
        share = shares[argument]
        assert share is not None
        shares[argument] = graph.make("mul", share, graph.const(1.01))
        return shares

    return wrong


ARGUMENTS = {"add": 2, "sub": 2, "mul": 2, "div": 2, "max": 2, "min": 2}
RULES = [
    (operation, argument)
    for operation in derive._ADJOINTS
    if operation not in ("inv_std", "stop", "spread")  # give no gradient; spread stands in gradients only
    for argument in range(ARGUMENTS.get(operation, 1))
]


@pytest.mark.parametrize(("operation", "argument"), RULES)
def test_a_rule_wrong_by_one_percent_is_found(operation: str, argument: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(derive._ADJOINTS, operation, scaled(derive._ADJOINTS[operation], argument))
    assert found(operation)


MADE_BY = {"dtanh": "tanh", "dsigmoid": "sigmoid", "drelu": "relu", "pick": "max", "dnormalise": "normalise"}


@pytest.mark.parametrize("operation", MADE_BY)
def test_an_operation_of_the_gradient_wrong_by_one_percent_is_found(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = operations.OPERATIONS[operation]
    monkeypatch.setitem(operations.OPERATIONS, operation, lambda *args: right(*args) * 1.01)
    assert found(MADE_BY[operation])


def test_a_gradient_let_through_stop_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(derive._ADJOINTS, "stop", derive._ADJOINTS["neg"])
    leads = derive._leads_to

    def through(order: list[Node], wanted: frozenset[str]) -> dict[Node, bool]:
        return leads(order, wanted) | {node: True for node in order if node.op == "stop"}

    monkeypatch.setattr(derive, "_leads_to", through)
    assert found("stop")


def test_autograd_through_a_stop_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(operations.OPERATIONS, "stop", lambda a: a)
    assert found("stop", "autograd")


def test_a_total_wrong_by_one_percent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Graph.total

    def wrong(graph: Graph, value: Node, rate: int) -> Node:
        total = right(graph, value, rate)
        return total if total is value else graph.make("mul", total, graph.const(1.01))

    monkeypatch.setattr(Graph, "total", wrong)
    assert found("vector")


@pytest.mark.parametrize("part", ["_transposed", "matrices"])
def test_a_product_s_gradient_wrong_by_one_percent_is_found(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(derive._Tape, part)

    def wrong(tape: derive._Tape, argument: object) -> object:
        graph, value = tape.graph, right(tape, argument)
        scale = graph.const(1.01)
        if isinstance(value, Node):
            return graph.make("mul", value, scale)
        return {
            key: graph.make("outer", graph.make("mul", node.args[0], scale), node.args[1])
            for key, node in value.items()
        }

    monkeypatch.setattr(derive._Tape, part, wrong)
    assert found("product")
