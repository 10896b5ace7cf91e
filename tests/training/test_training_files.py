"""Checkpoints, weights and run folders: what is written, what survives, what is refused."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from char_job import CONFIG, CharJob, CharModel, options, weights
from torch import nn

from recurra.errors import CheckpointError, FolderError
from recurra.training import (
    Evaluated,
    Finished,
    RunFolder,
    Saved,
    load_weights,
    read_weights,
    train,
    write_weights,
)
from recurra.training.checkpoint import checkpoint_paths, load_checkpoint, save_checkpoint
from recurra.training.trees import Packer, unpack

CPU = torch.device("cpu")


def nested() -> dict[str, Any]:
    shared = torch.arange(6.0)
    return {
        "text": "a\nb",
        "none": None,
        "numbers": [1, 2.5, -(2**90), True],
        "inexact": 0.1,
        "tuple": (1, (torch.tensor(3), "x"), []),
        "empty": {},
        "integer keys": {0: {"step": torch.tensor(1.0)}, 1: torch.zeros(0, 2)},
        "same text": {"1": torch.tensor(1), 1: torch.tensor(2)},
        "a/b": torch.tensor(1),
        "a": {"b": torch.tensor(2)},
        "$tensor": "not one",
        "views": [shared, shared, shared[2:], shared.view(2, 3).T],
        "types": [torch.ones(2, dtype=kind) for kind in (torch.bfloat16, torch.int64, torch.bool, torch.uint8)],
        "array": np.arange(4, dtype=np.uint32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "numpy number": np.int64(7),
        "generator": np.random.default_rng(1).bit_generator.state,
    }


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for part, other_part in zip(one, other, strict=True):
            assert_equal(part, other_part)
    else:
        assert one == other


def test_pack_and_unpack() -> None:
    packer = Packer()
    packed = json.loads(json.dumps(packer.pack(nested(), "root")))
    assert_equal(nested(), unpack(packed, packer.tensors, CPU))
    assert packed["$items"][[key for key, _ in packed["$items"]].index("views")][1][0]["$tensor"].endswith("views/0")


def test_same_tensor_is_kept_once() -> None:
    packer = Packer()
    tensor = torch.ones(1000)
    packer.pack({"one": tensor, "two": [tensor]}, "root")
    assert list(packer.tensors) == ["root/one"]


def test_what_cannot_be_packed_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"^checkpoint: batches/reader is a object; expected tensors, arrays"):
        Packer().pack({"reader": object()}, "batches")


def test_checkpoint_round_trip_and_pruning(tmp_path: Path) -> None:
    best = tmp_path / "model.safetensors"
    write_weights(best, {"w": torch.ones(2)})
    for step in (0, 5, 12, 100000000):
        path = save_checkpoint(tmp_path / "checkpoints", step, {"all": nested(), "step": step}, best)
        assert path.name == f"step-{step:08}"
    names = [path.name for path in checkpoint_paths(tmp_path / "checkpoints")]
    assert names == ["step-100000000", "step-00000012"]
    loaded = load_checkpoint(tmp_path / "checkpoints", CPU)
    assert loaded is not None
    assert loaded.content["step"] == 100000000
    assert_equal(loaded.content["all"], nested())
    assert loaded.best is not None
    assert loaded.best.samefile(best)
    assert load_checkpoint(tmp_path / "nothing", CPU) is None


def test_nothing_is_pickled(tmp_path: Path) -> None:
    chosen = options(save_seconds=1e-9)
    list(train(CharJob(chosen), chosen, RunFolder.create(tmp_path / "run", CONFIG)))
    names = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "model.safetensors",
        "metrics.json",
        "metrics.jsonl",
        "train.log",
        "state.json",
        "tensors.safetensors",
        "best.safetensors",
    }


def test_best_model_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    chosen = options()
    list(train(CharJob(chosen), chosen, RunFolder.create(tmp_path / "run", CONFIG)))
    expected = weights(tmp_path / "run")
    (tmp_path / "run/model.safetensors").write_bytes(b"later")
    list(train(CharJob(chosen), chosen, RunFolder.open(tmp_path / "run"), resume=True))
    assert weights(tmp_path / "run") == expected


# A full disk


def stop_with_full_disk(folder: Path, values: dict[str, Any]) -> str:
    """Train until a checkpoint cannot be written; the message."""
    chosen = options(**values)
    with pytest.raises(CheckpointError, match=r"checkpoint cannot be written") as error:
        list(train(CharJob(chosen), chosen, RunFolder.open(folder), resume=True))
    return str(error.value)


@pytest.mark.parametrize("place", ["tensors", "state", "rename"])
def test_full_disk_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    from recurra.training import checkpoint

    whole, folder = tmp_path / "whole", tmp_path / "run"
    chosen = options()
    list(train(CharJob(chosen), chosen, RunFolder.create(whole, CONFIG)))
    for event in train(CharJob(chosen), chosen, RunFolder.create(folder, CONFIG)):
        if isinstance(event, Saved) and event.step == 12:
            break

    def full(*arguments: Any) -> None:
        if place == "tensors":
            arguments[0].write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    name = {"tensors": "write_tensors", "state": "_write_state", "rename": "put_in_place"}[place]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, name, full)
        message = stop_with_full_disk(folder, {})
    assert message == (
        f"{folder}/checkpoints/step-00000024: checkpoint cannot be written (No space left on device); "
        f"step-00000012 is intact: make room, then continue with --resume"
    )
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["step-00000000", "step-00000012"]
    list(train(CharJob(chosen), chosen, RunFolder.open(folder), resume=True))
    assert weights(folder) == weights(whole)


def test_full_disk_by_the_systems_limit_on_files(tmp_path: Path) -> None:
    """The operating system itself refuses: no file may grow past 30 kB, and Adam's tensors are larger."""
    small = tmp_path / "run"
    chosen = options()
    for event in train(CharJob(chosen), chosen, RunFolder.create(small, CONFIG)):
        if isinstance(event, Saved) and event.step == 12:
            break
    size = (small / "checkpoints/step-00000012/tensors.safetensors").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        message = stop_with_full_disk(small, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "(File too large (os error 27)); step-00000012 is intact" in message
    assert isinstance(list(train(CharJob(chosen), chosen, RunFolder.open(small), resume=True))[-1], Finished)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(small_disk: Path) -> None:
    """A real disk that others fill while the run goes on, and empty again."""
    chosen = options()
    training = train(CharJob(chosen), chosen, RunFolder.create(small_disk / "run", CONFIG))
    while next(training) != Saved(small_disk / "run/checkpoints/step-00000012", 12):
        pass
    free = os.statvfs(small_disk)
    (small_disk / "other").write_bytes(bytes(free.f_bavail * free.f_bsize - 20_000))
    with pytest.raises(CheckpointError, match=r"No space left on device") as error:
        list(training)
    assert "\n" not in str(error.value)
    assert (small_disk / "run/checkpoints/step-00000012/state.json").is_file()
    (small_disk / "other").unlink()
    events = list(train(CharJob(chosen), chosen, RunFolder.open(small_disk / "run"), resume=True))
    assert isinstance(events[-1], Finished)


# Weights


def test_weights_round_trip_with_tied_names(tmp_path: Path) -> None:
    model, other = CharModel(), CharModel()
    write_weights(tmp_path / "model.safetensors", model.state_dict())
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert "output.weight" not in stored
    found = read_weights(tmp_path / "model.safetensors")
    load_weights(other, found, tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight)
    other_file = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.ones(2)}, other_file)
    assert torch.equal(read_weights(other_file)["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"expected a safetensors file, found none$"),
        (b"", r"truncated or not a safetensors file"),
        (b"\x80\x04\x95foreign pickle", r"truncated or not a safetensors file"),
        (b"half", r"truncated or not a safetensors file"),
        (b"tied", r"its list of tied names is damaged"),
    ],
)
def test_damaged_weights(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "model.safetensors"
    write_weights(file, CharModel().state_dict())
    if content is None:
        file.unlink()
    elif content == b"half":
        file.write_bytes(file.read_bytes()[:-10])
    elif content == b"tied":
        safetensors.torch.save_file({"a": torch.ones(2)}, file, {"tied": '{"b": "c"}'})
    else:
        file.write_bytes(content)
    with pytest.raises(FolderError, match=message) as error:
        read_weights(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 3), r"weight 'weight': expected \(3, 3\), got \(3, 2\); the file belongs to another model"),
        (nn.Linear(2, 3, bias=False), r"weight 'bias': expected no such weight, got \(3,\); the file"),
        (nn.Sequential(nn.Linear(2, 3)), r"weight '0.weight': expected \(3, 2\), got none; the file"),
    ],
)
def test_weights_of_another_model(model: nn.Module, message: str) -> None:
    with pytest.raises(FolderError, match=r"^runs/x: " + message):
        load_weights(model, nn.Linear(2, 3).state_dict(), Path("runs/x"))


# Run folders


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_metrics_are_json_for_every_reader(tmp_path: Path) -> None:
    """Infinity and NaN, which JSON has no numbers for, are null."""
    folder = RunFolder.create(tmp_path / "run", {"config.yaml": "format_version: 1\n"})
    folder.write_metrics({"valid": {"loss": float("inf"), "mae": 1.0}})
    folder.add_metrics({"test": {"loss": np.float32("nan"), "windows": np.int64(3)}})
    saved = json.loads((folder.path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert saved == {"valid": {"loss": None, "mae": 1.0}, "test": {"loss": None, "windows": 3}}
    folder.record(Evaluated(5, 1, {"loss": float("nan"), "mae": 2.0}, float("inf"), False, None))
    line = json.loads((folder.path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert (line["metrics"], line["best"], line["step"]) == ({"loss": None, "mae": 2.0}, None, 5)


NEW = {"config.yaml": "format_version: 1\nnew: 1\n", "README.md": "# New\n"}


def test_create_where_nothing_is(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "deep/er/run", NEW)
    assert contents(folder.path) == NEW
    assert [path.name for path in folder.path.parent.iterdir()] == ["run"]
    (tmp_path / "empty").mkdir()
    assert contents(RunFolder.create(tmp_path / "empty", NEW).path) == NEW
    assert RunFolder.open(tmp_path / "empty").path == tmp_path / "empty"


def test_create_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    RunFolder.create(".", NEW)
    assert contents(tmp_path / "here") == NEW


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"thesis.tex": "mine"}, r"holds files that are no run of recurra; give another --output-dir$"),
        ({"config.yaml": "model: other\n", "model.safetensors": "x"}, r"holds files that are no run of recurra"),
        ({"config.yaml": "{", "README.md": "x"}, r"holds files that are no run of recurra"),
        ({"checkpoints/step-00000001/state.json": "{}"}, r"holds files that are no run of recurra"),
    ],
)
def test_other_peoples_files_are_never_replaced(
    tmp_path: Path, files: dict[str, str], message: str, overwrite: bool
) -> None:
    for name, text in files.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(text)
    with pytest.raises(FolderError, match=message):
        RunFolder.create(tmp_path / "run", NEW, overwrite=overwrite)
    assert contents(tmp_path / "run") == files
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match=r"file: is a file; give another --output-dir$"):
        RunFolder.create(tmp_path / "file", NEW, overwrite=overwrite)


def test_overwrite_replaces_a_run_and_leaves_other_files(tmp_path: Path) -> None:
    chosen = options(epochs=1)
    list(train(CharJob(chosen), chosen, RunFolder.create(tmp_path / "run", CONFIG)))
    (tmp_path / "run/notes.txt").write_text("mine")
    (tmp_path / "run/.model.safetensors.writing").write_text("left by a kill")
    before = (tmp_path / "run/model.safetensors").read_bytes()
    with pytest.raises(FolderError, match=r"run: exists; continue it with --resume .*run, replace it with --over"):
        RunFolder.create(tmp_path / "run", NEW)
    assert (tmp_path / "run/model.safetensors").read_bytes() == before
    RunFolder.create(tmp_path / "run", NEW, overwrite=True)
    assert contents(tmp_path / "run") == {**NEW, "notes.txt": "mine"}
    assert not (tmp_path / ".run.writing").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, r"run: expected a run folder, found nothing; give a folder that recurra made$"),
        ({}, r"run: not a run folder \(expected config.yaml with a format_version\)"),
        ({"config.yaml": "model: other\n"}, r"run: not a run folder"),
        ({"config.yaml": "\0"}, r"run: not a run folder"),
    ],
)
def test_open_refuses_what_is_no_run_folder(tmp_path: Path, files: dict[str, str] | None, message: str) -> None:
    if files is not None:
        (tmp_path / "run").mkdir()
        for name, text in files.items():
            (tmp_path / "run" / name).write_text(text)
    with pytest.raises(FolderError, match=message):
        RunFolder.open(tmp_path / "run")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match=r"file: expected a run folder, found a file"):
        RunFolder.open(tmp_path / "file")


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        FolderError, match=r"run: run folder cannot be made \(Not a directory\); give another --output-dir$"
    ):
        RunFolder.create(tmp_path / "file/run", NEW)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    chosen = options()
    folder = RunFolder.create(tmp_path / "run", CONFIG)
    first = train(CharJob(chosen), chosen, folder)
    next(first)
    with pytest.raises(FolderError, match=r"run: another process is training here; wait for it or give another"):
        next(train(CharJob(chosen), chosen, folder, resume=True))
    with pytest.raises(FolderError, match=r"another process is training here"):
        RunFolder.create(tmp_path / "run", CONFIG, overwrite=True)
    first.close()
    assert isinstance(list(train(CharJob(chosen), chosen, folder, resume=True))[-1], Finished)


def test_importing_training_is_without_side_effects() -> None:
    """No thread count, seed or signal handler changes before training starts."""
    program = (
        "import signal, torch; before = torch.get_num_threads(), torch.initial_seed(), "
        "signal.getsignal(signal.SIGTERM); import recurra.training; assert before == "
        "(torch.get_num_threads(), torch.initial_seed(), signal.getsignal(signal.SIGTERM))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
