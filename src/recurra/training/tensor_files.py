"""Tensors in safetensors files, and weights into models, with one-line errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from recurra.errors import FolderError
from recurra.training.durable import put_in_place, sync
from recurra.training.trees import Packer


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file and bring it to the disk; OSError where that fails.

    Give `metadata` one key at most: safetensors orders them at random, and equal files should be equal bytes.
    """
    path.touch()
    mode = path.stat().st_mode  # the user's umask; safetensors' files are for their owner only
    try:
        safetensors.torch.save_file(dict(tensors), path, metadata)
        path.chmod(mode)
    except safetensors.SafetensorError as error:  # its name for what the system refuses (a full disk)
        raise OSError(str(error).removeprefix("Error while serializing: I/O error: ")) from None
    sync(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, on the CPU.

    Raises: FolderError for a file that is missing, truncated or not a safetensors file.
    """
    if not path.is_file():
        raise FolderError(f"{path}: expected a safetensors file, found none")
    try:
        with safetensors.safe_open(path, "pt") as file:
            # Copies: what the file gives is a view of it, aligned by chance, and a product's bits depend on alignment.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0].removeprefix("Error while deserializing header: ")
        raise FolderError(f"{path}: truncated or not a safetensors file ({reason})") from None


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a model's `state_dict` aside and rename it; tied weights are written once.

    Raises: OSError where it cannot be written; the file that was there before stays.
    """
    packer = Packer()
    names = {name: packer.pack(tensor, name)["$tensor"] for name, tensor in weights.items()}
    tied = {name: kept for name, kept in names.items() if name != kept}
    aside = path.with_name(f".{path.name}.writing")
    try:
        write_tensors(aside, packer.tensors, {"tied": json.dumps(tied)})
        put_in_place(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def read_weights(path: Path) -> dict[str, Tensor]:
    """The `state_dict` that `write_weights` wrote, tied names included, on the CPU.

    Raises: FolderError for a file that is missing, truncated or foreign.
    """
    tensors, metadata = read_tensors(path)
    try:
        tied = json.loads(metadata.get("tied", "{}"))
        return tensors | {name: tensors[kept] for name, kept in tied.items()}
    except (ValueError, KeyError, AttributeError):
        raise FolderError(f"{path}: not weights that recurra wrote (its list of tied names is damaged)") from None


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a model whose names and shapes they have.

    Raises: FolderError that names `source` and the first name or shape that differs.
    """
    expected = model.state_dict()
    for name in [*expected, *weights]:
        want = tuple(expected[name].shape) if name in expected else "no such weight"
        got = tuple(weights[name].shape) if name in weights else "none"
        if want != got:
            raise FolderError(
                f"{source}: weight {name!r}: expected {want}, got {got}; the file belongs to another model"
            )
    model.load_state_dict(dict(weights))
