"""Options as the tokenizers take them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

Options = Callable[..., SimpleNamespace]


@pytest.fixture(scope="session")
def options() -> Options:
    def make(unit: str, **changes: Any) -> SimpleNamespace:
        values = {"split": "punctuation", "lowercase": False, "number_token": False, "min_count": 1}
        return SimpleNamespace(unit=unit, **{**values, "vocabulary_size": None, "mode": "stream", **changes})

    return make
