"""What a task is to the command line and to `recurra.train`: a name, options, and where its code is.

Imports no torch: a task's code is imported when it is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recurra.config import Config

if TYPE_CHECKING:
    from recurra.tasks.training import Training


@dataclass(frozen=True)
class Task:
    """A task.

    name: as in `recurra train NAME`; help: what the command says about itself; data: what it trains on, for messages;
    options: its class of options; home: its `Training`, as "module:class"; evaluation and prediction: options of
    `recurra evaluate` and `recurra predict` that only models of this task take, None where there are none, or where the
    task has no such verb; predicts_on: whether predicting needs no file, but goes on from the training data.
    """

    name: str
    help: str
    data: str
    options: type[Config]
    home: str
    evaluation: type[Config] | None = None
    prediction: type[Config] | None = None
    predicts_on: bool = False

    def training(self) -> type[Training[Any, Any, Any]]:
        """The class that trains it."""
        module, _, name = self.home.partition(":")
        found: type[Training[Any, Any, Any]] = getattr(importlib.import_module(module), name)
        return found
