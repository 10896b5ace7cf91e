"""Classifying signals from a file to predictions, whatever the file's format; bad input before any training."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waves import FLAGS, WRITTEN, waves, write

import recurra
from recurra.cli.main import main
from recurra.errors import ConfigError, DataError
from recurra.tasks.classify.run import ClassifyRun

SMALL: dict[str, Any] = {"hidden_size": 16, "epochs": 6, "learning_rate": 0.02, "dropout": 0.1, "batch_size": 16}
COMMAND = "--hidden-size 8 --epochs 1 --max-steps 1 --output-dir run"


def train(data: Path, folder: Path, **options: Any) -> ClassifyRun:
    run = recurra.train("classify", data, output_dir=folder, on_event=lambda event: None, **{**SMALL, **options})
    assert isinstance(run, ClassifyRun)
    return run


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(shlex.split(words)), *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClassifyRun]:
    """The same signals from each kind of file."""
    folder, series = tmp_path_factory.mktemp("waves"), waves(200, seed=1, missing=0.05)
    return {
        ending: train(write(folder, ending, series), folder / f"run.{ending}", **FLAGS.get(ending, {}))
        for ending in WRITTEN
    }


def test_every_format_gives_the_same_model(runs: dict[str, ClassifyRun]) -> None:
    expected = runs["npz"].evaluate()
    assert expected["accuracy"] >= 0.9
    for run in runs.values():
        assert run.evaluate() == pytest.approx(expected)
        assert run.fitted.input.mask  # training has missing values


def test_scales_are_of_the_training_part_alone(tmp_path: Path) -> None:
    train_file = write(tmp_path, "npz", waves(40, seed=1))
    far = [(label, values * 1000) for label, values in waves(20, seed=2)]
    files = {"valid": write(tmp_path, "npz", far, "v"), "test": write(tmp_path, "npz", far, "t")}
    run = train(train_file, tmp_path / "run", max_steps=1, **files)
    values = np.concatenate([values for _, values in waves(40, seed=1)])
    np.testing.assert_allclose(run.fitted.input.mean, values.mean(0))
    np.testing.assert_allclose(run.fitted.input.deviation, values.std(0))


def test_predictions_of_files_and_arrays(
    runs: dict[str, ClassifyRun], tmp_path: Path, command: Callable[[str], tuple[int, str, str]]
) -> None:
    run, series = runs["tsv"], waves(30, seed=3, missing=0.05)
    path = write(tmp_path, "tsv", series, "new")
    expected = run.predict([values for _, values in series])
    code, out, err = command(f"predict {run.folder} {path}")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [row["label"] for row in rows] == [one.label for one in expected]
    for row, one in zip(rows, expected, strict=True):
        assert float(row["slow"]) == pytest.approx(one.probabilities["slow"], abs=1e-5)
    assert np.mean([one.label == label for one, (label, _) in zip(expected, series, strict=True)]) > 0.8
    bare = tmp_path / "bare.tsv"
    bare.write_text(re.sub("(?m)^(slow|fast)\t", "", path.read_text()))
    assert command(f"predict {run.folder} {bare} --label-column none") == (0, out, err)
    code, out, err = command(f"evaluate {run.folder} {path} --json")
    assert code == 0, err
    assert json.loads(out)["examples"] == 30


def test_rows_without_labels_are_not_taken_for_labelled_ones(
    tmp_path: Path, command: Callable[[str], tuple[int, str, str]]
) -> None:
    (tmp_path / "train.tsv").write_text("slow 0.5 1 1.5 2\nfast 1 2 3 4\n" * 10)
    folder = train(tmp_path / "train.tsv", tmp_path / "run", max_steps=1, label_map=["slow=sluggish"]).folder
    path = tmp_path / "bare.tsv"
    path.write_text("slow 0.5 1\nfast 2 1\nsluggish 1 1\n")
    assert command(f"predict {folder} {path}")[0] == 0
    path.write_text("7 0.5 1.5 2.5 1 1\n")
    code, out, err = command(f"predict {folder} {path}")
    assert (code, out) == (2, "")
    assert re.fullmatch(
        r"recurra: .*bare.tsv:1: expected a class of the model \('fast', 'sluggish'\) as label \(first\), got '7'; "
        r"where rows have no labels give --label-column none, .*\n",
        err,
    )
    assert command(f"predict {folder} {path} --label-column none")[0] == 0
    path.write_text("new 0.5 1.5 2.5 1\n")
    assert command(f"predict {folder} {path} --label-column first")[0] == 0


@pytest.mark.parametrize("ending", ["long.csv", "npz"])
def test_predictions_name_the_series(
    runs: dict[str, ClassifyRun], tmp_path: Path, command: Callable[[str], tuple[int, str, str]], ending: str
) -> None:
    run, path = runs[ending], write(tmp_path, ending, waves(4, seed=3), "new")
    ids = [one.id for one in run.predict(path)]
    assert len(set(ids)) == 4
    for form, separator in (("tsv", "\t"), ("csv", ",")):
        rows = list(
            csv.reader(io.StringIO(command(f"predict {run.folder} {path} --format {form}")[1]), delimiter=separator)
        )
        assert rows[0] == ["id", "label", "probability", "fast", "slow"]
        assert [row[0] for row in rows[1:]] == ids
    lines = command(f"predict {run.folder} {path} --format jsonl")[1].splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_signals_from_standard_input(
    runs: dict[str, ClassifyRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: Callable[[str], tuple[int, str, str]],
) -> None:  # fmt: skip
    path = write(tmp_path, "tsv", waves(4, seed=3), "new")
    for content in (path.read_bytes(), b"", b"slow\t1\t2\nslow\t1\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code, out, err = command(f"predict {runs['tsv'].folder} -")
        if content == path.read_bytes():
            assert (code, out, err) == command(f"predict {runs['tsv'].folder} {path}")
        else:
            assert (code, out) == (2, "")
            assert re.match("recurra: stdin(:2)?: expected", err)


def test_the_report_and_the_card(runs: dict[str, ClassifyRun]) -> None:
    folder = runs["ts.gz"].folder
    names = {file.name for file in (folder / "report").iterdir()}
    assert {"classes.csv", "confusion.csv", "confusion.png", "wrong.jsonl"} <= names
    assert "A classifier of signals" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {"fill": "forward", "mask": "never", "normalize": "per-series"},
        {"fill": "zero", "mask": "always", "normalize": "none", "dtype": "float64"},
        {"fill": "mean", "differences": True, "jitter": 0.1, "scaling": 0.1, "pooling": "max", "cell": "gru"},
    ],
)
def test_options_are_kept_with_the_model(tmp_path: Path, options: dict[str, Any]) -> None:
    series = waves(60, seed=1, missing=0.1)
    run = train(write(tmp_path, "npz", series), tmp_path / "run", epochs=1, **options)
    loaded = recurra.load(tmp_path / "run")
    assert loaded.evaluate() == run.evaluate() == json.loads((run.folder / "metrics.json").read_text())["test"]
    for name in ("fill", "normalize"):
        assert getattr(loaded.fitted.input, name) == options.get(name, "per-channel")


def test_arrays_that_cannot_be(runs: dict[str, ClassifyRun]) -> None:
    for given, message in (
        ([np.ones(3)], r"series 1: expected numbers \[T, 2\], a column per channel, got \[3\]"),
        ([np.ones((3, 2)), np.ones((3, 3))], r"series 2: expected numbers \[T, 2\], .* got \[3, 3\]"),
        ([np.full((3, 2), np.inf)], "series 1: expected finite numbers, got infinite ones; .*"),
        ([np.full((3, 2), np.nan)], "series 1: expected a series with values, got one in which all are missing; .*"),
        (["a text"], r"series 1: expected numbers \[T, 2\], got str"),
    ):
        with pytest.raises(DataError, match=message):
            runs["npz"].predict(given)
    with pytest.raises(ConfigError, match="threshold has no effect"):
        runs["npz"].predict([np.ones((3, 2))], threshold=0.5)


BAD = [
    ("one.npz", "one.npz: expected at least 2 classes, got one class only, 'slow'; give examples of others too"),
    ("waves.npz --test odd.npz", r"odd.npz: series 2: label 'odd' is not in the training data, which has .*"),
    ("waves.npz --test wide.npz", "wide.npz: expected 2 channels as in training, got 3; give .*"),
    ("waves.npz --test named.npz", "named.npz: expected channels 'x', 'y' as in training, got 'a', 'b'; .*"),
    ("waves.npz --series-id a", "series_id has no effect on waves.npz, only on tables with --series-id; leave it out"),
    ("waves.npz --channels 2", "channels has no effect on waves.npz, only on rows of numbers; leave it out"),
    ("waves.npz --unit char", "unit has no effect on a signal; leave it out, or set input"),
    ("waves.npz --multilabel", "n-grams and multilabel go with texts, not with signals; leave them out"),
    ("waves.npz --time t", "time has no effect without series_id; name the column of the series"),
    ("bare.npz", r"bare.npz: expected a label for each series, got none; add an array 'labels' \[N\]"),
    ("cut.ts.gz", r"cut.ts.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"),
    ("waves.tsv --channels 7", "waves.tsv:1: expected a number of values that --channels 7 divides, got .*"),
    ("waves.long.csv --series-id nam", "waves.long.csv:1: expected a column 'nam' .*did you mean 'name'.*"),
    ("waves.long.csv --series-id name --label sped", r"waves.long.csv:1: expected a column 'sped' \(--label\), got .*"),
    (
        "waves.long.csv --series-id name --label speed --values x z",
        r"waves.long.csv:1: expected a column 'z' \(--values\), got .*",
    ),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files good and bad."""
    series = waves(20, seed=1)
    packed = {ending: write(tmp_path, ending, series) for ending in WRITTEN}["ts.gz"].read_bytes()
    (tmp_path / "cut.ts.gz").write_bytes(packed[:-20])
    values = [values for _, values in series[:3]]
    write(tmp_path, "npz", [("slow", one) for one in values], "one")
    write(tmp_path, "npz", [("slow", values[0]), ("odd", values[1])], "odd")
    np.savez(tmp_path / "wide.npz", values=np.ones((4, 3)), lengths=[4], labels=["slow"])
    np.savez(tmp_path / "named.npz", values=np.ones((4, 2)), lengths=[4], labels=["slow"], channels=["a", "b"])
    np.savez(tmp_path / "bare.npz", values=np.ones((4, 2)), lengths=[2, 2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input_is_one_line_before_any_training(
    place: Path, command: Callable[[str], tuple[int, str, str]], words: str, message: str
) -> None:
    code, out, err = command(f"train classify {words} {COMMAND}")
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"recurra: (\S*/)?{message}\n", err), err
    assert not (place / "run").exists()


def test_label_column_goes_with_signals(place: Path, command: Callable[[str], tuple[int, str, str]]) -> None:
    (place / "texts.csv").write_text("label,text\n" + "good,fine film\nbad,dull film\n" * 10)
    assert command(f"train classify texts.csv --baseline none {COMMAND}")[0] == 0
    code, _, err = command("predict run texts.csv --label-column none")
    assert (code, err) == (2, "recurra: label_column has no effect on texts, only on rows of numbers; leave it out\n")
