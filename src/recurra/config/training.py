"""How any model is trained."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config.base import LARGEST, Config, check_needs
from recurra.errors import ConfigError


class TrainingOptions(Config):
    """How any model is trained; names no task."""

    title: ClassVar[str] = "Training"

    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw", "nt-asgd"] = Field(
        "adam", description="Optimiser."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate at the start.")
    weight_decay: float = Field(0.0, ge=0, description="Pull of every weight towards zero.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of sgd and rmsprop.")
    eps: float | None = Field(None, gt=0, description="What keeps the optimiser from dividing by zero.")
    adagrad_eps_inside: bool = Field(False, description="Divide by sqrt(m + eps), not sqrt(m) + eps.")
    averaging_patience: int = Field(
        5, ge=1, description="nt-asgd averages once this many evaluations bring no improvement."
    )
    batch_size: int = Field(32, ge=1, le=LARGEST, description="Rows trained side by side.")
    accumulate: int = Field(1, ge=1, le=LARGEST, description="Batches whose gradients make one update.")
    epochs: int = Field(10, ge=1, description="Passes over the data.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates.")
    patience: int | None = Field(None, ge=1, description="Stop after this many evaluations without improvement.")
    schedule: Literal["constant", "step", "plateau", "cosine"] = Field(
        "constant", description="How the learning rate falls."
    )
    warmup_steps: int = Field(0, ge=0, description="Updates over which the learning rate rises from zero.")
    decay_factor: float = Field(0.5, gt=0, lt=1, description="Factor of each fall (step, plateau).")
    decay_after: int = Field(4, ge=0, description="Epochs at full rate before a fall per epoch (step).")
    decay_patience: int = Field(1, ge=0, description="Evaluations without improvement before a fall (plateau).")
    min_learning_rate: float = Field(0.0, ge=0, description="The learning rate falls no lower.")
    max_grad_norm: float | None = Field(5.0, gt=0, description="Scale gradients down to this norm; none: never.")
    clip_grad_value: float | None = Field(None, gt=0, description="Cut each gradient at plus and minus this.")
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of every random number.")
    deterministic: bool = Field(True, description="Same seed, same weights, to the bit.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Type of the weights.")
    device: str = Field("cpu", description="Where to compute: cpu, cuda, cuda:1.")
    backend: str | None = Field(None, description="Backend that runs the cells; unset: the fastest at hand.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads to compute with; unset: torch's choice.")
    eval_every: int | None = Field(None, ge=1, description="Updates between evaluations; unset: one per epoch.")
    save_every: int | None = Field(None, ge=1, description="Updates between checkpoints; unset: one per evaluation.")
    save_seconds: float = Field(60.0, gt=0, description="Save a checkpoint at least this often, in seconds.")
    log_every: int = Field(50, ge=1, description="Updates between reports.")
    init_from: Path | None = Field(None, description="Folder of a trained model whose weights to start from.")
    output_dir: Path | None = Field(None, description="Folder for the model; unset: made from task and data.")
    overwrite: bool = Field(False, description="Replace the output folder if it exists.")

    @model_validator(mode="after")
    def _check_training(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ConfigError(
                f"min_learning_rate must be at most learning_rate, {self.learning_rate}, got {self.min_learning_rate}"
            )
        check_needs(
            self,
            {
                "momentum": ("optimizer", ("sgd", "rmsprop")),
                "eps": ("optimizer", ("adagrad", "rmsprop", "adam", "adamw")),
                "adagrad_eps_inside": ("optimizer", ("adagrad",)),
                "averaging_patience": ("optimizer", ("nt-asgd",)),
                "decay_factor": ("schedule", ("step", "plateau")),
                "decay_after": ("schedule", ("step",)),
                "decay_patience": ("schedule", ("plateau",)),
                "min_learning_rate": ("schedule", ("step", "plateau", "cosine")),
            },
        )
        return self
