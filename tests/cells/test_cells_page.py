"""docs/cells.md is what the registry says."""

from __future__ import annotations

from pathlib import Path

from recurra.cells import CELLS
from recurra.cells.page import cells_page

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == cells_page(), "run `python -m recurra.cells.page`"


def test_the_page_has_every_cell_and_option() -> None:
    page = cells_page()
    for name, cell in CELLS.items():
        assert f"\n## {name}\n" in page
        assert cell.source in page
        for option in cell.options:
            assert option in page.split(f"\n## {name}\n")[1].split("\n## ")[0], option
