"""The report of a tagger of signals: tables by class and by series, and the steps that are most wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurra.data import Examples
from recurra.metrics.regression import regression_metrics
from recurra.tasks.tag.data import TAG
from recurra.tasks.tag.report import ERRORS, by_tag, confusion, write_tables
from recurra.tasks.tag.signal_run import tags_of
from recurra.tasks.tag.signals import NUMBER, Fitted
from recurra.tasks.tag.tagging import Tagged

SERIES = ("mse", "mae", "r2", "rank_correlation", "best_found")


def write_report(
    folder: Path, part: str, fitted: Fitted, examples: Examples, ids: Sequence[str], found: Tagged | np.ndarray
) -> None:
    """Write tables of the part of that name: classes, confusions and errors; or series and errors of numbers.

    found: the classes, or the numbers [sum T], that the model gives. Raises: FolderError where the disk is full.
    """
    tables: dict[str, Iterable[Sequence[Any]]]
    if isinstance(found, Tagged):
        gold, tags = np.asarray(examples.steps[TAG], np.int64), tags_of(fitted)
        tables = {"tags": by_tag(tags, gold, found), "confusion": confusion(tags, gold, found)}
        assert found.confidence is not None
        wrong = np.where(gold != found.tags, found.confidence, 0.0)
        names = [[fitted.classes[place] for place in places] for places in (gold.tolist(), found.tags.tolist())]
        tables["errors"] = _errors(examples, ids, "confidence", wrong, *names)
    else:
        targets = np.asarray(examples.steps[NUMBER], np.float64) * fitted.deviation + fitted.mean
        errors = np.abs(found - targets)
        written = [[f"{number:.6g}" for number in numbers] for numbers in (targets, found)]
        tables = {
            "series": _by_series(examples, ids, targets, found),
            "errors": _errors(examples, ids, "error", errors, *written),
        }
    write_tables(folder, part, tables)


def _by_series(
    examples: Examples, ids: Sequence[str], targets: np.ndarray, found: np.ndarray
) -> Iterator[Sequence[Any]]:
    """The measures of each series by itself; nothing where one is not defined."""
    yield "id", "steps", *SERIES
    for number, name in enumerate(ids):
        part = slice(examples.bounds[number], examples.bounds[number + 1])
        length = int(examples.lengths[number])
        metrics = regression_metrics(targets[part], found[part], np.array([0, length]))
        yield name, length, *(f"{metrics[one]:.4f}" if one in metrics else "" for one in SERIES)


def _errors(
    examples: Examples, ids: Sequence[str], measure: str, size: np.ndarray, targets: Sequence[str], found: Sequence[str]
) -> Iterator[Sequence[Any]]:
    """The steps that are wrong by most, counted from 0 in their series."""
    yield measure, "true", "predicted", "id", "step"
    order = np.argsort(-size, kind="stable")[:ERRORS]
    for step in order[size[order] > 0].tolist():
        series = int(np.searchsorted(examples.bounds, step, side="right")) - 1
        yield f"{size[step]:.4f}", targets[step], found[step], ids[series], step - int(examples.bounds[series])
