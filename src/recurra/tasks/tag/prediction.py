"""What `recurra predict` reads and writes for a tagger: raw text or CoNLL in, CoNLL or JSONL out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.data import Examples
from recurra.data.conll import Column, TaggedText, read_conll
from recurra.data.tag_schemes import SCHEMES
from recurra.data.texts.tables import name_of, text_lines
from recurra.errors import DataError
from recurra.metrics.spans import find_spans, type_names
from recurra.tasks.tag.data import Fitted, converted, encode
from recurra.tasks.tag.tagging import k_best, tag_examples
from recurra.text.segment import Token, divide_sentences

if TYPE_CHECKING:
    from recurra.tasks.tag.run import TagRun

CONLL = (".conll", ".conllu", ".iob", ".bio", ".tsv")
"""Endings of the names of files with a word per line."""
TOGETHER = 1024  # sentences read and tagged at a time: bounds memory, and batches are still of like length


@dataclass(frozen=True)
class Sentence:
    """Words to tag: `line` in the file; `text` as it stands, in which it starts at `start`; its words in `text`."""

    line: int
    start: int
    text: str
    tokens: Sequence[Token]


def read_sentences(source: Path, input_format: str | None, word_column: Any) -> Iterator[Sentence]:
    """The sentences of raw text, each line by itself, or of CoNLL. Raises: DataError where there are none."""
    conll = source.name.removesuffix(".gz").endswith(CONLL) if input_format is None else input_format == "conll"
    if conll:
        column = None if word_column is None else str(word_column)
        yield from _listed(read_conll(source, None, column, tagged=False))
        return
    empty = True
    for number, line in enumerate(text_lines(source), 1):
        for words in divide_sentences(line):
            first, last = words[0].start, words[-1].stop
            tokens = [Token(word.text, word.start - first, word.stop - first) for word in words]
            yield Sentence(number, first, line[first:last], tokens)
            empty = False
    if empty:
        raise DataError(f"{name_of(source)}: expected text, got no word; give a file with text")


def _listed(text: TaggedText) -> Iterator[Sentence]:
    for tokens, start in zip(text.sentences(), text.starts, strict=True):
        yield from_words(text.words[tokens], int(text.lines[start]))


def from_words(words: Sequence[str], line: int = 1) -> Sentence:
    """Words as a sentence, with spaces between them."""
    stops = np.cumsum([len(word) + 1 for word in words]) - 1
    tokens = [Token(word, int(stop) - len(word), int(stop)) for word, stop in zip(words, stops, strict=True)]
    return Sentence(line, 0, " ".join(words), tokens)


def predictions(run: TagRun, sentences: Iterator[Sentence], batch_size: int, k: int = 1) -> Iterator[dict[str, Any]]:
    """For each sentence: line, start, text, tokens, tags and the confidence of each, spans, and with k > 1 `k_best`."""
    while group := list(islice(sentences, TOGETHER)):
        yield from _predicted(run, group, batch_size, k)


def _predicted(run: TagRun, group: list[Sentence], batch_size: int, k: int) -> Iterator[dict[str, Any]]:
    fitted = run.fitted
    examples = _encoded(group, fitted)
    found = tag_examples(run.model, examples, batch_size, confidence=True)
    assert found.confidence is not None
    likeliest = k_best(run.model, examples, batch_size, k) if k > 1 else []
    tags = _as_in_data(fitted, found.tags, examples.lengths)
    for place, sentence in enumerate(group):
        tokens = slice(int(examples.bounds[place]), int(examples.bounds[place + 1]))
        record = {
            "line": sentence.line, "start": sentence.start, "text": sentence.text,
            "tokens": [token.text for token in sentence.tokens],
            "tags": tags[tokens],
            "confidence": [round(float(one), 4) for one in found.confidence[tokens]],
        }  # fmt: skip
        if fitted.scheme is not None:
            record["spans"] = _spans(sentence, fitted, found.tags[tokens], found.confidence[tokens])
        if likeliest:
            alone = np.array([len(sentence.tokens)])
            record["k_best"] = [
                {"probability": round(probability, 6), "tags": _as_in_data(fitted, path, alone)[:]}
                for path, probability in likeliest[place]
            ]
        yield record


def _encoded(group: list[Sentence], fitted: Fitted) -> Examples:
    words = [token.text for sentence in group for token in sentence.tokens]
    places = {word: place for place, word in enumerate(dict.fromkeys(words))}
    column = Column(list(places), np.array([places[word] for word in words], np.int32))
    lengths = np.array([len(sentence.tokens) for sentence in group], np.int64)
    return encode(TaggedText(Path("-"), column, None, lengths, np.empty(0, np.int32)), fitted)


def _as_in_data(fitted: Fitted, tags: np.ndarray, lengths: np.ndarray) -> Column:
    """Tags in the scheme that the data has."""
    column = Column(fitted.tags, np.asarray(tags))
    return column if fitted.source == fitted.scheme else converted(column, lengths, SCHEMES[str(fitted.source)])


def _spans(sentence: Sentence, fitted: Fitted, tags: np.ndarray, sure: np.ndarray) -> list[dict[str, Any]]:
    """Each span: its text and type, which tokens and characters of the text it is, the least confidence in it."""
    names, tokens = type_names(fitted.tags), sentence.tokens
    found = find_spans(fitted.tags, tags, np.array([len(tags)]))
    return [
        {
            "text": sentence.text[tokens[start].start : tokens[stop - 1].stop], "type": names[kind],
            "tokens": [start, stop], "characters": [tokens[start].start, tokens[stop - 1].stop],
            "confidence": round(float(sure[start:stop].min()), 4),
        }
        for start, stop, kind in zip(found.starts.tolist(), found.stops.tolist(), found.types.tolist(), strict=True)
    ]  # fmt: skip


def as_conll(record: dict[str, Any]) -> str:
    """Word, tag and confidence of each token, between tabs, and a blank line."""
    rows = zip(record["tokens"], record["tags"], record["confidence"], strict=True)
    return "".join(f"{word}\t{tag}\t{sure:.4f}\n" for word, tag, sure in rows) + "\n"


def as_json(record: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(record, ensure_ascii=False) + "\n"
