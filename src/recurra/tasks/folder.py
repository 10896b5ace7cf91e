"""The options saved in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from recurra.config import Config, read_yaml
from recurra.errors import ConfigError, FolderError

AnyConfig = TypeVar("AnyConfig", bound=Config)

ADVICE = "give a folder that recurra made"


def task_of_run(folder: Path) -> str:
    """The name of the task that a run folder belongs to. Raises: FolderError where it is none."""
    try:
        task = read_yaml(_config_file(folder)).get("task")
    except ConfigError as error:
        raise FolderError(f"{folder}: not a run folder ({error}); {ADVICE}") from None
    if not isinstance(task, str):
        raise FolderError(f"{folder}: not a run folder (config.yaml names no task); {ADVICE}")
    return task


def config_of_run(kind: type[AnyConfig], folder: Path) -> AnyConfig:
    """The options saved in a run folder of that kind. Raises: FolderError where it is none."""
    file = _config_file(folder)
    try:
        config = kind.from_yaml(file)
    except ConfigError as error:
        raise FolderError(f"{folder}: not a run folder ({error}); {ADVICE}") from None
    if not file.read_bytes().rstrip().endswith(b"..."):  # options that are missing would take their defaults
        raise FolderError(f"{file}: cut short, it does not end in `...`; take it from a backup")
    return config


def _config_file(folder: Path) -> Path:
    file = folder / "config.yaml"
    if not file.is_file():
        what = "a folder without config.yaml" if folder.is_dir() else "a file" if folder.exists() else "nothing"
        raise FolderError(f"{folder}: expected a run folder, found {what}; {ADVICE}")
    return file
