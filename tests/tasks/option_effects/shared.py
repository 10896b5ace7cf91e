"""Options that every task has; each task has them for every kind of model in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Effects = list[tuple[dict[str, Any], dict[str, Any]]]

NETWORK: Effects = [
    ({}, {"cell": "gru"}),
    ({}, {"cell_options": {"peephole": True}}),
    ({}, {"hidden_size": 9}),
    ({}, {"num_layers": 1}),
    ({"hidden_size": None, "num_layers": None, "sizes": [8, 8]}, {"sizes": [8, 9]}),
    ({}, {"dropout": 0.2}),
    ({"num_layers": 1}, {"dropout": 0.2}),
    ({}, {"recurrent_dropout": 0.2}),
    ({}, {"zoneout": 0.2}),
    ({}, {"weight_dropout": 0.2}),
    ({}, {"residual": True}),
    ({}, {"skip": True}),
    ({}, {"dilation": [2]}),
    ({}, {"init_range": 0.3}),
    ({}, {"forget_bias": 3.0}),
]

TRAINING: Effects = [
    ({}, {"optimizer": "sgd"}),
    ({}, {"learning_rate": 0.1}),
    ({}, {"weight_decay": 0.1}),
    ({}, {"batch_size": 5}),
    ({}, {"accumulate": 2}),
    ({}, {"max_steps": 7}),
    ({"learning_rate": 1e-30, "eval_every": 1}, {"patience": 1}),  # never an improvement
    ({}, {"schedule": "cosine"}),
    ({}, {"warmup_steps": 3}),
    ({}, {"max_grad_norm": 0.01}),
    ({}, {"clip_grad_value": 0.001}),
    ({}, {"seed": 2}),
    ({}, {"dtype": "float64"}),
    ({}, {"eval_every": 3}),
]

UNSEEN = {"deterministic", "device", "backend", "threads", "recompute"}
"""Where and how it is computed: the weights are the same up to rounding, or to the bit."""


def beside(others: dict[str, Any], effects: Effects) -> Effects:
    """The same effects in trainings that have these options too."""
    return [({**others, **more}, option) for more, option in effects]


def across(kinds: Iterable[dict[str, Any]], *options: dict[str, Any]) -> Effects:
    """Each of the options beside each of the others."""
    return [(kind, option) for kind in kinds for option in options]
