"""Names in pictures: which fonts have their letters, and what stands for a name that no font here can show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

LONGEST = 24  # characters of a name
USUAL = (400, "normal", "regular")  # weights and widths of a font that is asked for by its family alone
BOXES = "Last Resort"  # begins the name of a font that has a box for every letter


def plain(name: str, longest: int = LONGEST) -> str:
    """A name on one line as matplotlib should write it: cut, and with $ for itself."""
    name = " ".join(name.split())
    cut = name if len(name) <= longest else name[: longest - 1] + "…"
    return cut.replace("$", r"\$")


def drawable(names: Sequence[str], otherwise: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names, `otherwise` in the place of those that no font here has all letters of, and the fonts to draw with.

    matplotlib takes each letter from the first of the fonts that has it.
    """
    fonts, letters = _fonts_for(set().union(*(map(ord, name) for name in names)))
    shown = [
        name if letters.issuperset(map(ord, name)) else other for name, other in zip(names, otherwise, strict=True)
    ]
    return shown, fonts


def _fonts_for(wanted: set[int]) -> tuple[list[str], set[int]]:
    """matplotlib's own fonts and those here that have more of the code points, and which of these they have."""
    from matplotlib import font_manager, rcParams

    fonts: list[str] = list(rcParams["font.family"])
    missing = wanted - _letters(font_manager.findfont(font_manager.FontProperties()))
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.name):
        if not missing:
            break
        usual = entry.style == "normal" and entry.weight in USUAL and entry.stretch in USUAL
        if usual and not entry.name.startswith(BOXES) and missing & _letters(entry.fname):
            fonts.append(entry.name)
            missing = missing - _letters(entry.fname)
    return fonts, wanted - missing


@cache
def _letters(file: str) -> frozenset[int]:
    """The code points that a font has; none of one that cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
