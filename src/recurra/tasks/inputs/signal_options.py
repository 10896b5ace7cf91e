"""Options of signals: how their files are laid out, and what is done to their values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config import WIDEST, Config
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.data.signals import Layout


class ValueOptions(Config):
    """How the values of signals are filled and scaled."""

    title: ClassVar[str] = "Signals"

    fill: Literal["linear", "forward", "zero", "mean"] = Field("linear", description="What stands for a missing value.")
    mask: Literal["auto", "always", "never"] = Field(
        "auto", description="A further input per channel, 1 where a value is missing; auto: if any is in training."
    )
    normalize: Literal["per-channel", "per-series", "none"] = Field(
        "per-channel", description="Bring mean to 0 and deviation to 1, by the training part or within each series."
    )
    differences: bool = Field(False, description="A further input per channel: what each step adds to the last.")


class NoiseOptions(Config):
    """How signals are changed in training, so that few of them teach more."""

    title: ClassVar[str] = "Noise"

    jitter: float = Field(0.0, ge=0, description="Deviation of noise on every value in training, in deviations.")
    scaling: float = Field(0.0, ge=0, description="Deviation of a factor on each channel of a series in training.")


class LayoutOptions(Config):
    """How files of signals are laid out."""

    title: ClassVar[str] = "Signal files"

    label_column: int | Literal["first", "last", "none"] = Field(
        "first", description="Of rows of numbers: where the label is; or its column's number, from 1."
    )
    channels: int = Field(
        1, ge=1, le=WIDEST, description="Of rows of numbers: channels that take turns in a row: x1,y1,x2,y2."
    )
    series_id: str | None = Field(
        None, description="Of tables with a row per step: the column that says which series it belongs to."
    )
    time: str | None = Field(None, description="Of tables with a row per step: the column that orders the steps.")
    values: list[str] | None = Field(
        None, min_length=1, description="Of tables with a row per step: columns of values; unset: all that are left."
    )

    @model_validator(mode="after")
    def _check_layout(self) -> Self:
        for name in ("time", "values"):
            if getattr(self, name) is not None and self.series_id is None:
                raise ConfigError(f"{name} has no effect without series_id; name the column of the series")
        if isinstance(self.label_column, int) and self.label_column < 1:
            raise ConfigError(f"label_column: expected a number from 1, got {self.label_column}; count from the left")
        return self

    def layout(self, **changed: Any) -> Layout:
        """What the readers are told; the column of the label is an option of the task."""
        from recurra.data.signals import Layout  # brings numpy

        told = {field.name: getattr(self, field.name) for field in fields(Layout) if hasattr(self, field.name)}
        return Layout(**{**told, **changed})


class SignalOptions(LayoutOptions, ValueOptions, NoiseOptions):
    """How signals are read, filled, scaled and changed in training."""
