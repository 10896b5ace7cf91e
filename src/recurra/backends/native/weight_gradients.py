"""Who makes which part of the weights' gradients."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from recurra.backends.native.code import Outer, Rows, Total
from recurra.backends.native.places import Places


class Part(NamedTuple):
    """Rows and columns [first, last) of a weight, and the stage that makes them (None: it adds to what is there)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    stage: Outer | Total | None


class WeightGradients:
    """The parts of each weight's gradient as they are noted."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.parts: dict[str, list[Part]] = {}

    def buffer(self, weight: str) -> int:
        """The buffer of a weight's gradient."""
        width = self.places.weight(weight).width
        return self.places.memory.buffer(Rows.ONCE, width, ("gradient", "weight", weight))

    def note(self, weight: str, rows: tuple[int, int], columns: tuple[int, int], stage: Outer | Total | None) -> None:
        """Note who makes a part."""
        self.parts.setdefault(weight, []).append(Part(rows, columns, stage))

    def settle(self) -> frozenset[Hashable]:
        """Gradients whose parts are made once each and leave nothing out are written; the others, whose buffers are
        given back, are added up from zeros."""
        zeroed = set()
        for weight, parts in self.parts.items():
            area = sum((p.rows[1] - p.rows[0]) * (p.columns[1] - p.columns[0]) for p in parts)
            apart = not any(_meet(a, b) for k, a in enumerate(parts) for b in parts[:k])
            stages = [part.stage for part in parts]
            if apart and area == self.places.weight(weight).width and None not in stages:
                for stage in stages:
                    assert stage is not None
                    stage.accumulate = False
            else:
                zeroed.add(("gradient", "weight", weight))
        return frozenset(zeroed)


def _meet(a: Part, b: Part) -> bool:
    pairs = ((a.rows, b.rows), (a.columns, b.columns))
    return all(first[0] < second[1] and second[0] < first[1] for first, second in pairs)
