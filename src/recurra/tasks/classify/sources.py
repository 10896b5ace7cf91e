"""Examples as a file has them, texts or signals: read, taken apart, fitted and encoded by their kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.data import Examples
from recurra.data.signals import Signals, from_arrays, read_signals
from recurra.data.texts import (
    Labelled,
    Layout,
    Report,
    check_told,
    find_format,
    name_of,
    read_labelled,
    refuse,
    text_lines,
)
from recurra.errors import ConfigError
from recurra.tasks.classify.options import ClassifyConfig
from recurra.tasks.inputs.ngrams import NgramInput
from recurra.tasks.inputs.signal import SignalInput
from recurra.tasks.inputs.signal_options import SignalOptions
from recurra.tasks.inputs.text import TextInput

SIGNAL_SUFFIXES = (".npz", ".ts")
SHOWN = 300  # characters of a text in a report


class Source(ABC):
    """Examples with their labels, `()` where none were read, and the places where they stand."""

    labels: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    @abstractmethod
    def read(cls, path: Path, config: ClassifyConfig, *, labelled: bool = True, training: bool = False,
             report: Report = refuse) -> Self:  # fmt: skip
        """The examples in a file, with labels as they stand there; `training` says whether they are trained on."""

    @abstractmethod
    def fit(self, config: ClassifyConfig) -> Any:
        """The input learned from these examples."""

    @abstractmethod
    def encode(self, fitted: Any) -> Examples:
        """The examples as `fitted` makes numbers of them, without labels."""

    @abstractmethod
    def take(self, numbers: Sequence[int]) -> Self:
        """The examples with these numbers, in this order."""

    @abstractmethod
    def place(self, number: int) -> str:
        """Where an example stands: file and line."""

    @abstractmethod
    def whole(self, number: int) -> str:
        """What a reader sees of an example."""

    @abstractmethod
    def names(self, fitted: Any, number: int, steps: Mapping[str, np.ndarray]) -> list[str]:
        """What each step of an encoded example is called."""

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The examples with other names for their labels, without those of which every label's name is empty."""
        if not names:
            return self
        labels = [tuple(dict.fromkeys(names.get(name, name) for name in own)) for own in self.labels]
        kept = [number for number, own in enumerate(labels) if not own or any(own)]
        examples: Any = self.take(kept)
        found: Self = replace(examples, labels=[tuple(filter(None, labels[number])) for number in kept])
        return found

    def shown(self, number: int) -> str:
        """The beginning of what a reader sees."""
        return self.whole(number)[:SHOWN]


@dataclass(frozen=True)
class Texts(Source):
    """Texts; `lines` has the file and the line of each."""

    texts: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    lines: Sequence[tuple[Path, int]]

    @classmethod
    def read(cls, path: Path, config: ClassifyConfig, *, labelled: bool = True, training: bool = False,
             report: Report = refuse) -> Self:  # fmt: skip
        layout = layout_of(config, path)
        layout = replace(layout, label=layout.label if labelled else None, phrases=config.phrases and training)
        return cls.of_layout(path, layout, report)

    @classmethod
    def of_layout(cls, path: Path, layout: Layout, report: Report = refuse) -> Self:
        """The texts in a file that is laid out so."""
        return cls.of(list(read_labelled(path, layout, report)))

    @classmethod
    def of(cls, found: Sequence[Labelled]) -> Self:
        """These texts."""
        return cls([one.text for one in found], [one.labels for one in found], [(one.path, one.line) for one in found])

    def fit(self, config: ClassifyConfig) -> TextInput | NgramInput:
        return (NgramInput if config.model == "ngram" else TextInput).fit(self.texts, config)

    def encode(self, fitted: TextInput | NgramInput) -> Examples:
        return fitted.encode(self.texts)

    def take(self, numbers: Sequence[int]) -> Self:
        lists: list[Any] = [[values[n] for n in numbers] for values in (self.texts, self.labels, self.lines)]
        return type(self)(*lists)

    def place(self, number: int) -> str:
        path, line = self.lines[number]
        return f"{name_of(path)}:{line}"

    def whole(self, number: int) -> str:
        return self.texts[number]

    def names(self, fitted: TextInput | NgramInput, number: int, steps: Mapping[str, np.ndarray]) -> list[str]:
        return fitted.tokens(steps, self.texts[number])


@dataclass(frozen=True)
class Series(Source):
    """Signals."""

    signals: Signals
    labels: Sequence[tuple[str, ...]]

    @classmethod
    def read(cls, path: Path, config: ClassifyConfig, *, labelled: bool = True, training: bool = False,
             report: Report = refuse) -> Self:  # fmt: skip
        signals = read_signals(path, config.layout(), labelled=labelled)
        return cls(signals, [(name,) for name in signals.labels or []] if labelled else [()] * len(signals))

    @classmethod
    def of_arrays(cls, arrays: Sequence[Any], fitted: SignalInput) -> Self:
        """Signals given as arrays [T, I]."""
        return cls(from_arrays(arrays, fitted.channels), [()] * len(arrays))

    def fit(self, config: ClassifyConfig) -> SignalInput:
        return SignalInput.fit(self.signals, config)

    def encode(self, fitted: SignalInput) -> Examples:
        return Examples(self.signals.lengths, fitted.encode(self.signals), {})

    def take(self, numbers: Sequence[int]) -> Self:
        return type(self)(self.signals.take(numbers), [self.labels[n] for n in numbers])

    def place(self, number: int) -> str:
        return self.signals.places[number]

    def whole(self, number: int) -> str:
        return f"series {self.signals.ids[number]}, {self.signals.lengths[number]} steps"

    def names(self, fitted: SignalInput, number: int, steps: Mapping[str, np.ndarray]) -> list[str]:
        return [f"step {step}" for step in range(1, int(self.signals.lengths[number]) + 1)]


SOURCES: dict[str, type[Texts] | type[Series]] = {"text": Texts, "ngrams": Texts, "signal": Series}
"""What an input of each kind is fed from."""


def layout_of(config: ClassifyConfig, path: Path) -> Layout:
    """How a file of texts is laid out, as the options say and, where they leave it open, as the file looks."""
    return Layout(
        format=find_format(path) if config.format == "auto" else config.format,
        text=config.text,
        label=config.label,
        header=config.header,
        separator=config.separator,
        label_separator=config.label_separator,
        multilabel=config.multilabel,
        multilabel_separator=config.multilabel_separator,
        phrases=config.phrases,
    )


OF_TEXTS = (
    "format", "text", "header", "separator", "label_separator", "multilabel_separator", "phrases", "embedding_dim",
    "ngrams", "char_ngrams", "vectors", "freeze_embedding", "word_dropout",
)  # fmt: skip
"""Options outside the group "Text" that have no effect on signals."""


def find_kind(config: ClassifyConfig, path: Path) -> str:
    """Whether texts or signals are meant, as the options say or the file looks: its key in `SOURCES`.

    Raises: ConfigError for options of the other.
    """
    kind = config.input if config.input != "auto" else "signal" if _is_signal(config, path) else "text"
    others = SignalOptions.model_fields if kind == "text" else [*config.groups()["Text"], *OF_TEXTS]
    for name in others:
        if getattr(config, name) != type(config).model_fields[name].get_default():
            raise ConfigError(f"{name} has no effect on a {kind}; leave it out, or set input")
    if kind == "text" and not path.is_dir():
        fields = ("text", "label", "header", "separator", "phrases")
        given = [name for name in fields if getattr(config, name) != type(config).model_fields[name].get_default()]
        check_told(path, layout_of(config, path).format, given)
    if kind == "signal" and (config.model == "ngram" or config.multilabel or config.baseline == "ngram"):
        raise ConfigError("n-grams and multilabel go with texts, not with signals; leave them out")
    return kind


def _is_signal(config: ClassifyConfig, path: Path) -> bool:
    """By its name, by the options, or because its first full line has three numbers or more and at most one other."""
    if path.is_dir() or config.format != "auto":
        return False
    if path.name.lower().removesuffix(".gz").endswith(SIGNAL_SUFFIXES) or _is_told(config):
        return True
    first = next((line for line in islice(text_lines(path), 100) if not line.isspace()), "")
    fields = first.replace(",", " ").replace(";", " ").split()
    return sum(map(_is_number, fields)) >= max(3, len(fields) - 1)


def _is_told(config: ClassifyConfig) -> bool:
    """Whether the options say how a file of signals is laid out."""
    names = ("label_column", "channels", "series_id")
    return any(getattr(config, name) != type(config).model_fields[name].default for name in names)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return field in ("?", "NA")
    return True
