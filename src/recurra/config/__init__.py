"""Options: frozen classes whose fields are the one place where a default and its help text are written.

The command line's flags, the YAML file, `--help` and the docs are all made from these fields. Nothing here
imports torch, so that `recurra --help` answers at once.
"""

from recurra.config.base import (
    DEEPEST,
    FORMAT_VERSION,
    LARGEST,
    WIDEST,
    Config,
    Scalar,
    check_needs,
    listed,
    nearest,
    quoted,
    read_yaml,
)
from recurra.config.generation import GenerationOptions
from recurra.config.network import StackOptions
from recurra.config.text import DataOptions, TextOptions
from recurra.config.training import TrainingOptions

__all__ = [
    "DEEPEST",
    "FORMAT_VERSION",
    "LARGEST",
    "WIDEST",
    "Config",
    "DataOptions",
    "GenerationOptions",
    "Scalar",
    "StackOptions",
    "TextOptions",
    "TrainingOptions",
    "check_needs",
    "listed",
    "nearest",
    "quoted",
    "read_yaml",
]
