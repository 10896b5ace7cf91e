"""The network that a forecaster's options describe."""

from __future__ import annotations

import torch

from recurra.models.forecaster import Forecaster, Shape, check_shape
from recurra.tasks.forecast.data import Fitted
from recurra.tasks.forecast.options import MIDDLE, ForecastConfig
from recurra.tasks.network import recurrent_stack


def build(config: ForecastConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Forecaster:
    """The untrained forecaster. Raises: ConfigError for options that the cell lacks or that contradict each other."""
    shape = shape_of(config, fitted)
    check_shape(shape, fitted.window)
    each = shape.targets + shape.known
    with torch.device(device):
        encoder = recurrent_stack(config, shape.patch * (each + shape.past))
        decoder = recurrent_stack(config, shape.patch * each) if config.decoder == "recurrent" else None
        return Forecaster(shape, encoder, decoder, config.dropout)


def shape_of(config: ForecastConfig, fitted: Fitted) -> Shape:
    """The widths of the forecaster."""
    quantiles = config.distribution == "quantiles"
    return Shape(
        targets=len(fitted.targets),
        past=fitted.past_width,
        known=fitted.known_width,
        horizon=config.horizon,
        outputs=len(config.levels) if quantiles else 2 if config.distribution == "gaussian" else 1,
        fed=config.levels.index(MIDDLE) if quantiles else 0,
        patch=config.patch,
        difference=config.difference,
        season=fitted.season,
        window_scaling=config.window_scaling,
        linear=fitted.window if config.linear else 0,
    )
