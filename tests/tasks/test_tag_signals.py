"""Classes and numbers for the steps of signals, from an .npz file to predictions and rankings."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waves import write_steps

import recurra
from recurra.cli.main import main
from recurra.errors import FolderError
from recurra.metrics.regression import regression_metrics
from recurra.tasks.tag.signal_run import SignalTagRun

SMALL: dict[str, Any] = {"hidden_size": 16, "learning_rate": 0.02, "dropout": 0.0, "batch_size": 8}
COMMAND = "--hidden-size 8 --epochs 1 --max-steps 1 --output-dir run"
Command = Callable[[str], tuple[int, str, str]]


def train(data: Path, folder: Path, **options: Any) -> SignalTagRun:
    options = {"epochs": 6, **SMALL, **options}
    run = recurra.train("tag", data, output_dir=folder, on_event=lambda event: None, **options)
    assert isinstance(run, SignalTagRun)
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def classes(folder: Path) -> SignalTagRun:
    return train(write_steps(folder / "classes.npz", 200, 1, numbers=False), folder / "classes")


@pytest.fixture(scope="module")
def numbers(folder: Path) -> SignalTagRun:
    return train(write_steps(folder / "numbers.npz", 200, 1, numbers=True), folder / "numbers")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(shlex.split(words)), *capsys.readouterr()

    return run


def test_it_learns_classes_and_numbers(classes: SignalTagRun, numbers: SignalTagRun) -> None:
    found = classes.evaluate()
    assert found["accuracy"] > 0.9
    assert set(found) == {"accuracy", "nats_per_step", "steps"}
    found = numbers.evaluate()
    assert found["r2"] > 0.9
    assert found["rank_correlation"] > 0.9
    for run in (classes, numbers):
        assert json.loads((run.folder / "metrics.json").read_text())["test"] == pytest.approx(run.evaluate())


def test_measures_are_those_of_the_predictions(folder: Path, classes: SignalTagRun, numbers: SignalTagRun) -> None:
    for run in (classes, numbers):
        path = write_steps(folder / f"new-{run.folder.name}.npz", 30, 2, numbers=run is numbers)
        with np.load(path) as arrays:
            lengths, targets = arrays["lengths"], arrays["targets"]
        records = run.predict(path)
        assert [len(one.get("scores", one.get("tags"))) for one in records] == lengths.tolist()
        if run is classes:
            tags = np.concatenate([one["tags"] for one in records])
            assert run.evaluate(path, batch_size=7)["accuracy"] == pytest.approx((tags == targets).mean())
        else:
            scores = np.concatenate([one["scores"] for one in records])
            bounds = np.concatenate([[0], np.cumsum(lengths)])
            expected = {**regression_metrics(targets, scores, bounds), "steps": len(targets)}
            assert run.evaluate(path, batch_size=7) == pytest.approx(expected, rel=1e-4)


def test_rankings_and_arrays(folder: Path, numbers: SignalTagRun, command: Command) -> None:
    path = write_steps(folder / "rank.npz", 5, 3, numbers=True)
    with np.load(path) as arrays:
        parts = np.split(arrays["values"], np.cumsum(arrays["lengths"])[:-1])
    records = numbers.predict(parts)
    assert records == numbers.predict(path)
    for one, ranked in zip(records, numbers.predict(path, rank=True), strict=True):
        steps = [place["step"] for place in ranked["ranking"]]
        assert steps == np.argsort(-np.array(one["scores"]), kind="stable").tolist()
    code, out, err = command(f"predict {numbers.folder} {path} --rank --format csv")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["id", "rank", "step", "score"]
    for one in records:
        mine = [row for row in rows if row["id"] == one["id"]]
        assert [int(row["rank"]) for row in mine] == list(range(1, len(one["scores"]) + 1))
        assert [one["scores"][int(row["step"])] for row in mine] == sorted(one["scores"], reverse=True)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_written_predictions(folder: Path, kind: str, request: pytest.FixtureRequest, command: Command) -> None:
    run: SignalTagRun = request.getfixturevalue(kind)
    path = write_steps(folder / "bare.npz", 4, 4, numbers=True, ids=np.array(["a", "b", "c", "d"]))
    records = run.predict(path)
    code, out, err = command(f"predict {run.folder} {path}")
    assert code == 0, err
    assert [json.loads(line) for line in out.splitlines()] == records
    code, out, err = command(f"predict {run.folder} {path} --format csv")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    field, several = ("tag", "tags") if kind == "classes" else ("score", "scores")
    assert [(row["id"], row["step"], row[field]) for row in rows] == [
        (one["id"], str(step), str(value)) for one in records for step, value in enumerate(one[several])
    ]


def test_report_card_and_check(folder: Path, classes: SignalTagRun, numbers: SignalTagRun, command: Command) -> None:
    for run, tables in ((classes, {"tags.csv", "confusion.csv", "confusion.png"}), (numbers, {"series.csv"})):
        found = {file.name for file in (run.folder / "report").iterdir()}
        assert found == {f"test_{table}" for table in {*tables, "errors.tsv"}}
    assert "--rank" in (numbers.folder / "README.md").read_text()
    assert command(f"check tag {folder / 'numbers.npz'}") == (0, "nothing wrong\n", "")
    with (numbers.folder / "report" / "test_series.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert np.average(
        [float(row["mse"]) for row in rows], weights=[int(row["steps"]) for row in rows]
    ) == pytest.approx(numbers.evaluate()["mse"], abs=1e-3)


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ("classes", {"output_layer": "crf", "monitor": "nats_per_token", "cell": "gru"}),
        ("numbers", {"monitor": "rank_correlation", "differences": True, "jitter": 0.1, "dtype": "float64"}),
        ("numbers", {"bidirectional": False, "valid_frac": 0.0, "test_frac": 0.0, "dropout": 0.3}),
    ],
)
def test_options(tmp_path: Path, targets: str, options: dict[str, Any]) -> None:
    data = write_steps(tmp_path / "a.npz", 40, 1, numbers=targets == "numbers")
    run = train(data, tmp_path / "run", epochs=1, **options)
    assert run.evaluate(data) == recurra.load(tmp_path / "run").evaluate(data)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    data = write_steps(tmp_path / "a.npz", 40, 1, numbers=True)
    whole = train(data, tmp_path / "whole", epochs=2)
    part = train(data, tmp_path / "part", epochs=2, max_steps=3)
    text = (part.folder / "config.yaml").read_text().replace("max_steps: 3", "max_steps: null")
    (part.folder / "config.yaml").write_text(text)
    data.unlink()
    resumed = recurra.train("tag", resume=part.folder, on_event=lambda event: None)
    for name, weight in whole.model.state_dict().items():
        assert weight.equal(resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("change", [("[", ""), ('"mean"', '"men"'), ("recurra targets", "targets")])
def test_a_damaged_folder_is_refused(tmp_path: Path, numbers: SignalTagRun, change: tuple[str, str]) -> None:
    import shutil

    shutil.copytree(numbers.folder, tmp_path / "run")
    path = tmp_path / "run" / "targets.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(FolderError, match=r"targets.json: expected the targets of a run, got a damaged file \(.*\)"):
        recurra.load(tmp_path / "run")


ONE = np.array([[0.0, 1.0]] * 4)
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "a.npz", r"a.npz: expected an array 'targets', one per row of values, got none; add it"),
    ({"targets": ["x"] * 4}, "a.npz", "a.npz: expected at least 2 different classes, got only x; give others too"),
    ({"targets": [0.5] * 4}, "a.npz", "a.npz: expected at least 2 different targets, got only 0.5; give others too"),
    ({"targets": [0.5, 1, 2, np.nan]}, "a.npz", r"a.npz: targets\[3\]: expected a finite number, got nan; correct it"),
    ({"targets": [0, 1, 0, 1]}, "a.npz --monitor mse", "monitor=mse: targets that are classes have accuracy, .*"),
    ({"targets": [0, 1.5, 0, 1]}, "a.npz --output-layer crf", "output_layer has no effect: .*a.npz has numbers, .*"),
    (
        {"targets": [0, 1, 0, 1]},
        "a.npz --column 2",
        "column has no effect on .*a.npz, which holds signals; leave it out",
    ),
    (
        {"targets": [0, 1, 0, 1]},
        "words.conll --jitter 1",
        "jitter has no effect on .*, which holds words; .*",
    ),
    ({"targets": [0, 1, 0, 1]}, "a.npz --test up.npz", r"up.npz: series 1: targets\[0\]: class 'up' is not in .*"),
    (
        {"targets": [0.5, 1, 0, 1]},
        "a.npz --test up.npz",
        "up.npz: expected targets that are numbers .*",
    ),
    ({"targets": [0, 1, 0, 1]}, "a.npz --valid-frac 0.5 --test-frac 0.4", "a.npz: expected sequences enough to cut .*"),
]


@pytest.mark.parametrize(("arrays", "words", "message"), BAD)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, arrays: dict[str, Any], words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", values=ONE, lengths=[2, 2], **arrays)
    cut = " ".join(f"--{part}-frac 0" for part in ("valid", "test") if f"--{part}" not in words)
    np.savez("up.npz", values=ONE, lengths=[2, 2], targets=["up"] * 4)
    Path("words.conll").write_text("a\tB\nb\tC\n\n" * 9)
    code, out, err = command(f"train tag {words} {cut} {COMMAND}")
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"recurra: (\S*/)?{message}\n", err), err
    assert not Path("run").exists()


def test_predictions_that_cannot_be(folder: Path, classes: SignalTagRun, command: Command) -> None:
    path = write_steps(folder / "some.npz", 3, 1, numbers=False)
    for words, message in (
        (f"{path} --rank", "rank has no effect: .* gives steps classes, not numbers; leave it out"),
        (f"{path} --format conll", "a tagger of signals writes --format jsonl or csv, .*"),
        (f"{folder / 'none.npz'}", ".*none.npz: expected .*, got no such path; .*"),
    ):
        code, out, err = command(f"predict {classes.folder} {words}")
        assert (code, out) == (2, "")
        assert re.fullmatch(f"recurra: {message}\n", err), err
