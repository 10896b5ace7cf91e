"""What all tasks share: finding them, several seeds, what is in a run folder."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
from stories import SMALL

import recurra
from recurra.cli.main import main
from recurra.errors import ConfigError, DataError, FolderError
from recurra.tasks import TASKS, find_task
from recurra.tasks.lm import LMConfig
from recurra.tasks.lm.run import LanguageModelRun
from recurra.tasks.seeds import SeveralSeeds, summarise_seeds
from recurra.training import Finished, Repeated, Stopped
from recurra.training.interruption import Interruption

OPTIONS = {name: value for name, value in SMALL.items() if name != "on_event"} | {"max_steps": 2}


class Interrupted(Interruption):
    """A signal that comes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.requested = "SIGINT"


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^unknown task 'lmm'; did you mean 'lm'\?$"):
        find_task("lmm")


def test_seeds_give_mean_and_deviation(corpus: Path, tmp_path: Path) -> None:
    config = LMConfig.make(data=corpus, output_dir=tmp_path / "runs", seed=5, **OPTIONS)
    events = list(SeveralSeeds("lm", config, 3).events())
    single = [event.metrics["test"]["nats_per_character"] for event in events if isinstance(event, Finished)]
    last = events[-1]
    assert isinstance(last, Repeated)
    assert last.seeds == (5, 6, 7)
    assert len(set(single)) == 3
    assert last.mean["test"]["nats_per_character"] == pytest.approx(sum(single) / 3)
    assert last.deviation["test"]["nats_per_character"] == pytest.approx(statistics.stdev(single))
    saved = json.loads((tmp_path / "runs" / "seeds.json").read_text())
    assert saved["mean"] == last.mean
    alone = recurra.train("lm", corpus, output_dir=tmp_path / "alone", seed=6, on_event=lambda _: None, **OPTIONS)
    assert alone.evaluate()["nats_per_character"] == single[1]
    with pytest.raises(FolderError, match=r"seed-5: exists; "):
        list(SeveralSeeds("lm", config, 3).events())


def test_seeds_whose_metrics_are_not_finite(tmp_path: Path) -> None:
    """No mean of them is known; the file is JSON for every reader, which Infinity and NaN are not."""
    runs = [{"test": {"mae": 1.0, "mse": mse, "mase": float("nan")}} for mse in (2.0, float("inf"), -float("inf"))]
    last = summarise_seeds([1, 2, 3], runs, tmp_path)
    assert math.isnan(last.mean["test"]["mse"])
    saved = json.loads((tmp_path / "seeds.json").read_text(), parse_constant=pytest.fail)
    assert saved["mean"] == {"test": {"mae": 1.0, "mse": None, "mase": None}}
    assert saved["deviation"] == {"test": {"mae": 0.0, "mse": None, "mase": None}}
    assert [run["test"]["mse"] for run in saved["runs"]] == [2.0, None, None]


def test_a_signal_ends_all_seeds(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LMConfig.make(data=corpus, output_dir=tmp_path / "runs", **OPTIONS)
    monkeypatch.setattr("recurra.training.loop.Interruption", Interrupted)
    events = list(SeveralSeeds("lm", config, 3).events())
    assert [event.interrupted for event in events if isinstance(event, Stopped)] == [True]
    assert isinstance(events[-1], Finished)
    assert not (tmp_path / "runs" / "seed-2").exists()
    assert not (tmp_path / "runs" / "seeds.json").exists()


def test_metrics_are_by_part(characters: LanguageModelRun) -> None:
    metrics = json.loads((characters.folder / "metrics.json").read_text())
    assert set(metrics) == {"step", "epoch", "valid", "test"}
    assert "nats_per_character" in metrics["valid"]


def test_check_says_what_is_wrong(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "lm", str(corpus)]) == 0
    assert capsys.readouterr().out == "nothing wrong\n"
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"abc\xff" * 100)
    assert main(["check", "lm", str(broken)]) == 1
    out = capsys.readouterr().out
    assert "expected UTF-8 text, got byte 0xff at byte offset 3" in out
    assert out.endswith("1 problem found\n")
    assert not list(Path.cwd().glob("runs/lm-broken"))


def test_verbs_of_other_tasks(characters: LanguageModelRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(characters.folder)
    assert main(["predict", folder, "x.txt"]) == 2
    assert capsys.readouterr().err.endswith(": a model of task 'lm' has no `predict`; see its README.md\n")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_whole(task: str) -> None:
    kind = TASKS[task]
    assert kind.options.task == kind.name == task
    assert set(kind.options.of_model) <= set(kind.options.groups())
    training = kind.training()
    assert training.run_type.options is kind.options
    assert not getattr(training, "__abstractmethods__", None)
    assert not getattr(training.run_type, "__abstractmethods__", None)


def test_a_refused_training_leaves_no_folders(tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_bytes(b"abc\xff" * 100)
    with pytest.raises(DataError):
        recurra.train("lm", tmp_path / "broken.txt", output_dir=tmp_path / "made" / "here" / "run", on_event=print)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.txt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("predict x --explian", "unknown option '--explian'; did you mean '--explain'?"),
        ("predict x --bogus", "unknown option '--bogus'"),
    ],
)
def test_a_wrong_flag_is_no_file(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"recurra: {expected}\n"
