"""Spans in sequences of tags, and their precision, recall and F1 as conlleval counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

OUTSIDE = "O"

_BEGIN, _INSIDE, _END, _SINGLE, _NONE = range(5)
_KINDS = {"B": _BEGIN, "I": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE, "[": _SINGLE, "]": _SINGLE}

# Whether a span starts at a tag (columns) after another of the same type (rows), and so the one before has ended.
#                      B      I      E      S      none
_STARTS = np.array([[True, False, False, True, False],   # after B
                    [True, False, False, True, False],   # after I
                    [True, True, True, True, False],     # after E
                    [True, True, True, True, False],     # after S
                    [True, True, True, True, False]])  # after none  # fmt: skip


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag: ("B", "creative-work") of B-creative-work; without a dash all of it is prefix."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


@dataclass(frozen=True)
class Spans:
    """Spans of a text, in order; int64 [S] each.

    starts: the first token of each, counted over the whole text; stops: the token after the last; types: places in a
    list of names.
    """

    starts: np.ndarray
    stops: np.ndarray
    types: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def type_names(tags: Sequence[str]) -> list[str]:
    """The span types that tags name, sorted."""
    return sorted({split_tag(tag)[1] for tag in tags if split_tag(tag)[0] in _KINDS})


def find_spans(tags: Sequence[str], ids: np.ndarray, lengths: np.ndarray) -> Spans:
    """The spans in sequences of tags, by the rules of conlleval, which takes a meaning from any order of tags.

    A span starts at B; at I or E after O, after a span's E, after another type and at the start of a sentence. It ends
    before the next start, before O and with the sentence. So the I of a broken `O I-PER` starts a span, and
    `B-PER I-LOC` are two. S and U (BILOU) are spans of one token, L is E.

    Args:
        tags: the different tags; ids: [N], each token's place among them; lengths: tokens of each sequence.

    Source: Tjong Kim Sang & Buchholz 2000, the script conlleval; for S, U and L, which it does not know, their meaning.

        >>> spans = find_spans(["O", "I-PER", "B-PER"], np.array([1, 1, 0, 1, 2]), np.array([5]))
        >>> list(zip(spans.starts.tolist(), spans.stops.tolist()))
        [(0, 2), (3, 4), (4, 5)]
    """
    names = type_names(tags)
    pairs = [split_tag(tag) for tag in tags]
    # A last entry for what is before a sentence.
    kinds = np.array([*(_KINDS.get(prefix, _NONE) for prefix, _ in pairs), _NONE])
    types = np.array([*(names.index(kind) if prefix in _KINDS else -1 for prefix, kind in pairs), -1])
    now, before = np.asarray(ids, np.int64), _before(ids, lengths, len(tags))
    outside = kinds[now] == _NONE
    begins = _STARTS[kinds[before], kinds[now]] | (~outside & (types[before] != types[now]))
    starts = np.flatnonzero(begins)
    boundaries = begins | outside
    boundaries[(np.cumsum(lengths) - lengths)[np.asarray(lengths) > 0]] = True
    places = np.append(np.flatnonzero(boundaries), len(now))
    stops = places[np.searchsorted(places, starts, side="right")]
    return Spans(starts, stops, types[now[starts]])


def _before(ids: np.ndarray, lengths: np.ndarray, none: int) -> np.ndarray:
    """The tag before each token; `none` at the start of a sequence."""
    before = np.roll(np.asarray(ids, np.int64), 1)
    before[(np.cumsum(lengths) - lengths)[np.asarray(lengths) > 0]] = none
    return before


@dataclass(frozen=True)
class SpanScore:
    """How many spans there are, were predicted, and were predicted with exactly their bounds and type."""

    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """2 PR / (P + R); 0 where nothing is correct."""
        return 2 * self.correct / (self.gold + self.predicted) if self.correct else 0.0


def count_spans(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, SpanScore]:
    """Scores by the type's name, those that occur, for spans of the same text."""
    place = np.searchsorted(predicted.starts, gold.starts)
    found = place < len(predicted)
    at = place[found]
    same = np.zeros(len(gold), bool)
    same[found] = (
        (predicted.starts[at] == gold.starts[found])
        & (predicted.stops[at] == gold.stops[found])
        & (predicted.types[at] == gold.types[found])
    )
    counts = [np.bincount(types, minlength=len(names)) for types in (gold.types, predicted.types, gold.types[same])]
    return {name: SpanScore(*map(int, column)) for name, *column in zip(names, *counts, strict=True) if any(column)}


def score_spans(
    tags: Sequence[str], gold: np.ndarray, predicted: np.ndarray, lengths: np.ndarray
) -> dict[str, SpanScore]:
    """Scores by type of predicted tags against true ones, as conlleval counts them.

    Args:
        tags: the different tags; gold, predicted: [N], places among them; lengths: tokens of each sequence.
    """
    return count_spans(find_spans(tags, gold, lengths), find_spans(tags, predicted, lengths), type_names(tags))


def overall(scores: Mapping[str, SpanScore]) -> SpanScore:
    """All types together (the micro average)."""
    return SpanScore(*(sum(getattr(one, name) for one in scores.values()) for name in ("gold", "predicted", "correct")))
