"""Timing in turns, by a clock that moves only when a contender runs."""

import gc

import pytest

from recurra.benchmark import LeftOut, clock
from recurra.benchmark.clock import SAMPLE, Contender, alternate, timed


@pytest.fixture
def costing(monkeypatch):
    """Contenders of a given cost in seconds, and the order in which they ran."""
    now, ran = [0.0], []

    def make(name, seconds):
        def run():
            assert not (started[0] and gc.isenabled())
            now[0] += seconds
            ran.append(name)

        return Contender(name, run)

    started = [False]

    def perf_counter():
        started[0] = not started[0]
        return now[0]

    monkeypatch.setattr(clock.time, "perf_counter", perf_counter)
    return make, ran


@pytest.mark.parametrize("cost", [3.0, 0.9 * SAMPLE, 0.4 * SAMPLE, SAMPLE / 1000, 1e-7])
def test_a_sample_is_long_enough_and_counts_one_run(costing, cost):
    make, ran = costing
    (samples,) = alternate([make("a", cost)], repeats=3)
    assert samples == pytest.approx([cost] * 3)
    before = len(ran)
    alternate([make("b", cost)], repeats=0)
    warm = len(ran) - before
    sample = (before - warm) / 3 - 1  # the one before it is not counted
    assert sample * cost >= SAMPLE * (1 - 1e-6)
    assert sample == 1 or sample * cost < 3 * SAMPLE


def test_contenders_take_turns(costing):
    make, ran = costing
    alternate([make("a", 1.0), make("b", 2.0)], repeats=3)
    assert ran == ["a", "a", "b", "b", *["a", "a", "b", "b"] * 3]  # before each sample a run that is not counted


def test_results_are_medians_in_milliseconds(monkeypatch):
    taken = [[0.003, 0.001, 0.002]]
    monkeypatch.setattr(clock, "alternate", lambda contenders, repeats: taken)
    left_out = LeftOut("jax", "jax is not installed")
    (result,), others = timed([Contender("a", int), left_out], 3)
    assert (result.median, result.least, result.samples) == (2.0, 1.0, 3)
    assert others == [left_out]


def test_garbage_collection_is_as_it_was(costing):
    make, _ = costing
    assert gc.isenabled()
    alternate([make("a", 1.0)], repeats=1)
    assert gc.isenabled()
    gc.disable()
    try:
        alternate([make("a", 1.0)], repeats=1)
        assert not gc.isenabled()
    finally:
        gc.enable()
