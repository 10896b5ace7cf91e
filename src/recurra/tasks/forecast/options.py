"""The options of a forecaster. Imports no torch: `--help` is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from recurra.config import LARGEST, Config, DataOptions, StackOptions, TrainingOptions, check_needs
from recurra.config.series import AUTO, FEATURES, SeriesOptions
from recurra.errors import ConfigError

MIDDLE = 0.5


class SplitOptions(Config):
    """Which steps train, validate and test, and what is learned of them besides weights."""

    title: ClassVar[str] = "Steps"

    split_rows: list[int] | None = Field(
        None, min_length=2, max_length=3, description="Steps that train, validate and test: 8640 2880 2880."
    )
    split_dates: list[str] | None = Field(
        None, min_length=1, max_length=3, description="Where validation begins, the test begins, and (if given) ends."
    )
    drop_short: bool = Field(False, description="Leave out series that are too short to train on, and say how many.")
    scaling: Literal["standard", "robust", "mean-abs", "none"] = Field(
        "standard", description="Scale of each series, learned on its training part and undone in the output."
    )
    log: bool = Field(False, description="Take the logarithm first; values must be above 0.")
    calendar: list[str] | None = Field(
        None,
        min_length=1,
        description=f"What the model knows of each step's date: {', '.join(FEATURES)}; or auto, by frequency.",
    )
    windows_per_epoch: int | None = Field(
        None, ge=1, le=LARGEST, description="Windows drawn in an epoch, others each time; unset: all there are."
    )
    stride: int = Field(1, ge=1, le=LARGEST, description="Steps between the windows that validate and test.")
    windows: int | None = Field(
        None, ge=1, le=LARGEST, description="Validate and test on the last windows of each series only; unset: all."
    )
    report_scaled: bool = Field(False, description="Report MSE and MAE of the scaled values too.")
    monitor: Literal["loss", "mae", "mse", "smape", "mase", "crps"] = Field(
        "loss", description="What decides which weights are best, on the validation steps."
    )

    @field_validator("calendar", mode="before")
    @classmethod
    def _split_calendar(cls, given: object) -> object:
        """`hour,weekday`, or a list of such, as a list."""
        if given is None:
            return None
        parts = given if isinstance(given, list) else [given]
        return [name.strip() for part in parts for name in str(part).split(",") if name.strip()]

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        for name in self.calendar or ():
            if name not in FEATURES and self.calendar != [AUTO]:
                raise ConfigError(f"calendar: expected auto, or some of {', '.join(FEATURES)}, got {name!r}")
        if self.split_rows is not None and (min(self.split_rows) < 0 or self.split_rows[0] == 0):
            raise ConfigError(f"split_rows: expected counts of steps, the first above 0, got {self.split_rows}")
        if self.split_rows is not None and self.split_dates is not None:
            raise ConfigError("split_rows and split_dates: give one of them")
        return self


class ForecasterOptions(Config):
    """What the forecaster reads and gives."""

    title: ClassVar[str] = "Forecaster"

    horizon: int = Field(24, ge=1, le=LARGEST, description="Steps to forecast.")
    window: int | None = Field(
        None, ge=1, le=LARGEST, description="Steps read before them; unset: two horizons or seasons, what is more."
    )
    season: int | None = Field(
        None, ge=1, le=LARGEST, description="Steps of a season, also of MASE; unset: by frequency, as 24 of hours."
    )
    decoder: Literal["direct", "recurrent"] = Field(
        "direct", description="All steps at once from the last state, or one after the other, each read by the next."
    )
    decoder_training: Literal["free", "teacher"] = Field(
        "free", description="What a recurrent decoder reads in training: its own forecasts, or the true values."
    )
    distribution: Literal["quantiles", "gaussian", "point"] = Field("quantiles", description="What is forecast.")
    quantiles: list[float] | None = Field(
        None, min_length=1, description="Levels of the quantiles, and of intervals; unset: 0.1 0.5 0.9."
    )
    loss: Literal["mse", "mae", "huber"] = Field("mse", description="Loss of a point forecast.")
    patch: int = Field(
        1, ge=1, le=LARGEST, description="Steps of the series in one step of the recurrent layers: shorter ways back."
    )
    difference: Literal["none", "last", "seasonal"] = Field(
        "last", description="What the model's output is added to: nothing, the last value, or the last season."
    )
    window_scaling: bool = Field(False, description="Divide each window by its mean distance from its level.")
    linear: bool = Field(False, description="Add a linear function of the window to a direct decoder (LSTNet).")
    samples: int = Field(
        200, ge=2, le=LARGEST, description="Paths drawn for a forecast by a recurrent decoder trained by teacher."
    )

    @property
    def levels(self) -> list[float]:
        """The levels of the quantiles."""
        return self.quantiles or [0.1, MIDDLE, 0.9]

    @model_validator(mode="after")
    def _check_forecaster(self) -> Self:
        check_levels("quantiles", self.levels)
        if self.distribution == "quantiles" and MIDDLE not in self.levels:
            raise ConfigError(f"quantiles: expected 0.5 among them, which is the forecast itself, got {self.quantiles}")
        if self.decoder_training == "teacher" and self.distribution == "quantiles":
            raise ConfigError(
                "decoder_training=teacher: quantiles cannot be read as values; use distribution=gaussian or point"
            )
        check_needs(
            self,
            {
                "decoder_training": ("decoder", ("recurrent",)),
                "quantiles": ("distribution", ("quantiles", "gaussian")),
                "linear": ("decoder", ("direct",)),
                "loss": ("distribution", ("point",)),
                "samples": ("decoder_training", ("teacher",)),
            },
        )
        check_needs(self, {"samples": ("distribution", ("gaussian",))})
        return self


def check_levels(name: str, levels: list[float]) -> None:
    """Refuse levels that are no probabilities in order. Raises: ConfigError."""
    if levels != sorted(set(levels)) or not all(0 < level < 1 for level in levels):
        raise ConfigError(f"{name}: expected numbers between 0 and 1 in order, as 0.1 0.5 0.9, got {levels}")


class ForecastConfig(SeriesOptions, SplitOptions, ForecasterOptions, DataOptions, StackOptions, TrainingOptions):
    """Every option of a forecaster; `recurra train forecast` has one flag for each.

    Example:
        >>> ForecastConfig.make(time="date", target="OT", horizon=48).hidden_size
        64
    """

    task: ClassVar[str] = "forecast"
    of_model: ClassVar[tuple[str, ...]] = ("Forecaster", "Network")

    hidden_size: int = Field(64, ge=1, le=2**20, description="Units in each layer.")
    num_layers: int = Field(1, ge=1, le=200, description="Recurrent layers, of a recurrent decoder too.")
    batch_size: int = Field(64, ge=1, le=LARGEST, description="Windows trained side by side.")
    valid_frac: float = Field(0.1, ge=0, lt=1, description="Share of each series for validation, a horizon at least.")
    test_frac: float = Field(0.1, ge=0, lt=1, description="Share of each series for the test, a horizon at least.")

    @property
    def unit_name(self) -> str:
        return "value"

    @model_validator(mode="after")
    def _check_forecast(self) -> Self:
        split = "split_rows" if self.split_rows is not None else "split_dates" if self.split_dates is not None else None
        for name in ("valid", "test"):
            if split and getattr(self, name) is not None:
                raise ConfigError(f"{split} has no effect with {name}={getattr(self, name)}; leave one of them out")
            fraction = f"{name}_frac"
            if split and getattr(self, fraction) != type(self).model_fields[fraction].default:
                raise ConfigError(f"{fraction} has no effect with {split}; leave one of them out")
        if self.valid is not None and self.test_frac not in (0, type(self).model_fields["test_frac"].default):
            raise ConfigError(f"test_frac has no effect with valid={self.valid}: no test is cut then; leave it out")
        if self.split_rows is None and self.split_dates is None and self.valid is None and self.valid_frac == 0:
            raise ConfigError("valid_frac=0: training needs steps to choose the best model on; give some")
        if self.calendar and self.layout == "rows":
            raise ConfigError("calendar has no effect with layout=rows, which has no time stamps; leave it out")
        if self.window is not None and self.window % self.patch:
            raise ConfigError(f"window: expected a multiple of patch={self.patch}, got {self.window}")
        return self


class ForecastEvaluation(Config):
    """Backtest of a forecaster."""

    title: ClassVar[str] = "Forecasts"

    horizon: int | None = Field(None, ge=1, le=LARGEST, description="Steps to forecast; unset: as trained.")
    stride: int | None = Field(None, ge=1, le=LARGEST, description="Steps between origins; unset: as in training.")
    windows: int | None = Field(None, ge=1, le=LARGEST, description="The last origins of each series only.")
    continues: bool = Field(False, description="The file goes on where the training data ended.")
    report_dir: Path | None = Field(None, description="New folder for a table by step and a picture.")


class ForecastPrediction(Config):
    """Forecasts of what follows a file of series."""

    title: ClassVar[str] = "Forecasts"

    horizon: int | None = Field(None, ge=1, le=LARGEST, description="Steps to forecast; unset: as trained.")
    continues: bool = Field(False, description="The file goes on where the training data ended.")
    future: Path | None = Field(None, description="File with the known covariates of the steps to forecast.")
    levels: list[float] | None = Field(
        None, min_length=1, description="Quantiles to write, of a Gaussian forecast; unset: as trained."
    )

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.levels is not None:
            check_levels("levels", self.levels)
        return self
