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


def is_plain(tensors: Iterable[Any]) -> bool:
    """Whether these are tensors of no class but torch's own, and no compiler, tracer, profiler, mode or transform is
    to see what is done with them."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and torch._C._get_tracing_state() is None
        and not torch.autograd._profiler_enabled()
        and all(type(tensor) in TYPES for tensor in tensors)
    )


def apply(function: type[torch.autograd.Function], plain: bool, *arguments: Any) -> Any:
    """`function.apply(*arguments)`; with plain tensors without what torch prepares for transforms."""
    if not plain:
        return function.apply(*arguments)
    return super(torch.autograd.Function, function).apply(*arguments)  # type: ignore[misc]
