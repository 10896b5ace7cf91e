"""A run that is stopped and resumed equals, to the bit, a run never stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from char_job import CONFIG, CharJob, options, weights

import recurra
from recurra.backends.extension import extension
from recurra.errors import CheckpointError, FolderError
from recurra.training import Evaluated, Event, Finished, Resumed, RunFolder, Saved, Step, Stopped, train

PROGRAM = Path(__file__).with_name("char_job.py")
SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.9, "schedule": "step", "decay_after": 1},
    {"optimizer": "adagrad", "learning_rate": 0.1, "adagrad_eps_inside": True, "clip_grad_value": 0.05},
    {"optimizer": "adagrad", "learning_rate": 0.1, "accumulate": 5},
    {
        "optimizer": "rmsprop",
        "learning_rate": 0.05,
        "schedule": "plateau",
        "decay_patience": 0,
        "eval_every": 2,
    },
    {"optimizer": "adam", "learning_rate": 0.02, "schedule": "cosine", "warmup_steps": 7, "max_steps": 31},
    {"optimizer": "adamw", "weight_decay": 0.1, "eval_every": 4, "patience": 3, "learning_rate": 0.2},
    {"optimizer": "nt-asgd", "learning_rate": 2.0, "averaging_patience": 1, "eval_every": 3},
]


def run(folder: Path, resume: bool = False, stop_at: int | None = None, **values: Any) -> list[Event]:
    """Train in this process; drop the run, as a kill would, when the checkpoint of `stop_at` is in place."""
    chosen = options(**values)
    run_folder = RunFolder.open(folder) if resume else RunFolder.create(folder, CONFIG)
    events = []
    for event in train(CharJob(chosen), chosen, run_folder, resume=resume):
        events.append(event)
        if isinstance(event, Saved) and event.step == stop_at:
            break
    return events


def curve(folder: Path) -> list[dict[str, Any]]:
    """The learning curve without its times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    times = {"seconds", "eta_seconds", "tokens_per_second"}
    return [{name: value for name, value in line.items() if name not in times} for line in lines]


@pytest.mark.parametrize("values", SETTINGS, ids=lambda values: values["optimizer"])
def test_resume_from_several_steps_equals_unstopped_run(tmp_path: Path, values: dict[str, Any]) -> None:
    events = run(tmp_path / "whole", **values)
    expected, last = weights(tmp_path / "whole"), events[-1]
    assert isinstance(last, Finished)
    # Saving at every update, by the clock, must not change anything.
    for stop_at in (0, 1, 5, 6, 12, 17):
        folder = tmp_path / f"stopped{stop_at}"
        stopped = run(folder, stop_at=stop_at, save_seconds=1e-9, **values)
        if not isinstance(stopped[-1], Finished):
            assert stopped[-1].step == stop_at
            resumed = run(folder, resume=True, **values)
            assert resumed[0] == Resumed(stop_at, resumed[0].epoch)
            assert resumed[-1].metrics == last.metrics
        assert weights(folder) == expected
        assert curve(folder) == curve(tmp_path / "whole")
        assert (folder / "metrics.json").read_bytes() == (tmp_path / "whole/metrics.json").read_bytes()


def test_settings_reach_what_they_are_meant_to_test(tmp_path: Path) -> None:
    """The plateau falls, NT-ASGD averages and patience stops within these short runs."""
    for number, values in enumerate(SETTINGS):
        events = run(tmp_path / str(number), **values)
        state = json.loads((max((tmp_path / str(number) / "checkpoints").iterdir()) / "state.json").read_text())
        if values.get("schedule") == "plateau":
            assert state["progress"]["reductions"] > 0
        if values["optimizer"] == "nt-asgd":
            assert 0 < state["optimiser"]["param_groups"][0]["averaged_steps"] < 36
        assert any(isinstance(event, Stopped) for event in events) == ("patience" in values)


def test_files_written_after_the_checkpoint_are_taken_back(tmp_path: Path) -> None:
    """A kill between the best model and the checkpoint: a later best model must not survive the resume."""
    run(tmp_path / "whole", eval_every=3)
    run(tmp_path / "run", eval_every=3, stop_at=3)
    before = (tmp_path / "run/model.safetensors").read_bytes()
    (tmp_path / "run/model.safetensors").unlink()
    (tmp_path / "run/model.safetensors").write_bytes(b"of a later step")
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "ste')
    (tmp_path / "run/.model.safetensors.writing").write_bytes(b"half")
    (tmp_path / "run/checkpoints/.writing").mkdir()
    chosen = options(eval_every=3)
    events = train(CharJob(chosen), chosen, RunFolder.open(tmp_path / "run"), resume=True)
    assert next(events) == Resumed(3, 1)
    assert (tmp_path / "run/model.safetensors").read_bytes() == before
    assert isinstance(list(events)[-1], Finished)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    assert not [*(tmp_path / "run").glob(".*"), *(tmp_path / "run/checkpoints").glob(".*")]


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    RunFolder.create(tmp_path / "run", CONFIG)
    events = run(tmp_path / "run", resume=True)
    assert events[0] == Resumed(0, 1, ("no checkpoint yet: starting from the beginning",))
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_finished_run_resumed_is_finished(tmp_path: Path) -> None:
    first = run(tmp_path / "run")
    expected = weights(tmp_path / "run")
    second = run(tmp_path / "run", resume=True)
    assert [type(event) for event in second] == [Resumed, Finished]
    assert second[-1].metrics == first[-1].metrics
    assert weights(tmp_path / "run") == expected
    assert not list((tmp_path / "run").glob(".*"))


def test_longer_run_goes_on(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "run", epochs=2)
    run(tmp_path / "run", resume=True, epochs=3)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_changed_threads_are_told(tmp_path: Path) -> None:
    run(tmp_path / "run", stop_at=12)
    resumed = run(tmp_path / "run", resume=True, threads=2)[0]
    assert resumed.notes == ("threads was 1, is 2: results may differ from an unstopped run's",)


@pytest.mark.usefixtures("native")
def test_another_backend_or_instruction_set_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = f"native ({extension().isa()})"
    run(tmp_path / "run", stop_at=1, backend="native", save_every=1)
    resumed = run(tmp_path / "run", resume=True, stop_at=2, backend="reference", save_every=1)[0]
    assert resumed.notes == (f"backend was {native}, is reference: results may differ from an unstopped run's",)
    resumed = run(tmp_path / "run", resume=True, stop_at=3, backend="native", save_every=1)[0]
    assert resumed.notes == (f"backend was reference, is {native}: results may differ from an unstopped run's",)
    monkeypatch.setattr(extension(), "isa", lambda: "another")
    resumed = run(tmp_path / "run", resume=True, backend="native")[0]
    assert resumed.notes == (f"backend was {native}, is native (another): results may differ from an unstopped run's",)


@pytest.mark.usefixtures("native")
def test_another_number_of_native_threads_is_told(tmp_path: Path) -> None:
    count = torch.get_num_threads()
    run(tmp_path / "run", stop_at=12, threads=None)
    recurra.set_num_threads(count + 1)
    try:
        resumed = run(tmp_path / "run", resume=True, threads=None)[0]
    finally:
        recurra.set_num_threads(None)
    changed = f"threads was {count}, is {count} (native: {count + 1}): results may differ from an unstopped run's"
    assert resumed.notes == (changed,)


@pytest.mark.usefixtures("native")
def test_the_threads_of_a_run_are_those_it_asks_for(tmp_path: Path) -> None:
    run(tmp_path / "run", stop_at=12)  # one thread
    recurra.set_num_threads(2)
    try:
        assert run(tmp_path / "run", resume=True)[0].notes == ()
    finally:
        recurra.set_num_threads(None)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = [
    (lambda path: truncate(path / "tensors.safetensors"), r"tensors.safetensors: truncated or not"),
    (lambda path: (path / "tensors.safetensors").unlink(), r"expected a safetensors file, found none"),
    (lambda path: (path / "tensors.safetensors").write_bytes(b"PK\x03\x04foreign"), r"truncated or not"),
    (lambda path: truncate(path / "state.json"), r"state.json: truncated or not JSON"),
    (lambda path: (path / "state.json").unlink(), r"state.json: cannot be read \(No such file"),
    (lambda path: (path / "state.json").write_text("[]"), r"state.json: not a checkpoint of recurra"),
    (lambda path: (path / "state.json").write_bytes(b"\xff\xfe"), r"state.json: truncated or not JSON"),
    (
        lambda path: (path / "state.json").write_text('{"format": "recurra checkpoint", "version": 9}'),
        r"state.json: version 9, this recurra reads 1; update recurra",
    ),
    (
        lambda path: (path / "state.json").write_text(
            '{"format": "recurra checkpoint", "version": 1, "model": {"$tensor": "gone", "cpu": true}}'
        ),
        r"state.json: does not fit .*tensors.safetensors \(KeyError\('gone'\)\)",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damaged_checkpoint(tmp_path: Path, damage: Any, message: str) -> None:
    """The newest damaged: the one before serves, and the event says so. Both damaged: one line."""
    run(tmp_path / "whole")
    run(tmp_path / "run", stop_at=24)
    older, newest = sorted((tmp_path / "run/checkpoints").iterdir())
    damage(newest)
    shutil.copytree(tmp_path / "run", tmp_path / "both")
    damage(tmp_path / "both/checkpoints" / older.name)
    with pytest.raises(CheckpointError, match=message) as error:
        run(tmp_path / "both", resume=True)
    assert "\n" not in str(error.value)
    assert "no other checkpoint is intact" in str(error.value)

    resumed = run(tmp_path / "run", resume=True)[0]
    assert resumed.step == 12
    assert resumed.notes[0].startswith(f"passed over a damaged checkpoint: {newest}")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_checkpoint_of_another_run(tmp_path: Path) -> None:
    run(tmp_path / "run", stop_at=12)
    with pytest.raises(CheckpointError, match=r"trained with adam; resume with --optimizer adam$"):
        run(tmp_path / "run", resume=True, optimizer="sgd")
    state = next((tmp_path / "run/checkpoints").glob("*12/state.json"))
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "progress": {"stride": 1}}))
    with pytest.raises(CheckpointError, match=r"does not fit this run \(KeyError"):
        run(tmp_path / "run", resume=True)
    del content["model"]["lstm.bias_hh_l0"]
    state.write_text(json.dumps(content))
    with pytest.raises(FolderError, match=r"'lstm.bias_hh_l0': expected \(32,\), got none; the file belongs to"):
        run(tmp_path / "run", resume=True)


def start_program(folder: Path, verb: str, values: dict[str, Any], delay: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), verb, json.dumps(values), str(delay)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill_and_resume(tmp_path: Path, moment: float, values: dict[str, Any]) -> bool:
    """Kill a process `moment` seconds after its first event, resume in this one; whether it was in time."""
    folder = tmp_path / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    with start_program(folder, "start", values, delay=0.01) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Saved 0\n"
        time.sleep(moment)
        process.kill()
    run(folder, resume=True, **values)
    assert weights(folder) == weights(tmp_path / "whole")
    assert curve(folder) == curve(tmp_path / "whole")
    return process.returncode == -signal.SIGKILL


KILLED = {"optimizer": "nt-asgd", "learning_rate": 2.0, "averaging_patience": 1, "eval_every": 2}


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_at_random_moments(tmp_path: Path, count: int) -> None:
    seed = time.time_ns()
    print("seed", seed)
    moments = random.Random(seed)
    run(tmp_path / "whole", **KILLED)
    # 36 updates of 10 ms and more; the other half saves by the clock.
    in_time = 0
    for number in range(count):
        values = {**KILLED, "save_seconds": 0.001} if number % 2 else KILLED
        in_time += kill_and_resume(tmp_path, moments.uniform(0, 0.5), values)
    assert in_time > count // 3


def test_kill_again_and_again(tmp_path: Path) -> None:
    """Resumed processes are killed too, each after its first new checkpoint or two."""
    run(tmp_path / "whole", **KILLED)
    folder, verb = tmp_path / "killed", "start"
    for saves in (3, 1, 2):
        with start_program(folder, verb, KILLED, delay=0.005) as process:
            assert process.stdout is not None
            while saves:
                line = process.stdout.readline()
                assert line, process.stderr
                saves -= line.startswith("Saved")
            process.kill()
        verb = "resume"
    run(folder, resume=True, **KILLED)
    assert weights(folder) == weights(tmp_path / "whole")
    assert curve(folder) == curve(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_saves_and_evaluates(tmp_path: Path, number: signal.Signals) -> None:
    run(tmp_path / "whole")
    folder = tmp_path / "run"
    with start_program(folder, "start", {"log_every": 1}, delay=0.02) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        process.send_signal(number)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert lines[0] == "Saved 0\n"
    rest = [line.split() for line in output.splitlines()]
    names = [line[0] for line in rest]
    assert names[-4:] == ["Saved", "Evaluated", "Stopped", "Finished"]
    assert set(names[:-4]) <= {"Step"}
    assert rest[-4][1] == rest[-3][1] != "36"
    # The evaluation at the stop leaves no trace: resumed, the run ends as if never stopped.
    run(folder, resume=True, log_every=5)
    assert weights(folder)["model"] == weights(tmp_path / "whole")["model"]
    assert weights(folder)["last"] == weights(tmp_path / "whole")["last"]


def test_second_signal_stops_at_once(tmp_path: Path) -> None:
    with start_program(tmp_path / "run", "start", {"log_every": 1}, delay=2.0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=1.5)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors


def test_handlers_are_restored_and_threads_may_train(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(tmp_path / "run", stop_at=12)
    run(tmp_path / "run", resume=True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    results: list[list[Event]] = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path / "thread")))
    thread.start()
    thread.join()
    assert isinstance(results[0][-1], Finished)
    assert weights(tmp_path / "thread") == weights(tmp_path / "run")


def test_signal_in_this_process(tmp_path: Path) -> None:
    chosen = options(log_every=1)
    steps = 0
    names = []
    for event in train(CharJob(chosen), chosen, RunFolder.create(tmp_path / "run", CONFIG)):
        names.append(type(event))
        steps += isinstance(event, Step)
        if steps == 4:
            signal.raise_signal(signal.SIGINT)
            steps += 1
    assert names == [Saved, *[Step] * 4, Saved, Evaluated, Stopped, Finished]
