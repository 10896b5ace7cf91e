"""Measures of numbers against a second library's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.metrics.regression import rank_correlation, regression_metrics

metrics, stats = pytest.importorskip("sklearn.metrics"), pytest.importorskip("scipy.stats")
ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=9)


@given(rows=ROWS)
def test_rank_correlation_is_scipys(rows: list[tuple[int, int]]) -> None:
    first, second = np.array(rows, float).T
    if np.ptp(first) and np.ptp(second):
        assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    else:
        assert rank_correlation(first, second) == 0


def test_all_measures_are_sklearns_and_means_over_sequences() -> None:
    random = np.random.default_rng(1)
    targets, predictions = random.normal(size=(2, 60))
    bounds = np.array([0, 1, 21, 25, 60])
    targets[21:25] = 3.0  # a sequence without an order
    found = regression_metrics(targets, predictions, bounds)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(targets, predictions))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(targets, predictions))
    assert found["r2"] == pytest.approx(metrics.r2_score(targets, predictions))
    parts = [slice(1, 21), slice(25, 60)]
    ranked = [stats.spearmanr(targets[part], predictions[part]).statistic for part in parts]
    assert found["rank_correlation"] == pytest.approx(np.mean(ranked))
    assert found["best_found"] == np.mean([targets[p].argmax() == predictions[p].argmax() for p in parts])
    assert set(regression_metrics(np.ones(3), np.ones(3), np.array([0, 3]))) == {"mse", "mae"}
