"""The report of a tagger: tables by type and by tag, confusions, the most confident errors."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurra.data import Examples
from recurra.errors import FolderError
from recurra.inspection.pictures import confusion_picture
from recurra.metrics.classification import confusion_matrix, count_classes
from recurra.metrics.spans import overall, score_spans
from recurra.tasks.inputs.words import WORD, WordsInput
from recurra.tasks.tag.data import TAG, Fitted
from recurra.tasks.tag.tagging import Tagged

ERRORS = 200
"""How many of the most confident errors are listed."""
AROUND = 5  # words shown on either side of an error


def write_report(folder: Path, part: str, fitted: Fitted, examples: Examples, found: Tagged) -> None:
    """Write `types.csv` (spans), `tags.csv`, `confusion.csv` and `.png`, and `errors.tsv`, of the part of that name.

    Raises: FolderError where the disk is full.
    """
    gold = np.asarray(examples.steps[TAG], np.int64)
    tables: dict[str, Iterable[Sequence[Any]]] = {
        "tags": by_tag(fitted, gold, found),
        "confusion": confusion(fitted, gold, found),
        "errors": _errors(fitted, examples, found),
    }
    if fitted.scheme is not None:
        tables["types"] = _by_type(fitted, examples, found)
    write_tables(folder, part, tables)


def write_tables(folder: Path, part: str, tables: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Write each table by its name: errors with tabs, the others as CSV, confusions as a picture too.

    Raises: FolderError where the disk is full.
    """
    try:
        folder.mkdir(exist_ok=True)
        for name, rows in tables.items():
            table = list(rows)
            suffix, separator = (".tsv", "\t") if name == "errors" else (".csv", ",")
            with (folder / f"{part}_{name}{suffix}").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, delimiter=separator, lineterminator="\n").writerows(table)
            if name == "confusion":
                counts = np.array([row[1:] for row in table[1:]], np.int64)
                confusion_picture(counts, table[0][1:], folder / f"{part}_confusion.png")
    except OSError as error:
        raise FolderError(f"{folder}: the report cannot be written ({error.strerror}); free some space") from None


def _by_type(fitted: Fitted, examples: Examples, found: Tagged) -> Iterator[Sequence[Any]]:
    scores = score_spans(fitted.tags, np.asarray(examples.steps[TAG]), found.tags, examples.lengths)
    yield "type", "precision", "recall", "f1", "gold", "predicted", "correct"
    for name, one in {**scores, "all": overall(scores)}.items():
        ratios = (f"{value:.4f}" for value in (one.precision, one.recall, one.f1))
        yield name, *ratios, one.gold, one.predicted, one.correct


def by_tag(fitted: Fitted, gold: np.ndarray, found: Tagged) -> Iterator[Sequence[Any]]:
    """A row per tag."""
    counts = count_classes(gold, found.tags, len(fitted.tags))
    yield "tag", "precision", "recall", "f1", "gold", "predicted", "correct"
    for place, tag in enumerate(fitted.tags):
        ratios = (f"{values[place]:.4f}" for values in (counts.precision, counts.recall, counts.f1))
        yield tag, *ratios, int(counts.support[place]), int(counts.predicted[place]), int(counts.correct[place])


def confusion(fitted: Fitted, gold: np.ndarray, found: Tagged) -> Iterator[Sequence[Any]]:
    """A row per true tag, a column per predicted one."""
    yield "true \\ predicted", *fitted.tags
    for tag, row in zip(fitted.tags, confusion_matrix(gold, found.tags, len(fitted.tags)).tolist(), strict=True):
        yield tag, *row


def _errors(fitted: Fitted, examples: Examples, found: Tagged) -> Iterator[Sequence[Any]]:
    """The wrong tags of which the model is surest, with the words around them."""
    assert found.confidence is not None
    gold = np.asarray(examples.steps[TAG])
    wrong = np.flatnonzero(gold != found.tags)
    surest = wrong[np.argsort(-found.confidence[wrong], kind="stable")][:ERRORS]
    yield "confidence", "true", "predicted", "sentence", "word", "context"
    for token in surest.tolist():
        sentence = int(np.searchsorted(examples.bounds, token, side="right")) - 1
        first, stop = int(examples.bounds[sentence]), int(examples.bounds[sentence + 1])
        words = _words(fitted, examples, slice(max(first, token - AROUND), min(stop, token + AROUND + 1)))
        here = token - max(first, token - AROUND)
        context = " ".join([*words[:here], f"[{words[here]}]", *words[here + 1 :]])
        yield (
            f"{found.confidence[token]:.4f}", fitted.tags[gold[token]], fitted.tags[found.tags[token]],
            sentence + 1, token - first + 1, context,
        )  # fmt: skip


def _words(fitted: Fitted, examples: Examples, tokens: slice) -> list[str]:
    assert isinstance(fitted.input, WordsInput)
    forms = fitted.input.forms.forms
    return [forms[place] for place in np.asarray(examples.steps[WORD][tokens])]
