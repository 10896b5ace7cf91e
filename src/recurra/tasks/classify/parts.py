"""Which examples train, validate and test, and which classes there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recurra.config import listed, nearest, quoted
from recurra.data.stratified import stratified
from recurra.data.texts import Report, find_parts, refuse
from recurra.errors import ConfigError, DataError
from recurra.tasks.classify.options import ClassifyConfig
from recurra.tasks.classify.sources import SOURCES, Source, find_kind
from recurra.tasks.inputs import Input

MOST_CLASSES = 20_000


def read_parts(config: ClassifyConfig, fitted: Input | None, report: Report = refuse) -> dict[str, Source]:
    """The examples of each part, cut from the training file where they have no file of their own.

    Args:
        fitted: the input of a model that goes on learning, or None.
        report: see `recurra.data.texts.read_labelled`.

    Raises: DataError, ConfigError.
    """
    assert config.data is not None
    paths = find_parts(config.data, config.valid, config.test)
    kind = find_kind(config, paths["train"])
    if fitted is not None and SOURCES[fitted.kind] is not SOURCES[kind]:
        raise ConfigError(f"{config.data}: the model reads a {fitted.kind}, got a {kind}; give data of its kind")
    sources: dict[str, Source] = {
        name: SOURCES[kind].read(path, config, training=name == "train", report=report) for name, path in paths.items()
    }
    renamed = config.renamed_labels()
    _check_names("label_map: no label", renamed, (name for source in sources.values() for name in _names(source)))
    sources = {name: source.renamed(renamed) for name, source in sources.items()}
    for name, source in sources.items():
        if not len(source):
            raise DataError(f"{paths[name]}: expected examples, got none; give a file with texts and labels")
    sources |= _cut(config, sources)
    names = ("train", "valid", "test")
    return {name: sources[name] for name in names if name in sources}


def _cut(config: ClassifyConfig, sources: Mapping[str, Source]) -> dict[str, Source]:
    """The parts cut from the training file: validation where it has no file, the test where neither has one."""
    train, counts = sources["train"], {}
    for name in ("valid", "test"):
        count, fraction = getattr(config, f"{name}_count"), getattr(config, f"{name}_frac")
        if name not in sources and "valid" not in sources:
            counts[name] = count if count is not None else round(fraction * len(train)) or int(fraction > 0)
        elif count is not None or fraction not in (0, type(config).model_fields[f"{name}_frac"].default):
            option = f"{name}_count" if count is not None else f"{name}_frac"
            raise ConfigError(f"{option} has no effect: nothing is cut from {config.data} for {name}; leave it out")
    if sum(counts.values()) >= len(train):
        raise DataError(
            f"{config.data}: expected more than {sum(counts.values())} examples to cut valid and test from, "
            f"got {len(train)}; give more, or files of their own"
        )
    cut = stratified(train.labels, list(counts.values()), config.split_seed)
    names = ["train", *counts]
    return {name: train.take(places) for name, places in zip(names, cut, strict=True) if len(places)}


def classes_of(train: Source, config: ClassifyConfig) -> tuple[str, ...]:
    """The classes of the training part, in order: by number where all are numbers, else by name.

    Raises: DataError where there is nothing to tell apart, ConfigError for weights of a class that is not there.
    """
    names = _names(train)
    fewest = 1 if config.multilabel else 2
    if len(names) < fewest:
        found = f"one class only, {quoted(names.pop())}" if names else "no label at all"
        raise DataError(f"{config.data}: expected at least {fewest} classes, got {found}; give examples of others too")
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"{config.data}: expected at most {MOST_CLASSES} classes, got {len(names)}; is {config.label!r} the label?"
        )
    classes = sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)
    _check_names("class_weights: no class", config.weights_by_class(), classes)
    return tuple(classes)


def _names(source: Source) -> set[str]:
    return {name for labels in source.labels for name in labels}


def _check_names(what: str, given: Iterable[str], there: Iterable[str]) -> None:
    """Raises: ConfigError for a name that is not there, with those that are."""
    there = sorted(set(there))
    for name in given:
        if name not in there:
            raise ConfigError(f"{what} {name!r}; expected some of {listed(there)}{nearest(name, there)}")
