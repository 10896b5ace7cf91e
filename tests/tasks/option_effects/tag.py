"""Taggers of words, with and without a CRF, and of signals, with classes and with numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tagged import conll
from waves import write_steps

from option_effects.shared import NETWORK, TRAINING, Effects, across, beside

SMALL: dict[str, Any] = {
    "data": "train.conll", "hidden_size": 8, "num_layers": 2, "embedding_dim": 6, "char_size": 4, "dropout": 0.0,
    "batch_size": 8, "max_steps": 6, "eval_every": 2,
}  # fmt: skip
QUICK = {
    "recurra.tasks.tag.report.confusion_picture": lambda *given: None,
}

SOFTMAX = {"output_layer": "softmax"}
WORDLESS: dict[str, Any] = {"embedding_dim": None, "char_size": None}
NUMBERS = {**WORDLESS, "data": "numbers.npz"}
CLASSES = {**WORDLESS, "data": "classes.npz"}
GAPS = {**WORDLESS, "data": "gaps.npz"}

EFFECTS: Effects = [
    *NETWORK,
    *TRAINING,
    *beside(NUMBERS, [*NETWORK, *TRAINING]),
    *beside(SOFTMAX, [({}, {"dtype": "float64"}), ({}, {"init_range": 0.3}), ({}, {"dropout": 0.2})]),
    # the data
    *across(({}, NUMBERS), {"valid_frac": 0.2}, {"test_frac": 0.2}),
    ({}, {"valid": "more.conll"}),
    ({}, {"test": "more.conll"}),
    (NUMBERS, {"valid": "more.npz"}),
    # columns
    ({}, {"column": 2}),
    ({"data": "some.conllu"}, {"column": "xpos"}),
    ({}, {"word_column": 2}),
    ({"data": "some.conllu"}, {"word_column": "lemma"}),
    *across(({}, SOFTMAX), {"scheme": "iob1"}, {"scheme": "bioes"}, {"scheme": "bilou"}),
    # words
    ({}, {"embedding_dim": 5}),
    ({}, {"vectors": "vectors.txt"}),
    ({}, {"lowercase": True}),
    ({}, {"min_count": 6}),
    ({}, {"vocabulary_size": 5}),
    ({}, {"word_dropout": 0.4}),
    ({}, {"char_features": "lstm"}),
    ({"char_size": None}, {"char_features": "none"}),
    ({}, {"char_size": 6}),
    ({"char_features": "lstm"}, {"char_size": 6}),
    ({}, {"shape_features": False}),
    ({}, {"affixes": [2]}),
    # signals
    *across([GAPS], {"fill": "forward"}, {"fill": "zero"}, {"fill": "mean"}, {"mask": "never"}),
    *across((NUMBERS, CLASSES), {"mask": "always"}, {"normalize": "per-series"}, {"normalize": "none"}),
    *across((NUMBERS, CLASSES), {"differences": True}, {"jitter": 0.1}, {"scaling": 0.1}, {"bidirectional": False}),
    # the model, and what is best
    ({}, {"bidirectional": False}),
    ({}, {"output_layer": "softmax"}),
    ({"column": 2}, {"output_layer": "crf"}),
    (CLASSES, {"output_layer": "crf"}),
    *[({}, {"monitor": name}) for name in ("accuracy", "nats_per_token")],
    (CLASSES, {"monitor": "nats_per_token"}),
    (NUMBERS, {"monitor": "rank_correlation"}),
]
NEEDED: Effects = [({"data": "broken.conll"}, {"repair": True})]
USELESS: Effects = [
    ({"valid": "more.conll"}, {"test_frac": 0.3}),
    ({"test": "more.conll"}, {"test_frac": 0.3}),
    ({**NUMBERS, "valid": "more.npz"}, {"test_frac": 0.3}),
    *across([{}], {"fill": "zero"}, {"jitter": 0.1}, {"differences": True}),
    *across([NUMBERS], {"column": 2}, {"lowercase": True}, {"affixes": [2]}, {"output_layer": "crf"}),
    *across([{"column": 2}], {"scheme": "bioes"}, {"repair": True}),
    ({"char_size": None, "char_features": "none"}, {"char_size": 6}),
]
PREDICTIONS: list[Any] = [
    ({}, "more.conll", {}, {"input_format": "text"}),
    ({}, "words.txt", {}, {"input_format": "conll"}),
    ({}, "words.txt", {}, {"format": "jsonl"}),
    ({}, "words.txt", {"format": "jsonl"}, {"k_best": 3}),
    (SOFTMAX, "words.txt", {"format": "jsonl"}, {"k_best": 3}),
    (CLASSES, "classes.npz", {}, {"format": "csv"}),
    (NUMBERS, "numbers.npz", {}, {"format": "csv"}),
    (NUMBERS, "numbers.npz", {}, {"rank": True}),
    (NUMBERS, "numbers.npz", {"format": "csv"}, {"rank": True}),
]
EVALUATIONS: list[Any] = []
ELSEWHERE = {"data"}


def write() -> None:
    Path("train.conll").write_text(_with_column(conll(60, seed=1)))
    Path("more.conll").write_text(_with_column(conll(10, seed=2)))
    Path("broken.conll").write_text(conll(30, seed=1).replace("B-PER", "I-PER", 1) + "\nOslo\tI-LOC\n")
    Path("some.conllu").write_text("".join(map(_conllu, conll(60, seed=1).split("\n\n"))))
    Path("words.txt").write_text("the\ncat\nsees\nAnna\n")
    words = ("the", "cat", "sees", "Anna")
    Path("vectors.txt").write_text("".join(f"{word} {n} 1 2 0.5 3 1\n" for n, word in enumerate(words)))
    write_steps(Path("numbers.npz"), 40, 1, numbers=True)
    write_steps(Path("more.npz"), 10, 2, numbers=True)
    write_steps(Path("classes.npz"), 40, 1, numbers=False)
    with np.load("numbers.npz") as found:
        values = found["values"].copy()
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    write_steps(Path("gaps.npz"), 40, 1, numbers=True, values=values)


def _with_column(text: str) -> str:
    """The words, their last two letters, the tags."""
    lines = (line.split("\t") for line in text.splitlines())
    return "\n".join("\t".join([word[0], word[0][-2:], word[1]]) if len(word) > 1 else "" for word in lines)


def _conllu(sentence: str) -> str:
    """The tag of spans is the upos; the xpos is the last letter."""
    words = [line.split("\t") for line in sentence.splitlines()]
    rows = ((str(n), word, word.lower()[:3], tag, word[-1], *"_____") for n, (word, tag) in enumerate(words, 1))
    return "".join("\t".join(row) + "\n" for row in rows) + "\n"
