"""A trained model of any task: its folder, options, what was learned besides weights, and the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import nn

from recurra.config import Config
from recurra.errors import ConfigError, FolderError
from recurra.inspection import describe_plans
from recurra.models.weights import count_weights
from recurra.tasks.folder import config_of_run
from recurra.tasks.network import check_device
from recurra.training import read_weights
from recurra.training.tensor_files import load_weights

Options = TypeVar("Options", bound=Config)
Fitted = TypeVar("Fitted")
Model = TypeVar("Model", bound=nn.Module)

PREDICTION_ROWS = 32
"""Sequences side by side while evaluating and predicting, unless said otherwise."""


class Run(ABC, Generic[Options, Fitted, Model]):
    """A trained model.

    Attributes:
        folder: its run folder.
        config: its options.
        fitted: what was learned from the training data besides weights: a vocabulary, labels, scales.
        model: the network, whose recurrent layers are its `stack`.
    """

    options: ClassVar[type[Config]]
    """The class of `config`."""

    def __init__(self, folder: Path, config: Options, fitted: Fitted, model: Model) -> None:
        self.folder, self.config, self.fitted, self.model = folder, config, fitted, model

    @staticmethod
    @abstractmethod
    def load_fitted(folder: Path) -> Any:
        """What `Training.prepare` left in a run folder. Raises: FolderError where it is missing or damaged."""

    @staticmethod
    @abstractmethod
    def build(config: Any, fitted: Any, device: torch.device | str = "cpu") -> Any:
        """The untrained network. Raises: ConfigError for options that the cell lacks or that contradict each other."""

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Self:
        """The model in a run folder, on the device that it was trained on, or on another.

        Raises: FolderError for missing, damaged or foreign files, ConfigError for a device that is not there.
        """
        config: Any = config_of_run(cls.options, folder)
        where = check_device(device or config.device)
        fitted = cls.load_fitted(folder)
        model = cls.build(config, fitted)
        path = folder / "model.safetensors"
        if not path.is_file():
            raise FolderError(f"{folder}: has no model.safetensors yet; train on with --resume {folder}")
        load_weights(model, read_weights(path), path)
        return cls(folder, config, fitted, model.to(where).eval())

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def summary(self) -> dict[str, Any]:
        """The number of weights of each layer and in total, with the arithmetic."""
        return count_weights(self.model)

    def plans(self) -> list[dict[str, Any]]:
        """How each layer is trained: stages, kept values, memory (see `recurra.inspection.plan.describe_plans`)."""
        stack: Any = self.model.stack
        return describe_plans(stack.stack, input_gradient=True)

    @abstractmethod
    def evaluate(self, path: Path | str | None = None, *, batch_size: int | None = None) -> dict[str, float]:
        """Measure the model on data in a file; None for the test data of its training."""

    def write_predictions(self, source: Any, options: Any) -> Iterator[str]:
        """What `recurra predict` writes for a file (a path; `-` is stdin), piece by piece.

        `source` is None where none was given, which only a task with `predicts_on` has to understand.
        """
        raise ConfigError(f"{self.folder}: a model of task {self.options.task!r} has no predict; see its model card")
