"""Bracketed trees with a label on every node, as the Stanford Sentiment Treebank has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SYMBOL = re.compile(r"[()]|[^\s()]+")


def read_tree(text: str, phrases: bool = False) -> Iterator[tuple[str, str]]:
    """The label and the words of a tree; with `phrases` those of every node in it, the root's last.

    Args:
        text: `(3 (2 It) (4 (2 's) (4 lovely)))`.

    Raises: ValueError that says where it is no tree.

    Example:
        >>> list(read_tree("(3 (2 so) (4 lovely))"))
        [('3', 'so lovely')]
        >>> list(read_tree("(3 (2 so) (4 lovely))", phrases=True))
        [('2', 'so'), ('4', 'lovely'), ('3', 'so lovely')]
    """
    symbols = _SYMBOL.findall(text)
    words: list[str] = []
    open_nodes: list[tuple[str, int]] = []  # label, and the number of its first word
    place = 0
    while place < len(symbols):
        symbol = symbols[place]
        if place and not open_nodes:
            raise ValueError(f"{symbol!r} after the end of the tree")
        if symbol == "(":
            label = symbols[place + 1] if place + 1 < len(symbols) else ")"
            if label in "()":
                raise ValueError("a bracket without a label")
            open_nodes.append((label, len(words)))
            place += 1
        elif symbol != ")":
            if not open_nodes:
                raise ValueError(f"{symbol!r} before the first bracket")
            words.append(symbol)
        else:
            label, first = open_nodes.pop()
            if first == len(words):
                raise ValueError(f"a node {label!r} without words")
            if phrases or not open_nodes:
                yield label, " ".join(words[first:])
        place += 1
    if open_nodes or not symbols:
        raise ValueError(f"{len(open_nodes)} brackets not closed")
