"""Tagging sequences: a tag for each word of a sentence."""

from recurra.tasks.registry import Task
from recurra.tasks.tag.options import TagConfig, TagPrediction

TASK = Task(
    "tag",
    "Train a tagger: it learns to give each word of a sentence, or step of a signal, its tag or number.",
    "a file of CoNLL columns or CoNLL-U, or signals with targets (.npz)",
    TagConfig,
    "recurra.tasks.tag.kinds:TaggerTraining",
    prediction=TagPrediction,
)

__all__ = ["TASK", "TagConfig"]
