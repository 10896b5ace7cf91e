"""Span scores against conlleval's published rules, followed token by token, and against seqeval."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from real_data import real_data

from recurra.data.conll import read_conll
from recurra.metrics.spans import SpanScore, find_spans, overall, score_spans, type_names

TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
ENDS = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O"), ("E", "B")}
STARTS = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E"), ("E", "B")}


def conlleval(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, list[int]]:
    """Spans that are there, were found, and were found right, by type: conlleval's walk over the tokens, a blank line
    counting as O."""
    counts: dict[str, list[int]] = {}

    def count(kind: str, place: int) -> None:
        counts.setdefault(kind, [0, 0, 0])[place] += 1

    before = after = ("O", "")
    inside = False
    pairs = [pair for g, p in zip(gold, predicted, strict=True) for pair in [*zip(g, p, strict=True), ("O", "O")]]
    for true, guess in pairs:
        now, then = _parts(true), _parts(guess)
        true_ends, guess_ends = _ends(before, now), _ends(after, then)
        if inside:
            if true_ends and guess_ends and before[1] == after[1]:
                inside = False
                count(before[1], 2)
            elif true_ends != guess_ends or now[1] != then[1]:
                inside = False
        true_starts, guess_starts = _starts(before, now), _starts(after, then)
        if true_starts and guess_starts and now[1] == then[1]:
            inside = True
        if true_starts:
            count(now[1], 0)
        if guess_starts:
            count(then[1], 1)
        before, after = now, then
    return counts


def _parts(tag: str) -> tuple[str, str]:
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def _ends(before: tuple[str, str], now: tuple[str, str]) -> bool:
    return (before[0], now[0]) in ENDS or (before[0] != "O" and before[1] != now[1])


def _starts(before: tuple[str, str], now: tuple[str, str]) -> bool:
    return (before[0], now[0]) in STARTS or (now[0] != "O" and before[1] != now[1])


def ours(tags: list[str], gold: list[list[str]], predicted: list[list[str]]) -> dict[str, list[int]]:
    arrays = [np.array([tags.index(tag) for one in part for tag in one]) for part in (gold, predicted)]
    scores = score_spans(tags, *arrays, np.array([len(one) for one in gold]))
    return {kind: [one.gold, one.predicted, one.correct] for kind, one in scores.items()}


@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_pair_of_short_sequences(length: int) -> None:
    sequences = [list(one) for one in product(TAGS, repeat=length)]
    for gold in sequences:
        for predicted in sequences[:: 1 if length < 3 else 7]:
            assert ours(TAGS, [gold], [predicted]) == conlleval([gold], [predicted])


@pytest.mark.parametrize("prefixes", ["BI", "BIE", "I", "IE"])
def test_random_texts(prefixes: str) -> None:
    """Sentences of random tags, so that nearly all of them are broken, also across sentence ends."""
    random = np.random.default_rng(3)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("PER", "LOC", "creative-work"))]
    for _ in range(30):
        lengths = random.integers(1, 12, 20)
        gold, predicted = ([random.choice(tags, n).tolist() for n in lengths] for _ in range(2))
        for row, true in zip(predicted, gold, strict=True):
            if random.random() < 0.7:
                row[:] = [guess if random.random() < 0.2 else one for guess, one in zip(row, true, strict=True)]
        assert ours(tags, gold, predicted) == conlleval(gold, predicted)


@pytest.mark.parametrize("prefixes", ["BI", "BIES"])
def test_seqeval_agrees(prefixes: str) -> None:
    """S too, which conlleval does not know."""
    metrics = pytest.importorskip("seqeval.metrics")
    random = np.random.default_rng(4)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("PER", "LOC"))]
    for _ in range(20):
        lengths = random.integers(1, 9, 15)
        gold, predicted = ([random.choice(tags, n, p=None).tolist() for n in lengths] for _ in range(2))
        found = {kind: SpanScore(*counts) for kind, counts in ours(tags, gold, predicted).items()}
        total = overall(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where nothing is found
            report = metrics.classification_report(gold, predicted, output_dict=True, zero_division=0)
        theirs = report["micro avg"]
        assert (total.precision, total.recall, total.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
        for kind, one in found.items():
            assert one.f1 == pytest.approx(report[kind]["f1-score"])


def test_bilou_means_what_bioes_does() -> None:
    tags = ["O", "B-X", "I-X", "E-X", "S-X"]
    others = [tag.replace("E-", "L-").replace("S-", "U-") for tag in tags]
    ids = np.random.default_rng(5).integers(0, 5, 400)
    one, other = (find_spans(names, ids, np.array([150, 250])) for names in (tags, others))
    assert [one.starts.tolist(), one.stops.tolist()] == [other.starts.tolist(), other.stops.tolist()]


def test_nothing_found_and_nothing_there() -> None:
    none, one = np.zeros(2, int), np.array([1, 2])
    assert score_spans(TAGS, none, none, np.array([2])) == {}
    assert overall(score_spans(TAGS, none, none, np.array([2]))).f1 == 0
    missed = score_spans(TAGS, one, none, np.array([2]))["X"]
    assert (missed.precision, missed.recall, missed.f1) == (0, 0, 0)
    assert score_spans(TAGS, one, one, np.array([2]))["X"].f1 == 1


def test_tags_without_types_and_tags_of_no_span() -> None:
    """A chunker without types: B, I, O. Parts of speech are no spans."""
    assert ours(["O", "B", "I"], [["B", "I", "B"]], [["B", "I", "O"]]) == {"": [2, 1, 1]}
    assert type_names(["NOUN", "VERB"]) == []
    assert len(find_spans(["NOUN", "VERB"], np.array([0, 1]), np.array([2]))) == 0


def test_published_numbers_of_entities() -> None:
    """As counted by those who made the data (wnut17: README)."""
    published = {"wnut17train.conll": 1_975, "emerging.dev.conll": 836, "emerging.test.annotated": 1_079}
    for file, entities in published.items():
        text = read_conll(real_data("wnut17") / file, "-1")
        assert text.tags is not None
        assert len(find_spans(text.tags.values, text.tags.ids, text.lengths)) == entities
