"""Whether anything of torch's looks on; where nothing does, the kernels are called without torch's way to them.

That way (binding of arguments, dispatch, boxing of lists) is a third of what a small layer costs, and more where its
code has been driven out of the caches by the layer before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

TYPES = (Tensor, Parameter)


def _keys(tensor: Tensor) -> int:
    """What torch would look at on the way to a kernel: more than one type of tensor hides in its one class, such as
    views that are to be read as their negative, and zeros without memory."""
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()
    return keys


with torch.inference_mode():
    _KEYS = frozenset({_keys(torch.empty(0, device="cpu"))})
_KEYS |= {_keys(torch.empty(0, device="cpu"))}


def is_plain(tensors: Iterable[Any]) -> bool:
    """Whether these are tensors of the CPU of no kind but the plainest, and no compiler, tracer, profiler, mode or
    transform is to see what is done with them."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._len_torch_function_stack()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._get_tracing_state() is None
        and not torch.autograd._profiler_enabled()
        and all(type(tensor) in TYPES and _keys(tensor) in _KEYS for tensor in tensors)
    )


def laid_out(tensor: Tensor) -> Tensor:
    """The tensor with its numbers in memory, row after row; torch has zeros that are in none."""
    return tensor.clone() if tensor._is_zerotensor() else tensor.contiguous()


def apply(function: type[torch.autograd.Function], plain: bool, *arguments: Any) -> Any:
    """`function.apply(*arguments)`; with plain tensors without what torch prepares for transforms."""
    if not plain:
        return function.apply(*arguments)
    return super(torch.autograd.Function, function).apply(*arguments)  # type: ignore[misc]
