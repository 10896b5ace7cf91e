"""The order in which items of unequal length are read: in batches of like length, each item once per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from recurra.data.stream import check_same

POOL = 64  # batches whose items are sorted by length together: little padding, batches still mixed


class Buckets:
    """Which items make up each batch.

    `steps`: the length of each item, [N]. `shuffle`: the order is new each epoch, made from seed and epoch alone; items
    of like length share a batch. Otherwise longest first, the same each time, as evaluation wants it. Iterating gives
    the rest of the current epoch; a `state_dict` taken while a batch is worked on continues with the next one.

        >>> [batch.tolist() for batch in Buckets(np.array([2, 9, 5]), 2, shuffle=False)]
        [[1, 2], [0]]
    """

    def __init__(self, steps: np.ndarray, batch_size: int, *, shuffle: bool = True, seed: int = 1) -> None:
        self.steps, self.batch_size = steps, batch_size
        self.epoch, self.position = 0, 0
        self._shuffle, self._seed = shuffle, seed

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        return -(-len(self) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        order = self._order()
        while self.position < self.steps_per_epoch:
            first = self.position * self.batch_size
            self.position += 1
            yield order[first : first + self.batch_size]
        self.epoch, self.position = self.epoch + 1, 0

    def _order(self) -> np.ndarray:
        """The items of this epoch in the order they are read."""
        if not self._shuffle:
            return np.argsort(-self.steps, kind="stable")
        random = np.random.default_rng([self._seed, self.epoch])
        order = random.permutation(len(self))
        pool = POOL * self.batch_size
        for first in range(0, len(order), pool):
            part = order[first : first + pool]
            order[first : first + pool] = part[np.argsort(self.steps[part], kind="stable")]
        full = len(order) // self.batch_size * self.batch_size  # the short last batch stays last
        random.shuffle(order[:full].reshape(-1, self.batch_size))
        return order

    def state_dict(self) -> dict[str, int]:
        """The position, and what it belongs to."""
        return {"epoch": self.epoch, "position": self.position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position. Raises: CheckpointError where it was saved from other data or batches."""
        check_same(state, self._identity())
        self.epoch, self.position = state["epoch"], state["position"]

    def _identity(self) -> dict[str, int]:
        return {"items": len(self), "batch_size": self.batch_size, "seed": self._seed}
