"""What is measured: a list of records, and the arithmetic in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recurra.config import nearest
from recurra.errors import ConfigError

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""G: the rows of a weight matrix are G * H."""

TRAINED = ("train", "ragged", "model", "memory")
"""Kinds with a backward pass."""


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: what `--only` selects.
        kind: which function measures it (`recurra.benchmark.measure.KINDS`).
        cell: lstm, gru or rnn.
        steps, batch, size, layers: T, B, H (and the width of the input is H too), L.
        vocabulary: V of a language model, 0 for a layer alone.
        peephole: with peephole connections, which torch.nn lacks.
        one_thread: measured with one thread whatever numbers of threads are asked for.
    """

    name: str
    kind: str
    cell: str
    steps: int
    batch: int
    size: int
    layers: int = 1
    vocabulary: int = 0
    peephole: bool = False
    one_thread: bool = False

    @property
    def directions(self) -> int:
        """D: the ragged workload is bidirectional."""
        return 2 if self.kind == "ragged" else 1

    @property
    def lengths(self) -> list[int]:
        """Steps of each sequence of the batch: all T, or spread evenly from T/4 to T in the ragged workload."""
        if self.kind != "ragged":
            return [self.steps] * self.batch
        first, gaps = self.steps // 4, max(1, self.batch - 1)
        return [round(first + (self.steps - first) * place / gaps) for place in range(self.batch)]

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one run: two for each weight, row and product.

        Forward, a layer is one product of [rows, I + H] by [I + H, G*H] in each direction, and a language model one
        more of [rows, H] by [H, V], where rows are the valid steps of all sequences. Backward, each product has two of
        its size: for the gradient of the weights and for that of what they multiply, the input x included.
        """
        rows = sum(self.lengths)
        gates = GATES[self.cell] * self.size
        entering = [self.size, *[self.size * self.directions] * (self.layers - 1)]
        layers = sum(2 * rows * (width + self.size) * gates * self.directions for width in entering)
        output = 2 * rows * self.size * self.directions * self.vocabulary
        return (layers + output) * (3 if self.kind in TRAINED else 1)

    def describe(self) -> str:
        """`T=35 B=20 H=200 L=2 V=10000`, with what is not there left out."""
        steps = f"T={min(self.lengths)}..{self.steps}" if self.kind == "ragged" else f"T={self.steps}"
        parts = [steps, f"B={self.batch}", f"H={self.size}", f"L={self.layers}"]
        return " ".join([*parts, *([f"V={self.vocabulary}"] if self.vocabulary else [])])


SHAPES = [
    (35, 20, 200, 2), (35, 20, 650, 2), (100, 32, 256, 1), (128, 16, 512, 1), (70, 80, 1150, 1), (25, 1, 100, 1),
    (50, 1, 512, 1),
]  # fmt: skip
"""T, B, H, L. The first two and the fifth: the word models of Zaremba 2014 and Merity 2018; the sixth: min-char-rnn."""

STEP_SIZES = (16, 64, 128, 256, 512)

WORKLOADS = [
    *(Workload(f"{cell}-train", "train", cell, *shape) for cell in GATES for shape in SHAPES),
    *(Workload("lstm-inference", "inference", "lstm", *shape) for shape in SHAPES),
    Workload("peephole-train", "train", "lstm", 100, 32, 256, peephole=True),
    Workload("ragged-train", "ragged", "lstm", 40, 32, 256),
    *(Workload(f"{cell}-step", "step", cell, 1, 1, h, one_thread=True) for cell in ("lstm", "gru") for h in STEP_SIZES),
    Workload("word-model", "model", "lstm", 35, 20, 200, 2, vocabulary=10_000),
    Workload("word-model", "model", "lstm", 35, 20, 650, 2, vocabulary=10_000),
    Workload("character-model", "model", "lstm", 100, 32, 256, 2, vocabulary=65),
    Workload("generate", "generate", "lstm", 200, 1, 256, 2, vocabulary=65, one_thread=True),
    Workload("alternation", "alternation", "lstm", 35, 20, 200),
    Workload("memory", "memory", "lstm", 128, 16, 512, one_thread=True),
    Workload("memory", "memory", "lstm", 10_000, 4, 256, one_thread=True),
]


def select(names: Sequence[str] | None, workloads: Sequence[Workload] = WORKLOADS) -> list[Workload]:
    """The workloads of these names, all where None.

    Raises:
        ConfigError: for a name that no workload has.
    """
    known = list(dict.fromkeys(one.name for one in workloads))
    for name in names or ():
        if name not in known:
            raise ConfigError(
                f"only: unknown workload {name!r}{nearest(name, known) or '; known: ' + ', '.join(known)}"
            )
    return [one for one in workloads if not names or one.name in names]
