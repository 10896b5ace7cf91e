"""The options of a language model. Imports no torch: `--help` is made from this."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config import (
    LARGEST,
    WIDEST,
    Config,
    DataOptions,
    StackOptions,
    TextOptions,
    TrainingOptions,
    check_needs,
)
from recurra.errors import ConfigError

UNITS = {"char": "character", "word": "word", "bpe": "token", "byte": "byte"}
"""What a loss is per, by the option `unit`."""


class LanguageModelOptions(Config):
    """What stands before and after the recurrent layers."""

    title: ClassVar[str] = "Language model"

    embedding: Literal["learned", "one-hot"] = Field("learned", description="What stands for a token at the input.")
    embedding_dim: int | None = Field(
        None, ge=1, le=WIDEST, description="Width of the embedding; unset: hidden_size, or what tie_weights needs."
    )
    tie_weights: bool = Field(False, description="Use one matrix for the embedding and the output layer.")
    direction: Literal["forward", "backward"] = Field(
        "forward", description="Predict the next token, or the one before."
    )

    @model_validator(mode="after")
    def _check_language_model(self) -> Self:
        if self.tie_weights and self.embedding == "one-hot":
            raise ConfigError("tie_weights needs embedding=learned: a one-hot input has no matrix to share")
        if self.embedding_dim is not None and self.embedding == "one-hot":
            raise ConfigError("embedding_dim has no effect with embedding=one-hot; leave it out")
        return self


class TruncationOptions(Config):
    """How running text is cut for gradients."""

    title: ClassVar[str] = "Truncation"

    bptt: int = Field(64, ge=1, le=LARGEST, description="Steps between updates (k1).")
    bptt_window: int | None = Field(
        None, ge=1, le=LARGEST, description="Steps that gradients flow back (k2), at least bptt; unset: bptt."
    )
    loss_reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Loss over the steps of a chunk: their mean or their sum; over rows always the mean.",
    )

    @model_validator(mode="after")
    def _check_truncation(self) -> Self:
        if self.bptt_window is not None and self.bptt_window < self.bptt:
            raise ConfigError(f"bptt_window must be at least bptt, got {self.bptt_window} with bptt={self.bptt}")
        return self


class LMEvaluation(Config):
    """How a language model is evaluated."""

    title: ClassVar[str] = "Language model"

    weights: Literal["bf16", "int8"] | None = Field(
        None, description="Compute with weights rounded to this; on the CPU."
    )


class LMConfig(DataOptions, TextOptions, LanguageModelOptions, StackOptions, TruncationOptions, TrainingOptions):
    """Every option of a language model; `recurra train lm` has one flag for each.

    Example:
        >>> LMConfig.make(cell="gru", hidden_size=128).batch_size
        32
    """

    task: ClassVar[str] = "lm"
    of_model: ClassVar[tuple[str, ...]] = ("Text", "Language model", "Network")

    @property
    def unit_name(self) -> str:
        """What a token is called: "character", "word", "token" (bpe) or "byte"."""
        return UNITS[self.unit]

    @model_validator(mode="after")
    def _check_lm(self) -> Self:
        check_needs(self, {"bptt": ("mode", ("stream",)), "bptt_window": ("mode", ("stream",))})
        return self
