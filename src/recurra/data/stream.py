"""Batches from one running text: B rows that a recurrent net reads side by side with carried state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import CheckpointError, DataError, ShapeError

IGNORED = -100  # a target that is not scored; the number torch's cross_entropy ignores by default


@dataclass(frozen=True)
class Chunk:
    """Some steps of all rows.

    inputs: int64 [T, B]; targets: int64 [T, B], the token after each input, or -100 where none is scored;
    start: the step of every row that the first of them is; at 0 the text starts anew, and so must the carried state.
    """

    inputs: np.ndarray
    targets: np.ndarray
    start: int


class TokenStream:
    """A text as B rows of equal length, read T steps at a time; nothing is copied but the chunk in hand.

    tokens: integers [N], perhaps a memory map, perhaps reversed. Row b holds the b-th of B contiguous parts of
    `length` = (N-1)//B steps; each step's target is the next token, the last one's the first of the next row. (The
    up to B-1 tokens at the end that fill no column are left out.) An epoch has ceil(length/T) chunks, the last one
    perhaps shorter.

    Iterating gives the rest of the current epoch, and the position moves on before a chunk is handed over: a
    `state_dict` taken while a chunk is worked on continues with the next one.

    Raises: DataError where the text is shorter than one window of T steps in B rows.

        >>> stream = TokenStream(np.arange(9), batch_size=2, steps=3)
        >>> [chunk.inputs.tolist() for chunk in stream]
        [[[0, 4], [1, 5], [2, 6]], [[3, 7]]]
    """

    def __init__(self, tokens: np.ndarray, batch_size: int, steps: int) -> None:
        check_window(tokens, batch_size * steps, f"{steps} steps in {batch_size} rows", "training text")
        self.length = (len(tokens) - 1) // batch_size
        self.batch_size, self.steps = batch_size, steps
        self.epoch, self.position = 0, 0
        step = tokens.strides[0]
        self._rows = np.lib.stride_tricks.as_strided(  # [B, length + 1]: neighbours share the token between them
            tokens, (batch_size, self.length + 1), (self.length * step, step), subok=False, writeable=False
        )

    @property
    def steps_per_epoch(self) -> int:
        """Chunks in a whole epoch."""
        return -(-self.length // self.steps)

    def columns(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, int64 [stop-start, B] each, of steps `start` to `stop` of every row."""
        if not 0 <= start < stop <= self.length:
            raise ShapeError(f"columns: expected 0 <= start < stop <= {self.length}, got {start} and {stop}")
        block = np.ascontiguousarray(self._rows[:, start : stop + 1].T, np.int64)
        return block[:-1], block[1:]

    def __iter__(self) -> Iterator[Chunk]:
        while self.position < self.length:
            start = self.position
            self.position = min(start + self.steps, self.length)
            yield Chunk(*self.columns(start, self.position), start=start)
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The position, and the shape of the data that it belongs to."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "length": self.length,
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position. Raises: CheckpointError where it was saved from other data or batches."""
        check_same(state, {"length": self.length, "batch_size": self.batch_size})
        self.epoch, self.position = state["epoch"], state["position"]


class EvaluationStream:
    """A text in which every token is scored exactly once, whatever the batch size; iterate as often as you like.

    tokens: integers [N]. `before` is the token that the first one is predicted from, as after a line end; with None
    the first token has nothing to be predicted from and N-1 are scored. The predictions are shared out over B
    contiguous rows (fewer if there are fewer tokens), whose number differs by at most one. All rows but the first
    read up to `warmup` tokens before their own first, unscored, so that their state knows what came before and
    results hardly depend on B. Steps that are not scored have the target -100.

    Raises: DataError where there is nothing to score.

        >>> stream = EvaluationStream(np.array([5, 6, 7, 8, 9]), batch_size=2, steps=9, warmup=1)
        >>> [chunk.targets.T.tolist() for chunk in stream]
        [[[6, 7, -100], [-100, 8, 9]]]
    """

    def __init__(
        self, tokens: np.ndarray, batch_size: int, steps: int, warmup: int = 0, before: int | None = None
    ) -> None:
        self.tokens_scored = len(tokens) - (before is None)
        if self.tokens_scored < 1:
            raise DataError(f"expected at least 2 tokens to score, got {len(tokens)}; give a longer text")
        self._tokens, self._before, self._steps = np.asarray(tokens), before, steps
        rows = min(batch_size, self.tokens_scored)
        bounds = np.arange(rows + 1) * self.tokens_scored // rows  # of the predictions, numbered from 0
        self._scored_from, self._stop = bounds[:-1], bounds[1:]
        self._start = np.maximum(self._scored_from - warmup, 0)
        self._columns = int((self._stop - self._start).max())

    def __len__(self) -> int:
        return -(-self._columns // self._steps)

    def __iter__(self) -> Iterator[Chunk]:
        for column in range(0, self._columns, self._steps):
            last = min(column + self._steps, self._columns)
            # [T, B]: which prediction each row makes at each step
            number = self._start + np.arange(column, last)[:, None]
            scored = (number >= self._scored_from) & (number < self._stop)
            target_at = np.minimum(number, self.tokens_scored - 1) + (self._before is None)
            targets = self._tokens[target_at].astype(np.int64)
            targets[~scored] = IGNORED
            inputs = self._tokens[np.maximum(target_at - 1, 0)].astype(np.int64)
            if self._before is not None:
                inputs[target_at == 0] = self._before
            yield Chunk(inputs, targets, start=column)


def check_window(tokens: np.ndarray, window: int, meaning: str, name: str) -> None:
    """Refuse a text that does not fill one window of so many predictions.

    Raises: DataError, such as 'validation text: expected at least 65 tokens (64 steps), got 12; ...'.
    """
    if len(tokens) <= window:
        raise DataError(
            f"{name}: expected at least {window + 1} tokens (one window of {meaning}), got {len(tokens)}; "
            "give more text, or lower batch_size or bptt"
        )


def check_same(state: Mapping[str, Any], here: dict[str, int]) -> None:
    """Refuse a saved position that belongs to other data."""
    for name, value in here.items():
        if state.get(name) != value:
            raise CheckpointError(
                f"position in the data: expected {name}={state.get(name)} as when it was saved, got {value}; "
                "resume with the same text and options"
            )
