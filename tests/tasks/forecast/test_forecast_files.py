"""Further files for a trained forecaster: columns in another order, coarser steps, gaps, the last of all years."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_series import stamp, train, waves, write

from recurra.errors import DataError
from recurra.tasks.forecast.backtest import Backtest
from recurra.tasks.forecast.report import _write_table
from recurra.tasks.forecast.run import ForecastRun

COLUMNS = {"a": waves(200), "b": 1000 * waves(200, seed=2), "k": np.arange(200.0) % 7}


def table(path: Path, names: Sequence[str], first: int = 0, stop: int = 150) -> Path:
    """Some columns of some hours."""
    rows = ((stamp(hour), *(f"{COLUMNS[name][hour]:.5f}" for name in names)) for hour in range(first, stop))
    return write(path, ",".join(["ds", *names]), rows)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> ForecastRun:
    """A model of all columns but the covariate, with validation in a file of another order."""
    folder = tmp_path_factory.mktemp("joint")
    valid = table(folder / "valid.csv", "kba", 120, 150)
    path = table(folder / "s.csv", "abk", 0, 120)
    return train(path, valid=valid, target="all", past_covariates="k", horizon=4, window=24, epochs=2)


def test_all_targets_are_taken_by_name(joint: ForecastRun, tmp_path: Path) -> None:
    """Whatever the order of the columns, and whatever other columns there are."""
    same, other = table(tmp_path / "same.csv", "abk"), table(tmp_path / "other.csv", "bka")
    assert joint.fitted.targets == ("a", "b")
    assert joint.predict(same) == joint.predict(other)
    assert joint.evaluate(same) == joint.evaluate(other)
    more = write(tmp_path / "more.csv", "z," + other.read_text().splitlines()[0],
                 (("5", line) for line in other.read_text().splitlines()[1:]))  # fmt: skip
    assert joint.predict(more) == joint.predict(same)
    level = joint.data().series.values.mean(0)  # the validation file's columns too
    assert level == pytest.approx([20, 20_000], rel=0.1)
    assert joint.data().series.values.std(0) == pytest.approx([2.5, 2500], rel=0.3)


@pytest.mark.parametrize("columns", ["ak", "ab"])
def test_missing_columns_are_refused_with_the_names_found(joint: ForecastRun, tmp_path: Path, columns: str) -> None:
    path = table(tmp_path / "f.csv", columns)
    kind = "'b' (target)" if columns == "ak" else "'k' (past_covariates)"
    for verb in (joint.predict, joint.evaluate):
        with pytest.raises(DataError) as caught:
            verb(path)
        expected = f"{path}:1: expected a column {kind}, found ds, {', '.join(columns)}; name the columns as in the"
        assert str(caught.value) == expected + " training data"


def test_a_start_from_all_targets_takes_them_by_name(joint: ForecastRun, tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", "bka")
    run = train(path, init_from=joint.folder, target="all", past_covariates="k", epochs=1)
    assert run.fitted.targets == ("a", "b")
    assert run.fitted.scales.center[0] == pytest.approx([20, 20_000], rel=0.1)


def test_a_file_in_coarser_steps_is_refused(wave: ForecastRun, tmp_path: Path, command: Any) -> None:
    path = write(tmp_path / "daily.csv", "ds,y", ((stamp(24 * day)[:10], 20 + day % 3) for day in range(100)))
    for verb in ("predict", "evaluate"):
        code, out, err = command(f"{verb} {wave.folder} {path}")
        expected = f"recurra: {path}:2: expected a row every 1h as in the training data, got 1d; resample the file"
        assert (code, out, err.strip()) == (2, "", expected)


def test_filled_steps_are_told(wave: ForecastRun, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = waves(900)
    wave.predict(wave.folder.parent / "wave.csv")
    assert not caplog.messages
    gaps = [hour for hour in range(300) if hour not in (7, 100, 101)]
    path = write(tmp_path / "gaps.csv", "ds,y", ((stamp(hour), values[hour]) for hour in gaps))
    told = f"{path}: missing: 3 steps, 3 values in all, the first at 2020-01-01 07:00:00; filled by previous"
    wave.predict(path)
    wave.evaluate(path)
    assert caplog.messages == [told, told]
    caplog.clear()
    path = write(tmp_path / "later.csv", "ds,y", ((stamp(hour), values[5]) for hour in range(902, 910)))
    wave.predict(path, continues=True)
    assert caplog.messages == [
        f"{path}: missing: 2 steps, 2 values in all, the first at {stamp(900)}; filled by previous"
    ]


@pytest.mark.parametrize("zone", ["", "+02:00"])
@pytest.mark.parametrize(("step", "kind"), [("d", "D"), ("h", "h"), ("mo", "M"), ("b", "D"), ("y", "Y")])
def test_no_stamp_after_the_year_9999(tmp_path: Path, zone: str, step: str, kind: str) -> None:
    """The last steps of that year are forecast, and not one more."""
    from recurra.data.series import Clock, Frequency

    last = {"D": "9999-12-31", "h": "9999-12-31T23", "M": "9999-12", "Y": "9999"}[kind]
    clock = Clock(Frequency.parse(step), zone or None)
    begin = np.datetime64(last, kind) - 3
    start = clock.read(str(begin.astype("datetime64[m]")) + zone)
    assert clock.text(clock.after(start, np.arange(4 - (step == "b"))))[0].startswith(str(begin)[:10].replace("T", " "))
    for steps in (4, 40, 2**31):
        with pytest.raises(DataError, match="expected times up to the year 9999, got a later one; give a smaller --h"):
            clock.text(clock.after(start, np.array([0, steps])))


def test_forecasts_end_with_the_year_9999(tmp_path: Path, command: Any) -> None:
    days = np.arange("9999-06-01", "9999-12-30", dtype="datetime64[D]")
    path = write(tmp_path / "s.csv", "ds,y", zip(days, waves(len(days)), strict=True))
    run = train(path, horizon=2, window=12, epochs=1)
    assert [row["ds"] for row in run.predict(path)] == ["9999-12-30", "9999-12-31"]
    code, out, err = command(f"predict {run.folder} {path} --horizon 3")
    assert (code, out) == (2, "")
    assert err.strip() == "recurra: expected times up to the year 9999, got a later one; give a smaller --horizon"


def test_the_table_of_the_report_has_numbers_only(tmp_path: Path) -> None:
    """A cell is empty where an error is infinite or NaN, as one that was not measured."""
    step = {"mae": 1.5, "mse": float("inf"), "mase": float("nan")}
    errors: Any = SimpleNamespace(total=lambda: step, by_step=lambda: [step])
    text = io.StringIO()
    _write_table(csv.writer(text, lineterminator="\n"), Backtest({"model": errors}))
    assert text.getvalue() == "step,forecast,mae,mse,mase\n1,model,1.5,,\n"
