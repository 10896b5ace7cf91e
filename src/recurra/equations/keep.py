"""Which forward values to keep for the gradient: a minimum cut between what is not computed again and what is read.

Kept rows are memory of the size of the whole sequence, so the fewest are wanted. Products and reductions are never
computed again; everything elementwise may be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from itertools import combinations

from recurra.equations.graph import LEAVES, Graph, Node, Rate, walk

_MADE_ONCE = frozenset({"state", "product", "sum", "inv_std"})
_NOTHING = 1e-9  # what rounding leaves of a capacity that is used up; the smallest capacity is 1e-3

Vertex = Hashable  # "source", "sink", (node, "in") or (node, "out")
Edges = dict[Vertex, list[Vertex]]
Flow = dict[tuple[Vertex, Vertex], float]


def choose_kept(forward: Graph, reads: Iterable[Node]) -> list[Node]:
    """The forward values to keep so that all of `reads` can be had from them, inputs and weights.

    A state's sequence serves both as what enters a step and what leaves it; whether it is kept is tried both ways.
    That of the output is there anyway.
    """
    needed = list(walk(dict.fromkeys(reads)))
    output = forward.results["output"]
    held = [name for name, (_, new) in forward.states.items() if new is output]
    others = [name for name in forward.states if name not in held]
    best: tuple[float, list[Node]] | None = None
    for count in range(len(others) + 1):
        for chosen in combinations(others, count):
            free = {v for name in (*held, *chosen) for v in forward.states[name]} | {output}
            cost, cut = _minimum_cut(needed, set(reads), free)
            cost += sum(forward.states[name][0].width or 0 for name in chosen)
            if best is None or cost <= best[0]:  # at equal cost the states themselves: less is computed again
                best = cost, [n for n in needed if n in cut or (n in free and not _given(n))]
    assert best is not None
    return best[1]


def _given(node: Node) -> bool:
    """Leaves that the gradient pass has anyway."""
    return node.op in LEAVES and node.op != "state"


def _minimum_cut(needed: list[Node], reads: set[Node], free: set[Node]) -> tuple[float, set[Node]]:
    """The cheapest set of nodes through which every read value can be computed (a vertex cut by maximum flow)."""
    flow: Flow = {}
    edges: Edges = {}

    def connect(a: Vertex, b: Vertex, capacity: float) -> None:
        flow[a, b] = flow.get((a, b), 0.0) + capacity
        flow.setdefault((b, a), 0.0)
        edges.setdefault(a, []).append(b)
        edges.setdefault(b, []).append(a)

    infinite = float("inf")
    inner = [node for node in needed if not _given(node) and node not in free]
    for node in inner:
        connect((node, "in"), (node, "out"), _cost(node))
        if node.op in _MADE_ONCE:
            connect("source", (node, "in"), infinite)
        else:
            for arg in node.args:
                connect((arg, "out"), (node, "in"), infinite)
        if node in reads:
            connect((node, "out"), "sink", infinite)
    cost = 0.0
    while path := _augmenting_path(edges, flow):
        amount = min(flow[edge] for edge in path)
        cost += amount
        for a, b in path:
            flow[a, b] -= amount
            flow[b, a] += amount
    below = _reaching(edges, flow)
    return cost, {n for n in inner if (n, "out") in below and (n, "in") not in below}


def _cost(node: Node) -> float:
    """Numbers per step; what is made per sequence or once costs next to nothing, a view as much as what it shows."""
    return float(node.width or 1) if node.rate >= Rate.STEP else 1e-3 * (node.width or 1)


def _augmenting_path(edges: Edges, flow: Flow) -> list[tuple[Vertex, Vertex]]:
    """The shortest way from source to sink that still has capacity; empty if there is none."""
    came: dict[Vertex, Vertex] = {}
    queue: deque[Vertex] = deque(["source"] if "source" in edges else [])
    while queue and "sink" not in came:
        a = queue.popleft()
        for b in edges[a]:
            if b not in came and b != "source" and flow[a, b] > _NOTHING:
                came[b] = a
                queue.append(b)
    path: list[tuple[Vertex, Vertex]] = []
    end: Vertex = "sink"
    while end in came:
        path.append((came[end], end))
        end = came[end]
    return path


def _reaching(edges: Edges, flow: Flow) -> set[Vertex]:
    """What still reaches the sink: of all cheapest cuts the one nearest the reads, so that least is computed again."""
    seen: set[Vertex] = {"sink"}
    stack: list[Vertex] = ["sink"] if "sink" in edges else []
    while stack:
        b = stack.pop()
        for a in edges[b]:
            if a not in seen and flow[a, b] > _NOTHING:
                seen.add(a)
                stack.append(a)
    return seen
