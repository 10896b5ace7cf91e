"""Run a plan over a sequence, forward and backward."""

from recurra.backends.call import Call, Job, Layout
from recurra.backends.choose import BACKENDS, Backend, choose, explain, find_backend
from recurra.backends.threads import get_num_threads, set_num_threads

__all__ = [
    "BACKENDS",
    "Backend",
    "Call",
    "Job",
    "Layout",
    "choose",
    "explain",
    "find_backend",
    "get_num_threads",
    "set_num_threads",
]
