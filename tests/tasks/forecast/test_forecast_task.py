"""Forecasting from a file to a report, on made-up series whose rules a forecaster must learn."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_series import SMALL, START, metrics_of, stamp, train, waves, write

import recurra
from recurra.errors import ConfigError, DataError
from recurra.tasks.forecast.run import ForecastRun


def test_it_beats_the_baselines_beside_it(wave: ForecastRun) -> None:
    found = metrics_of(wave)
    assert {"valid", "test", "test naive", "test seasonal naive", "test drift", "test linear"} <= set(found)
    for name in ("naive", "seasonal naive", "drift"):
        assert found["test"]["mae"] < 0.25 * found[f"test {name}"]["mae"], name
    assert 0.5 < found["test"]["coverage"] < 0.98  # of an interval of 80 %
    assert found["test"]["crps"] < found["test"]["mae"]


def test_the_report(wave: ForecastRun) -> None:
    rows = list(csv.DictReader(io.StringIO((wave.folder / "report" / "by_step.csv").read_text())))
    assert len(rows) == 12 * 5
    mine = [float(row["mae"]) for row in rows if row["forecast"] == "model"]
    assert np.mean(mine) == pytest.approx(metrics_of(wave)["test"]["mae"], rel=1e-4)
    assert (wave.folder / "report" / "forecasts.png").read_bytes().startswith(b"\x89PNG")
    card = (wave.folder / "README.md").read_text()
    assert "recurra predict" in card
    assert "test seasonal naive" in card


def test_evaluation_of_the_file_is_that_of_its_last_windows(wave: ForecastRun) -> None:
    """The test part by itself, and the same windows found in the whole file; a stride; and a longer horizon."""
    whole = wave.evaluate()
    assert whole["windows"] == 90 - 12 + 1
    file = wave.folder.parent / "wave.csv"
    same = wave.evaluate(file, windows=79)
    assert {name: same[name] for name in whole} == pytest.approx(whole)
    assert wave.evaluate(stride=12)["windows"] == 7
    assert wave.evaluate(stride=12, windows=2)["windows"] == 2
    assert wave.evaluate(horizon=30)["windows"] == 90 - 30 + 1
    assert wave.evaluate(batch_size=7) == pytest.approx(whole)


@pytest.mark.parametrize(
    "options",
    [
        {"decoder": "recurrent"},
        {"decoder": "recurrent", "decoder_training": "teacher", "distribution": "gaussian", "samples": 50},
        pytest.param({"distribution": "gaussian", "cell": "lstm", "num_layers": 2}, marks=pytest.mark.slow),
        {"distribution": "point", "loss": "mae", "patch": 1, "difference": "none"},
        {"distribution": "point", "decoder": "recurrent", "decoder_training": "teacher", "patch": 4, "loss": "huber"},
        {"linear": True, "window_scaling": True, "difference": "seasonal", "season": 31, "scaling": "robust"},
        pytest.param({"log": True, "calendar": "hour,weekday", "dtype": "float64"}, marks=pytest.mark.slow),
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_kind_of_forecaster_learns(tmp_path: Path, options: dict[str, Any]) -> None:
    values = waves(500)
    path = write(tmp_path / "s.csv", "ds,y", ((stamp(hour), value) for hour, value in enumerate(values)))
    run = train(path, horizon=8, window=48, stride=4, **{"patch": 4, **options})
    found = metrics_of(run)
    assert found["test"]["mae"] < 0.6 * min(found["test naive"]["mae"], found["test drift"]["mae"])
    rows = run.predict(path, horizon=20)
    assert len(rows) == 20
    assert [row["ds"] for row in rows] == [stamp(hour) for hour in range(500, 520)]
    true = waves(520, noise=0)[500:]
    assert np.abs(np.array([row["y"] for row in rows]) - true)[:8].mean() < 1.5
    quantiles = ("y_q0.1", "y_q0.5", "y_q0.9")
    if options.get("distribution") == "point":
        assert set(rows[0]) == {"ds", "y"}
    else:
        assert all(row[quantiles[0]] <= row[quantiles[1]] <= row[quantiles[2]] for row in rows)


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_what_a_known_covariate_says_is_forecast_exactly(tmp_path: Path, decoder: str) -> None:
    """The series is its covariate, which is noise: one step of shift anywhere, and nothing is known."""
    noise = np.random.default_rng(2).normal(size=700)
    rows = [(stamp(hour), 5 + 2 * noise[hour], noise[hour]) for hour in range(700)]
    path = write(tmp_path / "s.csv", "ds,y,k", rows[:600])
    run = train(
        path, horizon=6, window=24, known_covariates="k", difference="none", decoder=decoder, distribution="point",
        hidden_size=16, batch_size=32,
    )  # fmt: skip
    found = metrics_of(run)
    assert found["test"]["mae"] < 0.1
    assert found["test naive"]["mae"] > 1.5
    future = write(tmp_path / "future.csv", "ds,k", ((row[0], row[2]) for row in rows[600:640]))
    told = run.predict(path, future=future, horizon=15)
    np.testing.assert_allclose([row["y"] for row in told], [row[1] for row in rows[600:615]], atol=0.6)
    assert np.abs(np.subtract([row["y"] for row in told], [row[1] for row in rows[600:615]])).mean() < 0.15


def test_what_a_past_covariate_says_is_forecast(tmp_path: Path) -> None:
    """The next value is the covariate of now."""
    noise = np.random.default_rng(2).normal(size=600)
    rows = [(hour, noise[hour - 1] if hour else 0, noise[hour]) for hour in range(600)]
    path = write(tmp_path / "s.csv", "ds,y,p", rows)
    run = train(
        path, horizon=1, window=16, past_covariates="p", difference="none", epochs=10, distribution="point",
        hidden_size=16,
    )  # fmt: skip
    assert metrics_of(run)["test"]["mae"] < 0.15
    (row,) = run.predict(path)
    assert row["ds"] == "600"
    assert row["y"] == pytest.approx(noise[-1], abs=0.4)


def test_calendar_features_know_the_day(tmp_path: Path) -> None:
    """Level by day of the week, with a window too short to see a week."""
    levels = np.random.default_rng(3).normal(size=7) * 5
    days = [START + timedelta(days=day) for day in range(500)]
    path = write(tmp_path / "s.csv", "ds,y", ((day.date(), levels[day.weekday()]) for day in days))
    run = train(path, horizon=7, window=3, calendar="weekday", difference="none", distribution="point", epochs=12)
    found = metrics_of(run)["test"]["mae"]
    assert found < 0.4
    told = run.predict(path)
    expected = [levels[(days[-1] + timedelta(days=ahead)).weekday()] for ahead in range(1, 8)]
    assert np.abs(np.subtract([row["y"] for row in told], expected)).mean() < 0.5
    assert told[0]["ds"] == str((days[-1] + timedelta(days=1)).date())


def test_many_series_of_very_different_size(tmp_path: Path) -> None:
    """Each has its own scale, undone in the forecasts; one that was never seen takes its scale from its history."""
    sizes = {"small": 1e-3, "middle": 1.0, "large": 1e6}
    rows = [
        (name, stamp(hour), float(size * value))
        for place, (name, size) in enumerate(sizes.items())
        for hour, value in enumerate(waves(300, seed=place))
    ]
    path = write(tmp_path / "s.csv", "unique_id,ds,y", rows)
    run = train(path, horizon=6, window=48, patch=4)
    found = metrics_of(run)
    assert found["test"]["mase"] < 0.5 * found["test naive"]["mase"]
    told = run.predict(path)
    assert [row["unique_id"] for row in told] == [name for name in sizes for _ in range(6)]
    for name, size in sizes.items():
        values = [row["y"] / size for row in told if row["unique_id"] == name]
        assert 10 < min(values) < max(values) < 30
    new = write(tmp_path / "new.csv", "unique_id,ds,y", [("new", stamp(h), 1e9 * v) for h, v in enumerate(waves(80))])
    values = [row["y"] / 1e9 for row in run.predict(new)]
    assert np.abs(np.array(values) - waves(86, noise=0)[80:]).mean() < 1.5
    assert run.evaluate(new)["mase"] < 1.0


def test_one_model_of_several_targets_and_columns_that_share_one(tmp_path: Path) -> None:
    """The second column is the first of two steps before: only a multivariate model can know it."""
    noise = np.random.default_rng(4).normal(size=602)
    rows = [(hour, noise[hour + 2], noise[hour]) for hour in range(600)]
    path = write(tmp_path / "s.csv", "t,a,b", rows)
    options: dict[str, Any] = {"time": "t", "horizon": 2, "window": 12, "difference": "none", "distribution": "point",
                               "epochs": 10, "batch_size": 32}  # fmt: skip
    joint = train(path, target="a,b", **options)
    error = joint.evaluate()["mae"]
    (first, second) = joint.predict(path)
    assert set(first) == {"t", "a", "b"}
    assert (first["b"], second["b"]) == (pytest.approx(noise[600], abs=0.6), pytest.approx(noise[601], abs=0.6))
    shared = train(path, series_columns="all", overwrite=True, **options)
    assert shared.evaluate()["mae"] > 1.3 * error
    told = shared.predict(path)
    assert [(row["unique_id"], row["t"]) for row in told] == [("a", "600"), ("a", "601"), ("b", "600"), ("b", "601")]


def test_rows_of_series_with_a_test_file(tmp_path: Path) -> None:
    """The layout of M4: rows of unequal length, the test in a file of its own, which goes on."""
    series = {f"H{n}": waves(150 + 10 * n, seed=n) for n in range(5)}
    train_file = write(tmp_path / "train.csv", "V1,V2", ((name, *values[:-12]) for name, values in series.items()))
    text = train_file.read_text().splitlines()
    train_file.write_text("\n".join([",".join(["V1", *(f"V{n}" for n in range(2, 200))]), *text[1:]]) + "\n")
    test_file = write(tmp_path / "test.csv", "V1,V2", ((name, *values[-12:]) for name, values in series.items()))
    run = train(train_file, test=test_file, layout="rows", horizon=12, window=36, patch=4)
    found = metrics_of(run)
    assert found["test"]["mae"] < 0.7 * found["test naive"]["mae"]
    assert run.evaluate()["windows"] == 5
    # The test file after the training file, seen as newer data of a model that knows the training data only:
    again = train(train_file, layout="rows", horizon=12, window=36, epochs=1, overwrite=True)
    assert again.evaluate(test_file, continues=True)["windows"] == 5
    told = again.predict(test_file, continues=True, horizon=2)
    assert [(row["unique_id"], row["ds"]) for row in told[:3]] == [("H0", "150"), ("H0", "151"), ("H1", "160")]
    with pytest.raises(DataError, match="expected 36 steps to read and 12 to forecast, got 12; give a longer"):
        again.evaluate(test_file)
    with pytest.raises(DataError, match="expected 36 steps to read or more, got 12"):
        again.predict(test_file)


def test_missing_steps_are_reported_and_not_scored(tmp_path: Path) -> None:
    values = waves(500)
    there = [hour for hour in range(500) if hour % 50 != 7]
    path = write(tmp_path / "s.csv", "ds,y", ((stamp(hour), values[hour]) for hour in there))
    facts: dict[str, Any] = {}
    run = train(
        path, horizon=6, window=24, on_event=lambda event: facts.update(getattr(event, "facts", {})), epochs=2
    )  # fmt: skip
    assert facts["missing"].startswith(
        "10 steps, 10 values in all, the first at 2020-01-01 07:00:00; filled by previous"
    )
    assert run.fitted.masked
    assert len(run.predict(path)) == 6


def test_a_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Stopped in the middle of an epoch and resumed: the same forecasts, to the bit."""
    from recurra import tasks
    from recurra.training import Step

    path = write(tmp_path / "s.csv", "ds,y", enumerate(waves(300)))
    options: dict[str, Any] = {name: value for name, value in SMALL.items() if name not in ("on_event", "eval_every")}
    config = tasks.TASKS["forecast"].options.make(
        **{**options, "data": path, "horizon": 4, "window": 20, "epochs": 2, "log_every": 1, "save_every": 2,
           "dropout": 0.3, "output_dir": tmp_path / "whole"}
    )  # fmt: skip
    list(tasks.start("forecast", config).events())
    stopped = tasks.start("forecast", config.model_copy(update={"output_dir": tmp_path / "stopped"}))
    for event in stopped.events():
        if isinstance(event, Step) and event.step == 9:
            break
    path.unlink()
    list(tasks.resume("forecast", tmp_path / "stopped").events())
    whole, resumed = (recurra.load(tmp_path / name).predict() for name in ("whole", "stopped"))
    assert whole == resumed


def test_a_run_that_starts_from_another(tmp_path: Path, wave: ForecastRun) -> None:
    path = write(tmp_path / "s.csv", "ds,y", ((stamp(hour), 1000 * v) for hour, v in enumerate(waves(300, seed=5))))
    run = train(path, init_from=wave.folder, epochs=1, cell="gru", horizon=12, learning_rate=1e-6)
    assert run.fitted.scales.center[0, 0] == pytest.approx(20_000, rel=0.05)
    assert run.evaluate()["mase"] < 0.7
    with pytest.raises(ConfigError, match=r"horizon=6: the model in .* has horizon=12; leave it out"):
        train(path, init_from=wave.folder, horizon=6, overwrite=True)


def test_levels_of_a_gaussian(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "ds,y", enumerate(waves(300)))
    run = train(path, horizon=4, window=20, distribution="gaussian", epochs=1)
    (first, *_) = run.predict(path, levels=[0.05, 0.5, 0.95])
    assert list(first) == ["ds", "y", "y_q0.05", "y_q0.5", "y_q0.95"]
    assert first["y_q0.5"] == pytest.approx(first["y"])
    assert first["y"] - first["y_q0.05"] == pytest.approx(first["y_q0.95"] - first["y"])


def test_time_zones_go_through(tmp_path: Path) -> None:
    """Stamps with offsets in, stamps with offsets out, across the night in which the clock is put forward."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Europe/Berlin")
    first = datetime(2020, 3, 20, tzinfo=ZoneInfo("UTC"))
    moments = [(first + timedelta(hours=hour)).astimezone(zone) for hour in range(216)]
    path = write(tmp_path / "s.csv", "ds,y", zip([m.isoformat() for m in moments[:210]], waves(210), strict=True))
    run = train(path, horizon=6, window=24, time_zone="Europe/Berlin", epochs=1)
    assert [row["ds"] for row in run.predict(path)] == [moment.isoformat(sep=" ") for moment in moments[210:]]
