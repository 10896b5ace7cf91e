"""When training has gone wrong: a loss that is not finite, or one that explodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from recurra.errors import TrainingError
from recurra.training.events import Saved
from recurra.training.progress import Progress

if TYPE_CHECKING:
    from recurra.config import TrainingOptions

EXPLOSION_FACTOR = 10.0
"""Times the first loss. An untrained model guesses evenly, ln V nats per token; high rates may triple that
for some updates and recover, but ten times it means probabilities of V**-10 for what the data holds."""
SMALLEST_FIRST_LOSS = 1.0
"""Nats per token: a model that starts well, as in fine-tuning, may meet batches far harder than its first."""
SMOOTHING = 0.9
"""Share of the old value at each update: one odd batch (up to ~100 times the first loss) is no explosion."""


def check_loss(loss: float, progress: Progress, options: TrainingOptions, saved: Saved | None) -> None:
    """Stop training whose loss, in nats per token, is not finite, or whose smoothed loss explodes.

    Raises: TrainingError, which says what to change and where the last good checkpoint is.
    """
    if not math.isfinite(loss):
        raise TrainingError(_message(f"the loss is {loss}", progress, options, saved))
    if progress.first_loss is None or progress.smoothed_loss is None:
        progress.first_loss = progress.smoothed_loss = loss
    progress.smoothed_loss = SMOOTHING * progress.smoothed_loss + (1 - SMOOTHING) * loss
    limit = EXPLOSION_FACTOR * max(progress.first_loss, SMALLEST_FIRST_LOSS)
    if progress.smoothed_loss > limit:
        what = f"the loss explodes: {loss:.4g} nats per token, {progress.first_loss:.4g} at the first update"
        raise TrainingError(_message(what, progress, options, saved))


def check_gradients(norm: float, progress: Progress, options: TrainingOptions, saved: Saved | None) -> None:
    """Stop before gradients that are not finite reach the weights."""
    if not math.isfinite(norm):
        raise TrainingError(_message(f"the gradient norm is {norm}", progress, options, saved))


def check_weights(model: nn.Module, progress: Progress, options: TrainingOptions, saved: Saved | None) -> None:
    """Stop before weights that are not finite are saved in the place of good ones."""
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            what = f"the weights {name} are no longer finite"
            raise TrainingError(_message(what, progress, options, saved))


def _message(what: str, progress: Progress, options: TrainingOptions, saved: Saved | None) -> str:
    if options.max_grad_norm is None:
        advice = "set --max-grad-norm 5"
    else:
        advice = f"lower --max-grad-norm (now {options.max_grad_norm:g})"
    kept = f"; the last good checkpoint is {saved.path}" if saved else ""
    return (
        f"{what}, at step {progress.step + 1}, epoch {progress.epoch}: "
        f"lower --learning-rate (now {options.learning_rate:g}) or {advice}{kept}"
    )
