"""Shows the events of training: a live display on a terminal, plain lines elsewhere, or JSON.

Imported by the command that trains, not by the app: the events' package brings torch with it.
"""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recurra.cli.output import number, print_json, spaced, visible
from recurra.training.events import (
    DataSummary,
    Evaluated,
    Event,
    Finished,
    ModelSummary,
    Resumed,
    Saved,
    Step,
    Stopped,
    format_duration,
    to_dict,
)

WIDTH = 76  # characters of a sample in a line: beside its mark they fit any terminal


def show(events: Iterable[Event], unit: str = "token", *, as_json: bool = False) -> bool:
    """Show each event as it comes, and say whether a signal ended them.

    `unit` is what the loss is per: character, word, token.
    """
    ends: list[bool] = []
    events = _watched(events, ends)
    if as_json:
        for event in events:
            print_json(to_dict(event))
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        show_live(events, unit, Console(highlight=False, markup=False, emoji=False))
    else:
        for event in events:
            print(describe(event, unit), flush=True)
    return any(ends)


def _watched(events: Iterable[Event], ends: list[bool]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Stopped):
            ends.append(event.interrupted)
        yield event


def show_live(events: Iterable[Event], unit: str, console: Console) -> None:
    """Two lines that change with each step; summaries, evaluations and the end stay above them."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for event in events:
            if isinstance(event, Step):
                live.update(_progress(event, unit))
            elif not isinstance(event, Saved):
                console.print(Text(describe(event, unit)))


def _progress(step: Step, unit: str) -> Group:
    line = Table.grid(padding=(0, 2))
    line.add_row(
        f"epoch {step.epoch}",
        ProgressBar(total=1, completed=step.fraction, width=30),
        f"step {step.step:,}",
        f"{format_duration(step.eta_seconds)} left",
    )
    return Group(line, Text(_measures(step, unit)))


def describe(event: Event, unit: str) -> str:
    """An event in words, without control characters: a line, or a heading with a line per fact."""
    match event:
        case DataSummary(facts):
            return _facts("data", facts)
        case ModelSummary(facts):
            return _facts("model", facts)
        case Resumed(step, epoch, notes):
            return "\n".join([f"resumed at step {step:,} of epoch {epoch}", *notes])
        case Step(step=step, epoch=epoch, fraction=fraction):
            left = format_duration(event.eta_seconds)
            return f"step {step:,}  epoch {epoch} ({fraction:.0%})  {_measures(event, unit)}  {left} left"
        case Evaluated(step=step, metrics=metrics, sample=sample):
            best = "the best so far" if event.improved else f"best so far {number(event.best)}"
            lines = [f"evaluated at step {step:,}: {_metrics(metrics)} ({best})"]
            return "\n".join([*lines, *(f"  | {line}" for line in _wrapped(visible(sample or "")))])
        case Saved(path, step):
            return f"saved step {step:,} in {path}"
        case Stopped(reason):
            return f"stopped: {reason}"
        case Finished(metrics, seconds, folder):
            return f"finished in {format_duration(seconds)}\n{_results(metrics)}\nmodel: {folder}"


def _measures(step: Step, unit: str) -> str:
    return "  ".join(
        [
            f"loss {step.loss:.4f} nats per {unit}",
            loss_in_use(step.loss, unit),
            f"learning rate {step.learning_rate:.3g}",
            f"gradient norm {step.grad_norm:.3g} ({step.clipped_share:.0%} clipped)",
            f"{step.tokens_per_second:,.0f} {unit}s/s",
        ]
    )


def loss_in_use(nats: float, unit: str) -> str:
    """The loss in the usual measure: bits for characters and bytes, perplexity for words and pieces."""
    if unit in ("character", "byte"):
        return f"{nats / math.log(2):.4f} bits per {unit}"
    return f"perplexity {math.exp(min(nats, 700)):,.2f} per {unit}"  # exp(710) has no float


def _metrics(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{spaced(name)} {number(value)}" for name, value in metrics.items())


def _results(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """A row per measure, a column per part of the data."""
    names = [*next(iter(metrics.values()), {})]
    rows = [["", *metrics], *([spaced(name), *(number(part[name]) for part in metrics.values())] for name in names)]
    left, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(["", name.ljust(left), *map(str.rjust, numbers, widths)]) for name, *numbers in rows)


def _wrapped(text: str) -> list[str]:
    """Lines that fit a terminal; spaces stay."""
    lines = [textwrap.wrap(line, WIDTH, drop_whitespace=False) or [""] for line in text.splitlines()]
    return [part for line in lines for part in line]


def _facts(heading: str, facts: Mapping[str, Any]) -> str:
    width = max(map(len, facts), default=0)
    lines = [f"  {name.ljust(width)}  {_fact(value)}" for name, value in facts.items()]
    return "\n".join([heading, *lines])


def _fact(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return visible(str(value)).replace("\n", "\\n")
