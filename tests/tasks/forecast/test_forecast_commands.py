"""The forecaster on the command line, and what it refuses: one line, exit code 2, before any training."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_series import stamp, train, waves, write

import recurra
from recurra.errors import ConfigError, DataError, FolderError
from recurra.tasks.forecast import ForecastPrediction
from recurra.tasks.forecast.run import ForecastRun


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
    ("long", "--quantiles 0.9 0.1", "quantiles: expected numbers between 0 and 1 in order"),
    ("long", "--quantiles 0.1 0.9", "quantiles: expected 0.5 among them"),
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


def test_every_help_page_has_its_options(command: Any) -> None:
    code, out, _ = command("train forecast --help")
    assert code == 0
    for flag in ("--horizon", "--target", "--series-columns", "--split-dates", "--known-covariates", "--difference"):
        assert flag in out


def test_short_series_are_left_out_if_asked(tmp_path: Path, command: Any) -> None:
    rows = [(name, hour, value) for name, length in (("a", 80), ("b", 200)) for hour, value in enumerate(waves(length))]
    path = write(tmp_path / "s.csv", "unique_id,ds,y", rows)
    words = f"train forecast {path} --horizon 6 --window 60 --epochs 1 --threads 1 --output-dir {tmp_path / 'run'}"
    code, _, err = command(words)
    assert (code, err.count("\n")) == (2, 1)
    assert (
        f"{path}:2: series 'a': expected 66 steps to train on, for a window of 60 and a horizon of 6, got 64 of 80"
        in err
    )
    code, out, _ = command(words + " --drop-short --windows-per-epoch 50")
    assert code == 0
    assert "1 of 200 steps, 1 left out" in out
    assert recurra.load(tmp_path / "run").fitted.ids == ("b",)


def test_without_a_test_part_the_baselines_stand_beside_the_validation(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "ds,y", enumerate(waves(200)))
    more = write(tmp_path / "v.csv", "ds,y", enumerate(waves(30), start=200))
    run = train(path, valid=more, horizon=4, window=20, epochs=1)
    found = json.loads((run.folder / "metrics.json").read_text())
    assert {"valid", "valid naive", "valid drift", "valid linear"} <= set(found)
    assert "test" not in found
    with pytest.raises(DataError, match="has no test steps; give a file to evaluate on"):
        run.evaluate()
    assert run.data().splits.ends[:, 0].tolist() == [200, 230, 230]


def test_check_says_what_is_wrong_without_training(tmp_path: Path, command: Any) -> None:
    path = tmp_path / "s.csv"
    path.write_text("ds,y\n1,1\n3,1\n2,1\n")
    code, out, err = command(f"check forecast {path}")
    assert code != 0
    assert f"{path}:4: expected a time after 3 (line 3), got 2; sort the file by time" in out + err
    assert list(tmp_path.iterdir()) == [path]
