"""Predictions, and how they are written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Prediction:
    """What a model says of an example.

    labels: its class or, where there may be several, its labels, the most probable first; probabilities: of every
    class, by name; text: how the example reads; id: the name of a signal, None for a text.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    text: str
    id: str | None = None

    @property
    def label(self) -> str | None:
        """The class, or the most probable label; None where none was given."""
        return self.labels[0] if self.labels else None

    @property
    def probability(self) -> float:
        """That of the most probable class."""
        return max(self.probabilities.values())


class Writer(Protocol):
    """Turns predictions into lines; those of signals begin with their ids."""

    def head(self, classes: Sequence[str]) -> str: ...

    def line(self, one: Prediction) -> str: ...


class JsonLines:
    """A JSON object per example: its label (labels, where there may be several), all probabilities, the text."""

    def __init__(self, multilabel: bool, separator: str, with_id: bool) -> None:
        self.multilabel = multilabel

    def head(self, classes: Sequence[str]) -> str:
        return ""

    def line(self, one: Prediction) -> str:
        label: dict[str, Any] = {} if one.id is None else {"id": one.id}
        label |= {"labels": one.labels} if self.multilabel else {"label": one.label}
        rounded = {name: round(value, 6) for name, value in one.probabilities.items()}
        return json.dumps({**label, "probabilities": rounded, "text": one.text}, ensure_ascii=False) + "\n"


class Csv:
    """A row per example after a head: the label, the highest probability, then that of every class.

    Where a class has the name of another column, `class ` stands before the names of all classes.
    """

    def __init__(self, multilabel: bool, separator: str, with_id: bool) -> None:
        self.separator = separator
        self.columns = [*(["id"] if with_id else []), "label", "probability"]

    def head(self, classes: Sequence[str]) -> str:
        before = "class " if set(classes) & set(self.columns) else ""
        return self.row([*self.columns, *(before + name for name in classes)])

    def line(self, one: Prediction) -> str:
        numbers = [f"{value:.6f}" for value in (one.probability, *one.probabilities.values())]
        return self.row([*([] if one.id is None else [one.id]), self.separator.join(one.labels), *numbers])

    def row(self, fields: Sequence[str]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(fields)
        return text.getvalue()


class Tsv(Csv):
    """The same between tabs, without quotes; a tab or a line end in a label becomes a blank."""

    def row(self, fields: Sequence[str]) -> str:
        return "\t".join(" ".join(field.splitlines()).replace("\t", " ") for field in fields) + "\n"


WRITERS: dict[str, type[JsonLines] | type[Csv]] = {"jsonl": JsonLines, "csv": Csv, "tsv": Tsv}
