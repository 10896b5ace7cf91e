"""The number of weights of a model, with the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from recurra.layers.recurrent import Recurrent


def count_weights(model: nn.Module) -> dict[str, Any]:
    """Weights of each layer and in total; a matrix that two layers share counts once.

    Returns:
        {"layers": [{"name", "weights", "arithmetic"}, ...], "weights": total}; the arithmetic names each weight with
        its rows and columns, as "W_hh 16 x 4 = 64".

    Example:
        >>> count_weights(Recurrent("rnn", 1003, 4))["weights"]  # 4 x 1003 + 4 x 4 + 4
        4032
    """
    seen: dict[int, str] = {}
    rows = []
    for name, weights in _layers(model):
        terms, total = [], 0
        for key, weight in weights.items():
            if id(weight) in seen:
                terms.append(f"{key} shared with {seen[id(weight)]}")
                continue
            seen[id(weight)] = name
            total += weight.numel()
            terms.append(_term(key, weight))
        rows.append({"name": name, "weights": total, "arithmetic": " + ".join(terms)})
    return {"layers": rows, "weights": sum(row["weights"] for row in rows)}


def _layers(model: nn.Module, path: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each layer's name and weights, in the model's order; a stack gives one for each layer and direction."""
    if isinstance(model, Recurrent):
        stack = model.stack
        for (layer, reverse), weights in zip(stack.runs, model.weights(), strict=True):
            yield f"{stack.cell.name} layer {layer + 1}{', reverse' if reverse else ''}", weights
        return
    own = dict(model.named_parameters(recurse=False))
    if own:
        yield path or type(model).__name__, dict(own)
    for name, child in model.named_children():
        yield from _layers(child, f"{path}.{name}" if path else name)


def _term(name: str, weight: Tensor) -> str:
    if weight.dim() < 2:
        return f"{name} {weight.numel():,}"
    return f"{name} {' x '.join(f'{size:,}' for size in weight.shape)} = {weight.numel():,}"
