"""recurra: recurrent neural networks. Write a cell's equations once, train it, run it, look inside."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

# Where each public name lives. It is imported on first use, so that `import recurra` and every `--help`
# answer without loading torch.
_HOMES = {
    "train": "recurra.tasks",
    "load": "recurra.tasks",
    "nn": "recurra.nn",
    "cell": "recurra.cells",
    "get_num_threads": "recurra.backends",
    "set_num_threads": "recurra.backends",
}

__all__ = ["__version__", "cell", "get_num_threads", "load", "nn", "set_num_threads", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'recurra' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    value = home if name == "nn" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
