"""Small random cells and random batches for them, the same for the same seed, printed as source code.

Values stay tame: divisors, roots and logarithms get arguments away from 0, exponentials bounded ones. Ties of maximum
and minimum are exact (the same value twice, or zeros of relu), so that rounding cannot decide them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recurra import equations
from recurra.equations import Cell, Form, trace
from recurra.equations.graph import Rate

UNARY = ["tanh", "sigmoid", "relu", "logsigmoid", "softplus", "silu", "absolute", "stop_gradient"]
SAFE = [
    "exp(-{a} * {a})",
    "exp(minimum(tanh({a}), 0.5))",
    "log({a} * {a} + 1.5)",
    "sqrt({a} ** 2 + 0.5)",
    "rsqrt(0.5 + {a} * {a})",
    "-{a}",
    "1.0 - {a}",
    "0.7 * {a} - 0.2",
    "{a} / 1.6",
    "2 / (1.2 + absolute({a}))",
    "minimum({a}, {a})",
    "maximum(relu({a}), 0.0)",
    "maximum({a}, 0.3)",
]
BINARY = [
    "{a} + {b}",
    "{a} + {b}",
    "{a} - {b}",
    "{a} * {b}",
    "{a} * {b}",
    "{a} / (1.5 + {b} * {b})",
    "{b} + sigmoid({a}) * ({a} - {b})",
    "{a} * (1 - {b})",
    "maximum({a}, {b})",
    "minimum({a}, {b})",
    "maximum(relu({a}), relu({b}))",
    "minimum(relu({a}), stop_gradient(relu({b})))",
]
OPERATIONS = ["unary"] * 3 + ["safe"] * 3 + ["binary"] * 6 + ["product"] * 6
OPERATIONS += ["vector", "vector", "scalar", "split", "concat", "layer_norm", "row_sum", "weights"]


@dataclass
class Writer:
    """The source of one cell as it grows: lines, and values by name with their width (None: a number)."""

    random: random.Random
    name: str
    values: dict[str, int | None]
    wide: int
    factor: int
    lines: list[str] = field(default_factory=list)
    matrices: dict[str, tuple[int, int]] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    merges: bool = False

    def pick(self, width: int | str | None = "any") -> str:
        """A value of this width, unread and recent ones more often; "row" is any row."""
        names = [
            n for n, w in self.values.items() if width == "any" or (w is not None if width == "row" else w == width)
        ]
        if not names:
            return self.made(width if isinstance(width, int) else self.wide)
        unread = [n for n in names if n not in self.read]
        names = unread if unread and self.random.random() < 0.6 else names
        return names[max(self.random.randrange(len(names)) for _ in range(2))]

    def made(self, width: int) -> str:
        """A value of a width that no value has yet: a product of one that there is."""
        return self.let(f"{self.matrix(width, self.pick('row'))}", width)

    def let(self, expression: str, width: int | None) -> str:
        name = f"v{len(self.lines)}"
        self.read.update(re.findall(r"\w+", expression))
        self.lines.append(f"{name} = {expression}")
        self.values[name] = width
        return name

    def matrix(self, rows: int, operand: str) -> str:
        shape = (rows, self.values[operand] or 0)
        used = [name for name, known in self.matrices.items() if known == shape]
        name = self.random.choice(used) if used and self.random.random() < 0.3 else f"W{len(self.matrices)}"
        self.matrices[name] = shape
        return f"p.{name}[{rows}] @ {operand}"

    def vector(self, width: int) -> str:
        used = [name for name, known in self.vectors.items() if known == width]
        name = self.random.choice(used) if used and self.random.random() < 0.3 else f"b{len(self.vectors)}"
        self.vectors[name] = width
        return f"p.{name}[{width}]"

    def second(self, a: str) -> tuple[str, int | None]:
        """A value that goes with `a`, and the width of both together."""
        width = self.values[a]
        b = self.pick(self.random.choice([width, width, width, None if None in self.values.values() else width]))
        return b, width if width is not None else self.values[b]

    def add(self, operation: str) -> None:
        a = self.pick(
            "row" if operation in ("product", "split", "concat", "layer_norm", "row_sum", "vector") else "any"
        )
        getattr(self, f"add_{operation}")(a, self.values[a])

    def add_unary(self, a: str, width: int | None) -> None:
        self.let(f"{self.random.choice(UNARY)}({a})", width)

    def add_safe(self, a: str, width: int | None) -> None:
        self.let(self.random.choice(SAFE).format(a=a), width)

    def add_binary(self, a: str, width: int | None) -> None:
        b, together = self.second(a)
        a, b = self.random.choice([(a, b), (b, a)])
        self.let(self.random.choice(BINARY).format(a=a, b=b), together)

    def add_product(self, a: str, width: int) -> None:
        rows = self.random.choice([*(w for w in self.values.values() if w), self.wide])
        first = self.matrix(rows, a)
        kind = self.random.random()
        if kind < 0.3:
            self.let(first, rows)
        elif kind < 0.7:
            self.let(f"{first} + {self.matrix(rows, self.pick('row'))} + {self.vector(rows)}", rows)
        elif kind < 0.8:
            self.let(f"tanh({first} - {self.matrix(rows, self.pick('row'))})", rows)
        else:
            gates = f"{first} + {self.matrix(rows, self.pick('row'))}"
            self.let(f"{gates} - {self.pick(rows)}", rows)

    def add_vector(self, a: str, width: int) -> None:
        self.let(f"{a} {self.random.choice('+-*')} {self.vector(width)}", width)

    def add_scalar(self, a: str, width: int | None) -> None:
        self.let(f"scalar(p.s{self.random.randrange(2)}) {self.random.choice('+-*')} {a}", width)

    def add_split(self, a: str, width: int) -> None:
        count = next((n for n in self.random.sample([2, 3, 4], 3) if width % n == 0), 0)
        if not count:
            return
        names = [f"v{len(self.lines)}{letter}" for letter in "abcd"[:count]]
        self.lines.append(
            f"{', '.join(names)} = split({a}, {self.random.choice([count, repr('i f g o'[: 2 * count - 1])])})"
        )
        self.values |= dict.fromkeys(names, width // count)

    def add_concat(self, a: str, width: int) -> None:
        rest = [self.pick("row") for _ in range(self.random.choice([1, 1, 2]))]
        whole = width + sum(self.values[b] or 0 for b in rest)
        if whole > 12 * self.factor:
            return
        self.merges = self.merges or any(n[-1] in "abcd" for n in (a, *rest))
        self.let(f"concat({', '.join((a, *rest))})", whole)
        self.add_product(f"v{len(self.lines) - 1}", whole)

    def add_layer_norm(self, a: str, width: int) -> None:
        weights = [self.vector(width) for _ in range(self.random.randrange(3))]
        eps = self.random.choice(["", ", eps=0.01"])
        self.let(f"layer_norm({', '.join([a, *weights])}{eps})", width)

    def add_row_sum(self, a: str, width: int) -> None:
        self.let(f"0.5 * row_sum({a})", None)

    def add_weights(self, a: str, width: int | None) -> None:
        """A part made of weights only."""
        rows = width or self.wide
        decay = self.random.choice(
            [
                lambda: f"sigmoid({self.vector(rows)})",
                lambda: f"{self.vector(rows)} * scalar(p.s0)",
                lambda: f"exp(-softplus({self.vector(rows)}))",
                lambda: f"p.M{rows}[{rows}] @ tanh(p.m[3])",
            ]
        )()
        self.let(f"{decay} * {a}" if self.random.random() < 0.7 else decay, rows)

    def source(self, returned: dict[str, str], states: list[str], inputs: list[str]) -> str:
        star = f", *, {', '.join(inputs)}" if inputs else ""
        entries = ", ".join(f'"{name}": {value}' for name, value in returned.items())
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"def {self.name}(x, {', '.join(states)}, p{star}):\n{body}    return {{{entries}}}\n"


@dataclass(frozen=True)
class Example:
    """A random cell with a form and a batch. `wanted` are the tensors whose gradients are asked for."""

    seed: int
    source: str
    cell: Cell
    form: Form
    lengths: list[int]
    reverse: bool
    tensors: dict[tuple[str, str], Tensor]
    masks: dict[int, Tensor]
    wanted: frozenset[tuple[str, str]]
    read: frozenset[int]  # which of (output, final states) the loss reads

    def __str__(self) -> str:
        frozen = sorted(f"{kind} {name}" for kind, name in self.tensors.keys() - self.wanted)
        return (
            f"seed {self.seed}\n{self.source}sizes={self.cell.sizes}\n{self.form}\nlengths {self.lengths}, "
            f"reverse {self.reverse}, gradient of results {sorted(self.read)}, frozen: {', '.join(frozen) or 'nothing'}"
        )


def make_cell(name: str, source: str, sizes: dict[str, int | str]) -> Cell:
    scope = {key: getattr(equations, key) for key in equations.__all__}
    exec(compile(source, f"<{name}>", "exec"), scope)
    return Cell(scope[name], "random", {}, sizes)


def draw(seed: int, factor: int = 1) -> Example:
    """The example of this number, `factor` times as wide; with a factor above 1 in a larger batch."""
    rng = random.Random(seed)
    sizes = {"input_size": factor * rng.choice([1, 2, 3, 4]), "hidden_size": factor * rng.choice([1, 2, 4, 4])}
    hidden = sizes["hidden_size"]
    widths: dict[str, int | None] = {"x": sizes["input_size"]}
    states = ["h", "c", "m"][: rng.choice([1, 2, 3])]
    stated: dict[str, int | str] = {}
    for state in states:
        widths[state] = hidden
        if rng.random() < 0.2:
            widths[state] = stated[state] = factor * rng.choice([1, 2, 3])
    kinds = {
        "u": (2 * factor, Rate.STEP),
        "k": (None, Rate.STEP),
        "q": (hidden, Rate.SEQUENCE),
        "n": (None, Rate.SEQUENCE),
    }
    inputs = [(name, *kinds[name]) for name in kinds if rng.random() < 0.2]
    widths |= {name: width for name, width, _ in inputs}
    writer = Writer(rng, f"random_cell_{seed}", widths, rng.choice([1, 2, 4]) * hidden, factor)
    for _ in range(rng.randint(1, 12)):
        writer.add(rng.choice(OPERATIONS))
    returned = _returned(writer, states)
    source = writer.source(returned, states, [name for name, *_ in inputs])
    cell = make_cell(writer.name, source, stated)
    form = _form(rng, sizes, writer, returned, tuple(inputs))
    return _batch(rng, seed, source, cell, form, factor)


def _returned(writer: Writer, states: list[str]) -> dict[str, str]:
    rng = writer.random
    returned: dict[str, str] = {}
    if rng.random() < 0.3:
        returned["y"] = rng.choice([writer.pick("row"), writer.pick("row"), "x"])
    for state in rng.sample(states, len(states)):
        value = writer.pick(writer.values[state])
        choice = rng.random()
        if choice < 0.1:
            value = state
        elif choice < 0.15:
            value = writer.vector(writer.values[state] or 0)
        elif choice < 0.5:
            value = f"tanh({value})"
        returned[state] = value
    return returned


def _form(
    rng: random.Random,
    sizes: dict[str, int],
    writer: Writer,
    returned: dict[str, str],
    inputs: tuple[tuple[str, int | None, Rate], ...],
) -> Form:
    zoneout = tuple((name, 0.3) for name in returned if name != "y" and rng.random() < 0.15)
    dropout = rng.random() < 0.25 and not writer.merges
    return Form(**sizes, inputs=inputs, zoneout=zoneout, recurrent_dropout=dropout, training=rng.random() < 0.7)


def _batch(rng: random.Random, seed: int, source: str, cell: Cell, form: Form, factor: int) -> Example:
    traced = trace(cell, form)
    batch, steps = rng.choice([1, 2, 3, 4]), rng.choice([1, 2, 3, 5])
    if factor > 1:
        batch, steps = rng.choice([1, 2, 3, 9, 19, 40]), rng.choice([1, 2, 5, 9])
    lengths = sorted((rng.choice([0, 1, steps, rng.randint(0, steps)]) for _ in range(batch)), reverse=True)
    lengths = [steps] * batch if rng.random() < 0.4 else lengths
    generator = torch.Generator().manual_seed(seed)
    normal: Callable[..., Tensor] = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    widths = cell.state_sizes(form.input_size, form.hidden_size, {})
    tensors: dict[tuple[str, str], Tensor] = {("state", name): normal(batch, w) for name, w in widths.items()}
    for name, width, rate in (("x", form.input_size, Rate.STEP), *form.inputs):
        tensors["input", name] = normal(sum(lengths) if rate is Rate.STEP else batch, width or 1)
    masks: dict[int, Tensor] = {}
    if (
        form.recurrent_dropout and form.training
    ):  # alike for one width: the oracle need not know which operand has which
        masks = {width: (normal(batch, width) > -0.5).double() / 0.7 for width in range(1, 16 * factor + 1)}
    for name, node in traced.masks.items():
        assert node.width is not None
        zoneout = name.startswith("zoneout")
        tensors["input", name] = (normal(sum(lengths), node.width) > -0.5).double() if zoneout else masks[node.width]
    for name, shape in traced.weights.items():
        tensors["weight", name] = normal(*shape) * (0.6 / factor**0.5 if len(shape) == 2 else 0.6)
    free = [key for key in tensors if not key[1].startswith("recurrent_dropout")]
    chance = rng.choice([1.0, 1.0, 0.5])
    wanted = frozenset(key for key in free if rng.random() < chance) or frozenset({("input", "x")})
    results = range(len(cell.states) + 1)
    read = frozenset(results if rng.random() < 0.6 else rng.sample(results, 1))
    return Example(seed, source, cell, form, lengths, rng.random() < 0.4, tensors, masks, wanted, read)
