"""Writes native/tests/codes.txt: plans as the kernels read them, for the C++ test program that runs them by itself.

Run it again (`python tests/native/make_codes.py`) where a test says that the file is not what plans are lowered to.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "backends"))

from random_cells import draw  # noqa: E402

from recurra.backends.native.code import Code  # noqa: E402
from recurra.backends.native.lowering import forward_code, gradient_code  # noqa: E402
from recurra.cells import CELLS  # noqa: E402
from recurra.equations import Cell, Form  # noqa: E402
from recurra.equations.plans import traced, training_plans  # noqa: E402

FILE = ROOT / "native" / "tests" / "codes.txt"
CELL_CODES: list[tuple[str, int, int, dict[str, Any]]] = [
    ("rnn", 1, 1, {}),
    ("rnn", 3, 7, {"activation": "relu"}),
    ("lstm", 5, 17, {}),
    ("lstm", 33, 65, {"peephole": True}),
    ("lstm", 3, 9, {"layer_norm": True, "projection": 5, "coupled": True, "peephole": True}),
    ("lstm", 2, 300, {}),
    ("gru", 7, 17, {}),
    ("gru", 4, 33, {"reset_after": False, "z_keeps": False}),
    ("min_lstm", 5, 17, {}),
    ("sru", 9, 9, {}),
]
SEEDS = range(40, 64)
"""Of random cells with concatenations, slices, numbers, minima, further inputs; small ones."""


def text() -> str:
    """What the file holds: for each plan and its gradient a line of names, then the numbers."""
    parts = []
    for name, input_size, hidden_size, options in CELL_CODES:
        cell = CELLS[name]
        form = Form(input_size, hidden_size, tuple(sorted(cell.check_options(options).items())))
        parts.append(_pair("-".join([name, str(hidden_size), *options]), cell, form))
    for seed in SEEDS:
        example = draw(seed)
        if "stop_gradient" in example.source:  # its gradient is not what differences give
            continue
        parts.append(_pair(f"random-{seed}", example.cell, example.form))
    return f"{len(parts)}\n" + "".join(parts)


def _pair(title: str, cell: Cell, form: Form) -> str:
    known = traced(cell, form)
    inputs = ["x", *(name for name, *_ in form.inputs), *known.masks]
    plans = training_plans(cell, form, frozenset([*inputs, *known.weights]))
    forward = forward_code(plans.forward, known.weights)
    gradient = gradient_code(plans.gradient, known.weights, forward)
    return f"{title}\n{_code(forward)}{_code(gradient)}"


def _code(code: Code) -> str:
    """Names of buffers ("-" where a run makes its own, "+" before those that begin as zeros), and the numbers."""
    flat, numbers = code.encode()
    names = [_name(buffer.name, buffer.name in code.zeroed) for buffer in code.buffers]
    lines = [names, [len(flat), *map(int, flat)], [len(numbers), *(number.hex() for number in numbers)]]
    return "".join(" ".join(map(str, line)) + "\n" for line in ([len(names)], *lines))


def _name(name: Any, zeroed: bool) -> str:
    if name is None or name == ("constants",):
        return "-"
    return "+" * zeroed + "/".join("/".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in name)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="ascii")
