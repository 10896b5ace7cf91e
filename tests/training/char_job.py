"""A small job to train: a character LSTM with dropout and carried state on a fixed array.

Run as a program it trains in a folder and prints each event's name and step, for tests that kill it:
`python char_job.py FOLDER start|resume '{"optimizer": "sgd"}' SECONDS_PER_BATCH`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recurra.config import TrainingOptions
from recurra.training import BatchLoss, RunFolder, seed_everything, train

VOCABULARY, ROWS, STEPS = 7, 3, 5
CONFIG = {"config.yaml": "format_version: 1\n"}


class CharModel(nn.Module):
    """Embedding, LSTM, dropout, output layer tied to the embedding."""

    def __init__(self, hidden_size: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(hidden_size, VOCABULARY)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        hidden, state = self.lstm(self.dropout(self.embedding(tokens)), state)
        return self.output(self.dropout(hidden)), state


class ArrayBatches:
    """Chunks of contiguous rows, in an order that is shuffled anew in each epoch, from its own generator."""

    def __init__(self, tokens: np.ndarray, delay: float = 0.0) -> None:
        length = (len(tokens) - 1) // ROWS
        self.inputs = torch.from_numpy(tokens[: ROWS * length].reshape(ROWS, length).T.copy())
        self.targets = torch.from_numpy(tokens[1 : ROWS * length + 1].reshape(ROWS, length).T.copy())
        self.delay = delay
        self.position = 0
        self.random = np.random.default_rng(5)
        self.order = self.random.permutation(self.steps_per_epoch)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.inputs) // STEPS

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while self.position < self.steps_per_epoch:
            start = int(self.order[self.position]) * STEPS
            self.position += 1
            time.sleep(self.delay)
            yield self.inputs[start : start + STEPS], self.targets[start : start + STEPS]
        self.position = 0
        self.order = self.random.permutation(self.steps_per_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position, "order": self.order, "random": self.random.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position, self.order = state["position"], state["order"]
        self.random.bit_generator.state = state["random"]


class CharJob:
    """The job; `losses` overrides the reported nats per token by step of this session, to stage accidents."""

    monitor, maximize, part = "nats", False, "valid"

    def __init__(self, options: TrainingOptions, delay: float = 0.0, dtype: torch.dtype = torch.float32):
        seed_everything(options.seed)
        self.options = options
        self.model = CharModel().to(dtype)
        tokens = np.random.default_rng(3).integers(0, VOCABULARY, ROWS * 61)
        tokens[1::2] = (tokens[:-1:2] + 1) % VOCABULARY  # every second token can be learnt
        self.batches = ArrayBatches(tokens, delay)
        self.valid = torch.from_numpy(tokens[:80].reshape(20, 4))
        self.losses: dict[int, float] = {}
        self.calls = 0

    def loss(self, batch: Any, state: Any) -> BatchLoss:
        inputs, targets = batch
        scores, state = self.model(inputs, None if state is None else state["lstm"])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
        self.calls += 1
        nats = self.losses.get(self.calls, loss.item()) * targets.numel()
        return BatchLoss(loss, nats, targets.numel(), {"lstm": state, "last": [inputs[-1]]})

    def evaluate(self) -> dict[str, float]:
        torch.rand(3)  # an evaluation may draw numbers
        assert not self.model.training
        scores, _ = self.model(self.valid[:-1], None)
        nats = nn.functional.cross_entropy(scores.flatten(0, 1), self.valid[1:].flatten()).item()
        return {"nats": nats, "perplexity": float(np.exp(nats))}

    def sample(self) -> str | None:
        return str(torch.randint(0, VOCABULARY, (5,)).tolist())


def options(**values: Any) -> TrainingOptions:
    """Options of a run of 3 epochs of 12 updates, on one thread."""
    return TrainingOptions.make(**{"epochs": 3, "threads": 1, "log_every": 5, "seed": 11, **values})


def weights(folder: Path) -> dict[str, bytes]:
    """Bytes of the best model and of the last checkpoint's tensors."""
    last = max((folder / "checkpoints").glob("step-*"))
    return {
        "model": (folder / "model.safetensors").read_bytes(),
        "last": (last / "tensors.safetensors").read_bytes(),
        "name": last.name.encode(),
    }


def main(folder: str, verb: str, values: str, delay: str) -> None:
    chosen = options(**json.loads(values))
    run_folder = RunFolder.create(folder, CONFIG) if verb == "start" else RunFolder.open(folder)
    for event in train(CharJob(chosen, float(delay)), chosen, run_folder, resume=verb == "resume"):
        print(type(event).__name__, getattr(event, "step", ""), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
