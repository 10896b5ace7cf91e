"""Calendar features: where in the hour, day, week, month and year a step lies, as points on a circle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recurra.config.series import AUTO
from recurra.data.series.clock import Clock
from recurra.data.series.zones import DAY, SECOND
from recurra.errors import ConfigError


def choose_features(names: Sequence[str], clock: Clock) -> tuple[str, ...]:
    """The features asked for; "auto" for those that vary at the clock's frequency, and are known after some periods.

    Raises: ConfigError where steps are counted, not timed.
    """
    if not names:
        return ()
    if not clock.tells_time:
        raise ConfigError(f"calendar={', '.join(names)}: expected time stamps, got rows that are counted; leave it out")
    if list(names) != [AUTO]:
        return tuple(names)
    unit, count = clock.frequency.unit, clock.frequency.count
    if unit == "month":
        return ("month",) if count < 12 else ()
    if unit in ("day", "business day"):
        return ("weekday", "day", "yearday") if count < 7 else ("yearday",)
    return (("minute",) if count < 3600 * SECOND else ()) + ("hour", "weekday", "yearday")


def calendar(times: np.ndarray, names: Sequence[str], clock: Clock) -> np.ndarray:
    """Sine and cosine of each feature at some times, by the clock on the wall, float32 [.., 2 F].

    minute: in the hour; hour: in the day, with its minutes; weekday: whole days from Monday; day: whole days in the
    month; yearday: whole days in the year; month: whole months in the year.
    """
    walls = clock.local(times)
    turns = [_TURNS[name](walls) for name in names]
    angles = 2 * np.pi * np.stack(turns, -1) if turns else np.zeros((*walls.shape, 0))
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


def _units(walls: np.ndarray, small: str, large: str) -> tuple[np.ndarray, np.ndarray]:
    """Small units since the large one began, and how many of them it has."""
    moments = walls.astype("datetime64[us]")
    begins = moments.astype(f"datetime64[{large}]")
    first, following = begins.astype(f"datetime64[{small}]"), (begins + 1).astype(f"datetime64[{small}]")
    since = moments.astype(f"datetime64[{small}]") - first
    return since.astype(np.int64), (following - first).astype(np.int64)


def _share(small: str, large: str, walls: np.ndarray) -> np.ndarray:
    since, size = _units(walls, small, large)
    return np.asarray(since / size)


_TURNS = {
    "minute": lambda walls: walls % (3600 * SECOND) / (3600 * SECOND),
    "hour": lambda walls: walls % DAY / DAY,
    "weekday": lambda walls: (walls // DAY + 3) % 7 / 7,
    "day": lambda walls: _share("D", "M", walls),
    "yearday": lambda walls: _share("D", "Y", walls),
    "month": lambda walls: _share("M", "Y", walls),
}
