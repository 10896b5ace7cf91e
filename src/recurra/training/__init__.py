"""Training: a loop that yields events, with optimisers, schedules, checkpoints and run folder; no task."""

from recurra.training.events import (
    DataSummary,
    Evaluated,
    Event,
    Finished,
    ModelSummary,
    Repeated,
    Resumed,
    Saved,
    Step,
    Stopped,
    describe,
    to_dict,
)
from recurra.training.job import Batches, BatchLoss, Job
from recurra.training.loop import train
from recurra.training.randomness import seed_everything
from recurra.training.run_folder import RunFolder
from recurra.training.tensor_files import load_weights, read_weights, write_weights

__all__ = [
    "BatchLoss",
    "Batches",
    "DataSummary",
    "Evaluated",
    "Event",
    "Finished",
    "Job",
    "ModelSummary",
    "Repeated",
    "Resumed",
    "RunFolder",
    "Saved",
    "Step",
    "Stopped",
    "describe",
    "load_weights",
    "read_weights",
    "seed_everything",
    "to_dict",
    "train",
    "write_weights",
]
