"""Pictures of forecasts with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recurra.errors import FolderError
from recurra.inspection.letters import drawable, plain

WIDTH, HEIGHT = 9.0, 2.4  # inches, of a panel
LONGEST = 100  # characters of a title
INK, MODEL = "#333333", "#1f6fb4"


class Panel(NamedTuple):
    """A forecast to draw.

    title: its name; place: what is written instead where no font here has the letters of the name;
    times: [T + n], datetime64 or numbers; values: [T + n], what came, NaN where nothing is known; point: [n];
    quantiles: [n, Q] at `levels`, or None.
    """

    title: str
    times: np.ndarray
    values: np.ndarray
    point: np.ndarray
    quantiles: np.ndarray | None
    levels: Sequence[float]
    place: str = ""


def draw_forecasts(path: Path, panels: Sequence[Panel]) -> None:
    """Draw panels one below the other into a PNG or SVG file, by its suffix: what came, the forecast, and a band for
    each pair of quantiles that lie equally far from the middle.

    Raises: FolderError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    titles, fonts = drawable(
        [plain(panel.title, LONGEST) for panel in panels],
        [f"{panel.place} (no font here has the letters of its name)".lstrip() for panel in panels],
    )
    for place, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
        horizon = len(panel.point)
        ahead = panel.times[-horizon:]
        for low, high, label in _bands(panel.levels if panel.quantiles is not None else ()):
            assert panel.quantiles is not None
            axis.fill_between(
                ahead, panel.quantiles[:, low], panel.quantiles[:, high], color=MODEL, alpha=0.2, linewidth=0,
                label=label,
            )  # fmt: skip
        axis.plot(panel.times, panel.values, color=INK, linewidth=1, label="series")
        axis.plot(ahead, panel.point, color=MODEL, linewidth=1.5, label="forecast")
        axis.set_title(titles[place], fontsize=9, family=fonts)
        axis.tick_params(labelsize=7)
        if place == 0:
            axis.legend(fontsize=7, loc="upper left")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise FolderError(f"{path}: cannot be written ({error.strerror}); free some space") from None


def _bands(levels: Sequence[float]) -> list[tuple[int, int, str]]:
    """Places of the lower and the upper quantile of each interval, the widest first, and its name."""
    found = []
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        if abs(levels[low] + levels[high] - 1) < 1e-9:
            found.append((low, high, f"{levels[high] - levels[low]:.0%}"))
    return found
