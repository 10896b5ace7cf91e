"""Random cells thrown at the kernels: against the oracle while small, against the reference backend where wide."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from agreement import error, found, leaves, truth, with_gradients
from native_runs import run_native
from random_cells import Example, draw
from torch import Tensor

from recurra.backends.native import code, compiled
from recurra.backends.native.code import Instruction, Multiply, Outer, Program, Stage, Total

pytestmark = pytest.mark.usefixtures("native")
TOLERANCE = 1e-10
SMALL, WIDE = 300, 80
FACTORS = (2, 3, 5, 9, 17, 33, 70, 140)
"""Widths of up to 4, 8 and 16 times these: below, at and beyond vectors, tiles, panels and the program's chunks."""

Results = tuple[list[Tensor], list[Tensor]]


def by_reference(example: Example) -> Results:
    return found(example, "derived")


def worst_error(example: Example, expect: Callable[[Example], Results] = truth) -> float | None:
    """Of results and gradients, relative to each tensor's largest number.

    None where the cell blows up, or what is expected depends on rounding (on which of two nearly equal numbers is
    the larger: zoneout may make two states equal but for the last bit).
    """
    expected = expect(example)
    if not torch.cat([t.flatten() for group in expected for t in group]).abs().max() < 1e4:
        return None
    tensors = leaves(example)
    made = with_gradients(example, tensors, run_native(example, tensors))
    worst = difference(made, expected)
    if worst > TOLERANCE and any(difference(expect(shaken(example, k)), expected) > TOLERANCE for k in range(4)):
        return None
    return worst


def difference(made: Results, expected: Results) -> float:
    pairs = [pair for mine, theirs in zip(made, expected, strict=True) for pair in zip(mine, theirs, strict=True)]
    return max(error(a, b) for a, b in pairs)


def shaken(example: Example, number: int) -> Example:
    """The example with every number moved by about its last bit."""
    torch.manual_seed(number)
    masks = ("zoneout", "recurrent_dropout")
    moved = {
        key: t if key[1].startswith(masks) else t * (1 + 1e-15 * torch.randn_like(t))
        for key, t in example.tensors.items()
    }
    return replace(example, tensors=moved)


def check(examples: Sequence[Example], expect: Callable[[Example], Results] = truth) -> None:
    skipped = 0
    for example in examples:
        try:
            worst = worst_error(example, expect)
        except Exception as cause:
            raise AssertionError(f"{type(cause).__name__}: {cause}\n{example}") from cause
        skipped += worst is None
        assert worst is None or worst < TOLERANCE, f"error {worst:.1e}\n{example}"
    assert skipped <= 1 + 0.04 * len(examples)


def wide(seeds: range) -> list[Example]:
    return [draw(seed, FACTORS[seed % len(FACTORS)]) for seed in seeds]


@pytest.mark.parametrize("first", range(0, SMALL, 50))
def test_random_cells_agree_with_the_oracle(first: int) -> None:
    check([draw(seed) for seed in range(first, first + 50)])


@pytest.mark.parametrize("first", range(0, WIDE, 40))
def test_wide_random_cells_agree_with_the_reference(first: int) -> None:
    check(wide(range(first, first + 40)), by_reference)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(SMALL, 6300, 500))
def test_thousands_of_random_cells_agree_with_the_oracle(first: int) -> None:
    check([draw(seed) for seed in range(first, first + 500)])


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 4000, 250))
def test_thousands_of_wide_random_cells_agree_with_the_reference(first: int) -> None:
    check(wide(range(first, first + 250)), by_reference)


# The test can fail: every kind of mistake in what the kernels are told is found.


@pytest.fixture
def encode(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Codes are made anew, so that they can be made wrong."""
    compiled.specify.cache_clear()
    compiled._compile.cache_clear()
    yield monkeypatch
    compiled.specify.cache_clear()
    compiled._compile.cache_clear()


def is_found(seeds: range = range(SMALL)) -> bool:
    for seed in seeds:
        worst = worst_error(draw(seed))
        if worst is not None and worst > 1e-6:
            return True
    return False


def replace_stages(monkeypatch: pytest.MonkeyPatch, change: Callable[[Stage], Stage]) -> None:
    right = code._stage
    monkeypatch.setattr(code, "_stage", lambda stage, numbers: right(change(stage), numbers))


SWAPPED = {
    "copy": "neg", "add": "sub", "sub": "add", "mul": "add", "div": "mul", "neg": "copy", "tanh": "sigmoid",
    "sigmoid": "tanh", "relu": "copy", "exp": "sigmoid", "log": "sqrt", "logsigmoid": "sigmoid", "sqrt": "rsqrt",
    "rsqrt": "sqrt", "max": "min", "min": "max", "fma": "fnma", "fnma": "fma", "dtanh": "dsigmoid", "dsigmoid": "dtanh",
    "drelu": "mul", "pick": "fma", "inv_std": "sum", "sum": "inv_std", "normalise": "mul", "dnormalise": "fma",
}  # fmt: skip


@pytest.mark.parametrize("operation", SWAPPED)
def test_a_wrong_operation_is_found(operation: str, encode: pytest.MonkeyPatch) -> None:
    assert set(SWAPPED) == set(code.OPERATIONS)

    def change(stage: Stage) -> Stage:
        if isinstance(stage, Program):
            for each in stage.instructions:
                if each.operation == operation:
                    each.operation = SWAPPED[operation]
        return stage

    replace_stages(encode, change)
    assert is_found()


def without_start(stage: Stage) -> Stage:
    if isinstance(stage, Multiply):
        stage.start = None
    return stage


def with_other_accumulation(stage: Stage) -> Stage:
    if isinstance(stage, Outer | Total) and stage.accumulate:
        stage.accumulate = False
    return stage


def with_operands_in_reverse(stage: Stage) -> Stage:
    if isinstance(stage, Multiply) and len({o.width for o in stage.operands}) == 1:
        stage.operands = stage.operands[::-1]
    return stage


def with_the_first_instruction_again(stage: Stage) -> Stage:
    if isinstance(stage, Program) and len(stage.instructions) > 1:
        stage.instructions[1] = stage.instructions[0]
    return stage


def with_arguments_swapped(stage: Stage) -> Stage:
    if isinstance(stage, Program):
        stage.instructions = [
            i if i.operation in code.ROW_OPERATIONS
            else Instruction(i.operation, i.width, i.result, i.arguments[::-1], i.number)
            for i in stage.instructions
        ]  # fmt: skip
    return stage


@pytest.mark.parametrize(
    "change",
    [
        without_start, with_other_accumulation, with_operands_in_reverse, with_the_first_instruction_again,
        with_arguments_swapped,
    ],
)  # fmt: skip
def test_a_wrong_stage_is_found(change: Callable[[Stage], Stage], encode: pytest.MonkeyPatch) -> None:
    replace_stages(encode, change)
    assert is_found()


def test_the_same_number_draws_the_same_wide_cell() -> None:
    seed = random.Random(1).randrange(1000)
    assert str(draw(seed, 9)) == str(draw(seed, 9))
    assert draw(seed, 9).form.hidden_size == 9 * draw(seed).form.hidden_size
