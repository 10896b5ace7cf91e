"""The language model: options, data, training job, and what a trained one can do."""

from recurra.tasks.lm.options import LMConfig, LMEvaluation
from recurra.tasks.registry import Task

TASK = Task(
    "lm",
    "Train a language model: it learns to predict the next character or word of a text.",
    "a text file",
    LMConfig,
    "recurra.tasks.lm.training:LMTraining",
    evaluation=LMEvaluation,
)

__all__ = ["TASK", "LMConfig"]
