"""The report of a classifier: a table per class, confusions, the most confidently wrong examples."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurra.inspection.pictures import confusion_picture
from recurra.metrics.classification import ClassCounts, confusion_matrix, count_classes
from recurra.tasks.classify.measure import decide, nats, probabilities
from recurra.training.durable import write_text

WRONG = 50  # examples in the list of the most confidently wrong ones
WRONG_SHOWN = 10
CLASSES_SHOWN = 20


def write_report(
    folder: Path,
    part: str,
    results: Mapping[str, Mapping[str, float]],
    classes: Sequence[str],
    scores: np.ndarray,
    targets: np.ndarray,
    threshold: float,
    shown: Sequence[tuple[str, str]],
) -> None:
    """Write report.md, classes.csv, confusion.csv, confusion.png (one label per example), wrong.jsonl into a folder.

    Args:
        part: the part of the data that the rest is of; results: metrics of every part and baseline.
        scores: [N, C]; targets: [N], or [N, C]; shown: where each example stands and how it reads.
    """
    folder.mkdir(exist_ok=True)
    multilabel = targets.ndim == 2
    probability = probabilities(scores, multilabel)
    given = decide(probability, multilabel, threshold)
    counts = count_classes(targets, given, len(classes))
    write_text(folder / "classes.csv", _table(["class", *_COLUMNS], class_rows(classes, counts)))
    if not multilabel:
        confusions = confusion_matrix(targets, given, len(classes))
        rows = [[name, *map(int, row)] for name, row in zip(classes, confusions, strict=True)]
        write_text(folder / "confusion.csv", _table(["true class", *classes], rows))
        confusion_picture(confusions, classes, folder / "confusion.png")
    wrong = most_wrong(classes, probability, given, targets, nats(scores, targets), shown)
    write_text(folder / "wrong.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in wrong))
    write_text(folder / "report.md", _page(part, results, classes, counts, wrong, multilabel))


_COLUMNS = ("precision", "recall", "f1", "support")


def class_rows(classes: Sequence[str], counts: ClassCounts) -> list[list[Any]]:
    """Name, precision, recall, F1 and support of each class."""
    numbers = zip(counts.precision, counts.recall, counts.f1, strict=True)
    rows = zip(classes, numbers, counts.support, strict=True)
    return [[name, *(f"{value:.4f}" for value in values), int(support)] for name, values, support in rows]


def most_wrong(
    classes: Sequence[str],
    probability: np.ndarray,
    given: np.ndarray,
    targets: np.ndarray,
    loss: np.ndarray,
    shown: Sequence[tuple[str, str]],
) -> list[dict[str, Any]]:
    """The wrong examples that the model was surest of: by the probability of the class given, or by the loss of all
    labels together."""
    wrong = (given != targets).any(1) if targets.ndim == 2 else given != targets
    sureness = loss if targets.ndim == 2 else probability.max(1)
    order = [int(n) for n in np.argsort(-sureness, kind="stable") if wrong[n]][:WRONG]
    names = np.array(classes, object)
    found = []
    for number in order:
        place, text = shown[number] if shown else (f"example {number + 1}", "")
        if targets.ndim == 2:
            labels = {"labels": list(names[targets[number]]), "given": list(names[given[number]])}
            found.append({"place": place, **labels, "nats": round(float(loss[number]), 4), "text": text})
        else:
            labels = {"label": names[targets[number]], "given": names[given[number]]}
            sure = round(float(sureness[number]), 4)
            found.append({"place": place, **labels, "probability": sure, "text": text})
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _page(
    part: str,
    results: Mapping[str, Mapping[str, float]],
    classes: Sequence[str],
    counts: ClassCounts,
    wrong: Sequence[Mapping[str, Any]],
    multilabel: bool,
) -> str:
    names = list(dict.fromkeys(name for metrics in results.values() for name in metrics))
    rows = [[name, *(_written(metrics.get(name)) for metrics in results.values())] for name in names]
    sure = "nats" if multilabel else "probability"
    examples = [
        [_shown(one["labels" if multilabel else "label"]), _shown(one["given"]), one[sure], one["place"], one["text"]]
        for one in wrong[:WRONG_SHOWN]
    ]
    picture = [] if multilabel else ["", "## Confusions", "", "![confusions](confusion.png)"]
    lines = [
        "# Report",
        "",
        *_markdown(["metric", *results], rows),
        "",
        f"## Classes ({part})",
        "",
        *_markdown(["class", *_COLUMNS], class_rows(classes, counts)),
        *picture,
        "",
        f"## Most confidently wrong ({part})",
        "",
        *_markdown(["true", "given", sure, "place", "text"], examples),
        "",
    ]
    return "\n".join(lines)


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if value % 1 else f"{value:.0f}"


def _shown(labels: Any) -> str:
    return labels if isinstance(labels, str) else ", ".join(labels)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table; what users wrote cannot break out of its cell."""
    cells = [[" ".join(str(cell).split()).replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in cells)]


def describe_classes(classes: Sequence[str], targets: np.ndarray) -> str:
    """How many classes there are and how many examples each has, the most frequent first."""
    counts = targets.sum(0) if targets.ndim == 2 else np.bincount(targets, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")[:CLASSES_SHOWN]
    named = ", ".join(f"{classes[number]} {counts[number]:,}" for number in order)
    return f"{len(classes):,}: {named}{', ...' if len(classes) > len(order) else ''}"
