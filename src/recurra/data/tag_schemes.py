"""How tags mark spans: BIO, IOB1, BIOES and BILOU, recognised, checked, converted, and as rules for transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recurra.data.conll import Column
from recurra.metrics.spans import OUTSIDE, Spans, split_tag


@dataclass(frozen=True)
class Scheme:
    """What the prefixes of tags mean.

    Attributes:
        name: as options spell it.
        begin, inside, end, single: the prefix of a span's first token, of those between, of the last, and of the only
            one.
        needs: prefixes that need a token of the same type's span directly before them.
        unfinished: prefixes after which the span must go on.
    """

    name: str
    begin: str
    inside: str
    end: str
    single: str
    needs: str
    unfinished: str = ""

    @property
    def prefixes(self) -> set[str]:
        return {self.begin, self.inside, self.end, self.single} | ({"B"} if self.name == "iob1" else set())

    def tags(self, names: Sequence[str]) -> list[str]:
        """O, and every prefix with each of the types."""
        return [OUTSIDE, *(f"{prefix}-{name}" for name in names for prefix in sorted(self.prefixes))]

    def allows(self, before: str, after: str) -> bool:
        """Whether tag `after` may follow `before`; "O" stands for the start and the end of a sentence too."""
        (prefix, kind), (following, next_kind) = split_tag(before), split_tag(after)
        open_span = prefix in self.prefixes and (prefix in self.unfinished or not self.unfinished)
        if following in self.needs and not (open_span and kind == next_kind):
            return False
        return prefix not in self.unfinished or (following in self.needs and kind == next_kind)


SCHEMES = {
    one.name: one
    for one in (
        Scheme("bio", "B", "I", "I", "B", needs="I"),  # also IOB2 (Ratnaparkhi 1998)
        Scheme("iob1", "I", "I", "I", "I", needs="B"),  # B only where a span of the same type ends (Ramshaw 1995)
        Scheme("bioes", "B", "I", "E", "S", needs="IE", unfinished="BI"),
        Scheme("bilou", "B", "I", "L", "U", needs="IL", unfinished="BI"),
    )
}
"""By name."""


@dataclass(frozen=True)
class Break:
    """A place where tags break their scheme: the token, and what is wrong there."""

    token: int
    what: str


def recognise(tags: Column, lengths: np.ndarray) -> Scheme | None:
    """The scheme that a column of tags follows, or breaks least often; None where the tags are not of spans.

    Tags are of spans where each is O or a prefix of one scheme, a dash and a type.
    """
    pairs = [split_tag(tag) for tag in tags.values if tag != OUTSIDE]
    if not pairs or not all(kind for _, kind in pairs):
        return None
    used = {prefix for prefix, _ in pairs}
    fitting = [one for one in SCHEMES.values() if used <= one.prefixes]
    return min(fitting, key=lambda one: len(_broken(one, tags, lengths)[0]), default=None)


def find_breaks(scheme: Scheme, tags: Column, lengths: np.ndarray) -> list[Break]:
    """Every place where tags break their scheme, in order."""
    return [Break(int(token), _what(scheme, tags, int(token), bool(last))) for token, last in
            zip(*_broken(scheme, tags, lengths), strict=True)]  # fmt: skip


def _broken(scheme: Scheme, tags: Column, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that may not stand where they do, sorted, and whether it is the sentence's end that may not follow."""
    allowed, starts, ends = transitions(scheme, tags.values)
    ids = np.asarray(tags.ids, np.int64)
    last = np.cumsum(lengths) - 1
    first = last + 1 - lengths
    fine = np.ones(len(ids), bool)
    fine[1:] = allowed[ids[:-1], ids[1:]]
    fine[first] = starts[ids[first]]
    bad, cut = np.flatnonzero(~fine), last[~ends[ids[last]]]
    tokens, at_end = np.concatenate([bad, cut]), np.repeat([False, True], [len(bad), len(cut)])
    order = np.argsort(tokens, kind="stable")
    return tokens[order], at_end[order]


def _what(scheme: Scheme, tags: Column, token: int, at_end: bool) -> str:
    tag = tags.values[tags.ids[token]]
    name = scheme.name.upper()
    if at_end:
        return f"{tag} at the end of a sentence: in {name} its span must go on"
    prefix, kind = split_tag(tag)
    if prefix in scheme.needs:
        return f"{tag} without a span of {kind} directly before it, as {name} wants it"
    before = tags.values[tags.ids[token - 1]]
    return f"{tag} after {before}: in {name} the span of {split_tag(before)[1]} must go on"


def transitions(scheme: Scheme, tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a scheme allows: bool [C, C] from each tag to each, [C] at the start and [C] at the end of a sentence."""
    allowed = np.array([[scheme.allows(before, after) for after in tags] for before in tags], bool)
    starts = np.array([scheme.allows(OUTSIDE, tag) for tag in tags], bool)
    ends = np.array([scheme.allows(tag, OUTSIDE) for tag in tags], bool)
    return allowed.reshape(len(tags), len(tags)), starts, ends


def write_spans(scheme: Scheme, spans: Spans, names: Sequence[str], lengths: np.ndarray) -> Column:
    """Spans as a column of tags, for sentences of these lengths."""
    values = scheme.tags(names)
    place = {value: number for number, value in enumerate(values)}
    ids = np.zeros(int(np.sum(lengths)), np.int32)
    table = {p: np.array([place[f"{p}-{name}"] for name in names], np.int32) for p in scheme.prefixes}
    inside = np.repeat(table[scheme.inside][spans.types], spans.stops - spans.starts)
    ids[_tokens(spans)] = inside
    ids[spans.starts] = table[scheme.begin][spans.types]
    ids[spans.stops - 1] = np.where(
        spans.stops - spans.starts == 1, table[scheme.single][spans.types], table[scheme.end][spans.types]
    )
    if scheme.name == "iob1":
        touching = spans.starts[1:][
            (spans.stops[:-1] == spans.starts[1:])
            & (spans.types[:-1] == spans.types[1:])
            & ~np.isin(spans.starts[1:], np.cumsum(lengths))  # where a sentence begins nothing is touched
        ]
        ids[touching] = table["B"][spans.types[1:][np.isin(spans.starts[1:], touching)]]
    return Column(values, ids)


def _tokens(spans: Spans) -> np.ndarray:
    """All tokens of all spans, in order."""
    sizes = spans.stops - spans.starts
    return np.repeat(spans.starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
