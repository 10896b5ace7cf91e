"""Pictures of results, as PNG or SVG by the file's suffix. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

NUMBERED = 30  # classes up to which a cell can hold its number
NAMED = 100  # classes up to which every row can have its name
LONGEST = 24  # characters of a name


def confusion_picture(counts: np.ndarray, classes: Sequence[str], file: Path) -> None:
    """Draw how many examples of each class (rows) were given each class (columns); colour is the share of the row.

    Args:
        counts: [C, C]; classes: their names; file: ending in .png or .svg.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = len(classes)
    inches = min(2.5 + 0.45 * size, 14)
    figure = Figure(figsize=(inches + 1, inches), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set_xlabel("given class")
    axes.set_ylabel("true class")
    if size <= NAMED:
        names = [_plain(name) for name in classes]
        axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(size), names)
    if size <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(file, dpi=120)


def _plain(name: str) -> str:
    """A name as matplotlib should write it: cut, and with $ for itself."""
    cut = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return cut.replace("$", r"\$")
