"""Tasks: each brings its data, model, metrics and options; here they are found by name.

Imports no torch: a task's modules are imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.config import Config, nearest
from recurra.errors import ConfigError
from recurra.tasks.lm.options import LMConfig

if TYPE_CHECKING:
    from recurra.tasks.lm.run import LanguageModelRun
    from recurra.tasks.lm.training import LMTraining
    from recurra.training import Event

OPTIONS: dict[str, type[LMConfig]] = {LMConfig.task: LMConfig}
"""The options of each task, by its name."""


def start(task: str, data: Path | str | None, config: Config | None = None, resume: Path | None = None) -> LMTraining:
    """Prepare a training: check the data, make the run folder. `events()` of what it returns is the training itself.

    Args:
        task: its name, "lm".
        data: the text file or folder; None to take the config's.
        config: the options; None for the defaults.
        resume: the folder of a run to continue, instead, with the options saved there; `data` says where the text is
            now, if the run has lost it.

    Raises: any RecurraError, before anything is written.
    """
    options = options_of(task)
    text = None if data is None else Path(data)
    from recurra.tasks.lm.training import LMTraining

    if resume is not None:
        return LMTraining.resume(Path(resume), text)
    config = config or options()
    assert isinstance(config, LMConfig)
    return LMTraining.start(config if text is None else config.model_copy(update={"data": text}))


def train(
    task: str,
    data: Path | str | None = None,
    *,
    resume: Path | str | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> LanguageModelRun:
    """Train a model on a file and return it.

    Args:
        task: "lm", a language model.
        data: a text file, or a folder with train, valid and test.
        resume: the folder of a run to continue, exactly as it was; takes no data and no options.
        on_event: called with each `recurra.training.Event`; None prints them.
        options: as on the command line, with underscores: `cell="gru", hidden_size=256`.

    Raises: any RecurraError: one line that says what was expected, what came, what to do.

    Example:
        >>> run = recurra.train("lm", "corpus.txt", cell="gru", hidden_size=256)  # doctest: +SKIP
        >>> run.generate("Once upon", length=100)  # doctest: +SKIP
    """
    kind = options_of(task)
    if resume is not None:
        if options or data is not None:
            raise ConfigError("resume continues with the data and options of that run; leave the others out")
        training = start(task, None, resume=Path(resume))
    elif data is None:
        raise ConfigError("no data; give a text file, as in recurra.train('lm', 'corpus.txt')")
    else:
        training = start(task, data, kind.make(**options))
    for event in training.events():
        (on_event or _print_event)(event)
    return training.run


def _print_event(event: Event) -> None:
    from recurra.training import describe

    print(describe(event), flush=True)


def load(folder: Path | str, device: str | None = None) -> LanguageModelRun:
    """The trained model in a run folder.

    Args:
        folder: as `train` made it.
        device: where to compute; None for the device that it was trained on.

    Raises: FolderError for a folder that is missing, or that holds missing, damaged or foreign files.
    """
    from recurra.tasks.lm.run import LanguageModelRun

    return LanguageModelRun.load(Path(folder), device)


def summarize(task: str, config: Config, vocabulary: int) -> dict[str, Any]:
    """The number of weights of a model that is not trained yet (see `recurra.models.weights.count_weights`)."""
    options_of(task)
    assert isinstance(config, LMConfig)
    from recurra.models.weights import count_weights
    from recurra.tasks.lm.network import build

    return count_weights(build(config, vocabulary, "meta"))


def describe_plans(task: str, config: Config, vocabulary: int) -> list[dict[str, Any]]:
    """How each layer of a model that is not trained yet is trained (see `recurra.inspection.plan.describe_plans`)."""
    options_of(task)
    assert isinstance(config, LMConfig)
    from recurra.tasks.lm.network import build, plans

    return plans(build(config, vocabulary, "meta"))


def options_of(task: str) -> type[LMConfig]:
    """The class of options of a task. Raises: ConfigError with the nearest name."""
    if task not in OPTIONS:
        raise ConfigError(f"unknown task {task!r}{nearest(task, OPTIONS) or '; known: ' + ', '.join(OPTIONS)}")
    return OPTIONS[task]
