"""Functions that cannot be traced: each error names the cell, the line (marked `# here`) and the operation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recurra.equations import Cell, Form, trace
from recurra.equations.graph import Rate
from recurra.errors import CellError, OptionError

HEAD = """import math
import numpy
import torch
from recurra.equations import *
"""

BRANCH = "a branch on a value"
COMPARISON = "comparison of a value: unknown operation"
UNKNOWN = "unknown operation"
NOT_A_VALUE = "expected a value, a weight or a number"

# A body of `def bad(x, h, p)` with 3 inputs and 4 hidden units, and what the message must say.
BODIES: dict[str, tuple[str, str]] = {
    "branch": ("if h:  # here\n    h = -h", BRANCH),
    "and": ("h = h and x  # here", BRANCH),
    "not": ("h = h if not x else -h  # here", BRANCH),
    "assert": ("assert h  # here", BRANCH),
    "branch in a helper": ("h = helper(h)", BRANCH),
    "greater": ("if h > 0:  # here\n    h = -h", COMPARISON),
    "equal": ("while h == 0:  # here\n    pass", COMPARISON),
    "unequal": ("h = h != 0  # here", COMPARISON),
    "in": ("h = h in [x]  # here", COMPARISON),
    "max of Python": ("h = max(h, -h)  # here", COMPARISON),
    "torch's function": ("h = torch.tanh(h)  # here", "in `h = torch.tanh(h)  # here`: tanh()"),
    "torch's function of a weight": ("h = torch.sigmoid(p.b)  # here", "not Weight"),
    "math's function": ("h = math.tanh(h)  # here", "a function of `math`"),
    "numpy's function": ("h = numpy.tanh(h)  # here", "does not support ufuncs"),
    "numpy's function of a weight": ("h = numpy.exp(p.b)  # here", "does not support ufuncs"),
    "numpy array on the left": ("h = numpy.ones(4) * h  # here", f"of type ndarray: {NOT_A_VALUE}"),
    "numpy array on the right": ("h = h * numpy.ones(4)  # here", f"of type ndarray: {NOT_A_VALUE}"),
    "tensor on the left": ("h = torch.ones(4) * h  # here", f"of type Tensor: {NOT_A_VALUE}"),
    "tensor on the right": ("h = h + torch.ones(4)  # here", f"of type Tensor: {NOT_A_VALUE}"),
    "string": ("h = h + 'a'  # here", f"of type str: {NOT_A_VALUE}"),
    "bool": ("h = h * True  # here", f"of type bool: {NOT_A_VALUE}"),
    "all weights": ("h = p.W @ p  # here", f"of type Weights: {NOT_A_VALUE}"),
    "abs": ("h = abs(h)  # here", "abs()"),
    "whole division": ("h = h // 2  # here", "//"),
    "remainder": ("h = h % 2  # here", "%"),
    "cube": ("h = h ** 3  # here", "power 3: only the square is known"),
    "root": ("h = h ** 0.5  # here", "power 0.5: only the square is known"),
    "power of a value": ("h = h ** h  # here", "power <state: a row of 4>: only the square"),
    "power of a number": ("h = 2 ** h  # here", "** or pow()"),
    "float": ("h = float(h)  # here", "float()"),
    "index by a value": ("h = [1, 2][h]  # here", UNKNOWN),
    "method": ("h = h.tanh()  # here", ".tanh: unknown operation"),
    "attribute": ("h = h.T  # here", ".T: unknown operation"),
    "element": ("h = h[0]  # here", "[0] on a value: unknown operation"),
    "slice": ("h = h[:2]  # here", "on a value: unknown operation"),
    "assignment to an element": ("h[0] = 1  # here", "item assignment"),
    "iteration": ("for v in h:  # here\n    pass", "a value cannot be iterated over"),
    "unpacking": ("a, b = h  # here", "a value cannot be iterated over"),
    "sum of Python": ("h = sum(h)  # here", "a value cannot be iterated over"),
    "length": ("h = len(h)  # here", "has no len()"),
    "function of a number": ("h = tanh(3.0)  # here", "tanh: expected a value of a cell's equations, got float"),
    "too many arguments": ("h = tanh(h, h)  # here", "takes 1 positional argument"),
    "unknown name": ("h = tanhh(h)  # here", "NameError in `h = tanhh(h)  # here`: name 'tanhh' is not defined"),
    "error of the function": ("raise ValueError('no\\nway')  # here", ": no way"),
    "value on the left of @": ("h = h @ x  # here", "@ with a value on the left"),
    "negative matrix": ("h = -p.W @ x  # here", "@ with a value on the left"),
    "product with a number": ("h = p.W @ 2.0  # here", "p.W @ a number: expected a row"),
    "product with a row's sum": ("h = p.W @ row_sum(h)  # here", "p.W @ a number: expected a row"),
    "matrix, then vector": ("h = p.b @ h + p.b  # here", "p.b is used as a matrix in one place and as a vector here"),
    "vector, then matrix": ("h = h * p.b\nh = p.b @ h  # here", "used as a vector in one place and as a matrix here"),
    "vector, then scalar": ("h = (h + p.b) * scalar(p.b)  # here", "as a vector in one place and as a scalar here"),
    "scalar of a value": ("h = scalar(h) * h  # here", "scalar(...): expected a weight"),
    "rows of a weight": ("h = h + p.b[0]  # here", "p.b[0]: expected the number of rows, a whole number from 1"),
    "rows by a value": ("h = h + p.b[h]  # here", "p.b[<state: a row of 4>]: expected the number of rows"),
    "rows stated twice": ("h = p.b[4] + p.b[3]  # here", "p.b[3]: it has 4 rows elsewhere"),
    "columns that differ": ("a = p.V @ h\nh = a + p.V @ x  # here", "p.V @ a row of 3: p.V has 4 columns elsewhere"),
    "sum of two sizes": ("h = h + x  # here", "add of a row of 4 and a row of 3: sizes do not agree"),
    "product of two sizes": ("h = tanh(h) * x  # here", "mul of a row of 4 and a row of 3: sizes do not agree"),
    "gain of another size": ("h = layer_norm(h, x)  # here", "mul of a row of 4 and a row of 3: sizes do not agree"),
    "eps that is a weight": (
        "h = layer_norm(h, eps=p.e)  # here",
        "layer_norm with eps=<weight p.e>: expected a number",
    ),
    "layer norm of a number": ("h = h + layer_norm(row_sum(h))  # here", "layer_norm of a number: expected a row"),
    "sum of a number": ("h = h * row_sum(row_sum(h))  # here", "row_sum of a number: expected a row"),
    "split into thirds": ("a, b, c = split(h, 'a b c')  # here", "a row of 4 does not split into 3 equal parts"),
    "split that shows late": (
        "a, b, c = split(p.V @ x, 3)\nd = p.V[4] @ x  # here",
        "a row of 4 does not split into 3 equal parts",
    ),
    "parts as large as the whole": ("a, b = split(p.V @ x, 2)\nh = h + a + p.V @ x  # here", "a row of"),
    "halves of thirds": (
        "v = p.V @ x\na, b = split(v, 2)\nc, d, e = split(v, 3)\nh = h + a  # here",
        "a row of 8 does not split into 3",
    ),
    "split into one": ("a = split(h, 'a')  # here", "expected at least two parts"),
    "split with a name twice": ("a, b = split(h, 'a a')  # here", "split into 'a a': a name stands there twice"),
    "split into too many": ("a, b, c = split(h, 'a b')  # here", "not enough values to unpack"),
    "split of a number": ("a, b = split(row_sum(h), 2)  # here", "split of a number: expected a row"),
    "concat of one": ("h = concat(h)  # here", "concat of one row: expected at least two"),
    "concat of a number": ("h = concat(h, row_sum(h))  # here", "concat of a number: expected a row"),
    "concat of an open size": ("a = concat(h, p.V @ x)  # here", "concat of a row whose size is not known yet"),
    "size asked too early": ("a = p.V @ x  \nb = p.Y[a.size] @ x  # here", "the size of this value is not known yet"),
    "rows left open": ("h = h + p.V @ tanh(p.Y @ x)  # here", "leave the rows of p.Y open; state them, as in `p.Y["),
    "unread and open": ("a = (p.V @ x) * (p.Y @ h)  # here", "leave the size of p.V open; state it"),
}

# A return statement, and what the message must say; no line but the function's is known where the dict is wrong.
RETURNS: dict[str, tuple[str, str]] = {
    "no dict": ("return h", "returned Symbol: expected a dict of the output and the states h"),
    "a list": ("return [h]", "returned list: expected a dict"),
    "nothing": ("return None", "returned NoneType: expected a dict"),
    "an empty dict": ("return {}", "returned dict: expected a dict of the output and the states h"),
    "undeclared": ("return {'h': h, 'c': h}", "returned 'c', which is not a state: declared are h"),
    "two outputs": ("return {'y': h, 'z': h, 'h': h}", "returned 'z', which is not a state"),
    "missing": ("return {'y': h}", "did not return the new value of state 'h'"),
    "another size": ("return {'h': x}", "returned 'h' has size 3, the state has 4: sizes do not agree"),
    "a number": ("return {'h': 0.0}", "returned 'h' is one number: expected a row"),
    "a row's sum": ("return {'h': row_sum(h)}", "returned 'h' is one number: expected a row"),
    "an output that is a number": ("return {'y': row_sum(h), 'h': h}", "returned 'y' is one number: expected a row"),
    "None": ("return {'h': None}", "returned 'h' of type NoneType: expected a value"),
    "a pair": ("return {'h': (h, h)}", "returned 'h' of type tuple: expected a value"),
    "a tensor": ("return {'h': torch.zeros(4)}", "returned 'h' of type Tensor: expected a value"),
}

SIGNATURES = {
    "h, x, p": "got (h, x, p)",
    "x, h": "got (x, h)",
    "x, p": "got (x, p)",
    "x, p, h": "got (x, p, h)",
    "x, h, q": "got (x, h, q)",
    "": "got ()",
    "x, *h, p": "got (x, *h, p)",
    "x, h, p, k=3": "got (x, h, p, k=3)",
    "x, h, p, **k": "got (x, h, p, **k)",
    "x, h, p, /": "got (x, h, p)",
}


def make(tmp_path: Path, body: str, signature: str = "x, h, p", **sizes: Any) -> tuple[Cell, str]:
    """The cell `bad` of this body, in a file of its own; the file and the line marked `# here`, or the first."""
    source = f"{HEAD}def bad({signature}):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    source += "\n\ndef helper(v):\n    return -v if v else v  # here\n" if "helper" in body else ""
    path = tmp_path / "bad.py"
    path.write_text(source)
    marked = [k for k, line in enumerate(source.split("\n"), 1) if "# here" in line]
    place = f"{path}:{marked[0] if marked else HEAD.count(chr(10)) + 1}: "
    scope: dict[str, Any] = {}
    exec(compile(source, str(path), "exec"), scope)
    return Cell(scope["bad"], "test", {}, sizes), place


def message_of(cell: Cell, error: type[Exception] = CellError, **form: Any) -> str:
    with pytest.raises(error) as caught:
        trace(cell, Form(3, 4, **form))
    text = str(caught.value)
    assert "\n" not in text
    assert not re.search(r"0x[0-9a-f]{6}", text)
    return text


@pytest.mark.parametrize("name", BODIES)
def test_a_function_that_cannot_be_traced(name: str, tmp_path: Path) -> None:
    body, expected = BODIES[name]
    cell, place = make(tmp_path, body + '\nreturn {"h": tanh(p.W @ x + p.U @ h)}')
    text = message_of(cell)
    assert text.startswith(f"cell 'bad', {place}")
    assert expected in text


@pytest.mark.parametrize("name", RETURNS)
def test_a_function_that_returns_the_wrong_thing(name: str, tmp_path: Path) -> None:
    body, expected = RETURNS[name]
    cell, place = make(tmp_path, body)
    text = message_of(cell)
    assert text.startswith(f"cell 'bad', {place.rsplit(':', 2)[0]}:")
    assert expected in text


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_function_with_the_wrong_arguments(signature: str, tmp_path: Path) -> None:
    with pytest.raises(CellError) as caught:
        make(tmp_path, "return {}", signature)
    assert f"{tmp_path / 'bad.py'}:5: expected the arguments x, the states, p" in str(caught.value)
    assert SIGNATURES[signature] in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "options", "expected"),
    [
        ("peephole=False", {"hole": True}, "cell 'bad' has no option 'hole'; it has: peephole"),
        ("", {"hole": True}, "cell 'bad' has no option 'hole'; it has: no options"),
        ("peephole=False", {"peephole": 1}, "option 'peephole': expected bool (default False), got 1"),
        ("peephole=False", {"peephole": "yes"}, "option 'peephole': expected bool (default False), got 'yes'"),
        ("depth=3", {"depth": 2.5}, "option 'depth': expected int (default 3), got 2.5"),
        ("depth=3", {"depth": True}, "option 'depth': expected int (default 3), got True"),
        ("rate=0.5", {"rate": "a"}, "option 'rate': expected float (default 0.5), got 'a'"),
    ],
)
def test_an_option_the_cell_does_not_have(keyword: str, options: dict[str, Any], expected: str, tmp_path: Path) -> None:
    cell, _ = make(tmp_path, 'return {"h": tanh(p.W @ x + p.U @ h)}', f"x, h, p{', *, ' * bool(keyword)}{keyword}")
    assert expected in message_of(cell, OptionError, options=tuple(options.items()))


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        ({"h": "rank"}, {}, "sizes={'h': 'rank'} names no option; expected one of input_size, hidden_size, width"),
        ({"h": "width"}, {"width": -3}, "cell 'bad': the size of 'h' is -3; expected a whole number from 1"),
        ({"W": 7}, {}, "returned 'h' has size 7, the state has 4: sizes do not agree"),
    ],
)
def test_a_size_that_cannot_be(sizes: dict[str, Any], options: dict[str, Any], expected: str, tmp_path: Path) -> None:
    cell, _ = make(tmp_path, 'return {"h": tanh(p.W @ x)}', "x, h, p, *, width=0", **sizes)
    assert expected in message_of(cell, CellError if not options else OptionError, options=tuple(options.items()))


def test_further_inputs_that_do_not_match(tmp_path: Path) -> None:
    cell, place = make(tmp_path, 'return {"h": tanh(p.W @ x + p.U @ u)}', "x, h, p, *, u")
    assert f"{place}expected the further inputs: u; got: none" in message_of(cell)
    extra = (("u", 3, Rate.STEP), ("v", 3, Rate.STEP))
    assert f"{place}expected the further inputs: u; got: u, v" in message_of(cell, inputs=extra)


def test_zoneout_of_what_is_no_state(tmp_path: Path) -> None:
    cell, place = make(tmp_path, 'return {"h": tanh(p.W @ x)}')
    assert f"{place}zoneout of 'c': the states are h" in message_of(cell, zoneout=(("c", 0.1),))


def test_a_value_prints_as_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell, _ = make(tmp_path, 'v = p.W @ x\nprint(h, v, row_sum(h), p.W)\nreturn {"h": v}')
    trace(cell, Form(3, 4))
    assert capsys.readouterr().out == "<state: a row of 4> <product: a row of open size> <sum: a number> <weight p.W>\n"
