"""`recurra train` and `recurra check`: a verb per task, made from the tasks' options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter
from cyclopts.validators import Number

from recurra.cli.flags import command_line, resolve, takes_options
from recurra.cli.output import write
from recurra.config import Config
from recurra.errors import ConfigError
from recurra.tasks import TASKS
from recurra.tasks.registry import Task

if TYPE_CHECKING:
    from recurra.tasks.training import Measure
    from recurra.training import Event

app = App(name="train", help="Train a model on your data.", sort_key=0)
check_app = App(name="check", help="Say what is wrong with your data, without training.", sort_key=1)

RUN = Group("Run", sort_key=0)
DataPath = Annotated[Path | None, Parameter(help="The data: a file, or a folder with train, valid and test.")]
ConfigFile = Annotated[Path | None, Parameter(group=RUN, negative=(), help="YAML file of options; flags win over it.")]


def trainer(task: Task) -> Callable[..., None]:
    """The command that trains a task's models."""

    def train(
        data: DataPath = None,
        /,
        *,
        config: ConfigFile = None,
        resume: Annotated[
            Path | None, Parameter(group=RUN, negative=(), help="Folder of a run to continue, exactly as it was.")
        ] = None,
        seeds: Annotated[
            int | None,
            Parameter(
                group=RUN,
                negative=(),
                validator=Number(gte=1, lte=1000),
                help="Train so many times, with the seed and those after it; report mean and deviation.",
            ),
        ] = None,
        as_json: Annotated[
            bool,
            Parameter("--json", group=RUN, negative=(), show_default=False, help="Print one JSON object per event."),
        ] = False,
        **given: Any,
    ) -> None:
        if resume is not None:
            named = {"config": config, "seeds": seeds}
            refuse_options(resume, [*given, *(name for name, value in named.items() if value is not None)])
            from recurra import tasks

            training = tasks.resume(task.name, resume, data)
            _show(training.events(), training.measure, as_json=as_json)
            return
        options = resolve(task.options, given if data is None else {**given, "data": data}, config)
        saved = _train(task, options, seeds, as_json=as_json)
        if not as_json and config is None:
            write(f"{saved}the same again: {_again(task, options, seeds)}\n")

    train.__doc__ = (
        f"{task.help}\n\nWrites a folder with the model, its options, its metrics and its checkpoints.\n"
        "Ctrl-C saves, evaluates and stops; --resume goes on from there."
    )
    return takes_options(task.options, skip=["data"])(train)


def checker(task: Task) -> Callable[..., int]:
    """The command that checks a task's data."""

    def check(
        data: DataPath = None,
        /,
        *,
        config: ConfigFile = None,
        **given: Any,
    ) -> int:
        options = resolve(task.options, given if data is None else {**given, "data": data}, config)
        from recurra import tasks

        problems = tasks.check(task.name, options)
        for path, line, what in problems:
            write(f"{path}:{line}: {what}\n" if line is not None else f"{what}\n")
        write(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} found\n" if problems else "nothing wrong\n")
        return 1 if problems else 0

    check.__doc__ = (
        f"Check {task.data} as `recurra train {task.name}` would read it.\n\nExit code 1 if something is wrong."
    )
    return takes_options(task.options, skip=["data"])(check)


for _task in TASKS.values():
    app.command(App(name=_task.name, default_command=trainer(_task)))
    check_app.command(App(name=_task.name, default_command=checker(_task)))


def _train(task: Task, options: Config, seeds: int | None, *, as_json: bool) -> str:
    """Train once, or with several seeds; where the options are saved, in a line."""
    from recurra import tasks

    if seeds is None:
        training = tasks.start(task.name, options)
        _show(training.events(), training.measure, as_json=as_json)
        return f"options: {training.folder.path / 'config.yaml'}\n"
    from recurra.tasks.seeds import SeveralSeeds

    several = SeveralSeeds(task.name, options, seeds)
    _show(several.events(), several.measure, as_json=as_json)
    return ""


def _show(events: Iterator[Event], measure: Measure, *, as_json: bool) -> None:
    """Show the events of a training. Raises: KeyboardInterrupt where a signal ended them."""
    from recurra.cli import display
    from recurra.training.memory import keep_freed_memory

    keep_freed_memory()
    if display.show(events, measure, as_json=as_json):
        raise KeyboardInterrupt


def refuse_options(folder: Path, given: list[str]) -> None:
    """A run that is resumed goes on with its own options: refuse others."""
    if given:
        flag = "--" + given[0].replace("_", "-")
        raise ConfigError(
            f"--resume continues with the options saved in {folder}; leave out {flag}, or start from that "
            f"model with --init-from {folder}"
        )


def _again(task: Task, options: Config, seeds: int | None) -> str:
    data = str(getattr(options, "data", ""))
    again = command_line(options, "recurra", "train", task.name, data, skip=["data"])
    return again if seeds is None else f"{again} --seeds {seeds}"
