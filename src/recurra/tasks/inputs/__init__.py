"""What a model reads: texts, signals or words, from raw data to the numbers that a network takes.

An input is fitted on the training part and saved with the run, so that prediction reads exactly as training did.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from recurra.errors import ConfigError, FolderError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

FILE, ARRAYS = "input.json", "input.safetensors"
FORMAT, FORMAT_VERSION = "recurra input", 1

INPUTS = {
    "text": "recurra.tasks.inputs.text:TextInput",
    "signal": "recurra.tasks.inputs.signal:SignalInput",
    "words": "recurra.tasks.inputs.words:WordsInput",
    "ngrams": "recurra.tasks.inputs.ngrams:NgramInput",
}
"""Where the class of each kind is; it is imported when it is used."""


class Input(ABC):
    """How raw data becomes what a model reads. A kind of input writes `fields`, `from_fields`, `facts`, `encoder`."""

    kind: ClassVar[str]

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What was learned from the training part, as JSON: vocabularies, scales, rules."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What is better kept as arrays, by name."""
        return {}

    @classmethod
    @abstractmethod
    def from_fields(cls, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `fields` and `arrays`; KeyError, TypeError or ValueError where they do not fit."""

    def encoder(self, config: Any) -> nn.Module:
        """The untrained module between a batch and the recurrent stack, for kinds that a recurrent stack reads.

        It has an `output_size` (int), and its `forward(batch: TensorBatch)` gives [T, B, output_size].
        """
        raise ConfigError(f"input of kind {self.kind}: recurrent layers read none of it; choose another model")

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a user should see of it before training: the size of the vocabulary, channels."""

    @final
    def save(self, folder: Path) -> None:
        """Write `input.json`, and `input.safetensors` if there are arrays. Raises: FolderError."""
        from numpy import ascontiguousarray
        from safetensors.numpy import save_file

        fields = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": self.kind, **self.fields()}
        arrays = {name: ascontiguousarray(array) for name, array in self.arrays().items()}
        try:
            if arrays:
                save_file(arrays, folder / ARRAYS)
            (folder / FILE).write_text(json.dumps(fields, ensure_ascii=True, indent=0), encoding="utf-8")
        except OSError as error:
            raise FolderError(f"{folder}: the input cannot be written ({error.strerror}); free some space") from None

    @final
    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: FolderError for missing, damaged or foreign files, or another kind."""
        fields = read_fields(folder)
        if fields["kind"] != cls.kind:
            raise FolderError(f"{folder / FILE}: expected an input of kind {cls.kind}, got {fields['kind']!r}")
        try:
            return cls.from_fields(fields, read_arrays(folder))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FolderError(f"{folder / FILE}: expected a whole input, got a damaged one ({reason})") from None


def load_input(folder: Path) -> Input:
    """The input of a run, of whatever kind. Raises: FolderError."""
    return input_type(read_fields(folder)["kind"]).load(folder)


def input_type(kind: str) -> type[Input]:
    """The class of a kind of input."""
    module, _, name = INPUTS[kind].partition(":")
    found: type[Input] = getattr(import_module(module), name)
    return found


def read_fields(folder: Path) -> dict[str, Any]:
    """The checked JSON of an input, of a known kind. Raises: FolderError."""
    path = folder / FILE
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); give a model folder") from None
    except ValueError:
        raise FolderError(f"{path}: expected JSON, got a truncated or foreign file; restore it") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT or fields.get("kind") not in INPUTS:
        raise FolderError(f"{path}: expected an input of recurra, got foreign JSON; give a model folder")
    if fields.get("format_version") != FORMAT_VERSION:
        raise FolderError(
            f"{path}: expected format_version {FORMAT_VERSION}, got {fields.get('format_version')!r}; "
            "use the version of recurra that wrote it"
        )
    return fields


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of an input; none where it has none. Raises: FolderError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / ARRAYS
    if not path.exists():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise FolderError(f"{path}: truncated or not a safetensors file ({reason}); restore it") from None
