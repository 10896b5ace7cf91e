"""Choosing tokens: the distribution that is drawn from, and that it is drawn from."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from recurra.config import GenerationOptions
from recurra.decoding import Sampler
from recurra.errors import ConfigError


def probabilities_of(values: list[float], excluded: list[int] | None = None, **options: object) -> list[float]:
    sampler = Sampler(GenerationOptions.make(**options), excluded or [])
    return sampler.probabilities(torch.tensor([values]).log())[0].tolist()


def test_temperature() -> None:
    powers = [0.5**2, 0.3**2, 0.2**2]
    found = probabilities_of([0.5, 0.3, 0.2], temperature=0.5)
    assert found == pytest.approx([power / sum(powers) for power in powers], rel=1e-6)


def test_top_k_keeps_k_and_of_equals_the_lower() -> None:
    assert probabilities_of([0.2, 0.4, 0.2, 0.2], top_k=2) == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert probabilities_of([0.2, 0.8], top_k=9) == pytest.approx([0.2, 0.8])


def test_excluded_tokens_are_gone_before_all_else() -> None:
    assert probabilities_of([0.6, 0.3, 0.1], [0], top_k=1) == pytest.approx([0, 1, 0])
    assert probabilities_of([0.6, 0.3, 0.1], [0, 2]) == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.7, 0.95, 1.0])
def test_top_p_is_the_smallest_set_with_that_mass(seed: int, top_p: float) -> None:
    """Among all subsets: no smaller one reaches top_p, and of that size none has more."""
    values = torch.rand(7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1).tolist()
    found = probabilities_of(values, top_p=top_p)
    kept = [token for token, probability in enumerate(found) if probability > 0]
    mass = math.fsum(values[token] for token in kept)
    subsets = [subset for size in range(1, 8) for subset in combinations(range(7), size)]
    best = {
        size: max(math.fsum(values[token] for token in subset) for subset in subsets if len(subset) == size)
        for size in range(1, 8)
    }
    smallest = min((size for size, most in best.items() if most >= top_p), default=7)
    assert len(kept) == smallest
    assert mass == pytest.approx(best[smallest])
    assert found == pytest.approx([values[token] / mass if token in kept else 0.0 for token in range(7)], abs=1e-6)


def test_top_p_is_taken_of_what_top_k_leaves() -> None:
    # 0.4 and 0.3 are 0.57 and 0.43 of the two that top_k leaves: the first alone has half.
    assert probabilities_of([0.4, 0.3, 0.2, 0.1], top_k=2, top_p=0.5) == pytest.approx([1, 0, 0, 0])


@pytest.mark.parametrize("options", [{}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.8}])
def test_draws_follow_the_distribution(options: dict) -> None:
    number = 100_000
    log_probs = torch.tensor([0.4, 0.05, 0.25, 0.1, 0.2]).log()
    sampler = Sampler(GenerationOptions.make(n=number, seed=5, **options), [3])
    wanted = sampler.probabilities(log_probs[None])[0]
    drawn = sampler.choose(log_probs.expand(number, -1), torch.arange(number))
    counts = torch.bincount(drawn, minlength=5)
    assert counts[wanted == 0].sum() == 0
    possible = wanted > 0
    expected = number * wanted[possible]
    chi_square = ((counts[possible] - expected) ** 2 / expected).sum().item()
    assert chi_square < 18.5  # exceeded with probability 0.001 by 4 degrees of freedom


def test_greedy_takes_the_likeliest_that_may_be() -> None:
    sampler = Sampler(GenerationOptions.make(greedy=True), [1])
    assert sampler.choose(torch.tensor([[0.3, 0.5, 0.2]]).log(), torch.tensor([0])).tolist() == [0]


def test_a_row_does_not_depend_on_which_others_are_left() -> None:
    log_probs = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    options = GenerationOptions.make(n=4, seed=3)
    every = Sampler(options).choose(log_probs, torch.arange(4))
    some = Sampler(options).choose(log_probs[[1, 3]], torch.tensor([1, 3]))
    assert some.tolist() == every[[1, 3]].tolist()


def test_without_a_seed_samplers_differ() -> None:
    log_probs = torch.zeros(64, 50).log_softmax(-1)
    first, second = (Sampler(GenerationOptions.make(n=64)).choose(log_probs, torch.arange(64)) for _ in range(2))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0}, ["temperature", "greater than 0"]),
        ({"temperature": -1.0}, ["temperature", "greater than 0"]),
        ({"top_p": 0.0}, ["top_p", "greater than 0"]),
        ({"top_p": 1.5}, ["top_p", "less than or equal to 1"]),
        ({"top_k": 0}, ["top_k", "greater than or equal to 1"]),
        ({"greedy": True, "temperature": 0.5}, ["temperature has no effect with greedy"]),
        ({"greedy": True, "top_k": 5}, ["top_k has no effect with greedy"]),
        ({"greedy": True, "top_p": 0.5}, ["top_p has no effect with greedy"]),
    ],
)
def test_bad_options(options: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        GenerationOptions.make(**options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
