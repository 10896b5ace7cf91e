"""Plans by cell and form, made on first use and kept: a few milliseconds each."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from recurra.equations.cell import Cell
from recurra.equations.derive import derive
from recurra.equations.graph import Graph, Node
from recurra.equations.plan import Plan, plan
from recurra.equations.trace import Form, Traced, trace


@dataclass(frozen=True)
class TrainingPlans:
    """A forward plan that also gives the results ("kept", k), and the plan of the gradient that reads them."""

    forward: Plan
    gradient: Plan
    kept: tuple[Hashable, ...]


@lru_cache(maxsize=1024)
def traced(cell: Cell, form: Form) -> Traced:
    """The cell's graph and weights, traced once for each form."""
    return trace(cell, form)


@lru_cache(maxsize=1024)
def forward_plan(cell: Cell, form: Form) -> Plan:
    """The plan without anything kept for a gradient."""
    return plan(traced(cell, form).graph)


@lru_cache(maxsize=1024)
def differentiable_plan(cell: Cell, form: Form) -> Plan:
    """The plan for a backend whose operations have gradients of their own: `stop_gradient` stays in it."""
    return plan(traced(cell, form).graph, stops=True)


@lru_cache(maxsize=1024)
def training_plans(cell: Cell, form: Form, wanted: frozenset[str]) -> TrainingPlans:
    """The plans of forward and gradient, for the inputs and weights named in `wanted`."""
    graph = traced(cell, form).graph
    derivative = derive(graph, wanted)
    kept: dict[Hashable, Node] = {("kept", k): node for k, node in derivative.kept.items()}
    forward = plan(Graph(graph.states, {**graph.results, **kept}))
    return TrainingPlans(forward, plan(derivative.graph), tuple(kept))
