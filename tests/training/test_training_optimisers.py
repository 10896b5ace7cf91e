"""Optimisers, schedules and clipping against plain loops, formulas and torch's own."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from char_job import options
from torch import nn

from recurra.training import optimisers
from recurra.training.clipping import clip_gradients
from recurra.training.optimisers import NTASGD, OPTIMISERS, averaged_weights, make_optimiser, sparse_embeddings
from recurra.training.progress import Progress
from recurra.training.schedules import Moment, learning_rate


def gradients(steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(steps)]


def follow(optimiser_options: dict[str, Any], steps: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights before and after some updates with given gradients."""
    start = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    weight = nn.Parameter(start.clone())
    optimiser = make_optimiser([weight], options(**optimiser_options))
    for gradient in gradients(steps):
        weight.grad = gradient.clone()
        optimiser.step()
    return start, weight.detach()


def test_sgd_with_momentum_and_decay() -> None:
    start, got = follow({"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01})
    weight, speed = start, torch.zeros_like(start)
    for gradient in gradients(6):
        speed = 0.9 * speed + gradient + 0.01 * weight
        weight = weight - 0.1 * speed
    torch.testing.assert_close(got, weight, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("given", "decay"), [(None, 0.0), (0.3, 0.0), (0.3, 0.1)])
def test_adagrad(inside: bool, given: float | None, decay: float) -> None:
    start, got = follow(
        {
            "optimizer": "adagrad",
            "learning_rate": 0.1,
            "adagrad_eps_inside": inside,
            "eps": given,
            "weight_decay": decay,
        }
    )
    eps = given or (1e-8 if inside else 1e-10)
    weight, memory = start, torch.zeros_like(start)
    for raw in gradients(6):
        gradient = raw + decay * weight
        memory = memory + gradient**2
        weight = weight - 0.1 * gradient / (torch.sqrt(memory + eps) if inside else torch.sqrt(memory) + eps)
    torch.testing.assert_close(got, weight, rtol=1e-13, atol=1e-13)


def test_rmsprop() -> None:
    start, got = follow({"optimizer": "rmsprop", "learning_rate": 0.1, "eps": 0.2})
    weight, mean = start, torch.zeros_like(start)
    for gradient in gradients(6):
        mean = 0.99 * mean + 0.01 * gradient**2
        weight = weight - 0.1 * gradient / (mean.sqrt() + 0.2)
    torch.testing.assert_close(got, weight, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam(name: str) -> None:
    start, got = follow({"optimizer": name, "learning_rate": 0.1, "weight_decay": 0.2, "eps": 0.01})
    weight, first, second = start, torch.zeros_like(start), torch.zeros_like(start)
    for step, raw in enumerate(gradients(6), 1):
        gradient = raw + 0.2 * weight if name == "adam" else raw
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        if name == "adamw":
            weight = weight - 0.1 * 0.2 * weight
        weight = weight - 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 0.01)
    torch.testing.assert_close(got, weight, rtol=1e-12, atol=1e-12)


def test_every_optimiser_has_a_plain_reference_here() -> None:
    assert set(OPTIMISERS) == {"sgd", "adagrad", "rmsprop", "adam", "adamw", "nt-asgd"}


def test_frozen_parameters_stay() -> None:
    frozen, trained = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.ones(2))
    optimiser = make_optimiser([frozen, trained], options())
    assert optimiser.param_groups[0]["params"] == [trained]


def test_nt_asgd_against_a_plain_loop() -> None:
    """Merity et al. 2018: the trigger over a list of validations, then the mean of the later weights."""
    validations = [5.0, 4.0, 4.5, 3.9, 4.2, 4.1, 4.05, 3.0, 6.0, 1.0]
    patience = 3
    weight = nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4))
    optimiser = NTASGD([weight], lr=0.5, patience=patience, weight_decay=0.1)
    plain, iterates, averaging = weight.detach().clone(), [], False
    for time, (gradient, validation) in enumerate(zip(gradients(10), validations, strict=True)):
        weight.grad = gradient.clone()
        optimiser.step()
        plain = plain - 0.5 * (gradient + 0.1 * plain)
        if averaging:
            iterates.append(plain)
        expected = torch.stack(iterates).mean(0) if iterates else plain
        with averaged_weights(optimiser):
            torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(weight.detach(), plain, rtol=1e-13, atol=1e-13)
        optimiser.observe(validation)
        if time > patience and validation > min(validations[: time - patience]):
            averaging = True
    assert 0 < len(iterates) < 9


def test_nt_asgd_averages_from_a_stretch_without_improvement_only() -> None:
    """Validations as in the authors' program: `len(log) > n and value > min(log[:-n])`, before appending."""
    generator = torch.Generator().manual_seed(4)
    for patience in (1, 2, 5):
        optimiser = NTASGD([nn.Parameter(torch.zeros(1))], lr=1.0, patience=patience)
        log: list[float] = []
        triggered = False
        for value in torch.rand(30, generator=generator).tolist():
            value -= len(log) / 20
            triggered = triggered or (len(log) > patience and value > min(log[:-patience]))
            log.append(value)
            optimiser.observe(value)
            assert optimiser.param_groups[0]["averaging"] == triggered
        assert triggered


def rate(step: int = 1, epoch: int = 1, total: int = 100, reductions: int = 0, **values: Any) -> float:
    return learning_rate(options(learning_rate=2.0, **values), Moment(step, epoch, total, reductions))


def test_constant_schedule() -> None:
    assert [rate(step) for step in (1, 50, 100)] == [2.0, 2.0, 2.0]


def test_step_schedule_is_zarembas() -> None:
    """Medium model: rate 1 for 6 epochs, then divided by 1.2 after each (Zaremba et al. 2014, section 4.1)."""
    rates = [rate(epoch=epoch, schedule="step", decay_factor=1 / 1.2, decay_after=6) for epoch in range(1, 40)]
    plain, expected = 2.0, []
    for epoch in range(1, 40):
        if epoch > 6:
            plain /= 1.2
        expected.append(plain)
    assert rates == pytest.approx(expected, rel=1e-12)
    assert rate(epoch=90, schedule="step", min_learning_rate=0.5) == 0.5


def test_cosine_schedule_and_warm_up() -> None:
    values = {"schedule": "cosine", "warmup_steps": 10, "min_learning_rate": 0.5}
    assert [rate(step, **values) for step in range(1, 11)] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert rate(11, **values) == 2.0
    assert rate(56, **values) == pytest.approx((2.0 + 0.5) / 2)
    assert rate(101, **values) == pytest.approx(0.5)
    assert rate(1000, **values) == pytest.approx(0.5)
    rates = [rate(step, **values) for step in range(11, 101)]
    assert rates == sorted(rates, reverse=True)
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=2.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=90, eta_min=0.5)
    for got in rates:
        assert got == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        oracle.step()


@pytest.mark.parametrize("schedule", ["constant", "step", "plateau", "cosine"])
def test_warm_up_works_with_every_schedule(schedule: str) -> None:
    values = {"schedule": schedule, "warmup_steps": 4}
    assert [rate(step, **values) for step in (1, 2, 3, 4)] == pytest.approx([0.5, 1.0, 1.5, 2.0])


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_torchs(patience: int) -> None:
    generator = torch.Generator().manual_seed(patience)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=patience, threshold=0.0, min_lr=0.01, eps=0.0
    )
    progress, falls = Progress(), 0
    for number in range(40):
        value = float(torch.rand((), generator=generator)) - number / 40
        improved = progress.best is None or value < progress.best
        assert progress.record_evaluation(value, {"nats": value}, patience) == improved
        oracle.step(value)
        expected = optimiser.param_groups[0]["lr"]
        got = rate(reductions=progress.reductions, schedule="plateau", min_learning_rate=0.01)
        assert got == expected
        falls = progress.reductions
    assert falls > 1


def parameters_with(gradient_values: list[list[float]]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(values))) for values in gradient_values]
    for parameter, values in zip(parameters, gradient_values, strict=True):
        parameter.grad = torch.tensor(values)
    return [*parameters, nn.Parameter(torch.zeros(3))]  # the last without a gradient


@pytest.mark.parametrize(
    ("max_norm", "max_value", "expected", "clipped"),
    [
        (None, None, [[3.0, 0.0], [-4.0]], False),
        (5.0, None, [[3.0, 0.0], [-4.0]], False),
        (2.5, None, [[1.5, 0.0], [-2.0]], True),
        (None, 4.0, [[3.0, 0.0], [-4.0]], False),
        (None, 3.0, [[3.0, 0.0], [-3.0]], True),
        (1.0, 2.0, [[0.5**0.5, 0.0], [-(0.5**0.5)]], True),  # by value first, then by norm
        (2.9, 2.0, [[2.0, 0.0], [-2.0]], True),
    ],
)
def test_clipping(max_norm: float | None, max_value: float | None, expected: list[list[float]], clipped: bool) -> None:
    parameters = parameters_with([[3.0, 0.0], [-4.0]])
    assert clip_gradients(parameters, max_norm, max_value) == (5.0, clipped)
    for parameter, values in zip(parameters, expected, strict=False):
        torch.testing.assert_close(parameter.grad, torch.tensor(values))
    assert parameters[-1].grad is None


@pytest.fixture
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings of every size count as large."""
    monkeypatch.setattr(optimisers, "SPARSE_FROM", 1)


def embeddings_after(words: list[list[int]], sparse: bool, max_value: float | None) -> tuple[torch.Tensor, float]:
    """An embedding's weights after an update for each list of words, and the last norm before clipping."""
    torch.manual_seed(0)
    embedding, linear = nn.Embedding(9, 4), nn.Linear(4, 3)
    model = nn.Sequential(embedding, linear)
    optimiser = make_optimiser(model.parameters(), options(optimizer="sgd", learning_rate=0.5))
    norm = 0.0
    for some in words:
        optimiser.zero_grad()
        with sparse_embeddings(model, optimiser) if sparse else nullcontext():
            for part in (some, some[1:]):  # as batches that are accumulated
                model(torch.tensor(part)).square().sum().backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad /= 2
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.is_sparse == sparse
        norm, _ = clip_gradients(model.parameters(), 0.5, max_value)
        optimiser.step()
    return embedding.weight.detach(), norm


@pytest.mark.usefixtures("small_tables")
@pytest.mark.parametrize("max_value", [None, 0.1])
def test_sparse_embeddings_change_no_result(max_value: float | None) -> None:
    words = [[1, 2, 1, 8], [0, 3], [5, 5, 5]]
    weights, norm = embeddings_after(words, sparse=True, max_value=max_value)
    expected, expected_norm = embeddings_after(words, sparse=False, max_value=max_value)
    torch.testing.assert_close(weights, expected)
    assert norm == pytest.approx(expected_norm)


def is_sparse(model: nn.Module, embedding: nn.Embedding, **values: Any) -> bool:
    with sparse_embeddings(model, make_optimiser(model.parameters(), options(**{"optimizer": "sgd", **values}))):
        inside = embedding.sparse
    assert not embedding.sparse  # as it was
    return inside


def test_small_embeddings_are_not_sparse() -> None:
    assert not is_sparse(small := nn.Embedding(9, 4), small)
    assert is_sparse(large := nn.Embedding(1 << 16, 4), large)


@pytest.mark.usefixtures("small_tables")
def test_which_embeddings_are_sparse() -> None:
    embedding, linear = nn.Embedding(9, 4), nn.Linear(4, 9)
    model = nn.Sequential(embedding, linear)
    assert is_sparse(model, embedding)
    for values in ({"momentum": 0.9}, {"weight_decay": 0.1}, {"optimizer": "adam"}):  # every row moves
        assert not is_sparse(model, embedding, **values)
    linear.weight = embedding.weight
    assert not is_sparse(model, embedding)
