"""Forecasting from a file to a report, on made-up series whose rules a forecaster must learn."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recurra
from recurra.cli.main import main
from recurra.errors import ConfigError, DataError, FolderError
from recurra.tasks.forecast import ForecastPrediction
from recurra.tasks.forecast.run import ForecastRun

SMALL: dict[str, Any] = {
    "cell": "gru", "hidden_size": 32, "epochs": 10, "batch_size": 16, "learning_rate": 0.01, "threads": 1,
    "schedule": "cosine", "eval_every": 10_000, "save_every": 10_000, "on_event": lambda event: None,
}  # fmt: skip
START = datetime(2020, 1, 1)


def write(path: Path, names: str, rows: Iterable[Iterable[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(names + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def stamp(hour: int) -> str:
    return (START + timedelta(hours=hour)).isoformat(sep=" ")


def waves(steps: int, seed: int = 1, noise: float = 0.1) -> np.ndarray:
    """Two waves of other lengths than a day, so that repeating the last day is wrong."""
    t = np.arange(steps)
    random = np.random.default_rng(seed)
    return 20 + 3 * np.sin(t * 2 * np.pi / 9.5) + 2 * np.sin(t * 2 * np.pi / 31) + noise * random.normal(size=steps)


def train(data: Path, **options: Any) -> ForecastRun:
    run: ForecastRun = recurra.train("forecast", data, output_dir=data.parent / "run", **{**SMALL, **options})
    return run


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> ForecastRun:
    """A model of one series with a day of horizon; its file is beside its folder."""
    path = tmp_path_factory.mktemp("wave") / "wave.csv"
    values = waves(900)
    write(path, "ds,y", ((stamp(hour), f"{value:.5f}") for hour, value in enumerate(values)))
    return train(path, horizon=12, window=48, patch=4)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(shlex.split(words)), *capsys.readouterr()

    return run


def metrics_of(run: ForecastRun) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((run.folder / "metrics.json").read_text())
    return found


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
        {"distribution": "gaussian", "cell": "lstm", "num_layers": 2},
        {"distribution": "point", "loss": "mae", "patch": 1, "difference": "none"},
        {"distribution": "point", "decoder": "recurrent", "decoder_training": "teacher", "patch": 4, "loss": "huber"},
        {"linear": True, "window_scaling": True, "difference": "seasonal", "season": 31, "scaling": "robust"},
        {"log": True, "calendar": "hour,weekday", "dtype": "float64"},
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


def test_the_commands(wave: ForecastRun, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wave.folder.parent / "wave.csv"
    code, out, _ = command(f"predict {wave.folder} {file} --horizon 3")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["ds"] for row in rows] == [stamp(900), stamp(901), stamp(902)]
    assert list(rows[0]) == ["ds", "y", "y_q0.1", "y_q0.5", "y_q0.9"]
    assert float(rows[0]["y"]) == pytest.approx(wave.predict(file)[0]["y"], rel=1e-6)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(file.read_bytes())))
    assert "".join(wave.write_predictions(Path("-"), ForecastPrediction.make(horizon=3))) == out
    code, out, _ = command(
        f"evaluate {wave.folder} {file} --stride 24 --windows 5 --json --report-dir {tmp_path / 'r'}"
    )
    assert code == 0
    assert json.loads(out)["windows"] == 5
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"by_step.csv", "forecasts.png"}
    code, _, err = command(f"evaluate {wave.folder} {file} --report-dir {tmp_path / 'r'}")
    assert (code, err.strip()) == (2, f"recurra: {tmp_path / 'r'}: exists; give a new --report-dir")


BAD = [
    ("ds,y\n1,1\n2,2\n3,3\n", "", ":2: expected a series long enough for its parts, got 3 steps"),
    ("long", "--window 500", ":2: expected 524 steps to train on, for a window of 500 and a horizon of 24"),
    ("long", "--target z", ":1: expected a column 'z' (target), found ds, y"),
    ("long", "--known-covariates z", ":1: expected a column 'z' (known_covariates), found ds, y"),
    ("ds,y\n2,1\n1,2\n", "", ":3: expected a time after 2 (line 2), got 1; sort the file by time"),
    ("ds,y\n1,1\n1,2\n", "", ":3: time 1 stands already in line 2; keep one row"),
    ("ds,y\n1,1\n2,nan\n", "", ":3: expected a number in column 'y', got a missing value"),
    ("ds,y\n1,1\n2,inf\n", "", ":3: expected a number in column 'y', got 'inf'"),
    ("long", "--difference seasonal", "difference=seasonal: no season is known at this frequency"),
    ("long", "--calendar hour", "calendar=hour: expected time stamps, got rows that are counted"),
    ("long", "--calendar noon", "calendar: expected auto, or some of minute, hour"),
    ("long", "--quantiles 0.9 --quantiles 0.1", "quantiles: expected numbers between 0 and 1 in order"),
    ("long", "--quantiles 0.1 --quantiles 0.9", "quantiles: expected 0.5 among them"),
    ("long", "--loss mae", "loss has no effect with distribution=quantiles; it needs distribution=point"),
    ("long", "--decoder-training teacher", "decoder_training=teacher: quantiles cannot be read as values"),
    ("long", "--split-rows 10 10 --split-dates 4", "split_rows and split_dates: give one of them"),
    ("long", "--split-rows 100 100 100", ":2: expected 300 steps or more for split_rows"),
    ("long", "--split-rows 90 10 100", ":2: expected 24 steps or more for validation, got 10"),
    ("long", "--valid-frac 0", "valid_frac=0: training needs steps to choose the best model on"),
    ("long", "--patch 5 --window 24", "window: expected a multiple of patch=5, got 24"),
    ("negative", "--log", ":2: expected values above 0 for the logarithm, got -1 in 'y' at 0"),
    ("long", "--cell grru", "did you mean 'gru'?"),
    ("long", "--layout rows --calendar hour", "calendar has no effect with layout=rows"),
]


@pytest.mark.parametrize(("content", "options", "message"), BAD, ids=[message[:50] for _, _, message in BAD])
def test_bad_input_is_one_line_before_any_training(
    content: str, options: str, message: str, tmp_path: Path, command: Any
) -> None:
    made = {"long": "ds,y\n" + "".join(f"{n},{n}\n" for n in range(200)),
            "negative": "ds,y\n" + "".join(f"{n},{n - 1}\n" for n in range(200))}  # fmt: skip
    path = tmp_path / "s.csv"
    path.write_text(made.get(content, content))
    code, out, err = command(f"train forecast {path} --output-dir {tmp_path / 'run'} {options}")
    assert code == 2, out + err
    assert len(err.strip().splitlines()) == 1
    assert (str(path) + message if message[0] == ":" else message) in err
    assert not (tmp_path / "run").exists()


def test_the_future_must_be_known(tmp_path: Path) -> None:
    rows = [(stamp(hour), hour % 5, hour % 3) for hour in range(150)]
    path = write(tmp_path / "s.csv", "ds,y,k", rows)
    run = train(path, horizon=4, window=12, known_covariates="k", epochs=1)
    with pytest.raises(ConfigError, match="the model knows k in advance; give --future FILE with them"):
        run.predict(path)
    future = write(tmp_path / "f.csv", "ds,k", ((stamp(hour), 1) for hour in range(150, 153)))
    with pytest.raises(
        DataError, match=r"f.csv:2: expected covariates from 2020-01-07 06:00:00 to 2020-01-07 09:00:00, "
    ):
        run.predict(path, future=future)
    assert len(run.predict(path, future=future, horizon=3)) == 3
    with pytest.raises(ConfigError, match="levels has no effect with distribution=quantiles; leave it out"):
        run.predict(path, future=future, levels=[0.1])
    (run.folder / "forecast.json").write_text("{}")
    with pytest.raises(FolderError, match=r"forecast.json: cannot be read"):
        recurra.load(run.folder)


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


def test_every_help_page_has_its_options(command: Any) -> None:
    code, out, _ = command("train forecast --help")
    assert code == 0
    for flag in ("--horizon", "--target", "--series-columns", "--split-dates", "--known-covariates", "--difference"):
        assert flag in out
