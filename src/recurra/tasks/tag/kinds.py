"""Taggers of words and taggers of signals: which of them a training or a run folder belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.config import Config
from recurra.errors import ConfigError
from recurra.tasks.folder import config_of_run
from recurra.tasks.inputs import read_fields
from recurra.tasks.tag.options import TagConfig
from recurra.tasks.tag.run import TagRun
from recurra.tasks.tag.signal_run import SignalTagRun
from recurra.tasks.tag.signal_training import SignalTagTraining
from recurra.tasks.tag.signals import reads_signals
from recurra.tasks.tag.training import TagTraining
from recurra.tasks.training import Problem

AnyTraining = TagTraining | SignalTagTraining


class TaggerRun:
    """A trained tagger of either kind."""

    options: type[Config] = TagConfig

    @staticmethod
    def load(folder: Path, device: str | None = None) -> TagRun | SignalTagRun:
        """See `recurra.tasks.run.Run.load`."""
        return (SignalTagRun if is_of_signals(folder) else TagRun).load(folder, device)


class TaggerTraining:
    """A training of either kind: of signals where the data is an `.npz` file, else of words."""

    run_type = TaggerRun

    @staticmethod
    def start(config: TagConfig) -> AnyTraining:
        """See `recurra.tasks.training.Training.start`."""
        return training_of(config).start(config)

    @staticmethod
    def resume(path: Path, data: Path | None = None) -> AnyTraining:
        """See `recurra.tasks.training.Training.resume`."""
        return (SignalTagTraining if is_of_signals(path) else TagTraining).resume(path, data)

    @staticmethod
    def problems(config: TagConfig) -> list[Problem]:
        """See `recurra.tasks.training.Training.problems`."""
        return training_of(config).problems(config)


def training_of(config: TagConfig) -> type[Any]:
    """The training for the data in `config`. Raises: ConfigError for options that have no effect on it."""
    assert config.data is not None
    signals = reads_signals(config.data.absolute())
    groups = config.groups()
    for name in [*groups["Columns"], *groups["Words"]] if signals else [*groups["Signals"], *groups["Noise"]]:
        if getattr(config, name) != type(config).model_fields[name].get_default():
            kind = "signals" if signals else "words"
            raise ConfigError(f"{name} has no effect on {config.data}, which holds {kind}; leave it out")
    return SignalTagTraining if signals else TagTraining


def is_of_signals(folder: Path) -> bool:
    """Whether the run in a folder reads signals. Raises: FolderError where it is no run of a tagger."""
    config_of_run(TagConfig, folder)
    return bool(read_fields(folder)["kind"] == "signal")
