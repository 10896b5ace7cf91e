"""Tagged sentences for training: files, parts, tags and their scheme, as arrays in the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from recurra.config import quoted
from recurra.data import Examples, has_examples, load_examples, save_examples
from recurra.data.conll import Column, TaggedText, read_conll
from recurra.data.tag_schemes import SCHEMES, Scheme, find_breaks, recognise, write_spans
from recurra.data.texts.parts import find_parts
from recurra.errors import ConfigError, DataError, FolderError
from recurra.metrics.spans import find_spans, type_names
from recurra.tasks.inputs import Input, load_input
from recurra.tasks.inputs.words import WORD, WordsInput
from recurra.tasks.tag.parts import cut_off
from recurra.text.files import written_aside

TAG = "tag"
"""The field of a batch with the number of each token's tag."""
TAGS, FORMS = "tags.json", "forms.json"


@dataclass(frozen=True)
class Fitted:
    """What a tagger knows besides weights.

    input: what it reads; tags: the tags by number; scheme: the one that these tags follow, None where they mark no
    spans; source: the one that the data have.
    """

    input: Input
    tags: list[str]
    scheme: str | None = None
    source: str | None = None

    def save(self, folder: Path) -> None:
        """Write `input.json` and `tags.json`. Raises: FolderError."""
        self.input.save(folder)
        text = json.dumps({"format": "recurra tags", "format_version": 1, "tags": self.tags, "scheme": self.scheme,
                           "source": self.source}, indent=0)  # fmt: skip
        try:
            (folder / TAGS).write_text(text, encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder}: the tags cannot be written ({error.strerror}); free some space") from None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: FolderError where it is missing, damaged or foreign."""
        path = folder / TAGS
        try:
            fields = json.loads(path.read_bytes())
            if fields["format"] != "recurra tags" or fields["format_version"] != 1:
                raise ValueError("another format")
            schemes = [fields[name] for name in ("scheme", "source")]
            if any(name is not None and name not in SCHEMES for name in schemes):
                raise ValueError(f"unknown scheme among {schemes}")
            return cls(load_input(folder), [str(tag) for tag in fields["tags"]], *schemes)
        except OSError as error:
            raise FolderError(f"{path}: cannot be read ({error.strerror}); give a model folder") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FolderError(
                f"{path}: expected the tags of a run, got a damaged file ({reason}); restore it"
            ) from None


def read_text(path: Path, config: Any) -> TaggedText:
    """A file with the words and tags that the options name. Raises: DataError, ConfigError."""
    word_column = None if config.word_column is None else str(config.word_column)
    return read_conll(path, None if config.column is None else str(config.column), word_column)


def read_parts(config: Any) -> dict[str, TaggedText]:
    """Training, validation and test sentences, by name; what has no file is cut from the end of the training file.

    Raises: DataError, ConfigError.
    """
    assert config.data is not None
    paths = find_parts(config.data, config.valid, config.test)
    texts = {name: read_text(path, config) for name, path in paths.items()}
    train = texts["train"]
    cut = cut_off(train.path, len(train.lengths), texts, config)
    return {**texts, **{name: train.cut(places.start, places.stop) for name, places in cut.items()}}


def learn_tags(text: TaggedText, config: Any) -> tuple[list[str], str | None, str | None]:
    """Tags, their scheme and that of the data, from the training part. Raises: DataError, ConfigError."""
    assert text.tags is not None
    used = text.tags.used()
    if len(used) < 2:
        raise DataError(
            f"{text.path}: expected at least 2 different tags, got only {quoted(used[0])}; give another --column"
        )
    source = recognise(text.tags, text.lengths)
    if source is None:
        for name in ("scheme", "repair"):
            if getattr(config, name):
                raise ConfigError(
                    f"{name} has no effect: {text.path} has no tags of spans such as B-PER but {', '.join(used[:4])}; "
                    "leave it out"
                )
        return used, None, None
    scheme = SCHEMES[config.scheme or source.name]
    return scheme.tags(type_names(used)), scheme.name, source.name


def faults(text: TaggedText, fitted_tags: list[str], source: str | None, repair: bool) -> Iterator[tuple[int, str]]:
    """Line and description of each tag that cannot be used: it breaks the scheme, or is not among those of training."""
    assert text.tags is not None
    if source is not None and not repair:
        for found in find_breaks(SCHEMES[source], text.tags, text.lengths):
            yield int(text.lines[found.token]), found.what
    known = set(fitted_tags)
    if source is not None:
        known = set(SCHEMES[source].tags(type_names(fitted_tags)))
    for place, tag in enumerate(text.tags.values):
        if tag not in known and (at := np.flatnonzero(text.tags.ids == place)).size:
            what = f"tag {quoted(tag)} is not in the training data"
            near = ", ".join(fitted_tags[:6]) + (", ..." if len(fitted_tags) > 6 else "")
            yield int(text.lines[at[0]]), f"{what}, which has {near}; mend it, or train on sentences that have it"


def check_tags(text: TaggedText, fitted: Fitted, repair: bool) -> None:
    """Raises: DataError for the first tag that cannot be used."""
    found = sorted(faults(text, fitted.tags, fitted.source, repair))
    if found:
        line, what = found[0]
        more = f"; {len(found) - 1} more, see `recurra check tag {text.path}`" if len(found) > 1 else ""
        advice = "" if ";" in what else "; mend it, or read it as conlleval does with --repair"
        raise DataError(f"{text.path}:{line}: {what}{advice}{more}")


def converted(tags: Column, lengths: np.ndarray, scheme: Scheme) -> Column:
    """The same spans in another scheme."""
    names = type_names(tags.values)
    return write_spans(scheme, find_spans(tags.values, tags.ids, lengths), names, lengths)


def encode(text: TaggedText, fitted: Fitted) -> Examples:
    """Words, and tags where there are any, as numbers. The tags are good (`check_tags`)."""
    assert isinstance(fitted.input, WordsInput)
    steps = {WORD: fitted.input.encode(text.words)}
    if text.tags is not None:
        tags = text.tags if fitted.scheme is None else converted(text.tags, text.lengths, SCHEMES[fitted.scheme])
        place = {tag: number for number, tag in enumerate(fitted.tags)}
        steps[TAG] = np.array([place.get(tag, -1) for tag in tags.values], np.int32)[tags.ids]
    return Examples(text.lengths, steps, {})


def prepare(config: Any, folder: Path, data: Path, fitted: Fitted | None) -> tuple[Fitted, dict[str, Examples]]:
    """What `Training.prepare` does, for words; `data` is the folder for the examples."""
    if fitted is not None and has_examples(data):
        places = _load_forms(data, fitted)
        return fitted, {name: _renumbered(part, places) for name, part in load_examples(data).items()}
    texts = read_parts(config)
    if fitted is None:
        tags, scheme, source = learn_tags(texts["train"], config)
        others = {name: text.words for name, text in texts.items() if name != "train"}
        fitted = Fitted(WordsInput.learn(texts["train"].words, config, others), tags, scheme, source)
    for text in texts.values():
        check_tags(text, fitted, config.repair)
    parts = {name: encode(text, fitted) for name, text in texts.items()}
    fitted.save(folder)
    save_forms(data, fitted)
    save_examples(data, parts)
    return fitted, parts


def save_forms(data: Path, fitted: Fitted) -> None:
    """Write the word forms that the examples refer to. Raises: DataError."""
    assert isinstance(fitted.input, WordsInput)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with written_aside(data / FORMS) as file:
            file.write(json.dumps(fitted.input.forms.forms).encode())
    except OSError as error:
        raise DataError(f"{data}: cannot be written ({error.strerror}); free some space") from None


def _load_forms(data: Path, fitted: Fitted) -> np.ndarray:
    """The number, in the input's table, of each form that the examples refer to. Raises: DataError."""
    assert isinstance(fitted.input, WordsInput)
    try:
        forms = json.loads((data / FORMS).read_bytes())
        if not isinstance(forms, list) or not all(isinstance(form, str) for form in forms):
            raise ValueError("no list of words")
    except (OSError, ValueError) as error:
        raise DataError(f"{data / FORMS}: damaged ({error}); train anew from the data itself") from None
    return fitted.input.forms.add(forms)


def _renumbered(part: Examples, places: np.ndarray) -> Examples:
    """The examples, referring to forms by their places in a table that may have had others before."""
    if np.array_equal(places, np.arange(len(places))):
        return part
    return Examples(part.lengths, {**part.steps, WORD: places[part.steps[WORD]]}, part.items)
