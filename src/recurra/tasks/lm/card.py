"""The model card: README.md of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import recurra

if TYPE_CHECKING:
    from recurra.tasks.lm.run import LanguageModelRun


def model_card(run: LanguageModelRun, metrics: Mapping[str, Mapping[str, float]], weights: Mapping[str, Any]) -> str:
    """What the model is, how well it does, and how it is used, as Markdown."""
    config = run.config
    names = list(next(iter(metrics.values())))
    rows = [f"| {name} | {' | '.join(f'{part[name]:.6g}' for part in metrics.values())} |" for name in names]
    layers = [f"| {row['name']} | {row['weights']:,} | {row['arithmetic']} |" for row in weights["layers"]]
    lines = [
        f"# Language model: {run.folder.name}",
        "",
        f"A recurrent language model ({config.cell}) over {config.unit_name}s, trained by recurra "
        f"{recurra.__version__} on `{config.data.name if config.data else 'a text'}`. It knows {run.tokenizer.size:,} "
        f"{config.unit_name}s and reads {'from the end of the text' if config.direction == 'backward' else 'forward'}.",
        "",
        "## Results",
        "",
        f"| metric | {' | '.join(metrics)} |",
        f"|---|{'---|' * len(metrics)}",
        *rows,
        "",
        "## Use",
        "",
        "```",
        f"recurra generate {run.folder}",
        f"recurra evaluate {run.folder} FILE",
        "```",
        "",
        "```python",
        "import recurra",
        "",
        f'run = recurra.load("{run.folder}")',
        "run.generate(length=200)",
        "```",
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
