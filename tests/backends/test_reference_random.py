"""Random cells against the oracle: results and all gradients, both gradient paths of the reference backend."""

from __future__ import annotations

import statistics

import pytest
import torch
from agreement import worst_error
from random_cells import Example, draw

from recurra.equations import trace

CELLS = 400
TOLERANCE = 1e-10


def check(seeds: range) -> None:
    skipped = 0
    for seed in seeds:
        example = draw(seed)
        try:
            error = worst_error(example)
        except Exception as cause:
            raise AssertionError(f"{type(cause).__name__}: {cause}\n{example}") from cause
        skipped += error is None
        assert error is None or error < TOLERANCE, f"error {error:.1e}\n{example}"
    assert skipped <= 0.02 * len(seeds)


@pytest.mark.parametrize("first", range(0, CELLS, 50))
def test_random_cells_agree_with_the_oracle(first: int) -> None:
    check(range(first, first + 50))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(CELLS, 6400, 500))
def test_thousands_of_random_cells_agree_with_the_oracle(first: int) -> None:
    check(range(first, first + 500))


def test_the_random_cells_hold_what_they_must() -> None:
    """Each operation, and each awkward shape, several times within the default tests."""
    examples = [draw(seed) for seed in range(CELLS)]
    traced = [trace(e.cell, e.form) for e in examples]
    nodes = [t.graph.nodes() for t in traced]
    operations = "add sub mul div neg tanh sigmoid relu exp log logsigmoid sqrt rsqrt max min sum normalise slice"
    operations += " concat stop product vector scalar"
    for operation in operations.split():
        assert sum(any(n.op == operation for n in found) for found in nodes) >= 5, operation
    assert statistics.mean(sum(bool(n.args) for n in found) for found in nodes) > 6
    outputs = [(t.graph.results["output"], [new for _, new in t.graph.states.values()]) for t in traced]
    facts = {
        "an output that is no state": sum(output not in news for output, news in outputs),
        "an output that is an input": sum(output.op == "input" for output, _ in outputs),
        "a new state that is an old one": sum(any(n.op == "state" for n in news) for _, news in outputs),
        "a new state of weights only": sum(any(n.op == "vector" for n in news) for _, news in outputs),
        "two states of one value": sum(len(set(news)) < len(news) for _, news in outputs),
        "x unread": sum(not any(n.op == "input" and n.data == "x" for n in found) for found in nodes),
        "T=1": sum(max(e.lengths) == 1 for e in examples),
        "B=1": sum(len(e.lengths) == 1 for e in examples),
        "H=1": sum(e.form.hidden_size == 1 for e in examples),
        "ragged": sum(len(set(e.lengths)) > 1 for e in examples),
        "a length of 0": sum(0 in e.lengths for e in examples),
        "reversed": sum(e.reverse for e in examples),
        "zoneout in training": sum(bool(e.form.zoneout) and e.form.training for e in examples),
        "zoneout in evaluation": sum(bool(e.form.zoneout) and not e.form.training for e in examples),
        "recurrent dropout": sum(any(n.startswith("recurrent_dropout") for n in t.masks) for t in traced),
        "something frozen": sum(_frozen(e) for e in examples),
    } | {f"input {name}": sum(name in e.cell.inputs for e in examples) for name in "ukqn"}
    assert {fact: count for fact, count in facts.items() if count < 5} == {}


def _frozen(example: Example) -> bool:
    return any(kind == "weight" and (kind, name) not in example.wanted for kind, name in example.tensors)


def test_a_failing_cell_is_printed_as_source() -> None:
    text = str(draw(3))
    assert "def random_cell_3(x, " in text
    assert "lengths" in text


def test_the_same_seed_draws_the_same_cell() -> None:
    first, second = draw(11), draw(11)
    assert str(first) == str(second)
    assert all(torch.equal(first.tensors[key], second.tensors[key]) for key in first.tensors)
