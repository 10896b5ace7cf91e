"""`recurra train`: one verb per task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from recurra.cli.flags import command_line, resolve, takes_options
from recurra.cli.output import write
from recurra.config import Config
from recurra.errors import ConfigError
from recurra.tasks.lm import LMConfig

app = App(name="train", help="Train a model on your data.", sort_key=0)

RUN = Group("Run", sort_key=0)
DATA_HELP = LMConfig.model_fields["data"].description


@takes_options(LMConfig, skip=["data"])
def lm(
    data: Annotated[Path | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    config: Annotated[
        Path | None, Parameter(group=RUN, negative=(), help="YAML file of options; flags win over it.")
    ] = None,
    resume: Annotated[
        Path | None, Parameter(group=RUN, negative=(), help="Folder of a run to continue, exactly as it was.")
    ] = None,
    as_json: Annotated[
        bool, Parameter("--json", group=RUN, negative=(), show_default=False, help="Print one JSON object per event.")
    ] = False,
    **given: Any,
) -> None:
    """Train a language model: it learns to predict the next character or word of a text.

    Writes a folder with the model, its options, its metrics and its checkpoints.
    Ctrl-C saves, evaluates and stops; --resume goes on from there.
    """
    from recurra import tasks
    from recurra.cli import display
    from recurra.training.memory import keep_freed_memory

    keep_freed_memory()
    if resume is None:
        options = resolve(LMConfig, given if data is None else {**given, "data": data}, config)
        if options.data is None:
            raise ConfigError("no data; give a text file, as in `recurra train lm corpus.txt`")
        started = tasks.start("lm", options.data, options)
    else:
        refuse_options(resume, [*given, *(["config"] if config else [])])
        started = tasks.start("lm", data, resume=resume)
    interrupted = display.show(started.events(), started.config.unit_name, as_json=as_json)
    if interrupted:
        raise KeyboardInterrupt
    if not as_json and config is None and resume is None:
        write(_again(options, started.folder.path))


app.command(App(name="lm", default_command=lm))


def refuse_options(folder: Path, given: list[str]) -> None:
    """A run that is resumed goes on with its own options: refuse others."""
    if given:
        flag = "--" + given[0].replace("_", "-")
        raise ConfigError(
            f"--resume continues with the options saved in {folder}; leave out {flag}, or start from that "
            f"model with --init-from {folder}"
        )


def _again(options: Config, folder: Path) -> str:
    data = str(getattr(options, "data", ""))
    again = command_line(options, "recurra", "train", "lm", data, skip=["data"])
    return f"options: {folder / 'config.yaml'}\nthe same again: {again}\n"
