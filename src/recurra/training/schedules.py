"""Learning rates as functions of how far training has come: nothing to save, so nothing to restore."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recurra.config import TrainingOptions


@dataclass(frozen=True)
class Moment:
    """An update about to be made."""

    step: int
    """Number of the update, from 1."""
    epoch: int
    """Number of its epoch, from 1."""
    total_steps: int
    """Updates planned in all."""
    reductions: int = 0
    """Plateaus met so far."""


def learning_rate(options: TrainingOptions, moment: Moment) -> float:
    """The learning rate of an update.

    The schedule gives the share of `learning_rate`, never below `min_learning_rate`; over the first
    `warmup_steps` updates it is multiplied by 1/w, 2/w, ... 1.
    """
    rate = max(SCHEDULES[options.schedule](options, moment), options.min_learning_rate)
    return rate * min(1.0, moment.step / max(options.warmup_steps, 1))


def constant(options: TrainingOptions, moment: Moment) -> float:
    return options.learning_rate


def step_decay(options: TrainingOptions, moment: Moment) -> float:
    """The full rate for `decay_after` epochs, then a fall with each (Zaremba et al. 2014)."""
    return options.learning_rate * options.decay_factor ** max(moment.epoch - options.decay_after, 0)


def plateau(options: TrainingOptions, moment: Moment) -> float:
    """A fall each time that evaluations stop improving."""
    return options.learning_rate * options.decay_factor**moment.reductions


def cosine(options: TrainingOptions, moment: Moment) -> float:
    """Half a cosine from `learning_rate` after warm-up to `min_learning_rate` (Loshchilov & Hutter 2017)."""
    steps = max(moment.total_steps - options.warmup_steps, 1)
    done = min(max(moment.step - 1 - options.warmup_steps, 0) / steps, 1.0)
    low, high = options.min_learning_rate, options.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * done)) / 2


SCHEDULES: dict[str, Callable[[TrainingOptions, Moment], float]] = {
    "constant": constant,
    "step": step_decay,
    "plateau": plateau,
    "cosine": cosine,
}
