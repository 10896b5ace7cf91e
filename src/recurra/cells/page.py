"""Write docs/cells.md from the registry: `python -m recurra.cells.page [FILE]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from recurra.cells import CELLS
from recurra.equations import Cell

HEADER = """<!-- Made by `make docs` from the cells' docstrings in src/recurra/cells; change it there. -->

# Cells

A cell is a function of about ten lines, in `src/recurra/cells`. Use it by name: `--cell gru`,
`Recurrent("gru", 8, 16)`, `recurra.nn.LSTM(8, 16, cell="gru")`. Options go beside the name: `--cell-options
reset_after=false`, `Recurrent("gru", 8, 16, reset_after=False)`.

In the equations a product of a matrix and a vector is written `W x`, everything else is element by element; the
state on the right is the one before. How to write a cell of your own: `examples/own_cell.py`.

| Cell | States | Options (default) |
|---|---|---|
"""


def cells_page() -> str:
    """The page: a table of all cells, then each with its equations, options, initial values and source."""
    rows = [
        f"| [`{name}`](#{name}) | {', '.join(cell.states)} | "
        f"{', '.join(f'{option} ({value!r})' for option, value in cell.options.items()) or 'none'} |\n"
        for name, cell in CELLS.items()
    ]
    return HEADER + "".join(rows) + "".join(section(cell) for cell in CELLS.values())


def section(cell: Cell) -> str:
    """One cell's part of the page."""
    text = options_as_list(cell, inspect.cleandoc(cell.__doc__ or ""))
    initial = ", ".join(f"{name} = {value:g}" for name, value in cell.init.items())
    lines = [f"Initial values: {initial} (where the weight is there); the rest random."] if initial else []
    return f"\n## {cell.name}\n\n{text}\n\n" + "\n\n".join([*lines, f"Source: {cell.source}."]) + "\n"


def options_as_list(cell: Cell, text: str) -> str:
    """The docstring's paragraphs `option: what it does`, with their indented further lines, as a Markdown list."""
    names = "|".join(cell.options) or "$^"
    item = re.compile(rf"^({names}): (.+(?:\n +\S.*)*)$", re.MULTILINE)
    return item.sub(lambda m: f"- **{m[1]}**: {' '.join(m[2].split())}", text)


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/cells.md").write_text(cells_page(), encoding="utf-8")
