"""Cutting parts off a set of examples so that every class has its share in each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np


def stratified(labels: Sequence[Hashable], counts: Sequence[int], seed: int) -> list[list[int]]:
    """The places of the examples that are left, and of `counts` examples for each part, drawn by `seed`.

    Each class has its share of every part, to rounding, and one of its examples is left as long as others are. Places
    are in rising order.

        >>> left, first, second = stratified("aaaaaaaabb", [2, 3], seed=1)
        >>> len(left), len(first), len(second)
        (5, 2, 3)
    """
    groups: dict[Hashable, list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(labels)).tolist():
        groups.setdefault(labels[place], []).append(place)
    # Every class is spread evenly over a line from 0 to 1, its first example at 0, and parts are cut off the line.
    line = sorted(
        ((rank + 0.5) / len(group) if rank else 0.0, place)
        for group in groups.values()
        for rank, place in enumerate(group)
    )
    places = [place for _, place in reversed(line)]
    bounds = np.cumsum([0, *counts]).tolist()
    parts = [sorted(places[begin:end]) for begin, end in pairwise(bounds)]
    return [sorted(places[bounds[-1] :]), *parts]
