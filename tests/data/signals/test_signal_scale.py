"""Filling and scaling, against the same computed value by value."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.signals import Signals
from recurra.data.signals.scale import Fill, differences, fill_missing, measured_moments, standardise_series

NUMBERS = st.one_of(st.just(math.nan), st.integers(-9, 9).map(float))


@st.composite
def gappy(draw: st.DrawFn) -> Signals:
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    row = st.tuples(NUMBERS, NUMBERS)
    values = np.array(draw(st.lists(row, min_size=sum(lengths), max_size=sum(lengths))))
    names = [str(n) for n in range(len(lengths))]
    return Signals(Path("made"), values, np.array(lengths), names, ["a", "b"], names)


def filled_one(column: list[float], step: int, rule: Fill, mean: float) -> float:
    """What stands for step `step` of one channel of one series."""
    if not math.isnan(column[step]):
        return column[step]
    before = [n for n in range(step) if not math.isnan(column[n])]
    after = [n for n in range(step + 1, len(column)) if not math.isnan(column[n])]
    if rule == "zero":
        return 0.0
    if rule == "forward" and before:
        return column[before[-1]]
    if rule == "linear" and (before or after):
        left, right = (before or after[:1])[-1], (after or before[-1:])[0]
        share = 0.0 if left == right else (step - left) / (right - left)
        return column[left] * (1 - share) + column[right] * share
    return mean


@pytest.mark.parametrize("rule", ["linear", "forward", "zero", "mean"])
@given(signals=gappy())
def test_filled_by_the_rule(rule: Fill, signals: Signals) -> None:
    mean = (0.25, -7.0)
    filled = fill_missing(signals, rule, mean)
    for number in range(len(signals)):
        for channel in (0, 1):
            column = signals.series(number)[:, channel].tolist()
            expected = [filled_one(column, step, rule, mean[channel]) for step in range(len(column))]
            got = filled[signals.bounds[number] : signals.bounds[number + 1], channel]
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@given(signals=gappy())
def test_moments_count_what_is_measured(signals: Signals) -> None:
    mean, deviation = measured_moments(signals.values)
    for channel in (0, 1):
        there = [value for value in signals.values[:, channel].tolist() if not math.isnan(value)]
        assert mean[channel] == pytest.approx(math.fsum(there) / len(there) if there else 0, abs=1e-12)
        spread = math.sqrt(math.fsum((v - mean[channel]) ** 2 for v in there) / len(there)) if there else 0
        assert deviation[channel] == pytest.approx(spread if len(set(there)) > 1 else 1)


def test_a_constant_channel_is_not_blown_up() -> None:
    values = np.full((1000, 1), 0.1)  # whose mean is not exactly 0.1
    mean, deviation = measured_moments(values)
    assert deviation.tolist() == [1.0]
    assert np.abs(standardise_series(values, np.array([0, 400, 1000]))).max() < 1e-12
    assert mean == pytest.approx(0.1)


@given(signals=gappy())
def test_series_and_differences_by_themselves(signals: Signals) -> None:
    values = fill_missing(signals, "zero", (0, 0))
    scaled, change = standardise_series(values, signals.bounds), differences(values, signals.bounds)
    for begin, end in zip(signals.bounds[:-1], signals.bounds[1:], strict=True):
        one = values[begin:end]
        spread = one.std(axis=0)
        np.testing.assert_allclose(
            scaled[begin:end], (one - one.mean(0)) / np.where(spread > 1e-9, spread, 1), atol=1e-9
        )
        expected = [[0, 0], *(one[step] - one[step - 1] for step in range(1, len(one)))]
        np.testing.assert_array_equal(change[begin:end], expected)
