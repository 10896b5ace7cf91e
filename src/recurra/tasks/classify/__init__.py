"""Classification of texts and signals: options, data, training, and what a trained model can do."""

from recurra.tasks.classify.options import ClassifyConfig, ClassifyPrediction
from recurra.tasks.registry import Task

TASK = Task(
    "classify",
    "Train a classifier: it learns which class a text, or a signal, belongs to.",
    "a file of texts or signals with labels",
    ClassifyConfig,
    "recurra.tasks.classify.training:ClassifyTraining",
    prediction=ClassifyPrediction,
)

__all__ = ["TASK", "ClassifyConfig", "ClassifyPrediction"]
