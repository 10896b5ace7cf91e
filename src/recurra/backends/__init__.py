"""Run a plan over a sequence, forward and backward."""

from recurra.backends.call import Call, Layout
from recurra.backends.choose import BACKENDS, Backend, choose, explain, find_backend

__all__ = ["BACKENDS", "Backend", "Call", "Layout", "choose", "explain", "find_backend"]
