"""Options of a training that goes on from a trained model's weights."""

from __future__ import annotations

from typing import Any

from recurra.errors import ConfigError

REGULARISATION = ("dropout", "recurrent_dropout", "zoneout", "weight_dropout")
"""What a model's weights fit whatever it is."""
OF_THIS_TRAINING = ("window", "init_range", "forget_bias", "recompute")
"""Options of model and data that say nothing of a trained model."""


def inherit(config: Any, base: Any) -> Any:
    """Take what a model is from the options of the one in `init_from`, where those given do not say otherwise.

    Raises: ConfigError where they say otherwise about what is fixed by the weights.
    """
    for name in ("init_range", "forget_bias"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} has no effect with init_from, whose weights are taken; leave it out")
    groups = config.groups()
    given = {name: getattr(config, name) for name in config.model_fields_set}
    names = [name for title in config.of_model for name in groups[title]]
    theirs = {name: getattr(base, name) for name in (*names, "dtype")}
    for name in (*OF_THIS_TRAINING, *base.replaced()):
        theirs.pop(name, None)
    for name in theirs.keys() & given.keys() - set(REGULARISATION):
        if given[name] != theirs[name]:
            raise ConfigError(
                f"{name}={given[name]}: the model in {config.init_from} has {name}={theirs[name]}; leave it out"
            )
    return type(config).make(**{**theirs, **given})
