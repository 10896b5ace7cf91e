"""The options of a language model. Imports no torch: `--help` is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

from recurra.config import StackOptions, TextOptions, TrainingOptions, check_needs
from recurra.errors import ConfigError, FolderError

UNITS = {"char": "character", "word": "word", "bpe": "token", "byte": "byte"}
"""What a loss is per, by the option `unit`."""


class LMConfig(TextOptions, StackOptions, TrainingOptions):
    """Every option of a language model; `recurra train lm` has one flag for each.

    Example:
        >>> LMConfig.make(cell="gru", hidden_size=128).batch_size
        32
    """

    task: ClassVar[str] = "lm"

    @classmethod
    def of_run(cls, folder: Path) -> Self:
        """The options saved in a run folder. Raises: FolderError where it is none."""
        file, advice = folder / "config.yaml", "give a folder that recurra made"
        if not file.is_file():
            what = "a folder without config.yaml" if folder.is_dir() else "a file" if folder.exists() else "nothing"
            raise FolderError(f"{folder}: expected a run folder, found {what}; {advice}")
        try:
            config = cls.from_yaml(file)
        except ConfigError as error:
            raise FolderError(f"{folder}: not a run folder ({error}); {advice}") from None
        if not file.read_bytes().rstrip().endswith(b"..."):  # options that are missing would take their defaults
            raise FolderError(f"{file}: cut short, it does not end in `...`; take it from a backup")
        return config

    @property
    def unit_name(self) -> str:
        """What a token is called: "character", "word", "token" (bpe) or "byte"."""
        return UNITS[self.unit]

    @model_validator(mode="after")
    def _check_lm(self) -> Self:
        check_needs(self, {"bptt": ("mode", ("stream",)), "bptt_window": ("mode", ("stream",))})
        return self
