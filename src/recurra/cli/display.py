"""Shows the events of training: a live display on a terminal, plain lines elsewhere, or JSON.

Imported by the command that trains, not by the app: the events' package brings torch with it.
"""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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
    Repeated,
    Resumed,
    Saved,
    Step,
    Stopped,
    format_duration,
    to_dict,
)

if TYPE_CHECKING:
    from recurra.tasks.training import Measure

Results = Mapping[str, Mapping[str, float]]

WIDTH = 76  # characters of a sample in a line: beside its mark they fit any terminal


def show(events: Iterable[Event], measure: Measure, *, as_json: bool = False) -> bool:
    """Show each event as it comes, and say whether a signal ended them. `measure` says what the loss is."""
    ends: list[bool] = []
    events = _watched(events, ends)
    if as_json:
        for event in events:
            print_json(to_dict(event))
    elif sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        show_live(events, measure, Console(highlight=False, markup=False, emoji=False))
    else:
        for event in events:
            print(describe(event, measure), flush=True)
    return any(ends)


def _watched(events: Iterable[Event], ends: list[bool]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Stopped):
            ends.append(event.interrupted)
        yield event


def show_live(events: Iterable[Event], measure: Measure, console: Console) -> None:
    """Two lines that change with each step; summaries, evaluations and the end stay above them."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for event in events:
            if isinstance(event, Step):
                live.update(_progress(event, measure))
            elif not isinstance(event, Saved):
                console.print(Text(describe(event, measure)))


def _progress(step: Step, measure: Measure) -> Group:
    line = Table.grid(padding=(0, 2))
    line.add_row(
        f"epoch {step.epoch}",
        ProgressBar(total=1, completed=step.fraction, width=30),
        f"step {step.step:,}",
        f"{format_duration(step.eta_seconds)} left",
    )
    return Group(line, Text(_measures(step, measure)))


def describe(event: Event, measure: Measure) -> str:
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
            return f"step {step:,}  epoch {epoch} ({fraction:.0%})  {_measures(event, measure)}  {left} left"
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
        case Repeated(mean, deviation, seeds, folder):
            heading = f"{len(seeds)} seeds, mean and standard deviation"
            return f"{heading}\n{_results(mean, deviation)}\nmodels: {folder}"


def _measures(step: Step, measure: Measure) -> str:
    return "  ".join(
        [
            f"loss {step.loss:.4f} {measure.name} per {measure.unit}",
            *loss_in_use(step.loss, measure),
            f"learning rate {step.learning_rate:.3g}",
            f"gradient norm {step.grad_norm:.3g} ({step.clipped_share:.0%} clipped)",
            f"{step.tokens_per_second:,.0f} {measure.unit}s/s",
        ]
    )


def loss_in_use(nats: float, measure: Measure) -> list[str]:
    """The loss as it is usually told: bits for characters and bytes, perplexity for words and pieces."""
    if measure.usual == "bits":
        return [f"{nats / math.log(2):.4f} bits per {measure.unit}"]
    if measure.usual == "perplexity":
        return [f"perplexity {math.exp(min(nats, 700)):,.2f} per {measure.unit}"]  # exp(710) has no float
    return []


def _metrics(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{spaced(name)} {number(value)}" for name, value in metrics.items())


def _results(metrics: Results, deviations: Results | None = None) -> str:
    """A row per measure, a column per part of the data or baseline."""
    names = list(dict.fromkeys(name for part in metrics.values() for name in part))
    rows = [["", *metrics]]
    for name in names:
        spread = [deviations[part].get(name) if deviations else None for part in metrics]
        rows.append([spaced(name), *map(_result, [part.get(name) for part in metrics.values()], spread)])
    left, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(["", name.ljust(left), *map(str.rjust, numbers, widths)]) for name, *numbers in rows)


def _result(value: float | None, deviation: float | None) -> str:
    if value is None:
        return ""
    return number(value) if deviation is None else f"{number(value)} ± {number(deviation)}"


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
