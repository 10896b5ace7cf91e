"""The language model: its options, its training job, and what a trained one can do."""

from __future__ import annotations

from recurra.config import StackOptions, TextOptions, TrainingOptions


class LMConfig(TextOptions, StackOptions, TrainingOptions):
    """Every option of a language model; `recurra train lm` has one flag for each.

    Example:
        >>> LMConfig.make(cell="gru", hidden_size=128).batch_size
        32
    """
