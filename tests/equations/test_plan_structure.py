"""What the plans of known cells look like: products and programs in the loop, and the rows kept for the gradient.

The numbers are those of the papers and of a count by hand: what the backward pass must read, and no more.
"""

from __future__ import annotations

from typing import Any

import pytest

from recurra.cells import gru, lstm, lstm_1997, min_gru, min_lstm, rnn, sru
from recurra.equations import (
    Cell,
    Form,
    cell,
    exp,
    logsigmoid,
    maximum,
    sigmoid,
    split,
    stop_gradient,
    tanh,
    trace,
)
from recurra.equations.graph import LEAVES, Node, Rate
from recurra.equations.plan import Plan, Stage
from recurra.equations.plans import TrainingPlans, differentiable_plan, forward_plan, training_plans

H = 8


@cell(source="Beck et al. 2024 (xLSTM)")
def slstm(x, h, c, n, m, p, *, stopped=True):
    i, f, z, o = split(p.W_ih @ x + p.W_hh @ h + p.b, "i f z o")
    f = logsigmoid(f) + m
    m = stop_gradient(maximum(f, i)) if stopped else maximum(f, i)
    i, f = exp(i - m), exp(f - m)
    c = f * c + i * tanh(z)
    n = f * n + i
    return {"h": sigmoid(o) * c / n, "c": c, "n": n, "m": m}


def plans(cell: Cell, form: Form) -> TrainingPlans:
    return training_plans(cell, form, frozenset(["x", *trace(cell, form).weights]))


def form(input_size: int = 3, **wrappers: Any) -> Form:
    training = bool(wrappers)
    options = tuple(wrappers.pop("options", {}).items())
    return Form(input_size, H, options=options, training=training, **wrappers)


def shape(stages: tuple[Stage, ...]) -> str:
    """P for each product, E for each program."""
    return "".join("P" if stage.kind == "product" else "E" for stage in stages)


def instructions(plan: Plan) -> int:
    views = ("product", "slice", "concat", "spread")
    return sum(node.op not in views for stage in plan.loop for node in stage.nodes)


def kept(cell: Cell, form: Form) -> tuple[float, int]:
    """Rows, in units of H, and single numbers kept for each step, besides x, masks and the sequence of the output.

    A state's sequence counts once, whether what enters a step is read or what leaves it.
    """
    forward = plans(cell, form).forward.graph
    output = forward.results["output"]
    found: dict[object, Node] = {}
    for key in plans(cell, form).kept:
        node = forward.results[key]
        state = next((name for name, pair in forward.states.items() if node in pair), None)
        if node is not output and not (state and forward.states[state][1] is output) and node.rate.per_step:
            found[state or node] = node
    return sum(n.width or 0 for n in found.values()) / H, sum(n.width is None for n in found.values())


ZONEOUT = {"zoneout": (("h", 0.1), ("c", 0.1))}
# cell, form, loop forward, loop backward, instructions forward, rows and numbers kept
CELLS = [
    (rnn, {}, "PE", "EP", 1, (0, 0)),
    (rnn, {"options": {"activation": "relu"}}, "PE", "EP", 1, (0, 0)),
    (rnn, {"options": {"activation": "sigmoid"}}, "PE", "EP", 1, (0, 0)),
    (lstm, {}, "PE", "EP", 8, (5, 0)),
    (lstm_1997, {}, "PE", "EP", 6, (4, 0)),
    (lstm_1997, {"options": {"truncated": True}}, "PE", "E", 6, (4, 0)),
    (lstm, {"options": {"peephole": True}}, "EPE", "EP", 11, (5, 0)),
    (lstm, {"options": {"coupled": True}}, "PE", "EP", 8, (4, 0)),
    (lstm, {"options": {"projection": 4}}, "PEP", "EPEP", 8, (5, 0)),
    (lstm, {"options": {"layer_norm": True}}, "PE", "EP", 14, (9, 3)),
    (gru, {}, "PE", "EP", 6, (4, 0)),
    (gru, {"options": {"reset_after": False}}, "PEPE", "EPEP", 6, (3, 0)),
    (min_gru, {}, "E", "E", 2, (2, 0)),
    (min_lstm, {}, "E", "E", 2, (3, 0)),
    (sru, {"input_size": H}, "E", "E", 4, (4, 0)),
    (sru, {"input_size": 3}, "E", "E", 4, (5, 0)),
    (slstm, {"options": {"stopped": False}}, "PE", "EP", 14, (7, 0)),
    (slstm, {}, "PE", "EP", 14, (7, 0)),
    (lstm, ZONEOUT, "PE", "EP", 12, (5, 0)),
    (gru, {"zoneout": (("h", 0.1),)}, "PE", "EP", 8, (4, 0)),
    (lstm, {"recurrent_dropout": True}, "EPE", "EPE", 9, (5, 0)),
    (gru, {"recurrent_dropout": True, "options": {"reset_after": False}}, "EPEPE", "EPEPE", 8, (3, 0)),
    (lstm, {"options": {"peephole": True}, "recurrent_dropout": True, **ZONEOUT}, "EPE", "EPE", 16, (5, 0)),
]


@pytest.mark.parametrize(("cell", "wrappers", "forward", "backward", "count", "rows"), CELLS)
def test_stages_instructions_and_kept_rows(
    cell: Cell, wrappers: dict[str, Any], forward: str, backward: str, count: int, rows: tuple[float, int]
) -> None:
    found = plans(cell, form(**wrappers))
    assert shape(found.forward.loop) == forward
    assert shape(forward_plan(cell, form(**wrappers)).loop) == forward
    assert shape(found.gradient.loop) == backward
    assert instructions(found.forward) == count
    assert kept(cell, form(**wrappers)) == rows


@pytest.mark.parametrize(("cell", "wrappers"), [row[:2] for row in CELLS])
def test_weights_and_inputs_are_never_kept(cell: Cell, wrappers: dict[str, Any]) -> None:
    found = plans(cell, form(**wrappers))
    leaves = {found.forward.graph.results[key].op for key in found.kept} & LEAVES
    assert leaves <= {"state"}


@pytest.mark.parametrize(("cell", "wrappers"), [row[:2] for row in CELLS])
def test_what_does_not_depend_on_a_state_is_outside_the_loop(cell: Cell, wrappers: dict[str, Any]) -> None:
    found = plans(cell, form(**wrappers))
    for plan in (found.forward, found.gradient):
        assert {node.rate for stage in plan.loop for node in stage.nodes} == {Rate.LOOP}


@pytest.mark.parametrize(("cell", "wrappers"), [row[:2] for row in CELLS])
def test_stages_stand_in_an_order_in_which_they_can_run(cell: Cell, wrappers: dict[str, Any]) -> None:
    found = plans(cell, form(**wrappers))
    for plan in (found.forward, found.gradient, differentiable_plan(cell, form(**wrappers))):
        made: set[Node] = set()
        for stage in (*plan.before, *plan.loop, *plan.after):
            for node in stage.nodes:
                assert all(arg in made or arg.op in LEAVES for arg in node.args)
                made.add(node)
        needed = [*plan.graph.results.values(), *(new for _, new in plan.graph.states.values())]
        assert all(node in made or node.op in LEAVES for node in needed)


def test_one_matrix_and_four_matrices_give_one_plan() -> None:
    @cell(source="test")
    def four(x, h, c, p):
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + i * g
        return {"h": o * tanh(c), "c": c}

    one, separate = plans(lstm, form()), plans(four, form())
    for a, b in ((one.forward, separate.forward), (one.gradient, separate.gradient)):
        assert shape(a.loop) == shape(b.loop)
        assert instructions(a) == instructions(b)
    assert kept(four, form()) == kept(lstm, form())


def test_products_of_a_value_with_and_without_stop_gradient_are_one_in_a_plan_without_gradient() -> None:
    @cell(source="test")
    def half_stopped(x, h, p):
        return {"h": tanh(p.W @ x + p.U @ h) * sigmoid(p.V @ stop_gradient(h))}

    assert shape(forward_plan(half_stopped, form()).loop) == "PE"
    assert shape(differentiable_plan(half_stopped, form()).loop) == "EPPE"
    product = forward_plan(half_stopped, form()).loop[0].nodes[0]
    assert product.width == 2 * H


def test_a_gradient_that_only_some_want_is_smaller() -> None:
    everything = plans(lstm, form()).gradient
    only_x = training_plans(lstm, form(), frozenset({"x"})).gradient
    assert {key[0] for key in everything.graph.results} == {"input", "vector", "matrix"}
    assert {key[0] for key in only_x.graph.results} == {"input"}
    only_state = training_plans(lstm, form(), frozenset()).gradient
    assert only_state.graph.results == {}
    assert not only_state.after


def test_weights_gradients_are_made_after_the_loop_one_product_for_each_matrix() -> None:
    results = plans(lstm, form()).gradient.graph.results
    matrices = [blocks for kind, blocks, *_ in (key for key in results if key[0] == "matrix")]
    assert sorted({block.weight for blocks in matrices for block in blocks}) == ["W_hh", "W_ih"]
    assert len(matrices) == 2
    vectors = [key for key in results if key[0] == "vector"]
    assert vectors == [("vector", "b", 0, 4 * H)]


def test_plans_are_made_once_for_each_cell_and_form() -> None:
    assert forward_plan(gru, form()) is forward_plan(gru, Form(3, H))
    assert forward_plan(gru, form()) is not forward_plan(gru, Form(3, H, options=(("reset_after", False),)))
