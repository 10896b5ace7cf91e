"""Signals as a network reads them: learned from the training part, saved, and the same after loading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recurra.config import Config
from recurra.data import Examples
from recurra.data.signals import Signals
from recurra.errors import ConfigError, DataError, FolderError
from recurra.tasks.examples import each_batch
from recurra.tasks.inputs import load_input
from recurra.tasks.inputs.signal import VALUES, SignalInput
from recurra.tasks.inputs.signal_options import SignalOptions


def make(values: np.ndarray, lengths: list[int], channels: tuple[str, ...] = ("x", "y")) -> Signals:
    names = [f"made.npz: series {n + 1}" for n in range(len(lengths))]
    return Signals(Path("made.npz"), values, np.array(lengths), names, channels, names)


@pytest.fixture
def train() -> Signals:
    random = np.random.default_rng(1)
    return make(random.normal([5.0, -300.0], [2.0, 40.0], (50, 2)), [20, 29, 1])


@pytest.fixture
def gappy(train: Signals) -> Signals:
    values = train.values.copy()
    values[[3, 4, 49], [0, 1, 0]] = np.nan
    return replace(train, values=values)


def test_scaled_by_the_training_part_alone(train: Signals) -> None:
    fitted = SignalInput.fit(train, SignalOptions())
    scaled = fitted.encode(train)[VALUES]
    assert (scaled.dtype, scaled.shape) == (np.float32, (50, 2))
    np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0, 0], [1, 1]], atol=1e-5)
    other = make(np.array([[5.0, 100.0]]), [1])
    expected = (other.values - train.values.mean(0)) / train.values.std(0)
    np.testing.assert_allclose(fitted.encode(other)[VALUES], expected, rtol=1e-6)


def test_what_stands_beside_the_values(gappy: Signals, train: Signals) -> None:
    missing = np.isnan(gappy.values)
    for options, width in (
        ({}, 4),  # masks, for training has missing values
        ({"mask": "never"}, 2),
        ({"differences": True}, 6),
        ({"differences": True, "mask": "never", "normalize": "none", "fill": "zero"}, 4),
        ({"normalize": "per-series"}, 4),
    ):
        fitted = SignalInput.fit(gappy, SignalOptions.make(**options))
        read = fitted.encode(gappy)[VALUES]
        encoder = fitted.encoder(SimpleNamespace(jitter=0, scaling=0, dtype="float32"))
        assert (fitted.width, read.shape, encoder.output_size) == (width, (50, width), width)
        if options.get("mask") != "never":
            np.testing.assert_array_equal(read[:, -2:], missing)
        if options.get("differences"):
            np.testing.assert_allclose(read[:, 2:4].std(0), 1, rtol=1e-5)
            assert not read[[0, 20, 49], 2:4].any()
    assert SignalInput.fit(train, SignalOptions()).width == 2
    assert SignalInput.fit(train, SignalOptions(mask="always")).width == 4


@pytest.mark.parametrize("options", [{}, {"differences": True, "normalize": "per-series", "fill": "forward"}])
def test_the_same_after_loading(tmp_path: Path, gappy: Signals, options: dict[str, object]) -> None:
    fitted = SignalInput.fit(gappy, SignalOptions.make(**options))
    fitted.save(tmp_path)
    loaded = load_input(tmp_path)
    assert loaded == fitted
    assert isinstance(loaded, SignalInput)
    np.testing.assert_array_equal(loaded.encode(gappy)[VALUES], fitted.encode(gappy)[VALUES])


@pytest.mark.parametrize("change", [{"mean": [1.0]}, {"channels": 3}, {"fill": ...}, {"kind": "signals"}])
def test_a_damaged_file_is_refused(tmp_path: Path, train: Signals, change: dict[str, object]) -> None:
    SignalInput.fit(train, SignalOptions()).save(tmp_path)
    fields = {**json.loads((tmp_path / "input.json").read_text()), **change}
    kept = {name: value for name, value in fields.items() if value is not ...}
    (tmp_path / "input.json").write_text(json.dumps(kept))
    with pytest.raises(FolderError, match=r"input.json: expected"):
        load_input(tmp_path)


def test_other_channels_are_refused(train: Signals) -> None:
    fitted = SignalInput.fit(train, SignalOptions())
    with pytest.raises(
        DataError, match=r"made.npz: expected 2 channels as in training, got 1; give series of the same"
    ):
        fitted.encode(make(np.ones((1, 1)), [1], ("x",)))
    with pytest.raises(DataError, match=r"made.npz: expected channels 'x', 'y' as in training, got 'y', 'x'; name"):
        fitted.encode(make(np.ones((1, 2)), [1], ("y", "x")))
    small = SignalInput.fit(make(np.array([[1e-30, 0], [0, 1]]), [2]), SignalOptions())
    with pytest.raises(DataError, match="series 2: expected values that float32 holds once scaled, got one too large"):
        small.encode(make(np.array([[1, 0], [1e20, 1]]), [1, 1]))


def test_noise_in_training_alone_and_never_on_masks(gappy: Signals) -> None:
    fitted = SignalInput.fit(gappy, SignalOptions())
    examples = Examples(gappy.lengths, fitted.encode(gappy), {})
    (batch,) = each_batch(examples, 8, torch.device("cpu"))
    encoder = fitted.encoder(SimpleNamespace(jitter=0.0, scaling=0.5, dtype="float64"))
    plain = encoder.eval()(batch)
    assert (plain.dtype, plain.shape) == (torch.float64, (29, 3, 4))
    torch.testing.assert_close(plain.float(), batch.steps[VALUES])
    torch.manual_seed(1)
    factor = encoder.train()(batch)[:, :, :2] / plain[:, :, :2]
    for column, length in enumerate(batch.lengths.tolist()[:2]):  # one factor for all steps of a channel
        assert (factor[0, column] != 1).all()
        torch.testing.assert_close(factor[:length, column], factor[:1, column].expand(length, 2))
    noisy = fitted.encoder(SimpleNamespace(jitter=0.5, scaling=0.0, dtype="float64"))
    noise = torch.stack([noisy(batch) - plain for _ in range(200)])
    assert noise[..., 2:].abs().max() == 0
    assert noise[..., :2].std().item() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "t"}, "time has no effect without series_id; name the column of the series"),
        ({"values": ["a"]}, "values has no effect without series_id; name the column of the series"),
        ({"label_column": 0}, "label_column: expected a number from 1, got 0; count from the left"),
        ({"fill": "liner"}, "fill: must be .*, got 'liner'; did you mean 'linear'\\?"),
        ({"jitter": -1}, "jitter: must be greater than or equal to 0, got -1"),
        ({"channels": 0}, "channels: must be greater than or equal to 1, got 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    kind: type[Config] = SignalOptions
    with pytest.raises(ConfigError, match=message):
        kind.make(**options)
