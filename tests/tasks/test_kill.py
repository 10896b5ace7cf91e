"""kill -9 at any moment: what is asked for again, or resumed, ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stories import story

from recurra import tasks
from recurra.cli.main import main
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.lm.run import LanguageModelRun
from recurra.training import run_folder

NETWORK = "--hidden-size 16 --num-layers 1 --batch-size 4 --threads 1"
OFTEN = "--eval-every 25 --save-every 7 --log-every 10"
STREAM = f"{NETWORK} --bptt 8 --max-steps 120 {OFTEN}"
SENTENCES = f"{NETWORK} --unit word --mode sentences --max-steps 120 {OFTEN}"
AVERAGED = "--optimizer nt-asgd --learning-rate 2 --averaging-patience 1"
WINDOW = "--bptt-window 20 --dropout 0.3 --recurrent-dropout 0.2 --schedule plateau --accumulate 2"

RUNS = [
    pytest.param(STREAM, 3, id="stream"),
    pytest.param(SENTENCES, 1, id="sentences"),
    pytest.param(STREAM, 20, id="stream-20", marks=pytest.mark.slow),
    pytest.param(SENTENCES, 20, id="sentences-20", marks=pytest.mark.slow),
    pytest.param(f"{STREAM} {WINDOW}", 20, id="window-dropout-20", marks=pytest.mark.slow),
    pytest.param(f"{STREAM} {AVERAGED} --dropout 0.3", 20, id="nt-asgd-20", marks=pytest.mark.slow),
    pytest.param(f"{SENTENCES} {AVERAGED} --dropout 0.3", 20, id="sentences-nt-asgd-20", marks=pytest.mark.slow),
]


def start(words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "recurra.cli.main", "train", "lm", *shlex.split(words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def train_here(words: str) -> None:
    assert main(["train", "lm", *shlex.split(words)]) == 0


def kill(process: subprocess.Popen[str]) -> bool:
    """Kill -9; whether the process had not ended by itself."""
    process.kill()
    process.communicate()
    return process.returncode == -9


def result_of(folder: Path) -> tuple[bytes, bytes, list[dict[str, float]]]:
    """What must not depend on kills: the best model, its metrics, and the learning curve without its times."""
    curve = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("seconds", "eta_seconds", "tokens_per_second")
    untimed = [{name: value for name, value in event.items() if name not in timed} for event in curve]
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.json").read_bytes(), untimed


def no_leavings(folder: Path) -> None:
    assert not [path for path in [*folder.parent.iterdir(), *folder.rglob("*")] if path.name.startswith(".")]


@pytest.mark.parametrize(("options", "count"), RUNS)
def test_kill_while_training(options: str, count: int, corpus: Path, tmp_path: Path) -> None:
    """Each process, the resumed ones too, is killed at a random moment; the last resume runs to its end."""
    began = time.monotonic()
    train_here(f"{corpus} {options} --output-dir {tmp_path}/whole")
    seconds = time.monotonic() - began
    moments = random.Random(count)
    folder, killed = tmp_path / "killed", 0
    while killed < count:
        shutil.rmtree(folder, ignore_errors=True)
        words = f"{corpus} {options} --output-dir {folder}"
        for _ in range(moments.choice([1, 1, 2])):
            with start(words) as process:
                assert process.stdout is not None
                process.stdout.readline()  # the run folder is there
                time.sleep(moments.uniform(0, seconds))
                killed += kill(process)
            words = f"--resume {folder}"
        train_here(f"--resume {folder}")
        assert result_of(folder) == result_of(tmp_path / "whole")
        no_leavings(folder)


def kill_when(condition: Callable[[], object], words: str) -> None:
    with start(words) as process:
        while process.poll() is None and not condition():
            time.sleep(0.001)
        assert kill(process), "ended before it could be killed"


@pytest.mark.parametrize("moment", ["train.tokens.part", "train.tokens"])
def test_kill_while_the_text_is_encoded(moment: str, corpus: Path, tmp_path: Path) -> None:
    """There is no run folder yet: the same command starts anew, and leaves nothing of the first attempt."""
    text, folder = tmp_path / "long.txt", tmp_path / "runs/run"
    text.write_text(story(1000) * 200)
    words = f"{text} --valid {corpus} --test {corpus} {NETWORK} --bptt 8 --max-steps 2 --output-dir {folder}"
    kill_when(lambda: (folder.parent / ".run.writing/data" / moment).exists(), words)
    assert not folder.exists()
    train_here(words)
    no_leavings(folder)


@pytest.mark.parametrize("count", range(1, 5))
def test_kill_while_a_run_is_replaced(
    count: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the old run's files are gone, between those of the new one: it can still be replaced."""
    words = f"{corpus} {NETWORK} --bptt 8 --max-steps 2 --output-dir {tmp_path}/run"
    train_here(words)
    placed: list[Path] = []
    put_in_place = run_folder.put_in_place

    def kill_at_last(written: Path, path: Path) -> None:
        placed.append(path)
        if len(placed) == count:
            os._exit(9)
        put_in_place(written, path)

    child = os.fork()
    if not child:
        monkeypatch.setattr(run_folder, "put_in_place", kill_at_last)
        main(["train", "lm", *words.split(), "--overwrite"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (9 if count < 4 else 0)
    assert main(["train", "lm", "--resume", f"{tmp_path}/run"]) == (2 if count < 4 else 0)
    assert "Traceback" not in capsys.readouterr().err
    train_here(f"{words} --overwrite")
    no_leavings(tmp_path / "run")


def test_kill_before_the_first_checkpoint(characters: LanguageModelRun, corpus: Path, tmp_path: Path) -> None:
    """A run that starts from another model's weights still does."""
    options = {"data": corpus, "init_from": characters.folder, "max_steps": 3, "batch_size": 4, "bptt": 16}
    started = tasks.start("lm", LMConfig.make(**options, output_dir=tmp_path / "whole"))
    assert len(list(started.events())) > 4
    tasks.start("lm", LMConfig.make(**options, output_dir=tmp_path / "killed"))
    train_here(f"--resume {tmp_path}/killed")
    assert result_of(tmp_path / "killed") == result_of(tmp_path / "whole")


def test_the_text_is_lost_after_a_kill(corpus: Path, tmp_path: Path) -> None:
    """Its arrays are made again, and nothing changes."""
    train_here(f"{corpus} {STREAM} --output-dir {tmp_path}/whole")
    folder = tmp_path / "killed"
    kill_when(lambda: (folder / "checkpoints/step-00000014").exists(), f"{corpus} {STREAM} --output-dir {folder}")
    shutil.rmtree(folder / "data")
    train_here(f"--resume {folder}")
    assert result_of(folder) == result_of(tmp_path / "whole")
