"""What a file of series looks like."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from recurra.config.base import Config
from recurra.errors import ConfigError

ALL, AUTO = "all", "auto"
FEATURES = ("minute", "hour", "weekday", "day", "yearday", "month")
"""What a model may know of a step's date."""
LISTS = ("target", "series_columns", "known_covariates", "past_covariates")


class SeriesOptions(Config):
    """What a file of series looks like; its reader is `recurra.data.series.read_series`.

    Example:
        >>> SeriesOptions.make(time="date", target=["load,price"]).target
        ['load', 'price']
    """

    title: ClassVar[str] = "Series"

    layout: Literal["table", "rows"] = Field(
        "table", description="A row per time step, or a row per series without time stamps: id, values, empty tail."
    )
    time: str | None = Field(
        None, description="Column of time stamps or row numbers; unset: ds, or, without one, rows as they come."
    )
    target: list[str] | None = Field(
        None, min_length=1, description="Column to forecast; several, as a,b,c, in one multivariate model; unset: y."
    )
    series_id: str | None = Field(
        None, description="Column that says which series a row is of; unset: unique_id, or, without one, one series."
    )
    series_columns: list[str] | None = Field(
        None, min_length=1, description="Columns that are series of their own, sharing one model: a,b,c; or all."
    )
    known_covariates: list[str] | None = Field(
        None, min_length=1, description="Columns whose future is known: a,b. predict asks for it."
    )
    past_covariates: list[str] | None = Field(None, min_length=1, description="Columns known up to now only: a,b.")
    time_format: str | None = Field(
        None, min_length=1, description="Format of the stamps, as %d.%m.%Y, or unix; unset: ISO 8601, or whole numbers."
    )
    time_zone: str | None = Field(
        None, min_length=1, description="Zone of stamps that name none, and of the forecasts: Europe/Berlin, +02:00."
    )
    frequency: str | None = Field(
        None, min_length=1, description="Time between rows, as 15min, h, d, b (business day), w, mo; unset: inferred."
    )
    fill: Literal["previous", "linear", "zero"] = Field(
        "previous", description="What stands in for missing steps and values; the loss and the errors leave them out."
    )
    allow_missing_values: bool = Field(
        False, description="Take empty and NaN cells as missing values; otherwise they are errors."
    )

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _split_names(cls, given: object) -> object:
        """`a,b,c`, or a list of such, as a list of names."""
        if given is None:
            return None
        parts = given if isinstance(given, list) else [given]
        return [name.strip() for part in parts for name in str(part).split(",") if name.strip()]

    @model_validator(mode="after")
    def _check_series(self) -> Self:
        if self.target is not None and self.series_columns is not None:
            raise ConfigError("target is for one multivariate model, series_columns for many series; leave one out")
        if self.series_id is not None and self.series_columns is not None:
            raise ConfigError("series_id has no effect with series_columns, whose names are the ids; leave it out")
        if self.layout == "rows":
            for name in ("time", *LISTS, "series_id", "time_format", "time_zone", "frequency"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"{name} has no effect with layout=rows: a row holds an id and values only")
        if self.time_format not in (None, "unix") and "%" not in str(self.time_format):
            raise ConfigError(f"time_format: expected 'unix' or a format as %d.%m.%Y, got {self.time_format!r}")
        named = [name for group in LISTS for name in getattr(self, group) or () if name != ALL]
        if twice := [name for place, name in enumerate(named) if name in named[:place]]:
            raise ConfigError(f"column {twice[0]!r} is named twice among {', '.join(LISTS)}; name it once")
        return self
