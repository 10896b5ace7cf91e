"""Made-up tagged text with rules in it: names are spans that a title or a capital begins, verbs end in -s."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import recurra
from recurra.tasks.tag.run import TagRun

FIRST, LAST = ["Anna", "Bert", "Carla", "Dora", "Emil"], ["Miller", "Baker", "Smith"]
PLACES = ["Paris", "Rome", "Oslo"]
OTHERS = ["the", "a", "hill", "cat", "sees", "runs", "over", "and", "under", "sings", "quickly", "."]


def sentence(chance: random.Random) -> list[tuple[str, str]]:
    words: list[tuple[str, str]] = []
    for _ in range(chance.randint(1, 6)):
        kind = chance.random()
        if kind < 0.25:
            words += [(chance.choice(FIRST), "B-PER"), (chance.choice(LAST), "I-PER")]
        elif kind < 0.4:
            words.append((chance.choice(PLACES), "B-LOC"))
        else:
            words.append((chance.choice(OTHERS), "O"))
    return words


def conll(sentences: int, seed: int) -> str:
    chance = random.Random(seed)
    blocks = ("".join(f"{word}\t{tag}\n" for word, tag in sentence(chance)) for _ in range(sentences))
    return "\n".join(blocks)


SMALL = {"hidden_size": 12, "embedding_dim": 12, "char_size": 8, "dropout": 0.1, "learning_rate": 0.02,
         "batch_size": 16, "epochs": 4, "on_event": lambda event: None}  # fmt: skip


def train(folder: Path, **options: Any) -> TagRun:
    """A small tagger of made-up text, in `folder`/run."""
    for name, sentences, seed in (("train", 300, 1), ("dev", 50, 2), ("test", 50, 3)):
        path = folder / "data" / f"{name}.conll"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(conll(sentences, seed), encoding="utf-8")
    values = {"output_dir": folder / "run", **SMALL, **options}
    run = recurra.train("tag", values.pop("data", folder / "data"), **values)
    assert isinstance(run, TagRun)
    return run
