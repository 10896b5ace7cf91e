"""What is measured: a list of records, and the arithmetic in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from recurra.config import nearest
from recurra.errors import ConfigError

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""G: the rows of a weight matrix are G * H."""

TAGGER_BATCHES = 16
"""Batches in one run of a tagger."""

LENGTHS = (1.73, 0.58)
"""Shape, and scale as a multiple of the mean, of the gamma distribution that sentence lengths are drawn from: mean 16,
deviation 12, one in a hundred beyond 57, as in the training part of the treebank UD English EWT."""

TRAINED = ("train", "ragged", "model", "memory", "tagger")
"""Kinds with a backward pass."""


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: what `--only` selects.
        kind: which function measures it (`recurra.benchmark.measure.KINDS`).
        cell: lstm, gru or rnn.
        steps, batch, size, layers: T (of a tagger the mean), B, H (and the width of the input is H too), L.
        vocabulary: V of a language model or tagger, 0 for a layer alone.
        characters: how a tagger reads the characters of words: cnn, lstm.
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
    characters: str = ""
    peephole: bool = False
    one_thread: bool = False

    @property
    def directions(self) -> int:
        """D: the ragged workload is bidirectional, and so is the tagger."""
        return 2 if self.kind in ("ragged", "tagger") else 1

    @property
    def lengths(self) -> list[int]:
        """Steps of each sequence of the batch: all T, or spread evenly from T/4 to T in the ragged workload.

        Of a tagger, the lengths of the sentences of all its batches, drawn from `LENGTHS`.
        """
        if self.kind == "tagger":
            shape, scale = LENGTHS
            random = Random(1)
            drawn = [random.gammavariate(shape, scale * self.steps) for _ in range(TAGGER_BATCHES * self.batch)]
            return [max(1, round(length)) for length in drawn]
        if self.kind != "ragged":
            return [self.steps] * self.batch
        first, gaps = self.steps // 4, max(1, self.batch - 1)
        return [round(first + (self.steps - first) * place / gaps) for place in range(self.batch)]

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one run: two for each weight, row and product.

        Forward, a layer is one product of [rows, I + H] by [I + H, G*H] in each direction, and a language model one
        more of [rows, H] by [H, V], where rows are the valid steps of all sequences. Backward, each product has two of
        its size: for the gradient of the weights and for that of what they multiply, the input x included. 0 for a
        tagger: what is computed depends on the words, and contenders differ in it.
        """
        if self.kind == "tagger":
            return 0
        rows = sum(self.lengths)
        gates = GATES[self.cell] * self.size
        entering = [self.size, *[self.size * self.directions] * (self.layers - 1)]
        layers = sum(2 * rows * (width + self.size) * gates * self.directions for width in entering)
        output = 2 * rows * self.size * self.directions * self.vocabulary
        return (layers + output) * (3 if self.kind in TRAINED else 1)

    @property
    def counted(self) -> tuple[int, str]:
        """How many things are done in one run, and what they are; 0 where nothing is counted."""
        if self.kind == "generate":
            return self.steps, "characters"
        return (sum(self.lengths), "tokens") if self.kind == "tagger" else (0, "")

    def describe(self) -> str:
        """`T=35 B=20 H=200 L=2 V=10000`, with what is not there left out."""
        ragged = self.kind in ("ragged", "tagger")
        steps = f"T={min(self.lengths)}..{max(self.lengths)}" if ragged else f"T={self.steps}"
        parts = [steps, f"B={self.batch}", f"H={self.size}", f"L={self.layers}"]
        parts += [f"V={self.vocabulary}"] if self.vocabulary else []
        return " ".join([*parts, *([f"characters={self.characters}"] if self.characters else [])])


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
    *(Workload("tagger", "tagger", "lstm", 16, 32, 200, 1, vocabulary=20_000, characters=c) for c in ("lstm", "cnn")),
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
