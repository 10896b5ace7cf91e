"""What is said of a plan, against counting by hand and against what a run holds."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import pytest
import torch
from layers.variants import VARIANTS, label

from recurra.backends.extension import unavailable
from recurra.cells import CELLS
from recurra.equations import cell, tanh
from recurra.equations.plans import traced, training_plans
from recurra.inspection import describe_plans
from recurra.inspection.names import Names
from recurra.layers.recurrent import Recurrent

I, H = 5, 7
needs_extension = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


def describe(cell_name: Any, input_size: int = I, **options: Any) -> dict[str, Any]:
    (layer,) = describe_plans(Recurrent(cell_name, input_size, H, **options).stack)
    return layer


KEPT = [  # rows of H, and numbers, that the gradient reads of each step besides x, masks and the output
    ("rnn", {}, 0, 0),  # h alone
    ("lstm", {}, 5, 0),  # i f g o c
    ("lstm_1997", {}, 4, 0),  # i g o c
    ("lstm_1997", {"truncated": True}, 4, 0),
    ("lstm", {"peephole": True}, 5, 0),
    ("lstm", {"coupled": True}, 4, 0),  # f is 1 - i
    ("lstm", {"layer_norm": True}, 9, 3),  # both normalised products, 4 rows each, c; the deviations of three rows
    ("gru", {}, 4, 0),  # r z n, and what r meets
    ("gru", {"reset_after": False}, 3, 0),
    ("min_gru", {}, 2, 0),
    ("min_lstm", {}, 3, 0),
    ("sru", {"input_size": H}, 4, 0),
    ("sru", {}, 5, 0),  # and W_skip x
    ("lstm", {"zoneout": 0.1}, 5, 0),
    ("gru", {"zoneout": 0.1}, 4, 0),
    ("lstm", {"recurrent_dropout": 0.1}, 5, 0),
    ("gru", {"reset_after": False, "recurrent_dropout": 0.1}, 3, 0),
    ("lstm", {"peephole": True, "zoneout": 0.1, "recurrent_dropout": 0.1}, 5, 0),
]


@pytest.mark.parametrize(("cell_name", "options", "rows", "numbers"), KEPT, ids=label)
def test_what_is_kept(cell_name: str, options: dict[str, Any], rows: int, numbers: int) -> None:
    kept = [row for row in describe(cell_name, **options)["kept"] if row["memory"] != "the output"]
    assert sum(row["width"] for row in kept) == rows * H + numbers


def test_kept_rows_of_a_projection() -> None:
    """i f g o c, H wide each; the output is 3 wide."""
    kept = describe("lstm", projection=3)["kept"]
    assert [row["width"] for row in kept if row["memory"] == "the output"] == [3]
    assert sum(row["width"] for row in kept) == 5 * H + 3


def test_bytes_of_an_lstm_by_hand() -> None:
    """The four gates in the memory of the input's products, c, and h, which is the output: 6 H numbers."""
    layer = describe("lstm")
    assert {row["value"]: row["memory"] for row in layer["kept"]} == {
        **dict.fromkeys("ifgo", "over x_gates"), "c": "its own", "h": "the output",
    }  # fmt: skip
    assert all(row["bytes"] == {"float32": 4 * H, "float64": 8 * H} for row in layer["kept"])
    assert layer["memory"] == {"numbers": 6 * H, "bytes": {"float32": 24 * H, "float64": 48 * H}}


def test_bytes_of_a_gru_by_hand() -> None:
    """r, z, n, what r meets, and h: 5 H numbers; those that find no place over the input's product have their own."""
    layer = describe("gru")
    assert {row["value"] for row in layer["kept"]} == {"r", "z", "n", "gates[n]", "h"}
    assert sum(row["bytes"]["float32"] for row in layer["kept"]) == 5 * H * 4
    own = sum(row["width"] for row in layer["kept"] if row["memory"] == "its own")
    assert layer["memory"]["numbers"] == 3 * H + own + H  # the input's products, and the output


@needs_extension
@pytest.mark.parametrize("wrapper", [{}, {"zoneout": 0.3}], ids=label)
@pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
def test_memory_is_what_a_run_holds(cell_name: str, options: dict[str, Any], wrapper: dict[str, Any]) -> None:
    """Tensors with rows for every step that autograd keeps, but for x and masks, which are the caller's."""
    model = Recurrent(cell_name, I, H, backend="native", **options, **wrapper)
    x = torch.randn(3, 2, I, requires_grad=True)
    held: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: held.__setitem__(tensor.data_ptr(), tensor.numel() * (tensor.shape[:1] == (6,))) or tensor,
        lambda tensor: tensor,
    ):
        model(x)
    masks = [node.width or 1 for node in traced(model.stack.cell, model.stack.form(0, training=True)).masks.values()]
    (layer,) = describe_plans(model.stack)
    assert sum(held.values()) == 6 * (layer["memory"]["numbers"] + I + sum(masks))


@pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
def test_flops_and_counts(cell_name: str, options: dict[str, Any]) -> None:
    """Two for each number of a matrix forward; backward twice that, but for what `stop_gradient` holds back."""
    model = Recurrent(cell_name, I, H, **options)
    (layer,) = describe_plans(model.stack)
    matrices = sum(prod(w.shape) for w in model.weights()[0].values() if w.dim() == 2)
    assert layer["forward"]["flops"] == 2 * matrices
    stopped = 2 * 3 * H * H if options.get("truncated") else 0
    assert layer["gradient"]["flops"] == 4 * matrices - stopped
    for name in ("forward", "gradient"):
        lines = [line for stage in layer[name]["stages"] for line in stage["lines"]]
        assert sum(layer[name]["products"].values()) == sum(
            stage["kind"] == "product" for stage in layer[name]["stages"]
        )
        views = sum(line.split(" = ")[-1].startswith("[") for line in lines)
        made = sum(len(stage["lines"]) for stage in layer[name]["stages"] if stage["kind"] == "program") - views
        assert sum(layer[name]["instructions"].values()) >= made  # and copies


def test_without_a_gradient_of_the_input() -> None:
    stack = Recurrent("lstm", I, H, 2).stack
    with_x, without = (describe_plans(stack, input_gradient=asked) for asked in (True, False))
    assert with_x[0]["gradient"]["flops"] - without[0]["gradient"]["flops"] == 2 * 4 * H * I
    assert with_x[1] == without[1]


@pytest.mark.parametrize(("cell_name", "options"), VARIANTS, ids=label)
@pytest.mark.parametrize("wrapper", [{}, {"zoneout": 0.3, "recurrent_dropout": 0.3}], ids=label)
def test_lines_compute_the_cell(cell_name: str, options: dict[str, Any], wrapper: dict[str, Any]) -> None:
    """Every value has one name, is made once and before it is read; states, output and gradients are all made."""
    if wrapper and cell_name in ("min_gru", "min_lstm", "sru"):
        wrapper = {"zoneout": 0.3}
    model = Recurrent(cell_name, I, H, **options, **wrapper)
    form = model.stack.form(0, training=True)
    known = traced(model.stack.cell, form)
    plans = training_plans(model.stack.cell, form, frozenset(["x", *known.weights]))
    (layer,) = describe_plans(model.stack)
    forward = lines_of(layer["forward"])
    made = names_made(forward)
    assert len(made) == len(set(made))
    assert {*known.graph.states, *([] if "h" in known.graph.states else ["output"])} <= {*made}
    given = {"x", *known.masks, *known.weights, *(f"{state}[t-1]" for state in known.graph.states)}
    assert_read_after(forward, given)
    gradient = lines_of(layer["gradient"])
    kept = {names(plans, known, key) for key in plans.kept}
    carried = {f"d_{state}" for state in known.graph.states}
    assert_read_after(gradient, given | kept | carried | {"d_output", *known.graph.states})
    made = {name.partition(".")[0].partition("[")[0] for name in names_made(gradient)}
    assert {f"d_{name}" for name in ("x", *known.weights)} <= made


def lines_of(one: dict[str, Any]) -> list[str]:
    return [line for stage in one["stages"] for line in stage["lines"]]


def names(plans: Any, known: Any, key: Any) -> str:
    return Names(known, plans.forward).of(plans.forward.graph.results[key])


def names_made(lines: list[str]) -> list[str]:
    return [name for line in lines for name in re.split(r" \+?= ", line)[0].split(", ")]


FUNCTIONS = {"sigmoid", "tanh", "relu", "inv_std", "normalise", "dnormalise", "where", "T"}


def assert_read_after(lines: list[str], given: set[str]) -> None:
    """Names before a bracket or a dot: `gates[i f]`, `b.f`."""
    known = {name.partition("[")[0].partition(".")[0] for name in given}
    for line in lines:
        made, text = re.split(r" \+?= ", line, maxsplit=1)
        bare = re.sub(r"(?<=\w)\[[^\]]*\]|\.\w+", "", text)
        for name in re.findall(r"[A-Za-z_]\w*", bare):
            assert name in known | FUNCTIONS, line
        known |= {name.partition("[")[0].partition(".")[0] for name in made.split(", ")}


def test_a_cell_of_ones_own() -> None:
    @cell(source="here")
    def mine(x, h, p):  # type: ignore[no-untyped-def]
        return {"h": tanh(p.W @ x) * h}

    layer = describe(mine)
    assert lines_of(layer["forward"]) == ["p1 = x @ W^T", "t1 = tanh(p1)", "h = t1 * h[t-1]"]
    assert layer["cell"] == "mine"


def test_one_gradient_of_two_weights() -> None:
    @cell(source="here")
    def twice(x, h, p):  # type: ignore[no-untyped-def]
        return {"h": tanh(p.W @ x + p.U @ h + p.b + p.a)}

    assert "d_a, d_b += " in " ".join(lines_of(describe(twice)["gradient"]))


def test_every_cell_is_described() -> None:
    assert {name for name, _ in VARIANTS} == set(CELLS)
