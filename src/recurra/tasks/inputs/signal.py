"""Signals as input: real-valued series, filled, scaled, with masks and differences beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from recurra.config import listed
from recurra.data.signals import Signals
from recurra.data.signals.scale import differences, fill_missing, measured_moments, standardise_series
from recurra.errors import DataError
from recurra.tasks.examples import TensorBatch
from recurra.tasks.inputs import Input
from recurra.tasks.inputs.signal_options import ValueOptions

VALUES = "values"
"""The field of a batch that holds what the network reads of a signal, [T, B, I]."""


@dataclass(frozen=True)
class SignalInput(Input):
    """What is done to signals, as learned from the training part.

    channels: their names, [I]; mean, deviation: of each channel over what was measured, [I]; change: the deviation of
    the differences, [I], empty where they are not read; fill, normalize: see `ValueOptions`; mask: whether channels
    say what is missing; named: whether the file gave the channels names.

    The network reads for each step the values, then the differences, then the masks (1 where the value was missing).
    Missing values are filled first; mean and deviation count only what was measured.
    """

    kind: ClassVar[str] = "signal"

    channels: tuple[str, ...]
    fill: Any
    normalize: str
    mask: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    change: tuple[float, ...]

    @classmethod
    def fit(cls, signals: Signals, options: ValueOptions) -> Self:
        """Learn from the training part."""
        mean, deviation = measured_moments(signals.values)
        if options.normalize != "per-channel":
            deviation = np.ones_like(deviation)
        missing = bool(np.isnan(signals.values).any())
        fitted = cls(
            tuple(signals.channels),
            options.fill,
            options.normalize,
            missing if options.mask == "auto" else options.mask == "always",
            tuple(mean.tolist()),
            tuple(deviation.tolist()),
            (),
        )
        if not options.differences:
            return fitted
        _, change = measured_moments(differences(fitted._scaled(signals), signals.bounds))
        return cls.from_fields({**fitted.fields(), "change": change.tolist()}, {})

    def encode(self, signals: Signals) -> dict[str, np.ndarray]:
        """What the network reads of each step, by field: float32 [sum T, width].

        Raises: DataError for other channels than those of the training part, and values too far from theirs.
        """
        self._check_channels(signals)
        scaled = self._scaled(signals)
        parts = [scaled]
        if self.change:
            parts.append(differences(scaled, signals.bounds) / np.array(self.change))
        if self.mask:
            parts.append(np.isnan(signals.values))
        with np.errstate(over="ignore"):
            values = np.concatenate(parts, axis=1).astype(np.float32)
        beyond = np.argwhere(~np.isfinite(values))
        if len(beyond):
            raise DataError(
                f"{signals.place_of_step(int(beyond[0, 0]))}: expected values that float32 holds once scaled, got one "
                "too large; check the units of the channels"
            )
        return {VALUES: values}

    def _scaled(self, signals: Signals) -> np.ndarray:
        values = fill_missing(signals, self.fill, self.mean)
        if self.normalize == "per-channel":
            return (values - np.array(self.mean)) / np.array(self.deviation)
        return standardise_series(values, signals.bounds) if self.normalize == "per-series" else values

    def _check_channels(self, signals: Signals) -> None:
        if len(signals.channels) != len(self.channels):
            raise DataError(
                f"{signals.path}: expected {len(self.channels)} channels as in training, got {len(signals.channels)}; "
                "give series of the same channels"
            )
        if tuple(signals.channels) != self.channels:
            raise DataError(
                f"{signals.path}: expected channels {listed(self.channels)} as in training, got "
                f"{listed(signals.channels)}; name and order them alike"
            )

    def fields(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        names = ("channels", "mean", "deviation", "change")
        lists = {name: tuple(fields[name]) for name in names}
        if not len(lists["channels"]) == len(lists["mean"]) == len(lists["deviation"]):
            raise ValueError("channels, mean and deviation have different lengths")
        return cls(fill=fields["fill"], normalize=fields["normalize"], mask=bool(fields["mask"]), **lists)

    @property
    def width(self) -> int:
        """How many numbers the network reads per step."""
        return len(self.channels) * (1 + bool(self.change) + self.mask)

    def encoder(self, config: Any) -> SignalEncoder:
        return SignalEncoder(self.width, len(self.channels) * self.mask, config)

    def facts(self) -> dict[str, Any]:
        names = ", ".join(self.channels[:8]) + (", ..." if len(self.channels) > 8 else "")
        beside = [name for name, there in (("differences", self.change), ("missing-value masks", self.mask)) if there]
        return {
            "channels": f"{len(self.channels)} ({names})" + "".join(f", {name}" for name in beside),
            "scale": {"none": "as it is"}.get(self.normalize, self.normalize),
        }


class SignalEncoder(nn.Module):
    """Hands the values of a signal to the recurrent stack; in training with noise, so that a small set teaches more.

    width: numbers per step, the last `masks` of which are truth values and stay as they are; config: with `jitter`, the
    deviation of noise on each value, `scaling`, that of a factor on each channel of a sequence (Um et al. 2017,
    arXiv:1706.00527), and `dtype`.

    Shapes: batch.steps["values"] [T, B, width] -> [T, B, width].
    """

    def __init__(self, width: int, masks: int, config: Any) -> None:
        super().__init__()
        self.output_size = width
        self.jitter, self.scaling, self.dtype = config.jitter, config.scaling, getattr(torch, config.dtype)
        self.register_buffer("_real", torch.ones(width).index_fill_(0, torch.arange(width - masks, width), 0.0), False)

    def forward(self, batch: TensorBatch) -> Tensor:
        values = batch.steps[VALUES].to(self.dtype)
        if not self.training:
            return values
        if self.scaling:
            values = values * (1 + self.scaling * self._real * torch.randn_like(values[:1]))
        if self.jitter:
            values = values + self.jitter * self._real * torch.randn_like(values)
        return values

    def extra_repr(self) -> str:
        return f"{self.output_size}, jitter={self.jitter}, scaling={self.scaling}"
