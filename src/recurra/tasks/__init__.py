"""Tasks: each brings its data, model, metrics and options; here they are found by name.

Imports no torch: a task's code is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.config import Config, nearest
from recurra.errors import ConfigError
from recurra.tasks import classify, forecast, lm, tag
from recurra.tasks.registry import Task

if TYPE_CHECKING:
    from recurra.tasks.lm import LMConfig
    from recurra.tasks.training import Problem, Training
    from recurra.training import Event

TASKS: dict[str, Task] = {task.name: task for task in (lm.TASK, classify.TASK, tag.TASK, forecast.TASK)}
"""Every task, by its name."""


def find_task(name: str) -> Task:
    """A task by its name. Raises: ConfigError with the nearest name."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}{nearest(name, TASKS) or '; known: ' + ', '.join(TASKS)}")
    return TASKS[name]


def start(task: str, config: Config) -> Training[Any, Any, Any]:
    """Prepare a training: check the data, make the run folder. `events()` of what it returns is the training itself.

    Raises: any RecurraError, before anything is written.
    """
    _check_data(find_task(task), config)
    return find_task(task).training().start(config)


def resume(task: str, folder: Path, data: Path | None = None) -> Training[Any, Any, Any]:
    """Prepare to go on with the run in a folder, with the options saved there.

    `data` says where its data is now, if the run has lost it. Raises: any RecurraError.
    """
    return find_task(task).training().resume(folder, data)


def check(task: str, config: Config) -> list[Problem]:
    """What is wrong with the data that `config` names."""
    _check_data(find_task(task), config)
    return find_task(task).training().problems(config)


def train(
    task: str,
    data: Path | str | None = None,
    *,
    resume: Path | str | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Any:
    """Train a model on a file and return it.

    Args:
        task: "lm", a language model; "classify"; "tag"; "forecast".
        data: a file, or a folder with train, valid and test.
        resume: the folder of a run to continue, exactly as it was; takes no data and no options.
        on_event: called with each `recurra.training.Event`; None prints them.
        options: as on the command line, with underscores: `cell="gru", hidden_size=256`.

    Returns:
        The trained model, a `recurra.tasks.run.Run`: what `recurra.load` gives for its folder.

    Raises: any RecurraError: one line that says what was expected, what came, what to do.

    Example:
        >>> run = recurra.train("lm", "corpus.txt", cell="gru", hidden_size=256)  # doctest: +SKIP
        >>> run.generate("Once upon", length=100)  # doctest: +SKIP
    """
    kind = find_task(task)
    if resume is not None:
        if options or data is not None:
            raise ConfigError("resume continues with the data and options of that run; leave the others out")
        training = kind.training().resume(Path(resume))
    else:
        training = start(task, kind.options.make(**options if data is None else {**options, "data": data}))
    for event in training.events():
        (on_event or _print_event)(event)
    return training.run


def _check_data(task: Task, config: Config) -> None:
    if getattr(config, "data", None) is None:
        raise ConfigError(f"no data; give {task.data}, as in `recurra train {task.name} DATA`")


def _print_event(event: Event) -> None:
    from recurra.training import describe

    print(describe(event), flush=True)


def load(folder: Path | str, device: str | None = None) -> Any:
    """The trained model in a run folder, a `recurra.tasks.run.Run` of its task.

    Args:
        folder: as `train` made it.
        device: where to compute; None for the device that it was trained on.

    Raises: FolderError for a folder that is missing, or that holds missing, damaged or foreign files.
    """
    from recurra.tasks.folder import task_of_run

    return find_task(task_of_run(Path(folder))).training().run_type.load(Path(folder), device)


def summarize(config: LMConfig, vocabulary: int) -> dict[str, Any]:
    """The number of weights of a language model that is not trained yet (see `recurra.models.weights`)."""
    from recurra.models.weights import count_weights
    from recurra.tasks.lm.network import build

    return count_weights(build(config, vocabulary, "meta"))


def describe_plans(config: LMConfig, vocabulary: int) -> list[dict[str, Any]]:
    """How each layer of a language model that is not trained yet is trained (see `recurra.inspection.plan`)."""
    from recurra.tasks.lm.network import build, plans

    return plans(build(config, vocabulary, "meta"))
