"""Made-up reviews with a rule in them: a word says which class, and `not` before it turns that round."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recurra

GOOD = ["lovely", "great", "witty", "moving"]
BAD = ["dull", "awful", "boring", "clumsy"]
OTHER = ["the", "film", "was", "a", "story", "with", "actors", "and", "some", "music", "in", "it"]
SMALL: dict[str, Any] = {
    "hidden_size": 16, "embedding_dim": 16, "learning_rate": 0.01, "epochs": 6, "dropout": 0.0, "baseline": "none",
    "on_event": lambda event: None,
}  # fmt: skip


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of label and text."""
    chance, found = random.Random(seed), []
    for _ in range(count):
        good = chance.random() < 0.5
        words = chance.sample(OTHER, chance.randint(2, 6))
        place = chance.randrange(len(words))
        words.insert(place, chance.choice(GOOD if good else BAD))
        if chance.random() < 0.4:
            words.insert(place, "not")
            good = not good
        found.append(("positive" if good else "negative", " ".join(words).capitalize() + "."))
    return found


def write_csv(path: Path, rows: Sequence[Sequence[str]], head: Sequence[str] = ("label", "text")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def topics(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of up to three topics, each with words of its own; labels between commas."""
    chance, found = random.Random(seed), []
    words = {"sport": ["goal", "match"], "money": ["bank", "share"], "food": ["bread", "soup"]}
    for _ in range(count):
        chosen = [name for name in words if chance.random() < 0.4]
        text = [chance.choice(words[name]) for name in chosen] + chance.sample(OTHER, 4)
        chance.shuffle(text)
        found.append((",".join(chosen), " ".join(text)))
    return found


def train(data: Path, folder: Path, **options: Any) -> Any:
    return recurra.train("classify", data, output_dir=folder, **{**SMALL, **options})
