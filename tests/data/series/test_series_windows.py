"""Splits, scales, calendar features and windows, each against a slower or simpler computation."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.series import (
    Clock,
    Frequency,
    Scales,
    SeriesOptions,
    SeriesSet,
    WindowBatches,
    WindowReader,
    Windows,
    calendar,
    choose_features,
    fit_scales,
    read_series,
    split_by_dates,
    split_by_files,
    split_by_fractions,
    split_by_rows,
)
from recurra.data.series.windows import scatter
from recurra.errors import CheckpointError, ConfigError, DataError


def make(lengths: list[int], targets: int = 1, start: int = 0) -> SeriesSet:
    """Series whose values count on: row r of column c is r + 1000 c."""
    total = sum(lengths)
    values = np.arange(total)[:, None] + 1000.0 * np.arange(targets)
    rows = np.arange(total, dtype=np.float64)[:, None]
    return SeriesSet(
        tuple(f"s{n}" for n in range(len(lengths))), tuple(f"y{c}" for c in range(targets)), ("k",), ("p",),
        np.concatenate([[0], np.cumsum(lengths)]), np.full(len(lengths), start), np.arange(len(lengths)) + 2,
        values, np.ones(values.shape, bool), rows * 10, rows * 100, Clock(Frequency(1, "row")), "made.csv",
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    window=st.integers(1, 8),
    horizon=st.integers(1, 6),
    stride=st.integers(1, 5),
    last=st.none() | st.integers(1, 4),
)
def test_windows_are_all_there_are(
    lengths: list[int], window: int, horizon: int, stride: int, last: int | None
) -> None:
    """Every origin whose history fits before it and whose targets lie in the part, counted from the end."""
    ends = np.array(lengths)
    begins = ends // 2
    found = Windows.of(begins, ends, window, horizon, stride, last)
    expected = []
    for series, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        origins = range(end - horizon, max(begin, window) - 1, -stride)
        expected += [(series, origin) for origin in sorted(list(origins)[:last])]
    series, origins = found.locate(np.arange(len(found)))
    assert list(zip(series.tolist(), origins.tolist(), strict=True)) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 17, 256, 257, 5000])
def test_the_shuffle_is_one(size: int) -> None:
    orders = [scatter(np.arange(size), size, key) for key in (1, 2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(size))
    if size > 100:
        assert (orders[0] != orders[1]).mean() > 0.9
        # Neighbours end up as far apart as two numbers drawn at random: a third of the size.
        assert abs(np.abs(np.diff(orders[0])).mean() / size - 1 / 3) < 0.08


def test_batches_resume_where_they_stopped() -> None:
    windows = Windows.of(np.zeros(2, int), np.array([40, 33]), 5, 3)
    whole = WindowBatches(windows, 8, seed=3)
    first = [list(whole) for _ in range(2)]
    assert [sum(map(len, epoch)) for epoch in first] == [len(windows)] * 2
    assert any((a != b).any() for a, b in zip(*first, strict=True))
    stopped = WindowBatches(windows, 8, seed=3)
    rest = iter(stopped)
    taken = [next(rest) for _ in range(3)]
    resumed = WindowBatches(windows, 8, seed=3)
    resumed.load_state_dict(stopped.state_dict())
    for one, other in zip([*taken, *resumed], first[0], strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(CheckpointError):
        WindowBatches(windows, 4, seed=3).load_state_dict(stopped.state_dict())
    few = WindowBatches(windows, 8, seed=3, per_epoch=20)
    assert few.steps_per_epoch == 3
    epochs = [np.concatenate(list(few)) for _ in range(6)]
    assert all(len(np.unique(epoch)) == 20 for epoch in epochs)
    assert len(np.unique(np.concatenate(epochs))) > 40  # others each time


def test_a_window_is_what_stands_there() -> None:
    """History, covariates and targets of one window, row by row: nothing is shifted."""
    series = make([20, 30], targets=2)
    reader = WindowReader(
        series, Scales(np.zeros((2, 2)), np.ones((2, 2))), np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]), 4
    )
    batch = reader.read(np.array([0, 1]), np.array([4, 27]), 3)
    for place, row in enumerate((4, 47)):  # the second series begins at row 20
        assert batch.history[:, place, 0].tolist() == list(range(row - 4, row))
        assert batch.history[:, place, 1].tolist() == [1000 + one for one in range(row - 4, row)]
        assert batch.past[:, place, 0].tolist() == [100 * one for one in range(row - 4, row)]
        assert batch.known[:, place, 0].tolist() == [10 * one for one in range(row - 4, row + 3)]
        assert batch.target[:, place, 0].tolist() == list(range(row, row + 3))
    assert batch.history.dtype == np.float32


@pytest.mark.parametrize("kind", ["standard", "robust", "mean-abs", "none"])
@pytest.mark.parametrize("log", [False, True])
def test_scales_are_learned_on_the_training_part_and_undone(kind: str, log: bool) -> None:
    series = make([50, 60], targets=2)
    series.values[:] = np.exp(np.random.default_rng(1).normal(3, 1, series.values.shape))
    observed = series.values[:40, 0]
    ends = np.array([40, 60])
    scales = fit_scales(series, ends, kind, log)
    changed = make([50, 60], targets=2)
    changed.values[:] = series.values
    changed.values[40:50] *= 7  # what lies behind the training part says nothing
    np.testing.assert_array_equal(fit_scales(changed, ends, kind, log).scale, scales.scale)
    seen = np.log(observed) if log else observed
    expected = {
        "standard": (seen.mean(), seen.std()),
        "robust": (np.median(seen), (np.quantile(seen, 0.75) - np.quantile(seen, 0.25)) / 1.349),
        "mean-abs": (0.0, np.abs(seen).mean()),
        "none": (0.0, 1.0),
    }[kind]
    np.testing.assert_allclose((scales.center[0, 0], scales.scale[0, 0]), expected)
    values = series.values[:7, None].repeat(2, 1)
    numbers = np.array([1, 0])
    np.testing.assert_allclose(scales.undo(scales.apply(values, numbers), numbers), values)


def test_scales_of_series_without_change_and_with_gaps(tmp_path: Path) -> None:
    series = make([10])
    series.values[:] = 5.0
    assert fit_scales(series, np.array([10]), "standard", False).scale.tolist() == [[1.0]]
    series.values[3] = 100.0
    series.observed[3] = False
    assert fit_scales(series, np.array([10]), "standard", False).center.tolist() == [[5.0]]
    series.values[2] = 0.0
    with pytest.raises(DataError, match=r"made.csv:2: series 's0': expected values above 0 .*, got 0 in 'y0' at 2"):
        fit_scales(series, np.array([10]), "standard", True)
    path = tmp_path / "scales.npz"
    scales = Scales(np.array([[1.0]]), np.array([[2.0]]), True)
    scales.save(path)
    assert Scales.load(path) == scales or Scales.load(path).scale.tolist() == [[2.0]]


def test_splits() -> None:
    series = make([100, 40])
    assert split_by_fractions(series, 0.1, 0.2, 6).ends.tolist() == [[70, 26], [80, 32], [100, 40]]
    assert split_by_fractions(series, 0.1, 0.0, 6).ends.tolist() == [[90, 34], [100, 40], [100, 40]]
    assert split_by_rows(series, [20, 10, 5]).ends.tolist() == [[20, 20], [30, 30], [35, 35]]
    assert split_by_dates(series, ["20", "30"]).ends.tolist() == [[20, 20], [30, 30], [100, 40]]
    assert split_by_dates(series, ["20", "30", "39"]).ends.tolist() == [[20, 20], [30, 30], [39, 39]]
    begins, ends = split_by_rows(series, [20, 10, 5]).part("valid")
    assert (begins.tolist(), ends.tolist()) == ([20, 20], [30, 30])
    with pytest.raises(
        DataError, match=r"made.csv:3: series 's1': expected 45 steps or more for split_rows=\[20, 20, 5\]"
    ):
        split_by_rows(series, [20, 20, 5])
    with pytest.raises(
        DataError, match=r"made.csv:3: series 's1': expected a series long enough for its parts, got 40"
    ):
        split_by_fractions(series, 0.1, 0.1, 30)
    with pytest.raises(ConfigError, match="split_dates: expected dates in order, got 30, 20"):
        split_by_dates(series, ["30", "20"])
    with pytest.raises(ConfigError, match="split_dates: expected the number of a row, got 'May'"):
        split_by_dates(series, ["May"])


def test_splits_by_files() -> None:
    joined, splits = split_by_files(make([30, 20]), None, make([8, 8]), 0.1, 4)
    assert joined.lengths.tolist() == [38, 28]
    assert splits.ends.tolist() == [[26, 16], [30, 20], [38, 28]]
    joined, splits = split_by_files(make([30, 20]), make([5, 5]), make([8, 8]), 0.1, 4)
    assert splits.ends.tolist() == [[30, 20], [35, 25], [43, 33]]


def test_splits_by_dates_between_steps(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("ds,y\n" + "".join(f"2020-{month:02}-01,1\n" for month in range(1, 13)))
    series = read_series(path, SeriesOptions())
    assert split_by_dates(series, ["2020-06-15", "2020-09-01"]).ends[:, 0].tolist() == [6, 8, 12]


def test_calendar_features() -> None:
    """Against datetime's own answers, in a zone that sets its clock."""
    clock = Clock(Frequency.parse("6h"), "Europe/Berlin")
    start = int(datetime(2019, 12, 30, tzinfo=UTC).timestamp()) * 1_000_000
    times = clock.after(start, np.arange(2000))
    names = ("hour", "weekday", "day", "yearday", "month", "minute")
    found = calendar(times, names, clock)
    from zoneinfo import ZoneInfo

    for time, row in zip(times.tolist(), found, strict=True):
        wall = datetime.fromtimestamp(time / 1e6, ZoneInfo("Europe/Berlin"))
        days = 366 if wall.year % 4 == 0 else 365
        month = (
            datetime(wall.year + wall.month // 12, wall.month % 12 + 1, 1) - datetime(wall.year, wall.month, 1)
        ).days
        turns = [
            (wall.hour + wall.minute / 60) / 24, wall.weekday() / 7, (wall.day - 1) / month,
            (wall.timetuple().tm_yday - 1) / days, (wall.month - 1) / 12, wall.minute / 60,
        ]  # fmt: skip
        waves = [math.sin(2 * math.pi * one) for one in turns] + [math.cos(2 * math.pi * one) for one in turns]
        np.testing.assert_allclose(row, waves, atol=1e-6)


def test_calendar_features_by_frequency() -> None:
    chosen = {
        text: choose_features(["auto"], Clock(Frequency.parse(text))) for text in ("15min", "h", "d", "w", "mo", "y")
    }
    assert chosen == {
        "15min": ("minute", "hour", "weekday", "yearday"),
        "h": ("hour", "weekday", "yearday"),
        "d": ("weekday", "day", "yearday"),
        "w": ("yearday",),
        "mo": ("month",),
        "y": (),
    }
    with pytest.raises(ConfigError, match="calendar=hour: expected time stamps, got rows that are counted"):
        choose_features(["hour"], Clock(Frequency(1, "row")))
