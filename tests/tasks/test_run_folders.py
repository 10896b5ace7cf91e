"""What a run folder holds is known: overwriting removes all of it, and nothing of it needs another place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra.training.run_folder import OWN_NAMES

WORDS = "Bob B-PER\nleft O\nNew B-LOC\nYork I-LOC\n. O\n\n"


def make_data(folder: Path) -> None:
    reviews = [f"{word} film {n},{label}" for n in range(20) for word, label in (("fine", "good"), ("dull", "bad"))]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *reviews, ""]))
    (folder / "words.conll").write_text(WORDS * 40)
    hours = [f"2024-01-{1 + n // 24:02} {n % 24:02}:00:00,{n % 24 + n / 50}" for n in range(400)]
    (folder / "series.csv").write_text("\n".join(["ds,y", *hours, ""]))
    random = np.random.default_rng(1)
    values = random.normal(size=(240, 2))
    np.savez(folder / "frames.npz", values=values, lengths=np.full(24, 10), targets=values[:, 0])
    np.savez(folder / "waves.npz", values=values, lengths=np.full(24, 10), labels=np.arange(24) % 2)


RUNS = [
    ("classify", "reviews.csv", {}),
    ("classify", "reviews.csv", {"model": "ngram"}),
    ("classify", "waves.npz", {}),
    ("tag", "words.conll", {"column": "-1"}),
    ("tag", "frames.npz", {}),
    ("forecast", "series.csv", {"horizon": 6, "window": 24}),
]


@pytest.mark.parametrize(("task", "file", "options"), RUNS, ids=str)
def test_a_run_folder(task: str, file: str, options: dict[str, object], tmp_path: Path) -> None:
    make_data(tmp_path)
    options = {**({} if options.get("model") == "ngram" else {"hidden_size": 4, "max_steps": 2}), **options}
    folder = tmp_path / "run"
    recurra.train(task, tmp_path / file, output_dir=folder, on_event=lambda _: None, **options)
    assert {path.name for path in folder.iterdir()} <= set(OWN_NAMES)
    (folder / "note.txt").write_text("mine")
    (folder / "report" / "old.txt").write_text("of the run before")
    run = recurra.train(task, tmp_path / file, output_dir=folder, overwrite=True, on_event=lambda _: None, **options)
    assert (folder / "note.txt").read_text() == "mine"
    assert not (folder / "report" / "old.txt").exists()
    before = run.evaluate(tmp_path / file)
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(folder, moved, ignore=shutil.ignore_patterns("data", "checkpoints"))
    shutil.rmtree(folder)
    again = recurra.load(moved)
    assert again.evaluate(tmp_path / file) == before
    assert again.summary()["weights"] == sum(weight.numel() for weight in again.model.parameters())
