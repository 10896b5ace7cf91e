"""Byte pair encoding as in the lecture: readable, on a table of words. Files use the `tokenizers` library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise


def learn_merges(counts: Mapping[Sequence[str], int], number: int) -> list[tuple[str, str]]:
    """The first `number` merges of byte pair encoding, in order (Sennrich et al. 2016, algorithm 1).

    `counts` maps each word, a sequence of symbols, to how often it occurs; a plain string is its characters.
    Each step merges the most frequent pair of neighbours; of equals, the one seen first, reading the words in
    order. An end symbol is a symbol like any other. Stops early when no pair is left.

        >>> learn_merges({("l", "o", "w", "</w>"): 5, ("l", "o", "t", "</w>"): 2}, 2)
        [('l', 'o'), ('lo', 'w')]
    """
    words = [(list(word), count) for word, count in counts.items()]
    merges: list[tuple[str, str]] = []
    while len(merges) < number:
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, count in words:
            for pair in pairwise(symbols):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=pairs.__getitem__)  # the first of equals: a Counter keeps the order of insertion
        merges.append(best)
        words = [(apply_merge(symbols, best), count) for symbols, count in words]
    return merges


def apply_merge(symbols: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """Join every occurrence of a pair of neighbours, from the left."""
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
