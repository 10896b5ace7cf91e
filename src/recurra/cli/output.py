"""What the verbs print: text as it comes, tables, numbers, JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Integral
from typing import Any


def write(text: str) -> None:
    """Text to stdout at once; on a terminal without the control characters that could drive it."""
    print(visible(text) if sys.stdout.isatty() else text, end="", flush=True)


def note(text: str) -> None:
    """A remark beside the output: to stderr, so that it does not end up in a file."""
    print(text, file=sys.stderr)


def visible(text: str) -> str:
    """Text with its control characters written out, as `\\x1b`; line ends and tabs stay."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def spaced(name: str) -> str:
    """A metric's name for people: nats_per_word -> nats per word."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """A number for people: `1,234,567` or `1.2346`."""
    return f"{value:,}" if isinstance(value, Integral) else f"{value:,.4f}"


def print_json(value: Any) -> None:
    """One line of JSON; what JSON has no number for, infinity and NaN, becomes null."""
    from recurra.text.strict_json import to_json  # late: with it comes numpy

    print(to_json(value, ensure_ascii=False), flush=True)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows in columns: the first to the left, the second, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([name.ljust(widths[0]), value.rjust(widths[1]), *rest]).rstrip() for name, value, *rest in rows]
    return "\n".join(lines) + "\n"
