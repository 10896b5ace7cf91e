"""Windows of long series, by number: none is stored, and each is read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.data.series.record import SeriesSet
from recurra.data.series.scaling import Scales
from recurra.data.stream import check_same

ROUNDS = 4  # of the cipher: with fewer, neighbours stay neighbours


@dataclass(frozen=True)
class Windows:
    """Windows that end their history at an *origin*: the first step that is forecast.

    first: int64 [N], the first origin in each series; counts: int64 [N]; stride: steps between origins.

        >>> windows = Windows(np.array([5, 7]), np.array([2, 3]), stride=2)
        >>> [places.tolist() for places in windows.locate(np.arange(len(windows)))]
        [[0, 0, 1, 1, 1], [5, 7, 7, 9, 11]]
    """

    first: np.ndarray
    counts: np.ndarray
    stride: int = 1

    @classmethod
    def of(cls, begins: np.ndarray, ends: np.ndarray, window: int, horizon: int, stride: int = 1,
           last: int | None = None) -> Windows:  # fmt: skip
        """All windows whose targets lie from `begins` to `ends` [N] and whose history lies within the series.

        Counted from the end, so that the last steps are always among them; `last`: only so many in each series.
        """
        newest = ends - horizon
        counts = np.maximum((newest - np.maximum(begins, window)) // stride + 1, 0)
        if last is not None:
            counts = np.minimum(counts, last)
        return cls(newest - (counts - 1) * stride, counts, stride)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def locate(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Series and origin of each window, by its number."""
        ends = np.cumsum(self.counts)
        series = np.searchsorted(ends, numbers, "right")
        within = numbers - (ends - self.counts)[series]
        return series, self.first[series] + within * self.stride


def scatter(places: np.ndarray, size: int, key: int | Sequence[int]) -> np.ndarray:
    """Where each place in 0 .. size-1 is after a shuffle that belongs to `key`, without the shuffled list.

    A Feistel cipher on the smallest even number of bits that hold `size`, repeated for what falls outside.

        >>> sorted(scatter(np.arange(10), 10, key=1).tolist()) == list(range(10))
        True
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = np.random.default_rng(key).integers(0, 2**63, ROUNDS, dtype=np.uint64)
    found = places.astype(np.uint64)
    outside = np.ones(len(found), bool)
    while outside.any():
        left, right = found[outside] >> half, found[outside] & mask
        for one in keys:
            left, right = right, left ^ (_mixed(right ^ one) & mask)
        found[outside] = (left << half) | right
        outside = found >= size
    return found.astype(np.int64)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """A hash of 64 bits: the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))


class WindowBatches:
    """Numbers of windows in batches, in a new order each epoch, resumable at any batch.

    per_epoch: how many of the windows an epoch draws; None for all.
    """

    def __init__(self, windows: Windows, batch_size: int, seed: int = 1, per_epoch: int | None = None) -> None:
        self.windows, self.batch_size, self.seed = windows, batch_size, seed
        self.size = len(windows) if per_epoch is None else min(per_epoch, len(windows))
        self.epoch = self.position = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        while self.position < self.steps_per_epoch:
            first = self.position * self.batch_size
            places = np.arange(first, min(first + self.batch_size, self.size))
            self.position += 1
            yield scatter(places, len(self.windows), [self.seed, self.epoch])
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The position, and what it belongs to."""
        return {"epoch": self.epoch, "position": self.position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position. Raises: CheckpointError where it was saved from other data or batches."""
        check_same(state, self._identity())
        self.epoch, self.position = state["epoch"], state["position"]

    def _identity(self) -> dict[str, int]:
        return {"windows": len(self.windows), "size": self.size, "batch_size": self.batch_size, "seed": self.seed}


@dataclass(frozen=True)
class WindowBatch:
    """B windows of T steps of history and n steps of horizon, float32, time first.

    history: [T, B, C] scaled targets; observed: bool [T, B, C]; past: [T, B, U]; known: [T + n, B, K];
    target: [n, B, C] scaled; scored: bool [n, B, C], where a target was observed;
    series, origins: int64 [B], where each window is.
    """

    history: np.ndarray
    observed: np.ndarray
    past: np.ndarray
    known: np.ndarray
    target: np.ndarray
    scored: np.ndarray
    series: np.ndarray
    origins: np.ndarray


@dataclass(frozen=True)
class WindowReader:
    """Reads windows of series, scaled.

    scales: of the targets; known_scales, past_scales: [2, K] and [2, U], what is taken from the covariates and what
    they are divided by; window: T.
    """

    series: SeriesSet
    scales: Scales
    known_scales: np.ndarray
    past_scales: np.ndarray
    window: int

    def read(self, series: np.ndarray, origins: np.ndarray, horizon: int) -> WindowBatch:
        """The windows at some origins."""
        begins = self.series.bounds[series] + origins
        past = begins + np.arange(-self.window, 0)[:, None]
        future = begins + np.arange(horizon)[:, None]
        return WindowBatch(
            self._scaled(past, series),
            self.series.observed[past],
            _standard(self.series.past[past], self.past_scales),
            _standard(self.series.known[np.concatenate([past, future])], self.known_scales),
            self._scaled(future, series),
            self.series.observed[future],
            series,
            origins,
        )

    def _scaled(self, rows: np.ndarray, series: np.ndarray) -> np.ndarray:
        return self.scales.apply(self.series.values[rows], series).astype(np.float32)


def _standard(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.asarray((values - scales[0]) / scales[1], np.float32)
