"""A run that was stopped and resumed ends with the weights of one that was not, to the bit, whatever the task."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from option_effects import classify, forecast, tag

import recurra
from recurra.tasks import TASKS, start
from recurra.training import Saved

LAST, MIDDLE = 14, 5
NOISE = {"dropout": 0.2, "recurrent_dropout": 0.1, "zoneout": 0.1}
RUNS: list[tuple[str, Any, dict[str, Any]]] = [
    ("classify", classify, {**NOISE, "word_dropout": 0.2, "pooling": "attention"}),
    ("classify", classify, {**NOISE, **classify.TOPICS}),
    ("classify", classify, {**NOISE, **classify.GAPS, "jitter": 0.1, "scaling": 0.1, "label_smoothing": 0.1}),
    ("tag", tag, {**NOISE, "output_layer": "crf", "word_dropout": 0.2}),
    ("tag", tag, {**NOISE, **tag.NUMBERS, "jitter": 0.1, "optimizer": "nt-asgd"}),
    ("forecast", forecast, {**NOISE, **forecast.GAPS, "windows_per_epoch": 30}),
    ("forecast", forecast, {**NOISE, **forecast.RECURRENT, "schedule": "cosine"}),
    ("forecast", forecast, {**NOISE, **forecast.TEACHER, "patch": 2}),
]


@pytest.mark.parametrize(("task", "table", "options"), RUNS, ids=[f"{run[0]}{n}" for n, run in enumerate(RUNS)])
def test_a_resumed_run_is_the_same_to_the_bit(
    task: str, table: Any, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped inside an epoch; the file that it was trained on is gone by then."""
    monkeypatch.chdir(tmp_path)
    for name, value in table.QUICK.items():
        monkeypatch.setattr(name, value)
    table.write()
    values = {**table.SMALL, **options, "hidden_size": 7, "max_steps": LAST, "eval_every": 4, "save_every": MIDDLE}
    values = {name: value for name, value in values.items() if value is not None}
    whole = recurra.train(task, output_dir="whole", on_event=lambda event: None, **values)
    config = TASKS[task].options.make(output_dir="stopped", **values)
    for event in start(task, config).events():
        if isinstance(event, Saved) and event.step >= MIDDLE:
            break
    assert not (tmp_path / "stopped" / "README.md").exists()
    shutil.move(values["data"], "elsewhere")
    resumed = recurra.train(task, resume="stopped", on_event=lambda event: None)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight), name
    assert resumed.evaluate() == whole.evaluate()
