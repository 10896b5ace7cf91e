"""Examples run as they stand, and do what they say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_own_cell_learns(capsys: pytest.CaptureFixture[str]) -> None:
    path = EXAMPLES / "own_cell.py"
    assert len(path.read_text().splitlines()) < 40
    runpy.run_path(str(path))
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", capsys.readouterr().out)]
    assert losses[0] > 0.6  # chance is log 2 = 0.69 nats
    assert losses[-1] < 0.2
