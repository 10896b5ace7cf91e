"""The folder of one trained model: what is in it, and how it is created, replaced and added to."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import yaml
from torch import Tensor

from recurra.errors import FolderError
from recurra.text.strict_json import to_json
from recurra.training.durable import link, put_in_place, sync, write_text
from recurra.training.events import Evaluated, Event, Step, describe, to_dict
from recurra.training.tensor_files import write_weights

CONFIG, MODEL, METRICS, CURVE, LOG = (
    "config.yaml",
    "model.safetensors",
    "metrics.json",
    "metrics.jsonl",
    "train.log",
)
FITTED = (
    "tokenizer.json",
    "input.json",
    "input.safetensors",
    "labels.json",
    "tags.json",
    "targets.json",
    "forecast.json",
    "forecast.npz",
)
"""What tasks learn from the data besides weights."""
OWN_NAMES = (CONFIG, MODEL, *FITTED, METRICS, CURVE, "README.md", LOG, "report", "data", "checkpoints")
"""What recurra writes in a run folder; overwriting removes these and nothing else."""


class RunFolder:
    """A run folder that exists: `config.yaml` (with a format version), the model, metrics, logs, checkpoints.

    Example:
        folder = RunFolder.create(Path("runs/poems"), {"config.yaml": config.to_yaml()})
        for event in train(job, config, folder): ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL
        """The best model by validation."""
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create(cls, path: Path | str, files: Mapping[str, str], overwrite: bool = False) -> Self:
        """Make a run folder with these text files, `config.yaml` among them, all at once. Raises: as `creating`."""
        with cls.creating(path, overwrite) as aside:
            for name, text in files.items():
                write_text(aside / name, text)
        return cls(Path(path))

    @classmethod
    @contextmanager
    def creating(cls, path: Path | str, overwrite: bool = False) -> Iterator[Path]:
        """A folder to fill, beside the path, which becomes the run folder at the end of the block, all at once.

        Where the block fails nothing is left of it. Overwriting removes what recurra wrote and leaves other files
        alone.

        Raises: FolderError where the path is taken: by a run folder, unless `overwrite`; by anything else,
        always; by another process that is making it.
        """
        path = Path(path)
        aside = path.absolute().with_name(f".{path.absolute().name}.writing")
        missing = [parent for parent in aside.parents if not parent.exists()]
        try:
            check_free(path, overwrite)
            aside.mkdir(parents=True, exist_ok=True)
            with locked(aside, path):
                try:
                    check_free(path, overwrite)  # again: another process may have made it meanwhile
                    for left in aside.iterdir():  # by a kill
                        _remove(left)
                    yield aside
                    _move_in(aside, path)
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
                    for parent in missing:  # those made here, if the run is not in them
                        with suppress(OSError):
                            parent.rmdir()
        except OSError as error:
            raise FolderError(
                f"{path}: run folder cannot be made ({error.strerror or error}); give another --output-dir"
            ) from None

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """The run folder at a path; FolderError where there is none."""
        path = Path(path)
        if not path.is_dir():
            what = "a file" if path.exists() else "nothing"
            raise FolderError(f"{path}: expected a run folder, found {what}; give a folder that recurra made")
        if not is_run_folder(path):
            raise FolderError(
                f"{path}: not a run folder (expected {CONFIG} with a format_version); give a folder that recurra made"
            )
        return cls(path)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training in this folder."""
        return locked(self.path, self.path)

    def write_text(self, name: str, text: str) -> None:
        """Write or replace a text file of the folder (`README.md`)."""
        with self._writing(name):
            write_text(self.path / name, text)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write or replace `metrics.json`; infinity and NaN become null."""
        self.write_text(METRICS, to_json(metrics, indent=2) + "\n")

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Add to `metrics.json`, replacing what is there under the same names."""
        file = self.path / METRICS
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.write_metrics({**known, **metrics})

    def write_model(self, weights: Mapping[str, Tensor]) -> None:
        """Write or replace `model.safetensors`."""
        with self._writing(MODEL):
            write_weights(self.model, weights)

    def restore_model(self, best: Path) -> None:
        """Make `model.safetensors` the file that a checkpoint names as the best."""
        if self.model.exists() and self.model.samefile(best):
            return
        aside = self.path / f".{MODEL}.writing"
        with self._writing(MODEL):
            aside.unlink(missing_ok=True)
            link(best, aside)
            put_in_place(aside, self.model)

    def record(self, event: Event) -> None:
        """Add an event to `train.log` and, if it holds numbers of the learning curve, to `metrics.jsonl`."""
        time = datetime.now().isoformat(sep=" ", timespec="seconds")
        self._append(LOG, "".join(f"{time}  {line}\n" for line in describe(event).splitlines()))
        if isinstance(event, Step | Evaluated):
            self._append(CURVE, to_json(to_dict(event)) + "\n")

    def curve_size(self) -> int:
        """Bytes of `metrics.jsonl`, all of them on the disk."""
        file = self.path / CURVE
        if not file.exists():
            return 0
        with self._writing(CURVE):
            sync(file)
        return file.stat().st_size

    def cut_curve(self, size: int) -> None:
        """Cut `metrics.jsonl` back to what it held at a checkpoint, so that no step is there twice."""
        file = self.path / CURVE
        if file.exists():
            with self._writing(CURVE), file.open("rb+") as lines:
                lines.truncate(min(size, file.stat().st_size))

    def remove_unfinished(self) -> None:
        """Remove what a killed process was writing."""
        for aside in self.path.glob(".*.writing"):
            aside.unlink(missing_ok=True)

    def _append(self, name: str, text: str) -> None:
        with self._writing(name), (self.path / name).open("a", encoding="utf-8") as file:
            file.write(text)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise FolderError(
                f"{self.path / name}: cannot be written ({reason}); make room or give another --output-dir"
            ) from None


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Keep other processes out of the folder in which the run `path` is made; a killed process keeps no lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network file system without locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderError(
                    f"{path}: another process is training here; wait for it or give another --output-dir"
                ) from None
        yield
    finally:
        os.close(descriptor)


def is_run_folder(path: Path) -> bool:
    """Whether a folder is recognisably one that recurra made."""
    try:
        config = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(config, dict) and "format_version" in config


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a path that is a file, holds other people's files, or a run that may not be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir():
        raise FolderError(f"{path}: is a file; give another --output-dir")
    if not is_run_folder(path):
        raise FolderError(f"{path}: holds files that are no run of recurra; give another --output-dir")
    if not overwrite:
        raise FolderError(
            f"{path}: exists; continue it with --resume {path}, replace it with --overwrite, "
            f"or give another --output-dir"
        )


def _move_in(aside: Path, path: Path) -> None:
    """Rename a new folder to its place; into a folder that exists, its files, after the old run's are gone.

    The new config takes the old one's place in one go: a folder half replaced is still recognised.
    """
    if not path.exists():
        put_in_place(aside, path)
        return
    with RunFolder(path).locked():
        for old in [*path.glob(".*.writing"), *(path / name for name in OWN_NAMES if name != CONFIG)]:
            _remove(old)
        for file in sorted(aside.iterdir(), key=lambda file: (file.name != CONFIG, file.name)):
            put_in_place(file, path / file.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
