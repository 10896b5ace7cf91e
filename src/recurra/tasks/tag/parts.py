"""Which sequences of a file train, validate and test."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, DataError


def cut_off(path: Path, count: int, there: Collection[str], config: Any) -> dict[str, slice]:
    """The places of the training, validation and test sequences among the `count` of the training file.

    What has no file is cut from the end, in order; the test only where validation has no file either. Empty where
    nothing is cut. `there`: the parts that have files.

    Raises: DataError where too few sequences are left, ConfigError for a share of a part that is not cut.
    """
    shares = {"valid": config.valid_frac, "test": config.test_frac}
    cut = {} if "valid" in there else {name: shares[name] for name in shares if name not in there and shares[name]}
    for name, share in shares.items():
        if name not in cut and share not in (0, type(config).model_fields[f"{name}_frac"].default):
            raise ConfigError(f"{name}_frac has no effect: nothing is cut from {path} for {name}; leave it out")
    if not cut:
        return {}
    sizes = {name: max(1, round(count * share)) for name, share in cut.items()}
    if sum(sizes.values()) >= count:
        raise DataError(
            f"{path}: expected sequences enough to cut into {', '.join(['train', *cut])}, got {count}; "
            "give more, or files of their own"
        )
    stop = count - sum(sizes.values())
    places = {"train": slice(0, stop)}
    for name, size in sizes.items():
        places[name], stop = slice(stop, stop + size), stop + size
    return places
