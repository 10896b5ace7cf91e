"""Nested dicts, lists and tuples of tensors, arrays and plain values as JSON plus named tensors, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import CheckpointError

PLAIN = (bool, int, float, str, type(None))


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with `function` applied to each tensor."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(function, value) for value in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(function, value) for value in tree)
    return tree


class Packer:
    """Splits trees into JSON values and tensors; a tensor that occurs twice is kept once.

    In the JSON, {"$tensor": name, "cpu": bool} stands for a tensor, {"$array": name} for an array, {"$tuple":
    [...]} for a tuple and {"$items": [[key, value], ...]} for a dict whose keys are not all text.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def pack(self, tree: Any, path: str) -> Any:
        """The JSON form of a tree; `path` names its tensors (`optimiser/state/0/exp_avg`)."""
        if isinstance(tree, Tensor):
            return {"$tensor": self._keep(tree, path), "cpu": tree.device.type == "cpu"}
        if isinstance(tree, np.ndarray):
            return {"$array": self._keep(torch.from_numpy(np.ascontiguousarray(tree)), path)}
        if isinstance(tree, np.generic):
            return tree.item()
        if isinstance(tree, Mapping):
            items = [(key, self.pack(value, f"{path}/{key}")) for key, value in tree.items()]
            if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
                return dict(items)
            return {"$items": [[self.pack(key, path), value] for key, value in items]}
        if isinstance(tree, list | tuple):
            values = [self.pack(value, f"{path}/{place}") for place, value in enumerate(tree)]
            return {"$tuple": values} if isinstance(tree, tuple) else values
        if isinstance(tree, PLAIN):
            return tree
        raise CheckpointError(
            f"checkpoint: {path} is a {type(tree).__name__}; expected tensors, arrays, numbers and text, "
            f"nested in dicts, lists and tuples"
        )

    def _keep(self, tensor: Tensor, path: str) -> str:
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and identity in self._names:
            return self._names[identity]
        while path in self.tensors:  # keys 1 and "1", or a key with a stroke
            path += "+"
        self._names[identity] = path
        self.tensors[path] = own_copy(tensor)
        return path


def own_copy(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, contiguous, alone in its memory; itself where it is all that already."""
    tensor = tensor.detach().cpu().contiguous()
    alone = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if alone else tensor.clone()


def unpack(tree: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    """The tree that `Packer.pack` took apart; tensors that were not on the CPU go to `device`."""
    if isinstance(tree, list):
        return [unpack(value, tensors, device) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        tensor = tensors[tree["$tensor"]]
        return tensor if tree["cpu"] else tensor.to(device)
    if "$array" in tree:
        return tensors[tree["$array"]].numpy()
    if "$tuple" in tree:
        return tuple(unpack(value, tensors, device) for value in tree["$tuple"])
    if "$items" in tree:
        return {unpack(key, tensors, device): unpack(value, tensors, device) for key, value in tree["$items"]}
    return {key: unpack(value, tensors, device) for key, value in tree.items()}
