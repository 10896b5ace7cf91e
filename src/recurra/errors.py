"""The project's own exceptions: each message is one line that says what was expected, what came, what to do."""

from __future__ import annotations


class RecurraError(Exception):
    """Base of every error that recurra raises on purpose; the command line prints it and exits with 2."""


class ConfigError(RecurraError, ValueError):
    """An option that is unknown, out of range, or contradicts another."""


class DataError(RecurraError, ValueError):
    """A user's file or text that cannot be used; the message names the file and the place in it."""


class FolderError(RecurraError):
    """A model folder that is missing, incomplete, foreign or in the way."""


class CheckpointError(FolderError):
    """A checkpoint that cannot be written or read."""


class TrainingError(RecurraError):
    """Training that cannot go on: a loss that is NaN or infinite, or one that explodes."""


class CellError(RecurraError, ValueError):
    """A cell's equations that cannot be traced; the message names the cell, the line and the operation."""


class OptionError(ConfigError):
    """An option that a cell does not have; the message names those it has."""


class ShapeError(RecurraError, ValueError):
    """A tensor whose shape does not fit."""


class LengthsError(ShapeError):
    """Sequence lengths that do not fit the batch."""


class BackendError(RecurraError):
    """A backend that was asked for by name and is not available."""
