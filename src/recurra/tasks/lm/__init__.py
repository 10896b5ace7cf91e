"""The language model: options, data, training job, and what a trained one can do."""

from recurra.tasks.lm.options import LMConfig

__all__ = ["LMConfig"]
