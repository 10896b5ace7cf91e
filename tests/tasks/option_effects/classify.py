"""Classifiers of texts and of signals, networks and n-gram models."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from classify.reviews import GOOD, reviews, topics
from waves import waves
from waves import write as write_waves

from option_effects.shared import NETWORK, TRAINING, Effects, across, beside

SMALL: dict[str, Any] = {
    "data": "reviews.csv", "hidden_size": 8, "num_layers": 2, "embedding_dim": 6, "dropout": 0.0, "batch_size": 8,
    "max_steps": 6, "eval_every": 2, "baseline": "none",
}  # fmt: skip
QUICK = {"recurra.tasks.classify.report.confusion_picture": lambda *given: None}

SIGNALS: dict[str, Any] = {"data": "waves.npz", "embedding_dim": None}
GAPS = {**SIGNALS, "data": "gaps.npz"}
ROWS = {**SIGNALS, "data": "rows.tsv"}
LONG = {**SIGNALS, "data": "long.csv", "label": "speed", "series_id": "name"}
OTHERS = {"data": "others.csv"}
TOPICS = {"data": "topics.csv", "multilabel": True}
NGRAMS: dict[str, Any] = {
    "model": "ngram", **dict.fromkeys(
        ("hidden_size", "num_layers", "embedding_dim", "dropout", "batch_size", "max_steps", "eval_every")
    ),
}  # fmt: skip
BARE = {"data": "bare.csv", "text": "2", "label": "1"}

NORMALISATION: Effects = [
    ({}, {"lowercase": True}),
    ({}, {"punctuation": "drop"}),
    ({}, {"abbreviations": "english"}),
    ({}, {"abbreviations": "short.tsv"}),
    ({}, {"stop_words": "english"}),
    ({}, {"stop_words": "stops.txt"}),
    ({}, {"stem": "english"}),
    ({}, {"min_count": 3}),
]

EFFECTS: Effects = [
    *NETWORK,
    *TRAINING,
    *beside(SIGNALS, [*NETWORK, *TRAINING]),
    # the data
    ({}, {"valid": "more.csv"}),
    ({}, {"test": "more.csv"}),
    *across(({}, SIGNALS, NGRAMS), {"valid_frac": 0.2}, {"test_frac": 0.2}, {"split_seed": 2}),
    *across(({}, SIGNALS, NGRAMS), {"valid_count": 9}, {"test_count": 9}),
    # examples
    ({"data": "quoted.csv", "separator": ","}, {"format": "tsv"}),
    (OTHERS, {"text": "body"}),
    (OTHERS, {"label": "colour"}),
    (BARE, {"text": "3"}),
    (BARE, {"header": True}),
    ({**OTHERS, "label": "fine"}, {"label_separator": ":"}),
    (OTHERS, {"label_map": ["positive=good", "negative=bad", "middling=bad"]}),
    (OTHERS, {"label_map": ["middling="]}),
    (SIGNALS, {"label_map": ["fast=z"]}),
    (TOPICS, {"multilabel_separator": "o"}),
    ({"data": "some.trees"}, {"phrases": True}),
    # text
    *NORMALISATION,
    *beside(NGRAMS, NORMALISATION),
    *[({}, {"unit": unit}) for unit in ("char", "bpe", "byte")],
    ({"unit": "char"}, {"lowercase": True}),
    ({"unit": "bpe", "vocabulary_size": 280}, {"vocabulary_size": 270}),
    ({}, {"split": "space"}),
    ({}, {"number_token": True}),
    ({}, {"vocabulary_size": 12}),
    ({}, {"max_length": 3}),
    # files of signals
    (ROWS, {"label_column": "last"}),
    (ROWS, {"label_column": 3}),
    (ROWS, {"channels": 2}),
    (LONG, {"series_id": "part"}),
    (LONG, {"time": "t"}),
    (LONG, {"values": ["x"]}),
    ({**LONG, "values": ["x", "y"]}, {"label": "kind"}),
    # signals
    *[(GAPS, {"fill": rule}) for rule in ("forward", "zero", "mean")],
    (GAPS, {"mask": "never"}),
    (SIGNALS, {"mask": "always"}),
    *[(SIGNALS, {"normalize": rule}) for rule in ("per-series", "none")],
    (SIGNALS, {"differences": True}),
    (SIGNALS, {"jitter": 0.1}),
    (SIGNALS, {"scaling": 0.1}),
    # the model
    (dict.fromkeys(set(NGRAMS) - {"model"}), {"model": "ngram"}),
    ({"data": "single.csv"}, {"multilabel": True}),
    ({"data": "single.csv", **NGRAMS}, {"multilabel": True}),
    ({}, {"embedding_dim": 5}),
    (NGRAMS, {"ngrams": 1}),
    (NGRAMS, {"char_ngrams": 3}),
    (NGRAMS, {"dtype": "float64"}),
    ({"baseline": "ngram"}, {"ngrams": 1}),
    ({"baseline": "ngram"}, {"char_ngrams": 3}),
    *across(({}, SIGNALS), {"pooling": "mean"}, {"pooling": "max"}, {"pooling": "attention"}, {"bidirectional": False}),
    # what is learned
    ({"embedding_dim": None}, {"vectors": "vectors.txt"}),
    ({}, {"freeze_embedding": True}),
    ({"vectors": "vectors.txt", "embedding_dim": None}, {"freeze_embedding": True}),
    ({}, {"word_dropout": 0.3}),
    ({"unit": "byte"}, {"word_dropout": 0.3}),
    *across(({}, SIGNALS), {"label_smoothing": 0.2}, {"metric": "macro_f1"}, {"metric": "loss"}),
    *across((OTHERS, {**OTHERS, **NGRAMS}), {"class_weights": ["balanced"]}),
    (SIGNALS, {"class_weights": ["slow=3"]}),
    ({}, {"class_weights": ["positive=3"]}),
    (NGRAMS, {"class_weights": ["positive=3"]}),
    (TOPICS, {"metric": "loss"}),
    ({}, {"baseline": "ngram"}),
    ({}, {"baseline": "auto"}),
]
NEEDED: Effects = [
    ({**SIGNALS, "data": "short.csv"}, {"input": "signal"}),
    ({"data": "numbers.tsv", "text": "2", "label": "1"}, {"input": "text"}),
    ({"data": "semicolons.csv"}, {"separator": ";"}),
    ({**LONG, "series_id": None}, {"series_id": "name"}),
]
USELESS: Effects = [
    ({"valid": "more.csv"}, {"test_frac": 0.3}),
    ({"valid": "more.csv"}, {"test_count": 3}),
    ({"test": "more.csv"}, {"test_frac": 0.3}),
    ({"data": "folder"}, {"valid_frac": 0.3}),
    *across([{}, {"format": "csv"}], {"phrases": True}),
    ({"vectors": "vectors.txt", "embedding_dim": None}, {"embedding_dim": 5}),
    *across([{}], {"fill": "zero"}, {"jitter": 0.1}, {"differences": True}, {"label_column": "last"}),
    *across([SIGNALS], {"unit": "char"}, {"text": "2"}, {"label": "2"}, {"channels": 2}, {"word_dropout": 0.1}),
    *across([SIGNALS], {"ngrams": 1}, {"label_separator": ":"}, {"multilabel_separator": ";"}, {"embedding_dim": 4}),
    *across([NGRAMS], {"hidden_size": 4}, {"dropout": 0.1}, {"epochs": 3}, {"pooling": "max"}, {"unit": "char"}),
    *across([NGRAMS], {"metric": "loss"}, {"label_smoothing": 0.1}, {"max_length": 3}, {"bidirectional": False}),
    *across([{"unit": "byte"}], {"min_count": 2}, {"vocabulary_size": 99}, {"split": "space"}, {"number_token": True}),
    *across([TOPICS], {"class_weights": ["food=2"]}, {"label_smoothing": 0.1}),
    *across([{}], {"ngrams": 1}, {"char_ngrams": 3}),
]
PREDICTIONS: list[Any] = [
    ({}, "reviews.txt", {}, {"input_format": "label-first"}),
    ({}, "others.csv", {}, {"text": "body"}),
    (BARE, "bare.csv", {}, {"header": True}),
    (BARE, "fields.csv", {}, {"separator": ";"}),
    (ROWS, "rows.tsv", {}, {"label_column": "last"}),
    (SIGNALS, "waves.npz", {}, {"format": "jsonl"}),
    ({}, "reviews.txt", {}, {"format": "csv"}),
    ({}, "reviews.txt", {}, {"format": "jsonl"}),
    (TOPICS, "reviews.txt", {}, {"threshold": 0.9}),
    *[(options, file, {}, option)
      for options, file in (({}, "reviews.txt"), (NGRAMS, "reviews.txt"), (SIGNALS, "waves.npz"))
      for option in ({"explain": True}, {"html": "made/page.html"})],
]  # fmt: skip
EVALUATIONS: list[Any] = []
ELSEWHERE = {"data"}


def write() -> None:
    found = [
        (label, f"{text} Don't pay {n} e.g. {('film', 'films')[n % 4 > 0]}")
        for n, (label, text) in enumerate(reviews(60))
    ]
    _table("reviews.csv", [["label", "text"], *found])
    _table("more.csv", [["label", "text"], *reviews(10, seed=3)])
    Path("folder").mkdir()
    for part in ("train", "valid"):
        _table(f"folder/{part}.csv", [["label", "text"], *reviews(10)])
    others = [(("middling", label)[n % 3 > 0], text, text[::-1], ("red", "blue")[n % 2], f"{label}:{n % 2}")
              for n, (label, text) in enumerate(found)]  # fmt: skip
    _table("others.csv", [["label", "text", "body", "colour", "fine"], *others])
    _table("bare.csv", [(label, text, text[::-1]) for label, text in found])
    _table("semicolons.csv", [["label", "text"], *found], ";")
    _table("fields.csv", [["label", "text;and"], *((f"{label};{text}", text[::-1]) for label, text in found)])
    Path("quoted.csv").write_text("label,text\n" + "".join(f'{label},"{text}"\n' for label, text in found))
    _table("topics.csv", [["label", "text"], *topics(60)])
    _table("single.csv", [["label", "text"], *((label or "none", text) for label, text in topics(60))])
    Path("some.trees").write_text("".join(map(_tree, found)))
    Path("reviews.txt").write_text("".join(text + "\n" for _, text in reviews(5, seed=2)))
    Path("short.tsv").write_text("film\tmoving picture\n")
    Path("stops.txt").write_text("film\nstory\n")
    Path("vectors.txt").write_text("".join(f"{word} 1 {n} 0.5 2\n" for n, word in enumerate([*GOOD, "film"])))
    _write_signals()


def _write_signals() -> None:
    series = waves(40, seed=1)
    write_waves(Path(), "npz", series)
    write_waves(Path(), "npz", waves(40, seed=1, missing=0.1), "gaps")
    chance = np.random.default_rng(1)
    rows = [(n % 2, *chance.normal(size=9).round(3), (n + 1) % 2) for n in range(40)]
    _table("rows.tsv", [(*row[:2], n % 3, *row[3:]) for n, row in enumerate(rows)], "\t")
    _table("short.csv", [row[:2] for row in rows])
    _table("numbers.tsv", [(row[0], " ".join(map(str, row[1:9]))) for row in rows], "\t")
    _table("long.csv", [["name", "part", "t", "x", "y", "speed", "kind"], *_steps(series)])


def _steps(series: Sequence[tuple[str, np.ndarray]]) -> Iterable[Sequence[Any]]:
    """A row per step, the last first; `part` is half a series."""
    for number, (label, values) in enumerate(series):
        for t in reversed(range(len(values))):
            part = 2 * number + (t < len(values) // 2)
            yield number, part, t, *values[t].round(3), label, number // 2 % 2


def _tree(found: tuple[str, str]) -> str:
    label, text = found
    first, *rest = text.replace(".", "").split()
    return f"({label} ({('positive', 'negative')[len(first) % 2]} {first}) ({label} {' '.join(rest)}))\n"


def _table(name: str, rows: Iterable[Iterable[Any]], separator: str = ",") -> None:
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
