"""Checkpoints: everything a run needs to go on as if never stopped, in folders that are whole or absent.

A checkpoint is a folder `step-XXXXXXXX` with `tensors.safetensors`, `state.json` (everything else, and where
the tensors belong) and, once a model has been evaluated, `best.safetensors`: another name of the file that
was the best model at that step, so that both are always of one moment. Nothing is pickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recurra.errors import CheckpointError, FolderError
from recurra.training.durable import link, put_in_place, sync
from recurra.training.tensor_files import read_tensors, write_tensors
from recurra.training.trees import Packer, unpack

FORMAT_VERSION = 1
KEPT = 2
"""Checkpoints kept: the newest, and one to fall back on should a disk damage it."""
STATE, TENSORS, BEST = "state.json", "tensors.safetensors", "best.safetensors"
WRITING = ".writing"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read."""

    path: Path
    content: dict[str, Any]
    passed_over: tuple[str, ...]
    """Why newer checkpoints could not be used."""

    @property
    def best(self) -> Path | None:
        """The best model's file at that step."""
        path = self.path / BEST
        return path if path.is_file() else None


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first."""
    paths = folder.glob("step-*")
    return sorted((path for path in paths if path.name[5:].isdecimal()), key=_step_of, reverse=True)


def save_checkpoint(folder: Path, step: int, content: Mapping[str, Any], best: Path | None) -> Path:
    """Write a checkpoint beside the others, bring it to the disk, rename it, then remove the oldest.

    Raises: CheckpointError where it cannot be written (a full disk); the older checkpoints are as before.
    """
    path, aside = folder / f"step-{step:08}", folder / WRITING
    packer = Packer()
    state = {name: packer.pack(value, name) for name, value in content.items()}
    try:
        folder.mkdir(exist_ok=True)
        _remove(aside)
        aside.mkdir()
        write_tensors(aside / TENSORS, packer.tensors)
        head = {"format": "recurra checkpoint", "version": FORMAT_VERSION, "has_best": best is not None}
        _write_state(aside / STATE, {**head, **state})
        if best is not None:
            link(best, aside / BEST)
        sync(aside)
        _remove(path)  # one that was damaged and passed over
        put_in_place(aside, path)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(_unwritable(path, error)) from None
    paths = checkpoint_paths(folder)
    place = paths.index(path)
    for other in [*paths[:place], *paths[place + KEPT :]]:  # newer ones were damaged and passed over
        shutil.rmtree(other, ignore_errors=True)
    return path


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint | None:
    """The newest checkpoint that is intact, or None where there is none at all.

    Raises: CheckpointError where there are checkpoints and none is intact.
    """
    paths = checkpoint_paths(folder)
    reasons: list[str] = []
    for path in paths:
        try:
            return Checkpoint(path, _read(path, device), tuple(reasons))
        except CheckpointError as error:
            reasons.append(str(error))
    if reasons:
        raise CheckpointError(f"{reasons[0]}; no other checkpoint is intact: train again with --overwrite")
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    file = path / STATE
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise CheckpointError(f"{file}: truncated or not JSON") from None
    if not isinstance(state, dict) or state.pop("format", None) != "recurra checkpoint":
        raise CheckpointError(f"{file}: not a checkpoint of recurra")
    version, has_best = state.pop("version", None), state.pop("has_best", False)
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{file}: version {version}, this recurra reads {FORMAT_VERSION}; update recurra")
    try:
        tensors, _ = read_tensors(path / TENSORS)
        if has_best:
            read_tensors(path / BEST)
        return {name: unpack(value, tensors, device) for name, value in state.items()}
    except FolderError as error:
        raise CheckpointError(str(error)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: does not fit {path / TENSORS} ({error!r})") from None


def _write_state(file: Path, state: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(state), encoding="utf-8")
    sync(file)


def _unwritable(path: Path, error: OSError) -> str:
    kept = checkpoint_paths(path.parent)
    intact = f"{kept[0].name} is intact: make room, then continue with --resume" if kept else "make room"
    return f"{path}: checkpoint cannot be written ({error.strerror or error}); {intact}"


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _step_of(path: Path) -> int:
    return int(path.name[5:])
