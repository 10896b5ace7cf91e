"""Where the data is, and how text becomes tokens."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config.base import LARGEST, Config, check_needs
from recurra.errors import ConfigError


class DataOptions(Config):
    """Where the data is."""

    title: ClassVar[str] = "Data"

    data: Path | None = Field(None, description="File to train on, or a folder with train, valid and test.")
    valid: Path | None = Field(None, description="Validation file; without it, a part of the data.")
    test: Path | None = Field(None, description="Test file; with no validation file either, a part of the data.")
    valid_frac: float = Field(0.05, ge=0, lt=1, description="Share of the data for validation.")
    test_frac: float = Field(0.05, ge=0, lt=1, description="Share of the data for the test.")

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if self.valid_frac + self.test_frac >= 1:
            raise ConfigError(f"valid_frac + test_frac must be less than 1, got {self.valid_frac} + {self.test_frac}")
        for part in ("valid", "test"):
            name = f"{part}_frac"
            if getattr(self, part) is not None and getattr(self, name) != type(self).model_fields[name].default:
                raise ConfigError(f"{name} has no effect with {part}={getattr(self, part)}; leave one of them out")
        return self


class TextOptions(Config):
    """How text becomes tokens."""

    title: ClassVar[str] = "Text"

    unit: Literal["char", "word", "bpe", "byte"] = Field("char", description="What a token is.")
    split: Literal["punctuation", "space"] = Field(
        "punctuation", description="Where words end: at punctuation and space, or at space only."
    )
    lowercase: bool = Field(False, description="Turn the text to lower case.")
    number_token: bool = Field(False, description="Replace every number by the one word [number].")
    min_count: int = Field(1, ge=1, description="Rarer tokens become [UNK].")
    vocabulary_size: int | None = Field(
        None,
        ge=2,
        description="Keep this many tokens, the most frequent (for bpe: learn this many; 8000 if unset).",
    )
    mode: Literal["stream", "sentences"] = Field(
        "stream",
        description="Running text with carried state, or each line on its own with start and stop symbols.",
    )
    window: int | None = Field(
        None, ge=1, le=LARGEST, description="Slide a window of this many tokens over each sentence (mode sentences)."
    )

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        check_needs(
            self,
            {
                "window": ("mode", ("sentences",)),
                "split": ("unit", ("word",)),
                "lowercase": ("unit", ("word",)),
                "number_token": ("unit", ("word",)),
                "min_count": ("unit", ("char", "word", "bpe")),
                "vocabulary_size": ("unit", ("char", "word", "bpe")),
            },
        )
        return self
