"""The forecaster: reads a window of series and gives the steps that follow, as points or distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent, States

SMALLEST = 1e-4  # standard deviation, in units of the window's scale
SMALLEST_SCALE = 1e-2  # of a window, in units of the series' scale: a window without change blows nothing up
Difference = Literal["none", "last", "seasonal"]


class Window(NamedTuple):
    """history: [T, B, C]; past: [T, B, U], covariates (and masks) known up to now; known: [T + n, B, K], covariates
    known for the n steps of the horizon too."""

    history: Tensor
    past: Tensor
    known: Tensor


class Forecast(NamedTuple):
    """values: [n, B, C, P], the P numbers of each step's output, before `level` [n, B, C] is added and after the
    division by `scale` [B, C]."""

    values: Tensor
    level: Tensor
    scale: Tensor

    def normalised(self, target: Tensor) -> Tensor:
        """Targets [n, B, C] as the values stand for them."""
        return (target - self.level) / self.scale

    def restored(self) -> Tensor:
        """The values [n, B, C, P] in the unit of the window."""
        return self.values * self.scale[..., None] + self.level[..., None]


@dataclass(frozen=True)
class Shape:
    """What a forecaster reads and gives.

    targets: C; past: U; known: K; horizon: n, the steps it is trained for; outputs: P, numbers for each step and
    target; fed: which of them a recurrent decoder reads at the next step; patch: steps of the series that one step of
    the recurrent layers reads; difference: what the forecast is added to, nothing, the last value, or the last season;
    season: its steps; window_scaling: divide the window by the mean magnitude of what is left; linear: the last so many
    steps of each target have a linear path to its forecast too (LSTNet: Lai et al. 2018), in a direct decoder.
    """

    targets: int
    past: int
    known: int
    horizon: int
    outputs: int
    fed: int = 0
    patch: int = 1
    difference: Difference = "none"
    season: int = 1
    window_scaling: bool = False
    linear: int = 0


class Forecaster(nn.Module):
    """A recurrent encoder with a recurrent or a direct decoder.

    The encoder reads at each step the targets and covariates of `patch` steps. The direct decoder gives the whole
    horizon from its last output at once. The recurrent decoder goes on from its last state, a patch at a time: it reads
    the targets of the patch before (its own forecast, or, with teacher forcing, the true ones) and the known covariates
    of the patch that it gives.

    Args:
        shape: widths.
        encoder: reads [T / patch, B, patch (C + U + K)].
        decoder: with the encoder's cell and sizes, reads [n / patch, B, patch (C + K)]; None for a direct decoder.
        dropout: on what the encoder reads and on what the output layer reads.

    Example:
        >>> shape = Shape(targets=1, past=0, known=0, horizon=4, outputs=1, difference="last")
        >>> model = Forecaster(shape, Recurrent("gru", 1, 8))
        >>> window = Window(torch.randn(12, 3, 1), torch.zeros(12, 3, 0), torch.zeros(16, 3, 0))
        >>> model(window, 4).restored().shape
        torch.Size([4, 3, 1, 1])
    """

    def __init__(
        self, shape: Shape, encoder: Recurrent, decoder: Recurrent | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.shape, self.stack, self.decoder = shape, encoder, decoder
        self.dropout = nn.Dropout(dropout)
        kind = next(encoder.parameters()).dtype
        width, given = encoder.output_size, shape.targets * shape.outputs
        steps = shape.horizon if decoder is None else shape.patch
        self.output = nn.Linear(width, steps * given, dtype=kind)
        if shape.linear:
            self.linear = nn.Linear(shape.linear, shape.horizon * shape.outputs, bias=False, dtype=kind)
            nn.init.zeros_(self.linear.weight)
        if shape.known:
            self.of_known = nn.Linear(shape.known, given, dtype=kind)
            self.mixed = nn.Linear(width + shape.known, width, dtype=kind)
            self.of_mixed = nn.Linear(width, given, dtype=kind)

    def forward(
        self, window: Window, horizon: int, truth: Tensor | None = None, random: torch.Generator | None = None
    ) -> Forecast:
        """Forecast `horizon` steps.

        Args:
            window: see `Window`; the known covariates reach over the horizon.
            horizon: at most the trained one for a direct decoder, any for a recurrent one.
            truth: [n, B, C], the targets to feed to a recurrent decoder (teacher forcing); None to feed its forecasts.
            random: draws each step of a Gaussian recurrent decoder, which is fed what was drawn: the values, [n, B, C,
                1], are then a path.
        """
        centre, level, scale = self._normal(window.history, horizon)
        z = (window.history - centre) / scale
        features, states = self.stack(self._patches(torch.cat([z, window.past, window.known[: len(z)]], -1)))
        known = window.known[len(z) :]
        if self.decoder is None:
            values = self._direct(features[-1], z, known)[:horizon]
        else:
            feed = None if truth is None else (truth - centre) / scale
            offset = (level - centre) / scale
            values = self._recurrent(z, states, known, offset, feed, horizon, random)
        return Forecast(values, level, scale)

    def _normal(self, history: Tensor, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is taken from the history [B, C], what is added to the forecast [n, B, C], and the scale [B, C]."""
        shape = self.shape
        if shape.difference == "none":
            centre = history.new_zeros(history.shape[1:])
            level = centre.expand(horizon, *centre.shape)
        elif shape.difference == "last":
            centre = history[-1]
            level = centre.expand(horizon, *centre.shape)
        else:
            season = history[-shape.season :]
            centre = season.mean(0)
            level = season.repeat(-(-horizon // shape.season), 1, 1)[:horizon]
        if not shape.window_scaling:
            return centre, level, torch.ones_like(centre)
        return centre, level, (history - centre).abs().mean(0) + SMALLEST_SCALE

    def _patches(self, steps: Tensor) -> Tensor:
        """[T, B, E] as [T / patch, B, patch E]."""
        patch, (_, batch, width) = self.shape.patch, steps.shape
        patches = steps.unflatten(0, (-1, patch)).transpose(1, 2).reshape(-1, batch, patch * width)
        return self.dropout(patches)

    def _direct(self, features: Tensor, z: Tensor, known: Tensor) -> Tensor:
        """All steps at once, [n, B, C, P]."""
        shape = self.shape
        features = self.dropout(features)
        values = self.output(features).unflatten(-1, (shape.horizon, -1)).transpose(0, 1)
        if shape.known:
            values = values[: len(known)] + self._effect(features.expand(len(known), *features.shape), known)
        values = values.unflatten(-1, (shape.targets, shape.outputs))
        if shape.linear:
            path = self.linear(z[-shape.linear :].movedim(0, -1)).unflatten(-1, (shape.horizon, -1))
            values = values + path.movedim(2, 0)[: len(values)]
        return values

    def _effect(self, features: Tensor, known: Tensor) -> Tensor:
        """What the covariates of each step add to it: [n, B, F] and [n, B, K] give [n, B, C P]."""
        mixed = functional.relu(self.mixed(torch.cat([features, known], -1)))
        return self.of_known(known) + self.of_mixed(mixed)

    def _recurrent(self, z: Tensor, states: list[States], known: Tensor, offset: Tensor, truth: Tensor | None,
                   horizon: int, random: torch.Generator | None) -> Tensor:  # fmt: skip
        """Patch after patch: in one call where the truth is fed, else one by one."""
        patch = self.shape.patch
        patches = -(-horizon // patch)
        known, offset = (_stretched(steps, patches * patch) for steps in (known, offset))
        last = z[-patch:]
        if truth is not None:
            fed = torch.cat([last, _stretched(truth, patches * patch)[:-patch]])
            return self._decoded(fed, known, states)[0][:horizon]
        pieces = []
        for first in range(0, patches * patch, patch):
            piece, states = self._decoded(last, known[first : first + patch], states)
            if random is not None:
                mean, deviation = _moments(piece)
                noise = torch.randn(mean.shape, generator=random, device=mean.device, dtype=mean.dtype)
                piece = (mean + deviation * noise)[..., None]
            pieces.append(piece)
            last = piece[..., self.shape.fed] + offset[first : first + patch]
        return torch.cat(pieces)[:horizon]

    def _decoded(self, fed: Tensor, known: Tensor, states: list[States]) -> tuple[Tensor, list[States]]:
        """Some patches of the decoder: what it gives, [steps, B, C, P], and its states."""
        assert self.decoder is not None
        shape = self.shape
        features, states = self.decoder(self._patches(torch.cat([fed, known], -1)), states)
        features = self.dropout(features)
        values = self.output(features).unflatten(-1, (shape.patch, -1)).transpose(1, 2).flatten(0, 1)
        if shape.known:
            values = values + self._effect(features.repeat_interleave(shape.patch, 0), known)
        return values.unflatten(-1, (shape.targets, shape.outputs)), states


def _stretched(steps: Tensor, length: int) -> Tensor:
    """At least `length` steps: the last one repeated."""
    missing = length - len(steps)
    return steps if missing <= 0 else torch.cat([steps, steps[-1:].expand(missing, *steps.shape[1:])])


def check_shape(shape: Shape, window: int) -> None:
    """Refuse windows that patches and seasons do not fit in. Raises: ConfigError."""
    if window % shape.patch:
        raise ConfigError(f"window: expected a multiple of patch={shape.patch}, got {window}")
    if shape.difference == "seasonal" and window < shape.season:
        raise ConfigError(
            f"window: expected a season of {shape.season} steps or more with difference=seasonal, got {window}; "
            "give a longer --window or a shorter --season"
        )


def point_loss(forecast: Forecast, target: Tensor, kind: str) -> Tensor:
    """mse, mae or huber (1 is where it turns linear) of each step, [n, B, C]."""
    error = forecast.values[..., 0] - forecast.normalised(target)
    if kind == "huber":
        return functional.huber_loss(error, torch.zeros_like(error), reduction="none")
    return error**2 if kind == "mse" else error.abs()


def gaussian(forecast: Forecast) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, normalised, [n, B, C] each."""
    return _moments(forecast.values)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    return values[..., 0], functional.softplus(values[..., 1]) + SMALLEST


def gaussian_loss(forecast: Forecast, target: Tensor) -> Tensor:
    """Nats of the targets under the Gaussians, [n, B, C]."""
    mean, deviation = gaussian(forecast)
    return -torch.distributions.Normal(mean, deviation, validate_args=False).log_prob(forecast.normalised(target))


def quantile_loss(forecast: Forecast, target: Tensor, levels: Tensor) -> Tensor:
    """The pinball loss, its mean over the levels [Q], of each step, [n, B, C]."""
    below = forecast.normalised(target)[..., None] - forecast.values
    return torch.maximum(levels * below, (levels - 1) * below).mean(-1)
