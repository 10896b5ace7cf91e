"""Names in pictures: every one can be read, in whatever script, without a warning (which is an error here)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager

from recurra.inspection.letters import drawable, plain
from recurra.inspection.pictures import confusion_picture

NOWHERE = "\U000f1234"  # for private use: no font has it but one that shows a box for everything


def test_classes_in_any_script(tmp_path: Path) -> None:
    """Those that no font here has are numbered, and the axis says so."""
    names = ["plain", NOWHERE, "عربي", "漢字", "tab\tline\n$x$ $"]
    confusion_picture(np.eye(5, dtype=int), names, tmp_path / "c.svg")
    picture = (tmp_path / "c.svg").read_text(encoding="utf-8")
    for shown in ("plain", "#2", "عربي", "tab line $x$ $", "(#n: class n; no font here has its letters)"):
        assert shown in picture, shown
    confusion_picture(np.eye(1, dtype=int), ["plain"], tmp_path / "c.png")
    confusion_picture(np.eye(1, dtype=int), ["plain"], tmp_path / "d.svg")
    assert "#n" not in (tmp_path / "d.svg").read_text(encoding="utf-8")


def test_fonts_that_have_the_letters_are_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A letter of each font here that the usual one lacks is drawn with it."""
    usual = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    path = next(entry.fname for entry in font_manager.fontManager.ttflist if entry.name == "STIXGeneral")
    letter = chr(max(set(font_manager.get_font(path).get_charmap()) - set(usual)))
    names, fonts = drawable([letter, "é", NOWHERE], ["1", "2", "3"])
    assert names == [letter, "é", "3"]
    assert len(fonts) == 2
    confusion_picture(np.eye(2, dtype=int), [letter, "é"], tmp_path / "c.svg")
    assert not caplog.messages


def test_plain_names() -> None:
    assert plain("a\n b\tc") == "a b c"
    assert plain("x" * 30) == "x" * 23 + "…"
