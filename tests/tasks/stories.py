"""A small text with a rule in it, and small models of it."""

from __future__ import annotations

from pathlib import Path

import recurra
from recurra.tasks.lm.run import LanguageModelRun

NAMES = ["Anna", "Bert", "Carla", "Dora", "Emil", "Frida"]
THINGS = ["apples", "bread", "cheese", "plums", "tea", "milk"]


def story(lines: int) -> str:
    """Sentences with a rule in them: who brings what follows from the number of the day."""
    return "".join(
        f"On day {n % 7} {NAMES[n % 6]} brings {THINGS[(n + n % 7) % 6]} to {NAMES[(n * 5 + 1) % 6]}.\n"
        for n in range(lines)
    )


SMALL = {"hidden_size": 24, "num_layers": 1, "batch_size": 4, "bptt": 16, "on_event": lambda event: None}


def train(corpus: Path, folder: Path, **options: object) -> LanguageModelRun:
    values = {**SMALL, **options}
    if options.get("mode") == "sentences":
        del values["bptt"]
    return recurra.train("lm", corpus, output_dir=folder, **values)
