"""Made-up series, files of them, and small models trained on them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import recurra
from recurra.tasks.forecast.run import ForecastRun

SMALL: dict[str, Any] = {
    "cell": "gru", "hidden_size": 32, "epochs": 10, "batch_size": 16, "learning_rate": 0.01, "threads": 1,
    "schedule": "cosine", "eval_every": 10_000, "save_every": 10_000, "on_event": lambda event: None,
}  # fmt: skip
START = datetime(2020, 1, 1)


def write(path: Path, names: str, rows: Iterable[Iterable[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(names + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def stamp(hour: int) -> str:
    return (START + timedelta(hours=hour)).isoformat(sep=" ")


def waves(steps: int, seed: int = 1, noise: float = 0.1) -> np.ndarray:
    """Two waves of other lengths than a day, so that repeating the last day is wrong."""
    t = np.arange(steps)
    random = np.random.default_rng(seed)
    return 20 + 3 * np.sin(t * 2 * np.pi / 9.5) + 2 * np.sin(t * 2 * np.pi / 31) + noise * random.normal(size=steps)


def train(data: Path, **options: Any) -> ForecastRun:
    run: ForecastRun = recurra.train("forecast", data, output_dir=data.parent / "run", **{**SMALL, **options})
    return run


def metrics_of(run: ForecastRun) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((run.folder / "metrics.json").read_text())
    return found
