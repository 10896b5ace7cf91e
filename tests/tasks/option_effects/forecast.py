"""Forecasters, with a direct and with a recurrent decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forecast.made_series import stamp, waves
from forecast.made_series import write as write_table

from option_effects.shared import NETWORK, TRAINING, Effects, across, beside

SMALL: dict[str, Any] = {
    "data": "hours.csv", "horizon": 3, "window": 6, "hidden_size": 8, "num_layers": 2, "batch_size": 8, "max_steps": 6,
    "eval_every": 2,
}  # fmt: skip
QUICK = {"recurra.tasks.forecast.report.draw_forecasts": lambda *given: None}

RECURRENT = {"decoder": "recurrent"}
TEACHER = {**RECURRENT, "decoder_training": "teacher", "distribution": "gaussian", "samples": 5}
POINT = {"distribution": "point"}
GAPS = {"data": "gaps.csv"}
STEPS = 120

EFFECTS: Effects = [
    *NETWORK,
    *TRAINING,
    *beside(RECURRENT, [*NETWORK, *TRAINING]),
    # series
    ({}, {"time": "row"}),
    ({}, {"target": ["z"]}),
    ({}, {"target": ["y", "z"]}),
    ({"data": "parts.csv", "time": "row"}, {"series_id": "part"}),
    ({}, {"series_columns": ["y", "z"]}),
    *across(
        ({}, RECURRENT, TEACHER),
        {"known_covariates": ["k"]},
        {"past_covariates": ["k"]},
        {"calendar": ["hour"]},
        {"calendar": ["auto"]},
    ),
    ({"data": "utc.csv", "calendar": ["hour"]}, {"time_zone": "Asia/Kolkata"}),
    ({"data": "odd.csv"}, {"frequency": "h"}),
    (GAPS, {"fill": "linear"}),
    (GAPS, {"fill": "zero"}),
    # steps
    ({}, {"valid_frac": 0.2}),
    ({}, {"test_frac": 0.2}),
    ({}, {"valid": "later.csv"}),
    ({}, {"test": "later.csv"}),
    ({"test": "later.csv"}, {"valid_frac": 0.2}),
    ({}, {"split_rows": [80, 20, 20]}),
    ({}, {"split_dates": [stamp(70), stamp(100)]}),
    *[({}, {"scaling": name}) for name in ("robust", "mean-abs", "none")],
    ({}, {"log": True}),
    ({}, {"windows_per_epoch": 20}),
    ({}, {"stride": 2}),
    ({}, {"windows": 2}),
    ({}, {"report_scaled": True}),
    *[({}, {"monitor": name}) for name in ("mae", "mse", "smape", "mase", "crps")],
    # the forecaster
    ({}, {"horizon": 4}),
    ({"window": None}, {"window": 8}),
    ({"window": None}, {"season": 5}),
    ({}, {"season": 5}),
    ({}, RECURRENT),
    ({**RECURRENT, **POINT}, {"decoder_training": "teacher"}),
    ({**RECURRENT, "distribution": "gaussian"}, {"decoder_training": "teacher"}),
    *[(kind, {"distribution": name}) for kind in ({}, RECURRENT) for name in ("gaussian", "point")],
    ({}, {"quantiles": [0.2, 0.5, 0.8]}),
    ({"distribution": "gaussian"}, {"quantiles": [0.2, 0.5, 0.8]}),
    (TEACHER, {"quantiles": [0.2, 0.5, 0.8]}),
    *[({**POINT, **kind}, {"loss": name}) for kind in ({}, RECURRENT) for name in ("mae", "huber")],
    *across(
        ({}, RECURRENT, TEACHER),
        {"patch": 2},
        {"difference": "none"},
        {"difference": "seasonal", "season": 4},
        {"window_scaling": True},
    ),
    ({}, {"linear": True}),
    (TEACHER, {"samples": 6}),
    (TEACHER, {"seed": 2}),
    (TEACHER, {"dtype": "float64"}),
]
NEEDED: Effects = [
    ({"data": "rows.csv"}, {"layout": "rows"}),
    ({"data": "dates.csv"}, {"time_format": "%d.%m.%Y %H:%M"}),
    ({"data": "empty.csv"}, {"allow_missing_values": True}),
    ({"data": "short.csv"}, {"drop_short": True}),
]
ROWS = {"data": "rows.csv", "layout": "rows"}
USELESS: Effects = [
    ({"valid": "later.csv"}, {"test_frac": 0.3}),
    ({"test": "later.csv"}, {"test_frac": 0.3}),
    ({"split_rows": [80, 20, 20]}, {"valid_frac": 0.2}),
    *across([{}], {"linear": True, **RECURRENT}, {"loss": "mae"}, {"samples": 7}),
    (POINT, {"decoder_training": "teacher"}),
    ({**RECURRENT, **POINT, "decoder_training": "teacher"}, {"samples": 7}),
    (POINT, {"quantiles": [0.2, 0.5, 0.8]}),
    *across([{"data": "rows.csv", "layout": "rows"}], {"time": "ds"}, {"frequency": "h"}, {"calendar": ["hour"]}),
]
PREDICTIONS: list[Any] = [
    *[(kind, "hours.csv", {}, {"horizon": 5}) for kind in ({}, RECURRENT, TEACHER)],
    *[(kind, "hours.csv", {}, {"horizon": 2}) for kind in ({}, RECURRENT, TEACHER)],
    (ROWS, "later_rows.csv", {}, {"continues": True}),
    *[({"known_covariates": ["k"], **kind}, "hours.csv", {"future": "later.csv"}, {"future": "other.csv"})
      for kind in ({}, RECURRENT, TEACHER)],
    ({"distribution": "gaussian"}, "hours.csv", {}, {"levels": [0.3, 0.5]}),
    (TEACHER, "hours.csv", {}, {"levels": [0.3, 0.5]}),
]  # fmt: skip
EVALUATIONS: list[Any] = [
    *[({}, file, {}, option) for file in (None, "hours.csv") for option in (
        {"horizon": 2}, {"stride": 2}, {"windows": 2}, {"report_dir": "made/report"},
    )],
    ({}, "later.csv", {}, {"continues": True}),
]  # fmt: skip
ELSEWHERE = {"data"}


def write() -> None:
    y, z, k = (waves(STEPS + 40, seed=seed).round(3) for seed in (1, 2, 3))
    names, rows = "ds,row,y,z,k", [(stamp(n), n, y[n], z[n], k[n]) for n in range(STEPS + 40)]
    write_table(Path("hours.csv"), names, rows[:STEPS])
    write_table(Path("later.csv"), names, rows[STEPS:])
    write_table(Path("other.csv"), "ds,k", ((row[0], -row[4]) for row in rows[STEPS:]))
    write_table(Path("gaps.csv"), names, (row for n, row in enumerate(rows) if n % 9))
    write_table(Path("utc.csv"), names, ((f"{row[0]}+00:00", *row[1:]) for row in rows))
    write_table(Path("odd.csv"), names, rows[::2])
    write_table(Path("parts.csv"), "row,part,y", ((n, "ab"[n >= 60], y[n]) for n in range(STEPS)))
    write_table(Path("dates.csv"), "ds,y", ((_written(n), y[n]) for n in range(STEPS)))
    write_table(Path("empty.csv"), "ds,y", ((stamp(n), y[n] if n % 9 else "") for n in range(STEPS)))
    write_table(Path("short.csv"), "unique_id,ds,y", (("ab"[n > 110], stamp(n), y[n]) for n in range(STEPS)))
    for name, begin, end in (("rows.csv", 0, 60), ("later_rows.csv", 60, 80)):
        values = (("a", *y[begin:end]), ("b", *z[begin:end]))
        write_table(Path(name), ",".join(["id", *(f"v{n}" for n in range(end - begin))]), values)


def _written(hour: int) -> str:
    return f"{1 + hour // 24:02}.01.2020 {hour % 24:02}:00"
