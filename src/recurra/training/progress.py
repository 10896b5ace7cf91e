"""How far a run has come, apart from weights and data: plain numbers, saved with each checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recurra.errors import TrainingError


@dataclass
class Interval:
    """Sums over the updates since the last report."""

    updates: int = 0
    nats: float = 0.0
    tokens: int = 0
    grad_norm: float = 0.0
    clipped: int = 0
    seconds: float = 0.0

    def add(self, nats: float, tokens: int, grad_norm: float, clipped: bool, seconds: float) -> None:
        self.updates += 1
        self.nats += nats
        self.tokens += tokens
        self.grad_norm += grad_norm
        self.clipped += clipped
        self.seconds += seconds


@dataclass
class Progress:
    """Counters of a run; everything here and nothing else decides when to evaluate, decay and stop."""

    step: int = 0
    """Updates done."""
    epoch: int = 1
    """The current epoch, from 1; `epochs + 1` when all are done."""
    batch: int = 0
    """Batches of the current epoch that are done."""
    seconds: float = 0.0
    """Time trained, over all sessions."""
    evaluated: int | None = None
    """Step of the last evaluation."""
    best: float | None = None
    """Best value of the monitored metric; all metrics of that evaluation and its place follow."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_epoch: int = 0
    unimproved: int = 0
    """Evaluations since the best one."""
    stalled: int = 0
    """Evaluations since the best one or the last fall of the learning rate on a plateau."""
    reductions: int = 0
    """Falls of the learning rate on plateaus."""
    first_loss: float | None = None
    smoothed_loss: float | None = None
    """Nats per token at the first update, and smoothed; see divergence.py."""
    interval: Interval = field(default_factory=Interval)

    def record_evaluation(
        self, value: float, metrics: dict[str, float], decay_patience: int, maximize: bool = False
    ) -> bool:
        """Count an evaluation in and say whether it is the best so far.

        On a plateau the learning rate falls as with torch's ReduceLROnPlateau: after `decay_patience`
        evaluations without improvement, at the next one without.
        """
        self.evaluated = self.step
        if self.best is None or (value > self.best if maximize else value < self.best):
            self.best, self.best_metrics = value, dict(metrics)
            self.best_step, self.best_epoch = self.step, self.epoch
            self.unimproved = self.stalled = 0
            return True
        self.unimproved += 1
        self.stalled += 1
        if self.stalled > decay_patience:
            self.reductions += 1
            self.stalled = 0
        return False

    def best_record(self, part: str) -> dict[str, Any]:
        """The best evaluation: its place, and its metrics under the part of the data that they are of."""
        return {"step": self.best_step, "epoch": self.best_epoch, part: self.best_metrics}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "interval": Interval(**values["interval"])})


def monitored(metrics: Mapping[str, float], monitor: str) -> float:
    """The metric that decides what is best; TrainingError where it is NaN."""
    value = metrics[monitor]
    if math.isnan(value):
        raise TrainingError(f"evaluation gave NaN for {monitor}; lower --learning-rate or check the data")
    return value
