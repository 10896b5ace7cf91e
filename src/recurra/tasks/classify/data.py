"""The data of a classifier in its run folder: read once, split, encoded, with what a report shows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from recurra.config import listed, quoted
from recurra.data import Examples, has_examples, load_examples, save_examples
from recurra.errors import DataError, FolderError
from recurra.tasks.classify.options import ClassifyConfig
from recurra.tasks.classify.parts import classes_of, read_parts
from recurra.tasks.classify.sources import Source, Texts
from recurra.tasks.inputs import load_input
from recurra.tasks.inputs.ngrams import NgramInput
from recurra.tasks.inputs.text import TextInput
from recurra.text.files import written_aside
from recurra.text.vectors import read_vectors

LABELS = "labels.json"
SHOWN, NGRAMS, VECTORS = "shown.json", "ngrams", "vectors.npy"
TARGET = "target"
"""The item of an example that has its class, int64 [N], or which labels it has, bool [N, C]."""


@dataclass(frozen=True)
class Fitted:
    """What is known of the data besides weights: the input, and the names of the classes in order."""

    input: Any
    classes: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Write `input.json` and `labels.json`. Raises: FolderError."""
        self.input.save(folder)
        try:
            (folder / LABELS).write_text(json.dumps(self.classes, indent=0), encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder / LABELS}: cannot be written ({error.strerror}); free some space") from None

    @classmethod
    def load(cls, folder: Path) -> Fitted:
        """Read what `save` wrote. Raises: FolderError."""
        try:
            classes = json.loads((folder / LABELS).read_bytes())
            if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
                raise ValueError("not a list of names")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FolderError(f"{folder / LABELS}: cannot be read ({reason}); give a model folder") from None
        return cls(load_input(folder), tuple(classes))


@dataclass(frozen=True)
class Data:
    """The encoded parts, and beside them what a report and a baseline need.

    parts: train, and valid and test where they are there; ngrams: the same for the baseline, empty without one; shown:
    by part, where each example stands and how it reads (not of train); vectors: pretrained [V, E], NaN where there is
    none, or None; notes: lines for the summary.
    """

    parts: Mapping[str, Examples]
    ngrams: Mapping[str, Examples]
    shown: Mapping[str, Sequence[tuple[str, str]]]
    vectors: np.ndarray | None
    notes: Mapping[str, str]


def prepare(config: ClassifyConfig, folder: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
    """See `recurra.tasks.training.Training.prepare`."""
    if fitted is not None and has_examples(folder / "data"):
        return fitted, _load(folder / "data")
    sources = read_parts(config, None if fitted is None else fitted.input)
    if fitted is None:
        fitted = Fitted(sources["train"].fit(config), classes_of(sources["train"], config))
    vectors, notes = _vectors(config, fitted.input)
    parts = {name: encode(source, fitted, config.multilabel) for name, source in sources.items()}
    ngrams = _ngrams(config, sources, fitted)
    shown = {
        name: [(source.place(n), source.shown(n)) for n in range(len(source))]
        for name, source in sources.items()
        if name != "train"
    }
    data = Data(parts, ngrams, shown, vectors, notes)
    fitted.save(folder)
    _save(data, folder / "data")
    return fitted, data


def encode(source: Source, fitted: Fitted, multilabel: bool) -> Examples:
    """The examples with their classes. Raises: DataError for a label that is not known, with its file and line."""
    encoded = source.encode(fitted.input)
    return Examples(encoded.lengths, encoded.steps, {TARGET: encode_labels(source, fitted.classes, multilabel)})


def encode_labels(source: Source, classes: Sequence[str], multilabel: bool) -> np.ndarray:
    """The class of each example, int64 [N], or which labels it has, bool [N, C]."""
    numbers = {name: number for number, name in enumerate(classes)}
    targets = np.zeros((len(source), len(classes)), bool) if multilabel else np.zeros(len(source), np.int64)
    for place, labels in enumerate(source.labels):
        for name in labels:
            if name not in numbers:
                raise DataError(
                    f"{source.place(place)}: label {quoted(name)} is not in the training data, "
                    f"which has {listed(classes)}"
                )
            if multilabel:
                targets[place, numbers[name]] = True
            else:
                targets[place] = numbers[name]
    return targets


def _vectors(config: ClassifyConfig, fitted: Any) -> tuple[np.ndarray | None, dict[str, str]]:
    """The pretrained vectors of all tokens, and a line that says how many of them there are."""
    if config.vectors is None or not isinstance(fitted, TextInput):
        return None, {}
    vectors = read_vectors(config.vectors, fitted.words())
    return fitted.start_vectors(vectors), {"vectors": f"{vectors.dim} numbers each, {vectors.coverage}"}


def _ngrams(config: ClassifyConfig, sources: Mapping[str, Source], fitted: Fitted) -> dict[str, Examples]:
    """The parts as the baseline reads them; empty where none is wanted, or wanted only where it can be had."""
    wanted = config.baseline == "ngram" or (config.baseline == "auto" and find_spec("sklearn") is not None)
    train = sources["train"]
    if not wanted or config.model == "ngram" or not isinstance(train, Texts):
        return {}
    ngrams = Fitted(NgramInput.fit(train.texts, config), fitted.classes)
    return {name: encode(source, ngrams, config.multilabel) for name, source in sources.items()}


def _save(data: Data, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    if data.ngrams:
        save_examples(folder / NGRAMS, data.ngrams)
    if data.vectors is not None:
        np.save(folder / VECTORS, data.vectors, allow_pickle=False)
    with written_aside(folder / SHOWN) as file:
        file.write(json.dumps({"shown": data.shown, "notes": data.notes}).encode())
    save_examples(folder, data.parts)  # last: it says that all is there


def _load(folder: Path) -> Data:
    parts = load_examples(folder)
    ngrams = load_examples(folder / NGRAMS) if has_examples(folder / NGRAMS) else {}
    try:
        kept = json.loads((folder / SHOWN).read_bytes())
        vectors = np.load(folder / VECTORS, allow_pickle=False) if (folder / VECTORS).exists() else None
        return Data(parts, ngrams, kept["shown"], vectors, kept["notes"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder}: damaged ({error}); train anew from the data itself") from None
