"""What each step of a sequence contributes to a class: gradient times input, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

BAR = 20  # characters of the longest bar


@dataclass(frozen=True)
class Explanation:
    """The class that an example was given, how probable it is, and what each of its tokens contributed to that."""

    label: str
    probability: float
    tokens: Sequence[str]
    contributions: Sequence[float]


def contributions(model: Any, batch: Any, classes: Tensor) -> Tensor:
    """What each step adds to the score of a class of its sequence, over the mean score of all classes: [T, B].

    The score's gradient by what the encoder gives, times that, summed over its width: exact for a linear model, to the
    first order for any other (Baehrens et al. 2010; Shrikumar et al. 2017, section 2). Padding adds 0.

    Args:
        model: a `recurra.models.Classifier` in evaluation mode.
        batch: a `recurra.tasks.examples.TensorBatch`.
        classes: of each sequence, int64 [B].
    """
    with torch.enable_grad():
        x = model.encoder(batch).detach().requires_grad_()
        scores = model.scores(x, batch.lengths)  # [T, B, E] -> [B, C]
        above = scores.gather(1, classes[:, None])[:, 0] - scores.mean(1)
        (gradient,) = torch.autograd.grad(above.sum(), x)
    return (gradient * x.detach()).sum(-1)


def as_text(one: Explanation) -> str:
    """A line with the class, then one per token with its contribution and a bar, of + for and of - against it."""
    largest = max((abs(value) for value in one.contributions), default=0.0) or 1.0
    width = max(map(len, one.tokens), default=0)
    lines = [f"{one.label}  {one.probability:.4f}"]
    for token, value in zip(one.tokens, one.contributions, strict=True):
        bar = ("+" if value > 0 else "-") * round(BAR * abs(value) / largest)
        lines.append(f"  {token.ljust(width)}  {value:+.4f}  {bar}".rstrip())
    return "\n".join(lines) + "\n"


def as_page(explanations: Iterable[Explanation]) -> Iterator[str]:
    """An HTML page, piece by piece: green tokens speak for the class, red ones against it."""
    yield (
        "<!DOCTYPE html>\n<html><head><meta charset='utf-8'><title>Contributions</title><style>\n"
        "body { font-family: sans-serif; max-width: 60em; margin: 2em auto; line-height: 1.8 }\n"
        "span { padding: 0.1em 0.2em; border-radius: 0.2em }\n</style></head><body>\n"
        "<p>Gradient times input of each token: green for the class, red against it; hover for numbers.</p>\n"
    )
    for one in explanations:
        largest = max((abs(value) for value in one.contributions), default=0.0) or 1.0
        tokens = " ".join(map(_coloured, one.tokens, one.contributions, [largest] * len(one.tokens)))
        yield f"<p><b>{escape(one.label)}</b> {one.probability:.4f}<br>\n{tokens}</p>\n"
    yield "</body></html>\n"


def _coloured(token: str, value: float, largest: float) -> str:
    colour = "0,140,60" if value > 0 else "210,40,40"
    style = f"background: rgba({colour},{0.6 * abs(value) / largest:.3f})"
    return f'<span style="{style}" title="{value:+.4f}">{escape(token)}</span>'
