"""What a user should see of the data before training starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recurra.data.encode import Encoded
from recurra.text.tokenizer import Tokenizer

EXAMPLE = 200  # tokens looked at for the example
SHOWN = 72  # characters of it shown: a line of a terminal


def summarise(parts: Mapping[str, Encoded | None], tokenizer: Tokenizer) -> dict[str, Any]:
    """Counts of each part (train, valid, test), the vocabulary, and the beginning of the first as decoded.

    Gives {"unit", "vocabulary", "parts": {name: {"tokens", "characters", "lines", "unknown_rate"}}, "example"};
    unknown_rate is the share of tokens that are [UNK].
    """
    given = {name: part for name, part in parts.items() if part is not None}
    beginning = np.asarray(next(iter(given.values())).tokens[:EXAMPLE])
    if tokenizer.stop_id is not None:  # the first sentence only
        beginning = beginning[: int(np.argmax(beginning == tokenizer.stop_id)) or EXAMPLE]
    return {
        "unit": tokenizer.unit,
        "vocabulary": tokenizer.size,
        "parts": {name: count(part) for name, part in given.items()},
        "example": tokenizer.decode(beginning)[:SHOWN],
    }


def count(part: Encoded) -> dict[str, int | float]:
    """The numbers of one part."""
    return {
        "tokens": len(part.tokens),
        "characters": part.characters,
        "lines": part.lines,
        "unknown_rate": part.unknown_rate,
    }
