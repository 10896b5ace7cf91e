"""Pictures of results, as PNG or SVG by the file's suffix. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recurra.inspection.letters import drawable, plain

NUMBERED = 30  # classes up to which a cell can hold its number
NAMED = 100  # classes up to which every row can have its name


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
    note = ""
    if size <= NAMED:
        wanted = [plain(name) for name in classes]
        names, fonts = drawable(wanted, [f"#{place}" for place in range(1, size + 1)])
        note = "" if names == wanted else "\n(#n: class n; no font here has its letters)"
        axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor", family=fonts)
        axes.set_yticks(range(size), names, family=fonts)
    axes.set_xlabel("given class" + note)
    axes.set_ylabel("true class")
    if size <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(file, dpi=120, bbox_inches="tight")
