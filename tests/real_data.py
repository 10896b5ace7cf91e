"""Real data sets, which are never part of the project: `RECURRA_DATA` says where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("RECURRA_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()


def real_data(name: str) -> Path:
    """The folder of a data set; the test is skipped, saying so, where it is missing."""
    path = FOLDER / name
    if not path.is_dir():
        pytest.skip(f"no data set {name} in {FOLDER}; set RECURRA_DATA")
    return path
