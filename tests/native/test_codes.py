"""The plans that the C++ test program runs are those of today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("make_codes.py")


@pytest.mark.parametrize("hashes", ["0", "1"])
def test_the_codes_of_the_test_program_are_current(hashes):
    """And do not depend on the order of any set."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import make_codes; "
        "sys.exit(make_codes.text() != make_codes.FILE.read_text())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONHASHSEED": hashes},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr or f"native/tests/codes.txt is of other plans: run {SCRIPT}"
