"""Forecasting: options, data, training, and what a trained forecaster can do."""

from recurra.tasks.forecast.options import ForecastConfig, ForecastEvaluation, ForecastPrediction
from recurra.tasks.registry import Task

TASK = Task(
    "forecast",
    "Train a forecaster: it learns how series of numbers go on.",
    "a file of series",
    ForecastConfig,
    "recurra.tasks.forecast.training:ForecastTraining",
    evaluation=ForecastEvaluation,
    prediction=ForecastPrediction,
    predicts_on=True,
)

__all__ = ["TASK", "ForecastConfig", "ForecastEvaluation", "ForecastPrediction"]
