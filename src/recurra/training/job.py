"""What the training loop asks of a task: one object with a model, batches, a loss and an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

State = Any
"""Carried state: tensors nested in lists, tuples and dicts, or None at the start of an epoch."""


class BatchLoss(NamedTuple):
    """The loss of one batch."""

    loss: Tensor
    """What is differentiated: a scalar."""
    nats: float
    """The loss summed over the tokens, for reports (negative log-likelihood in nats, where it is one); NaN or infinity
    stops training."""
    tokens: int
    """Tokens (examples, steps) predicted, at least one."""
    state: State
    """Carried state after the batch; the loop detaches it and hands it to the next batch of the epoch."""
    weight: float | None = None
    """How many `loss` is a mean over, if not `tokens`; weighs the batches of one accumulated update."""


class Batches(Protocol):
    """The training data as a stream that can stop and resume at any batch.

    Iterating yields the batches *left in the current epoch*. The position moves on before a batch is handed
    out, so that `state_dict` names the first batch not yet handed out; asking for more after an epoch's last
    batch ends the iteration and makes the next epoch the current one (first position, new shuffle).
    """

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch, the same in each."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]:
        """The position: numbers, text, arrays and tensors, nested in lists and dicts."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


class Job(Protocol):
    """What a task gives the training loop."""

    @property
    def model(self) -> nn.Module:
        """The model, on its device; the loop sets training and evaluation mode."""

    @property
    def batches(self) -> Batches: ...

    @property
    def monitor(self) -> str:
        """Name of the evaluation's metric that decides what is best."""

    @property
    def maximize(self) -> bool:
        """Whether more of that metric is better."""

    @property
    def part(self) -> str:
        """The part of the data that `evaluate` measures: "valid", or "train" where nothing is left to validate on."""

    def loss(self, batch: Any, state: State, /) -> BatchLoss:
        """The loss of a batch, from the state that the batch before it left (None at an epoch's start)."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on that part of the data; called in evaluation mode, without gradients."""

    def sample(self) -> str | None:
        """A sample to show beside the metrics, or None."""
