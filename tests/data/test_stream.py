"""Contiguous streams for training, and evaluation that scores each token once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data import EvaluationStream, TokenStream, check_window
from recurra.errors import CheckpointError, DataError, ShapeError

SIZES = {"rows": st.integers(1, 9), "steps": st.integers(1, 9), "extra": st.integers(0, 40)}


@given(**SIZES)
def test_rows_are_contiguous_and_targets_come_next(rows: int, steps: int, extra: int) -> None:
    tokens = np.arange(rows * steps + 1 + extra)
    stream = TokenStream(tokens, rows, steps)
    chunks = list(stream)
    assert len(chunks) == stream.steps_per_epoch
    assert [chunk.start for chunk in chunks] == list(range(0, stream.length, steps))
    inputs = np.concatenate([chunk.inputs for chunk in chunks])
    targets = np.concatenate([chunk.targets for chunk in chunks])
    used = (len(tokens) - 1) // rows * rows
    assert inputs.T.ravel().tolist() == list(range(used))
    assert targets.T.ravel().tolist() == list(range(1, used + 1))
    assert all(len(chunk.inputs) == steps for chunk in chunks[:-1])
    assert inputs.dtype == targets.dtype == np.int64


@given(**SIZES, taken=st.integers(0, 30))
def test_a_saved_position_continues_exactly(rows: int, steps: int, extra: int, taken: int) -> None:
    tokens = np.arange(rows * steps + 1 + extra, dtype=np.uint16)
    whole, broken, resumed = (TokenStream(tokens, rows, steps) for _ in range(3))
    expected = [chunk.inputs.tolist() for _ in range(40) for chunk in whole]
    got = []
    while len(got) < taken:
        for chunk in broken:
            got.append(chunk.inputs.tolist())
            if len(got) == taken:  # stopped while the chunk is worked on, perhaps the last of an epoch
                break
    resumed.load_state_dict(broken.state_dict())
    while len(got) < len(expected):
        got += [chunk.inputs.tolist() for chunk in resumed]
    assert got == expected
    assert resumed.epoch == whole.epoch


def test_any_columns_can_be_asked_for() -> None:
    stream = TokenStream(np.arange(21), 2, 5)
    inputs, targets = stream.columns(3, 7)
    assert inputs.T.tolist() == [[3, 4, 5, 6], [13, 14, 15, 16]]
    assert (targets == inputs + 1).all()
    for start, stop in ((-1, 2), (3, 3), (8, 11)):
        with pytest.raises(ShapeError, match="columns: expected 0 <= start < stop <= 10"):
            stream.columns(start, stop)


def test_backward_is_the_reversed_text(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(bytes(range(11)))
    tokens = np.memmap(path, np.uint8, "r")
    (chunk,) = TokenStream(tokens[::-1], 2, 5)
    assert chunk.inputs.T.tolist() == [[10, 9, 8, 7, 6], [5, 4, 3, 2, 1]]
    assert (chunk.targets == chunk.inputs - 1).all()
    assert type(chunk.inputs) is np.ndarray
    (chunk,) = EvaluationStream(tokens[::-1], 1, 99)
    assert chunk.targets.T.tolist() == [list(range(9, -1, -1))]
    assert type(chunk.inputs) is np.ndarray


def test_a_position_of_other_data_is_refused() -> None:
    stream = TokenStream(np.arange(21), 2, 5)
    for other in (TokenStream(np.arange(22), 3, 5), TokenStream(np.arange(31), 2, 5)):
        with pytest.raises(CheckpointError, match=r"position in the data: expected .* as when it was saved, got"):
            stream.load_state_dict(other.state_dict())


def test_shorter_than_one_window() -> None:
    TokenStream(np.arange(7), 2, 3)
    with pytest.raises(DataError) as error:
        TokenStream(np.arange(6), 2, 3)
    assert str(error.value) == (
        "training text: expected at least 7 tokens (one window of 3 steps in 2 rows), got 6; "
        "give more text, or lower batch_size or bptt"
    )
    with pytest.raises(DataError, match=r"^test text: expected at least 65 tokens"):
        check_window(np.arange(3), 64, "64 steps", "test text")


def score(stream: EvaluationStream, memory: int) -> dict[int, list[int]]:
    """What a model sees that remembers `memory` inputs, by target: the tokens of the text are all different."""
    seen: dict[int, list[int]] = {}
    state: np.ndarray | None = None
    for chunk in stream:
        assert (chunk.start == 0) == (state is None)
        if state is None:
            state = np.full((memory, chunk.inputs.shape[1]), -1)
        for inputs, targets in zip(chunk.inputs, chunk.targets, strict=True):
            state = np.concatenate([state[1:], inputs[None]])
            for row, target in enumerate(targets):
                if target != -100:
                    assert target not in seen
                    seen[target] = state[:, row].tolist()
    return seen


@given(
    length=st.integers(2, 60),
    rows=st.integers(1, 70),
    steps=st.integers(1, 20),
    memory=st.integers(1, 5),
    more=st.integers(0, 9),
    before=st.booleans(),
)
def test_every_token_is_scored_once_whatever_the_batch(
    length: int, rows: int, steps: int, memory: int, more: int, before: bool
) -> None:
    """With a warm-up as long as the model remembers, the batch size changes nothing at all."""
    tokens = np.arange(length, dtype=np.uint8)
    first = 200 if before else None
    stream = EvaluationStream(tokens, rows, steps, warmup=memory - 1 + more, before=first)
    seen = score(stream, memory)
    text = [200] * before + tokens.tolist()
    assert sorted(seen) == text[1:]
    assert len(seen) == stream.tokens_scored
    for at, target in enumerate(text[1:], 1):
        context = text[max(at - memory, 0) : at]
        assert seen[target] == [-1] * (memory - len(context)) + context
    assert seen == score(stream, memory)
    assert len(list(stream)) == len(stream)


def test_nothing_to_score() -> None:
    assert EvaluationStream(np.arange(1), 4, 9, before=3).tokens_scored == 1
    for tokens, before in ((np.arange(1), None), (np.arange(0), 3)):
        with pytest.raises(DataError, match=f"expected at least 2 tokens to score, got {len(tokens)}"):
            EvaluationStream(tokens, 4, 9, before=before)
