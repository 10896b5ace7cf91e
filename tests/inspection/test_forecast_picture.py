"""Pictures of forecasts: files of the kind asked for, with what was given in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.errors import FolderError
from recurra.inspection.forecast_picture import Panel, draw_forecasts


def panel(title: str, levels: list[float], times: np.ndarray) -> Panel:
    values = np.sin(np.arange(20.0))
    values[4] = np.nan
    quantiles = np.arange(6.0)[:, None] + np.arange(len(levels)) if levels else None
    return Panel(title, times, values, values[-6:], quantiles, levels)


def test_every_panel_is_drawn(tmp_path: Path) -> None:
    """An interval for each pair of levels that lie equally far from the middle, named by its share."""
    stamps = np.arange("2020-01-01", "2020-01-21", dtype="datetime64[D]").astype("datetime64[us]")
    draw_forecasts(
        tmp_path / "f.svg",
        [panel("first & one", [0.05, 0.1, 0.5, 0.9, 0.95], stamps), panel("second", [], np.arange(20))],
    )
    picture = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {text} -->" in picture for text in ("first &amp; one", "second", "90%", "80%", "forecast"))
    draw_forecasts(tmp_path / "f.png", [panel("x", [0.5, 0.9], np.arange(20))])
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FolderError, match="cannot be written"):
        draw_forecasts(tmp_path / "missing" / "f.png", [panel("x", [], np.arange(20))])


def test_a_name_that_no_font_has(tmp_path: Path) -> None:
    """No warning (which would be an error here), and the place of the series instead; $ is no mathematics."""
    shown = [
        panel(title, [], np.arange(20))._replace(place="series 7, target 1") for title in ("\U000f1234", "$x$ \\frac$")
    ]
    draw_forecasts(tmp_path / "f.svg", shown)
    picture = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "<!-- series 7, target 1 (no font here has the letters of its name) -->" in picture
    assert "<!-- $x$ \\frac$ -->" in picture
