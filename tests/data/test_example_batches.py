"""Examples: saved, read and batched; every example once per epoch, wherever it is stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data import ExampleBatches, Examples, has_examples, load_examples, save_examples
from recurra.errors import CheckpointError, DataError


def some(lengths: list[int]) -> Examples:
    """Steps that tell which sequence and which step they are."""
    values = [(place, step) for place, length in enumerate(lengths) for step in range(length)]
    steps = {"x": np.array(values, np.float32).reshape(-1, 2), "y": np.arange(sum(lengths), dtype=np.int64)}
    return Examples(np.array(lengths, np.int64), steps, {"label": np.arange(len(lengths))})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 7), st.booleans(), st.integers(0, 3))
def test_each_example_comes_once_and_whole(lengths: list[int], batch_size: int, shuffle: bool, seed: int) -> None:
    examples = some(lengths)
    batches = ExampleBatches(examples, batch_size, shuffle=shuffle, seed=seed, padding={"y": -100})
    seen = []
    for batch in batches:
        assert batch.steps["x"].shape == (batch.lengths.max(), len(batch.places), 2)
        for column, place in enumerate(batch.places):
            length = lengths[place]
            assert batch.lengths[column] == length
            assert batch.items["label"][column] == place
            assert batch.steps["x"][:length, column].tolist() == [[place, step] for step in range(length)]
            assert (batch.steps["x"][length:, column] == 0).all()
            assert (batch.steps["y"][length:, column] == -100).all()
            seen.append(int(place))
    assert sorted(seen) == list(range(len(lengths)))
    assert batches.steps_per_epoch == -(-len(lengths) // batch_size)


def test_a_position_is_resumed_in_the_middle_of_an_epoch() -> None:
    examples = some([3, 1, 4, 1, 5, 9, 2, 6])
    batches = ExampleBatches(examples, 3)
    whole = [[batch.places.tolist() for batch in batches] for _ in range(2)]
    assert whole[0] != whole[1]
    stopped = ExampleBatches(examples, 3)
    iterator = iter(stopped)
    first = [next(iterator).places.tolist()]
    resumed = ExampleBatches(examples, 3)
    resumed.load_state_dict(stopped.state_dict())
    assert first + [batch.places.tolist() for batch in resumed] == whole[0]
    assert [batch.places.tolist() for batch in resumed] == whole[1]
    with pytest.raises(CheckpointError):
        ExampleBatches(examples, 4).load_state_dict(stopped.state_dict())


def test_saved_and_loaded(tmp_path: Path) -> None:
    parts = {"train": some([3, 1, 40_000]), "test": some([2])}
    assert not has_examples(tmp_path / "data")
    save_examples(tmp_path / "data", parts)
    assert has_examples(tmp_path / "data")
    loaded = load_examples(tmp_path / "data")
    assert list(loaded) == ["train", "test"]
    for name, part in parts.items():
        assert np.array_equal(loaded[name].lengths, part.lengths)
        for kind in ("steps", "items"):
            mine, theirs = getattr(part, kind), getattr(loaded[name], kind)
            assert list(mine) == list(theirs)
            assert all(np.array_equal(mine[field], theirs[field]) for field in mine)
            assert all(mine[field].dtype == theirs[field].dtype for field in mine)
    assert isinstance(loaded["train"].steps["x"], np.memmap)  # what is large is not held


def test_damage_is_told(tmp_path: Path) -> None:
    save_examples(tmp_path, {"train": some([3, 1])})
    np.save(tmp_path / "train.steps.y.npy", np.arange(3))
    with pytest.raises(DataError, match=r"^.*: damaged \(train: y has 3 rows, expected 4\); train anew"):
        load_examples(tmp_path)
    np.save(tmp_path / "train.steps.y.npy", np.array([object()] * 4), allow_pickle=True)
    with pytest.raises(DataError, match="allow_pickle=False"):
        load_examples(tmp_path)
    (tmp_path / "train.steps.y.npy").unlink()
    with pytest.raises(DataError, match="damaged"):
        load_examples(tmp_path)


def test_no_examples() -> None:
    with pytest.raises(DataError, match=r"^expected at least one example, got none"):
        ExampleBatches(some([]), 3)


def test_take() -> None:
    taken = some([3, 1, 2]).take([2, 0])
    assert taken.steps["x"].tolist() == [[2, 0], [2, 1], [0, 0], [0, 1], [0, 2]]
    assert (taken.lengths.tolist(), taken.items["label"].tolist()) == ([2, 3], [2, 0])
    assert len(some([3]).take([])) == 0
