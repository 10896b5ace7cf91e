"""What happens while a model is trained, as data: displays, logs and plots are consumers of these."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataSummary:
    """What the data holds: counts, lengths, unknown-word rate, one decoded example."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class ModelSummary:
    """What the model is: parameters, device, backend and why."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class Resumed:
    """Training goes on from a checkpoint."""

    step: int
    epoch: int
    notes: tuple[str, ...] = ()
    """What the user should know: checkpoints that were damaged and passed over; another backend, thread count
    or version."""


@dataclass(frozen=True)
class Step:
    """Progress, every `log_every` updates; means are over the updates since the last report."""

    step: int
    """Updates done."""
    epoch: int
    """Epoch of the last update, from 1."""
    fraction: float
    """Share of that epoch that is done."""
    loss: float
    """Per token (example, step): nats, where the loss is a likelihood."""
    learning_rate: float
    grad_norm: float
    """Mean norm of the gradients before clipping."""
    clipped_share: float
    """Share of the updates whose gradients were clipped."""
    tokens_per_second: float
    seconds: float
    """Time trained, over all sessions."""
    eta_seconds: float
    """Estimate of the time left."""


@dataclass(frozen=True)
class Evaluated:
    """The validation data was evaluated."""

    step: int
    epoch: int
    metrics: dict[str, float]
    best: float
    """The monitored metric's best value so far, this one included."""
    improved: bool
    sample: str | None


@dataclass(frozen=True)
class Saved:
    """A checkpoint is in place."""

    path: Path
    step: int


@dataclass(frozen=True)
class Stopped:
    """Training ended before its last epoch."""

    reason: str
    interrupted: bool = False
    """By a signal: what waits for the training to be done should not go on."""


@dataclass(frozen=True)
class Finished:
    """The last event of a training: what the best model scored, and where it is."""

    metrics: dict[str, dict[str, float]]
    """By the part of the data: valid, and whatever the task adds."""
    seconds: float
    folder: Path


@dataclass(frozen=True)
class Repeated:
    """The same training was run with several seeds: mean and sample standard deviation of what each scored."""

    mean: dict[str, dict[str, float]]
    deviation: dict[str, dict[str, float]]
    seeds: tuple[int, ...]
    folder: Path


Event = DataSummary | ModelSummary | Resumed | Step | Evaluated | Saved | Stopped | Finished | Repeated


def to_dict(event: Event) -> dict[str, Any]:
    """The event as plain values for JSON, under the key `event` its name in lower case."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return {"event": type(event).__name__.lower(), **plain}


def describe(event: Event) -> str:
    """The event as text for a log: one line, or one per fact or line of a sample."""
    match event:
        case DataSummary(facts) | ModelSummary(facts):
            return "\n".join(f"{name}: {value}" for name, value in facts.items())
        case Resumed():
            return "\n".join([f"resumed at step {event.step}, epoch {event.epoch}", *event.notes])
        case Step():
            return (
                f"step {event.step}  epoch {event.epoch} ({event.fraction:.0%})  loss {event.loss:.4f}  "
                f"learning rate {event.learning_rate:.3g}  gradient norm {event.grad_norm:.3g} "
                f"({event.clipped_share:.0%} clipped)  {event.tokens_per_second:,.0f} tokens/s  "
                f"{format_duration(event.eta_seconds)} left"
            )
        case Evaluated():
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            best = "best so far" if event.improved else f"best {event.best:.4f}"
            line = f"evaluated at step {event.step}, epoch {event.epoch}  {metrics}  ({best})"
            return line if event.sample is None else f"{line}\nsample: {event.sample}"
        case Saved():
            return f"saved {event.path}"
        case Stopped():
            return f"stopped: {event.reason}"
        case Finished():
            metrics = "  ".join(
                f"{part} {name} {value:.4f}" for part, named in event.metrics.items() for name, value in named.items()
            )
            return f"finished after {format_duration(event.seconds)}  {metrics}  {event.folder}"
        case Repeated(mean, deviation, seeds):
            metrics = "  ".join(
                f"{part} {name} {value:.4f} +- {deviation[part][name]:.4f}"
                for part, named in mean.items()
                for name, value in named.items()
            )
            return f"{len(seeds)} seeds  {metrics}  {event.folder}"


def format_duration(seconds: float) -> str:
    """Seconds as `1:02:03`, or `2:03` under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
