"""Names for the values of a plan, and what makes each as a line of arithmetic."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import groupby, pairwise

from recurra.backends.native.homes import steps_of
from recurra.equations import Traced
from recurra.equations.graph import Block, Node, Product, Rate
from recurra.equations.plan import Plan

SQUASHING = frozenset({"tanh", "sigmoid", "relu", "exp", "logsigmoid", "sqrt"})
DERIVATIVES = frozenset({"dtanh", "dsigmoid", "drelu"})
SUMS = frozenset({"add", "sub", "fma", "fnma"})
ALIKE = SUMS | {"mul", "normalise"}
"""What has the parts that its arguments have."""

LETTERS = {"product": ("p#", "q#"), "concat": ("r#", "s#")}
"""What values without a name are called, in a forward and in a gradient plan: p1, p2, ...; t and u for all others."""

FORMULAS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "fma": "{0} * {1} + {2}",
    "fnma": "{2} - {0} * {1}",
    "rsqrt": "1 / sqrt({0})",
    "dtanh": "{0} * (1 - {1}^2)",
    "dsigmoid": "{0} * {1} * (1 - {1})",
    "drelu": "{0} where {1} > 0",
    "pick": "{0} where {1} > {2}, half where equal",
    "outer": "{0}^T {1}",
}
"""Arithmetic by operation; any other is written as a function."""


class Names:
    """Names of a plan's values: those of the cell's states and split parts where they are known.

    A state as it enters a step is `h[t-1]`, as it leaves `h`; the gates of all steps' inputs are `x_gates`; a gradient
    begins with `d_`. Args:
        traced: the cell's graph, for what `split` named.
        plan: forward or gradient.
        kept: names of the forward values that a gradient plan reads, by key; None for a forward plan.
    """

    def __init__(self, traced: Traced, plan: Plan, kept: Mapping[Hashable, str] | None = None) -> None:
        self.traced, self.plan, self.kept = traced, plan, kept
        self.parts = {(weight, row, rows): name.partition(".")[2] for name, (weight, row, rows) in traced.parts.items()}
        self.given: dict[Node, str] = {}
        self.counts: dict[str, int] = {}
        self._name_results()
        for node in plan.graph.nodes():
            self._name_given(node)
        for node in (made for step in steps_of(plan) for made in step.nodes):  # so that numbers rise down the page
            if node not in self.given and node.op not in ("slice", "spread", "stop", "const"):
                self.given[node] = self._free(self._suggest(node))

    def of(self, node: Node) -> str:
        """The name of a value, or for a view and a number what it shows."""
        if node.op in ("spread", "stop"):
            return self.of(node.args[0])
        if node.op == "const":
            return f"{node.data:g}"
        if node.op != "slice":
            return self.given[node]
        (source,), (first, width) = node.args, node.data
        return f"{self.of(source)}[{self._columns(source, first, width)}]"

    def line(self, node: Node) -> str:
        """What makes a value: `i = sigmoid(gates[i])`."""
        makes = "+=" if node.op in ("outer", "total") else "="
        return f"{self.of(node)} {makes} {self._formula(node)}"

    def _name_results(self) -> None:
        """States, output and gradients, by what the cell calls them."""
        graph = self.plan.graph
        for name, (leaf, new) in graph.states.items():
            entering, leaving = (f"{name}[t-1]", name) if self.kept is None else (f"d_{name}", f"d_{name}[t-1]")
            self._give(leaf, entering)
            self._give(new, leaving)
        gradients: dict[Node, list[str]] = {}  # one value may be that of several weights
        for key, node in graph.results.items():
            if key == "output":
                self._give(node, "output")
            elif isinstance(key, tuple) and key[0] == "matrix":
                gradients.setdefault(node, []).extend(dict.fromkeys(block.weight for block in key[1]))
            elif isinstance(key, tuple) and key[0] != "kept":
                (kind, name, *rest) = key
                gradients.setdefault(node, []).append(f"{name}{self._range(name, *rest) if kind == 'vector' else ''}")
        for node, names in gradients.items():
            self._give(node, ", ".join(f"d_{name}" for name in dict.fromkeys(names)))

    def _give(self, node: Node, name: str) -> None:
        if node.op not in ("slice", "spread", "stop", "const", "vector", "scalar", "input"):
            self.given.setdefault(node, self._free(name) if node not in self.given else name)

    def _name_given(self, node: Node) -> None:
        if node.op == "vector":
            name, row, size = node.data
            self.given[node] = f"{name}{self._range(name, row, size)}"
        elif node.op == "scalar":
            self.given[node] = str(node.data)
        elif node.op == "input":
            kept = (self.kept or {}).get(node.data)
            self.given[node] = kept or ("d_output" if node.data == ("output",) else str(node.data))

    def _range(self, weight: str, row: int, rows: int) -> str:
        """Rows of a weight as `.f` where they are a named part, nothing where they are all."""
        if rows == self.traced.weights[weight][0]:
            return ""
        part = self.parts.get((weight, row, rows))
        return f".{part}" if part else f"[{row}:{row + rows}]"

    def _suggest(self, node: Node) -> str:
        if node.op == "product" and self.kept is None and len(self._parts_of(node)) > 1:
            return "gates" if node.rate is Rate.LOOP else "x_gates"
        if node.op in DERIVATIVES and (output := self.of(node.args[1])) not in self.plan.graph.states:
            return f"d_{output}"
        if node.op in SQUASHING and (part := self._part(node.args[0])):
            return part
        if node.op == "concat" and self.kept is not None:
            return "d_gates"
        return LETTERS.get(node.op, ("t#", "u#"))[self.kept is not None]

    def _free(self, name: str) -> str:
        """`name`, or where it is taken the name with a number; always with one for `#`."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        if name.endswith("#"):
            return name.replace("#", str(count))
        return name if count == 1 else f"{name}_{count}"

    def _part(self, node: Node) -> str | None:
        """The split part that a sum of slices belongs to, if it is one."""
        if node.op == "slice":
            return self._named(node.args[0], *node.data)
        summed = [node.start] if node.start is not None else node.args if node.op in SUMS else []
        found = {self._part(a) for a in summed} - {None}
        return found.pop() if len(found) == 1 else None

    def _columns(self, source: Node, first: int, width: int) -> str:
        """Columns of a product by the parts that they are, or by number."""
        named = []
        for begin, size, part in self._parts_of(source):
            if first <= begin and begin + size <= first + width:
                named.append((size, part))
        if sum(size for size, _ in named) == width:
            return " ".join(part for _, part in named)
        return f"{first}:{first + width}"

    def _named(self, source: Node, first: int, width: int) -> str | None:
        return next((part for begin, size, part in self._parts_of(source) if (begin, size) == (first, width)), None)

    def _parts_of(self, source: Node) -> list[tuple[int, int, str]]:
        """(first column, width, name) of the split parts that a product, a vector or a sum of these has."""
        if source.op == "vector":
            name, begin, size = source.data
            inside = [(row, rows, part) for (weight, row, rows), part in self.parts.items() if weight == name]
            return sorted((row - begin, rows, part) for row, rows, part in inside if begin <= row < begin + size)
        if not isinstance(source.data, Product):
            found = [self._parts_of(a) for a in source.args] if source.op in ALIKE else []
            return max(found, key=len, default=[])
        parts, first = [], 0
        for row in source.data.blocks:
            for block in row:
                part = self.parts.get((block.weight, block.row, block.rows))
                if part and not block.transposed:
                    parts.append((first, block.rows, part))
                    break
            first += row[0].makes
        return parts

    def _formula(self, node: Node) -> str:
        if node.op == "concat":
            return f"[{', '.join(self.of(a) for a in node.args)}]"
        if node.op == "total":
            return self.of(node.args[0])
        if isinstance(node.data, Product):
            terms = [
                f"{self.of(operand)} @ {self._matrix([row[k] for row in node.data.blocks])}"
                for k, operand in enumerate(node.operands)
            ]
            return " + ".join([*terms, *([self.of(node.start)] if node.start is not None else [])])
        arguments = [self.of(a) for a in node.args]
        written = FORMULAS.get(node.op)
        return written.format(*arguments) if written else f"{node.op}({', '.join(arguments)})"

    def _matrix(self, blocks: list[Block]) -> str:
        """The matrix that makes all parts from one operand; `W^T` as rows are multiplied from the left."""
        found = []
        for (weight, transposed), group in groupby(blocks, lambda b: (b.weight, b.transposed)):
            each = list(group)
            first, rows = each[0].row, sum(b.rows for b in each)
            together = all(a.row + a.rows == b.row for a, b in pairwise(each))
            place = self._block(each[0]._replace(row=first, rows=rows)) if together else self._list(each)
            found.append(f"{weight}{place}{'' if transposed else '^T'}")
        return found[0] if len(found) == 1 else f"[{', '.join(found)}]"

    def _block(self, block: Block) -> str:
        rows, columns = self.traced.weights[block.weight]
        if (block.rows, block.columns) == (rows, columns):
            return ""
        if block.columns == columns:
            return self._range(block.weight, block.row, block.rows)
        last_row, last_column = block.row + block.rows, block.column + block.columns
        return f"[{block.row}:{last_row}, {block.column}:{last_column}]"

    def _list(self, blocks: Iterable[Block]) -> str:
        return f"[{' '.join(self._block(b).strip('.[]') for b in blocks)}]"
