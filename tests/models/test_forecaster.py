"""The forecaster against slower computations: steps one by one, losses by their formulas, levels undone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent
from recurra.metrics.forecasts import pinball
from recurra.models.forecaster import (
    Forecast,
    Forecaster,
    Shape,
    Window,
    check_shape,
    gaussian,
    gaussian_loss,
    point_loss,
    quantile_loss,
)

T, N, B, C, U, K, H = 12, 7, 3, 2, 1, 2, 5


def make(decoder: str, outputs: int = 1, *, known: int = K, cell: str = "gru", **options: Any) -> Forecaster:
    torch.manual_seed(1)
    shape = Shape(C, U, known, N, outputs, **options)
    each = C + known
    encoder = Recurrent(cell, shape.patch * (each + U), H, 2, dtype=torch.float64)
    second = Recurrent(cell, shape.patch * each, H, 2, dtype=torch.float64) if decoder == "recurrent" else None
    return Forecaster(shape, encoder, second).eval()


def window(steps: int = N, known: int = K, seed: int = 2) -> Window:
    random = torch.Generator().manual_seed(seed)
    sizes = ((T, B, C), (T, B, U), (T + steps, B, known))
    return Window(*(torch.randn(size, generator=random, dtype=torch.float64) for size in sizes))


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
@pytest.mark.parametrize("patch", [1, 3])
@pytest.mark.parametrize("difference", ["none", "last", "seasonal"])
@pytest.mark.parametrize("known", [0, K])
def test_shapes_and_gradients(decoder: str, patch: int, difference: Any, known: int) -> None:
    model = make(decoder, 3, known=known, patch=patch, difference=difference, season=4, window_scaling=True)
    found = model(window(known=known), N).restored()
    assert found.shape == (N, B, C, 3)
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("difference", ["none", "last", "seasonal"])
def test_teacher_forcing_is_the_same_step_by_step(patch: int, difference: Any) -> None:
    """Fed its own forecasts as the truth, the one call gives what the steps one by one give."""
    model = make("recurrent", 1, patch=patch, difference=difference, season=5, window_scaling=True)
    given = window()
    free = model(given, N)
    own = free.restored()[..., 0]
    torch.testing.assert_close(model(given, N, own).restored()[..., 0], own)
    other = model(given, N, own + 1).restored()[..., 0]
    torch.testing.assert_close(other[:patch], own[:patch])  # the first patch reads the history only
    assert not torch.allclose(other[patch:], own[patch:])


def test_a_recurrent_decoder_goes_on_beyond_the_trained_horizon() -> None:
    model = make("recurrent", difference="seasonal", season=5)
    longer = window(3 * N)
    shorter = longer._replace(known=longer.known[: T + N])
    torch.testing.assert_close(model(longer, 3 * N).restored()[:N], model(shorter, N).restored())


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_each_step_knows_its_own_covariates(decoder: str) -> None:
    """A change in the covariates of step 3 changes no step before it, and, in a direct decoder, no other."""
    model = make(decoder)
    given = window()
    changed = given.known.clone()
    changed[T + 3] += 1
    before, after = (model(given._replace(known=one), N).restored() for one in (given.known, changed))
    same = torch.isclose(before, after).all(-1).all(-1).all(-1).tolist()
    assert same == ([True] * 3 + [False] + [True] * (N - 4) if decoder == "direct" else [True] * 3 + [False] * (N - 3))


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_without_weights_it_is_the_naive_forecast(decoder: str) -> None:
    for difference, season in (("none", 1), ("last", 1), ("seasonal", 5)):
        model = make(
            decoder, difference=difference, season=season, window_scaling=True, linear=4 * (decoder == "direct")
        )
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if not name.startswith(("stack", "decoder")):
                    weight.zero_()
        given = window()
        found = model(given, N).restored()[..., 0]
        past = given.history if difference != "none" else torch.zeros_like(given.history)
        expected = torch.stack([past[T - season + step % season] for step in range(N)])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
@pytest.mark.parametrize("difference", ["last", "seasonal"])
def test_the_level_of_a_window_is_undone(decoder: str, difference: Any) -> None:
    """What is added to the history is added to the forecast."""
    model = make(decoder, difference=difference, season=5, window_scaling=True)
    given = window()
    shift = torch.tensor([100.0, -3.0], dtype=torch.float64)
    moved = model(given._replace(history=given.history + shift), N).restored()[..., 0]
    torch.testing.assert_close(moved, model(given, N).restored()[..., 0] + shift)


def test_the_linear_path_is_linear_in_each_target() -> None:
    model = make("direct", difference="none", linear=T)
    with torch.no_grad():
        model.output.weight.zero_(), model.output.bias.zero_()
        model.of_known.weight.zero_(), model.of_known.bias.zero_()
        model.of_mixed.weight.zero_(), model.of_mixed.bias.zero_()
        model.linear.weight.normal_()
    given = window()
    expected = torch.einsum("nt,tbc->nbc", model.linear.weight, given.history)
    torch.testing.assert_close(model(given, N).restored()[..., 0], expected)


def test_losses_are_their_formulas() -> None:
    random = torch.Generator().manual_seed(3)
    values = torch.randn(N, B, C, 3, generator=random, dtype=torch.float64)
    target = torch.randn(N, B, C, generator=random, dtype=torch.float64)
    level, scale = torch.randn(N, B, C, dtype=torch.float64), torch.rand(B, C, dtype=torch.float64) + 0.5
    found = Forecast(values, level, scale)
    z = (target - level) / scale
    error = values[..., 0] - z
    torch.testing.assert_close(point_loss(found, target, "mse"), error**2)
    torch.testing.assert_close(point_loss(found, target, "mae"), error.abs())
    huber = torch.where(error.abs() < 1, error**2 / 2, error.abs() - 0.5)
    torch.testing.assert_close(point_loss(found, target, "huber"), huber)
    mean, deviation = gaussian(found)
    nats = ((z - mean) / deviation) ** 2 / 2 + deviation.log() + math.log(2 * math.pi) / 2
    torch.testing.assert_close(gaussian_loss(found, target), nats)
    levels = [0.1, 0.5, 0.8]
    expected = pinball(z.numpy(), values.numpy(), levels).mean(-1)
    torch.testing.assert_close(quantile_loss(found, target, torch.tensor(levels).double()), torch.from_numpy(expected))


def test_paths_have_the_moments_of_the_gaussian() -> None:
    """The first step of many drawn paths; each later step is drawn after what was drawn before it."""
    model = make("recurrent", 2)
    given = window()
    mean, deviation = (one[0].detach() for one in gaussian(model(given, N)))
    many = Window(*(one.repeat_interleave(4000, 1) for one in given))
    with torch.no_grad():
        paths = model(many, N, random=torch.Generator().manual_seed(1)).restored()[..., 0].unflatten(1, (B, 4000))
    assert (paths[0].mean(1) - mean).abs().max() < 0.1 * deviation.max()
    assert (paths[0].std(1) / deviation - 1).abs().max() < 0.1
    again = model(many, N, random=torch.Generator().manual_seed(1)).restored()[..., 0].unflatten(1, (B, 4000))
    torch.testing.assert_close(paths, again.detach())


def test_a_window_without_change_blows_nothing_up() -> None:
    model = make("direct", difference="last", window_scaling=True)
    given = window()
    flat = given._replace(history=torch.full_like(given.history, 3.0))
    assert model(flat, N).normalised(torch.full((N, B, C), 4.0).double()).abs().max() <= 100


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="window: expected a multiple of patch=5, got 12"):
        check_shape(Shape(1, 0, 0, 4, 1, patch=5), 12)
    with pytest.raises(
        ConfigError, match="window: expected a season of 24 steps or more with difference=seasonal, got 12"
    ):
        check_shape(Shape(1, 0, 0, 4, 1, difference="seasonal", season=24), 12)
