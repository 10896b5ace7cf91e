"""What tracing finds out about a cell: shapes of weights, named parts, rates."""

from __future__ import annotations

from recurra.cells import gru, lstm
from recurra.equations import Form, cell, concat, exp, scalar, sigmoid, softplus, split, tanh, trace
from recurra.equations.graph import Rate


def test_sizes_follow_from_the_equations() -> None:
    assert trace(lstm, Form(3, 5)).weights == {"W_ih": (20, 3), "W_hh": (20, 5), "b": (20,)}
    peephole = trace(lstm, Form(3, 5, options=(("peephole", True),))).weights
    assert {name: peephole[name] for name in ("p_i", "p_f", "p_o")} == {"p_i": (5,), "p_f": (5,), "p_o": (5,)}
    projected = trace(lstm, Form(3, 5, options=(("projection", 2),)))
    assert projected.weights == {"W_ih": (20, 3), "W_hh": (20, 2), "b": (20,), "W_hr": (2, 5)}
    assert projected.output.width == 2


def test_sizes_follow_upwards_and_downwards_through_split_and_concat() -> None:
    @cell(source="test", sizes={"c": 6})
    def mixed(x, h, c, p):
        a, b = split(p.W @ x, 2)
        d, e, f = split(c, 3)
        h = h + p.s * b  # says that a and b have 4 rows
        return {"h": h + p.U @ concat(a, x), "c": concat(d, e * p.v, f) + concat(a, p.w[2])}

    assert trace(mixed, Form(3, 4)).weights == {
        "W": (8, 3),
        "U": (4, 7),
        "s": (4,),
        "v": (2,),
        "w": (2,),
    }


def test_parts_are_named_by_split() -> None:
    parts = trace(lstm, Form(3, 5)).parts
    assert parts["b.f"] == ("b", 5, 5)
    assert parts["W_hh.o"] == ("W_hh", 15, 5)
    assert trace(gru, Form(3, 5)).parts["b_hh.n"] == ("b_hh", 10, 5)


def test_stated_sizes() -> None:
    @cell(source="test", sizes={"W1": "hidden_size", "W3": 7})
    def open_sizes(x, h, p):
        return {"h": h + p.W2 @ tanh(p.W1 @ x) + p.W4 @ tanh(p.W3 @ x) + p.W6 @ tanh(p.W5[2] @ x)}

    weights = trace(open_sizes, Form(3, 4)).weights
    assert weights["W1"] == (4, 3)
    assert weights["W2"] == (4, 4)
    assert (weights["W3"], weights["W4"]) == ((7, 3), (4, 7))
    assert (weights["W5"], weights["W6"]) == ((2, 3), (4, 2))


def test_a_weight_may_be_read_more_than_once() -> None:
    @cell(source="test")
    def shared(x, h, p):
        return {"h": tanh(p.W @ h + p.b) * tanh(p.W @ tanh(h) + p.b) + p.b}

    assert trace(shared, Form(3, 4)).weights == {"W": (4, 4), "b": (4,)}


def test_rates() -> None:
    @cell(source="test")
    def rated(x, h, p, *, context, gap):
        decay = exp(-softplus(p.decay))
        return {"h": decay * gap * h + tanh(p.W @ x) + tanh(p.U @ context) * scalar(p.scale)}

    inputs = (("context", 6, Rate.SEQUENCE), ("gap", None, Rate.STEP))
    traced = trace(rated, Form(3, 4, inputs=inputs))
    assert traced.weights == {"decay": (4,), "W": (4, 3), "U": (4, 6), "scale": ()}
    rates = {node.op: node.rate for node in traced.graph.nodes() if node.op in ("exp", "product", "tanh", "add")}
    assert rates["exp"] is Rate.ONCE
    products = {node.data.blocks[0][0].weight: node.rate for node in traced.graph.nodes() if node.op == "product"}
    assert products == {"W": Rate.STEP, "U": Rate.SEQUENCE}
    assert rates["add"] is Rate.LOOP


def test_slices_sink_to_rows_of_weights_and_are_views_elsewhere() -> None:
    @cell(source="test")
    def sunk(x, h, p):
        a, b = split(p.W @ x + p.U @ h + p.b, 2)
        c, d = split(tanh(p.V @ h), 2)
        return {"h": sigmoid(a) * c + b + d}

    nodes = trace(sunk, Form(3, 4)).graph.nodes()
    assert sorted((n.data.blocks[0][0].weight, n.data.blocks[0][0].row) for n in nodes if n.op == "product") == [
        ("U", 0),
        ("U", 4),
        ("V", 0),
        ("W", 0),
        ("W", 4),
    ]
    assert [n.args[0].op for n in nodes if n.op == "slice"] == ["tanh", "tanh"]


def test_a_matrix_on_a_concatenation_is_two_products_of_different_rate() -> None:
    @cell(source="test")
    def joined(x, h, p):
        return {"h": tanh(p.W @ concat(x, h) + p.b)}

    traced = trace(joined, Form(3, 4))
    assert traced.weights["W"] == (4, 7)
    products = {n.data.blocks[0][0].column: n.rate for n in traced.graph.nodes() if n.op == "product"}
    assert products == {0: Rate.STEP, 3: Rate.LOOP}


def test_a_hidden_size_of_one_stays_a_row() -> None:
    traced = trace(lstm, Form(1, 1, options=(("layer_norm", True),)))
    assert traced.output.width == 1
    assert [n.width for n in traced.graph.nodes() if n.op == "inv_std"] == [None, None, None]


def test_masks_of_the_wrappers() -> None:
    form = Form(3, 4, zoneout=(("h", 0.1), ("c", 0.2)), recurrent_dropout=True, training=True)
    masks = trace(lstm, form).masks
    assert {name: (node.width, node.rate) for name, node in masks.items()} == {
        "zoneout.h": (4, Rate.STEP),
        "zoneout.c": (4, Rate.STEP),
        "recurrent_dropout.0": (4, Rate.SEQUENCE),
    }
    assert trace(lstm, Form(3, 4, zoneout=(("h", 0.1),), recurrent_dropout=True)).masks == {}
    before = Form(3, 4, options=(("reset_after", False),), recurrent_dropout=True, training=True)
    assert list(trace(gru, before).masks) == ["recurrent_dropout.0", "recurrent_dropout.1"]
