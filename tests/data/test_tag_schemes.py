"""Tag schemes: recognised, checked, converted, and as rules for transitions."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from real_data import real_data

from recurra.data.conll import Column, read_conll
from recurra.data.tag_schemes import SCHEMES, find_breaks, recognise, transitions, write_spans
from recurra.metrics.spans import find_spans, type_names


def column(*sentences: str) -> tuple[Column, np.ndarray]:
    tags = [tag for sentence in sentences for tag in sentence.split()]
    values = list(dict.fromkeys(tags))
    ids = np.array([values.index(tag) for tag in tags], np.int32)
    return Column(values, ids), np.array([len(sentence.split()) for sentence in sentences])


RECOGNISED = [
    ("O B-X I-X O B-X", "bio"),
    ("B-X B-X", "bio"),
    ("O I-X I-X O", "iob1"),
    ("I-X B-X I-Y O", "iob1"),
    ("O I-X O B-X O B-Y O", "bio"),  # once broken, as against twice
    ("S-X O B-X E-X", "bioes"),
    ("B-X I-X E-X", "bioes"),
    ("U-X O B-X L-X", "bilou"),
    ("NOUN VERB", None),
    ("O O", None),
    ("O B I", None),
    ("B-X Q-X", None),
    ("S-X L-X", None),
]


@pytest.mark.parametrize(("tags", "name"), RECOGNISED)
def test_recognise(tags: str, name: str | None) -> None:
    found = recognise(*column(tags))
    assert (found and found.name) == name


def spans_in(scheme: str, tags: list[str]) -> list[tuple[int, int, str]] | None:
    """The spans of a sentence by the definition of its scheme, read from the left; None where it is broken."""
    spans: list[tuple[int, int, str]] = []
    at = 0
    while at < len(tags):
        if tags[at] == "O":
            at += 1
            continue
        stop, kind = _one_span(scheme, tags, at, spans)
        if stop is None:
            return None
        spans.append((at, stop, kind))
        at = stop
    return spans


def _one_span(scheme: str, tags: list[str], at: int, before: list[tuple[int, int, str]]) -> tuple[int | None, str]:
    """Where the span that begins at `at` stops."""
    prefix, kind = tags[at].split("-")
    touches = bool(before) and before[-1][1:] == (at, kind)
    if scheme in ("bio", "iob1"):
        first = "B" if scheme == "bio" or touches else "I"
        if prefix != first:
            return None, kind
        stop = at + 1
        while stop < len(tags) and tags[stop] == f"I-{kind}":
            stop += 1
        return stop, kind
    last, single = ("E", "S") if scheme == "bioes" else ("L", "U")
    if prefix == single:
        return at + 1, kind
    if prefix != "B":
        return None, kind
    stop = at + 1
    while stop < len(tags) and tags[stop] == f"I-{kind}":
        stop += 1
    return (stop + 1 if stop < len(tags) and tags[stop] == f"{last}-{kind}" else None), kind


@pytest.mark.parametrize("name", SCHEMES)
def test_transitions_allow_what_the_definition_does_and_nothing_else(name: str) -> None:
    """All sequences of three tags of two types."""
    scheme = SCHEMES[name]
    tags = scheme.tags(["X", "Y"])
    allowed, starts, ends = transitions(scheme, tags)
    for ids in product(range(len(tags)), repeat=3):
        legal = starts[ids[0]] and ends[ids[-1]] and all(allowed[a, b] for a, b in pairwise(ids))
        defined = spans_in(name, [tags[i] for i in ids])
        assert legal == (defined is not None), [tags[i] for i in ids]
        if defined is not None:
            found = find_spans(tags, np.array(ids), np.array([3]))
            names = type_names(tags)
            kinds = [names[kind] for kind in found.types]
            assert list(zip(found.starts.tolist(), found.stops.tolist(), kinds, strict=True)) == defined


@pytest.mark.parametrize(("source", "target"), list(product(SCHEMES, SCHEMES)))
def test_conversion_keeps_the_spans(source: str, target: str) -> None:
    """All good sequences of four tags, as sentences of one text."""
    tags = SCHEMES[source].tags(["X", "Y"])
    good = [ids for ids in product(range(len(tags)), repeat=4) if spans_in(source, [tags[i] for i in ids]) is not None]
    ids, lengths = np.array(good).ravel(), np.full(len(good), 4)
    there = write_spans(SCHEMES[target], find_spans(tags, ids, lengths), ["X", "Y"], lengths)
    for row, new in zip(good, there.ids.reshape(-1, 4), strict=True):
        assert spans_in(target, [there.values[i] for i in new]) == spans_in(source, [tags[i] for i in row])
    back = write_spans(SCHEMES[source], find_spans(there.values, there.ids, lengths), ["X", "Y"], lengths)
    assert [back.values[i] for i in back.ids] == [tags[i] for i in ids]


BROKEN = [
    ("bio", ["O I-X"], [(1, "I-X without a span of X directly before it, as BIO wants it")]),
    ("bio", ["B-X I-Y"], [(1, "I-Y without a span of Y directly before it, as BIO wants it")]),
    ("bio", ["B-X", "I-X"], [(1, "I-X without a span of X directly before it, as BIO wants it")]),
    ("iob1", ["O B-X"], [(1, "B-X without a span of X directly before it, as IOB1 wants it")]),
    ("bioes", ["B-X O"], [(1, "O after B-X: in BIOES the span of X must go on")]),
    ("bioes", ["O B-X", "S-X"], [(1, "B-X at the end of a sentence: in BIOES its span must go on")]),
    ("bioes", ["E-X S-X"], [(0, "E-X without a span of X directly before it, as BIOES wants it")]),
    ("bilou", ["B-X I-X B-X L-X"], [(2, "B-X after I-X: in BILOU the span of X must go on")]),
]


@pytest.mark.parametrize(("name", "sentences", "breaks"), BROKEN)
def test_breaks(name: str, sentences: list[str], breaks: list[tuple[int, str]]) -> None:
    assert [(one.token, one.what) for one in find_breaks(SCHEMES[name], *column(*sentences))] == breaks


def test_wnut17_is_bio_and_whole() -> None:
    for file in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        text = read_conll(real_data("wnut17") / file, "-1")
        assert text.tags is not None
        scheme = recognise(text.tags, text.lengths)
        assert scheme is SCHEMES["bio"]
        assert find_breaks(scheme, text.tags, text.lengths) == []
