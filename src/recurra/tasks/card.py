"""The model card: README.md of a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import recurra


class About(NamedTuple):
    """What a task says of its model: what it is; commands, without `recurra`; a call of `run` in Python."""

    what: str
    commands: Sequence[str]
    call: str


def model_card(run: Any, about: About, results: Mapping[str, Mapping[str, float]]) -> str:
    """What the model is, how well it does, and how it is used, as Markdown.

    Args:
        run: a `recurra.tasks.run.Run`.
        about: what the task says of it.
        results: metrics by the part of the data, or the baseline, that they are of.
    """
    config, weights = run.config, run.summary()
    names = list(dict.fromkeys(name for part in results.values() for name in part))
    rows = [f"| {name} | {' | '.join(_written(part.get(name)) for part in results.values())} |" for name in names]
    layers = [f"| {row['name']} | {row['weights']:,} | {row['arithmetic']} |" for row in weights["layers"]]
    lines = [
        f"# {run.folder.name}",
        "",
        f"Trained by recurra {recurra.__version__}, task `{config.task}`, cell `{config.cell}`, on "
        f"`{config.data.name if config.data else 'data'}`.",
        "",
        about.what,
        "",
        "## Use",
        "",
        "```",
        *(f"recurra {command}" for command in about.commands),
        "```",
        "",
        "```python",
        "import recurra",
        "",
        f'run = recurra.load("{run.folder}")',
        about.call,
        "```",
        "",
        "## Results",
        "",
        f"| metric | {' | '.join(results)} |",
        f"|---|{'---|' * len(results)}",
        *rows,
        "",
        "## Weights",
        "",
        "| layer | weights | arithmetic |",
        "|---|---|---|",
        *layers,
        f"| total | {weights['weights']:,} | |",
        "",
        "All options are in `config.yaml`, the learning curve in `metrics.jsonl`.",
        "",
    ]
    return "\n".join(lines)


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
