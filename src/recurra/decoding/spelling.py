"""From a distribution over tokens to one over texts, byte by byte, whatever tokens spell them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch

from recurra.decoding.context import column
from recurra.layers.recurrent import States
from recurra.models.language_model import LanguageModel, join_rows, select_rows
from recurra.text import BPE, Byte, Tokenizer

ROWS = 128  # token sequences read in one call of the model: more rows cost as much time each


class Trie:
    """The tokens that begin with the same `depth` bytes: numbers `first` to `end` of a sorted list of tokens.

    `token` is the one that is just these bytes, or None; `first` comes after it.
    """

    def __init__(self, spellings: Sequence[bytes], first: int, end: int, depth: int) -> None:
        self._spellings, self._depth = spellings, depth
        self.token = first if first < end and len(spellings[first]) == depth else None
        self.first, self.end = first + (self.token is not None), end

    @cached_property
    def children(self) -> dict[int, Trie]:
        """The longer tokens by their next byte, in order."""
        begins: dict[int, int] = {}
        for number in range(self.first, self.end):
            begins.setdefault(self._spellings[number][self._depth], number)
        ends = [*begins.values(), self.end][1:]
        return {
            byte: Trie(self._spellings, begin, end, self._depth + 1)
            for (byte, begin), end in zip(begins.items(), ends, strict=True)
        }

    @cached_property
    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """The next bytes, and where the tokens of each begin, counted from `first`."""
        begins = [child.first - (child.token is not None) - self.first for child in self.children.values()]
        return np.array(list(self.children), np.int64), np.array(begins, np.int64)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model expects after one token sequence."""

    probabilities: np.ndarray  # [S], of the tokens in byte order
    stop: float
    states: list[States]
    row: int  # of states


@dataclass(frozen=True, slots=True)
class Cursor:
    """A token sequence of probability `weight` and the beginning of a next token."""

    weight: float
    reading: Reading
    trie: Trie

    def masses(self) -> np.ndarray:
        """For each next byte in `trie.groups`, the probability of the sequence and a token that goes on so."""
        tokens = self.reading.probabilities[self.trie.first : self.trie.end]
        return self.weight * np.add.reduceat(tokens, self.trie.groups[1], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A token sequence of probability `weight` whose last token the model has not read yet."""

    weight: float
    reading: Reading  # before that token
    token: int  # in byte order


@dataclass(slots=True)
class Prefix:
    """A beginning of the text to come, with every token sequence that spells it or begins to go past it.

    `mass` is the probability of the text beginning so; it lacks at most `lost`, that of the token sequences too
    unlikely to follow.
    """

    mass: float
    lost: float
    cursors: list[Cursor]
    arrivals: list[Arrival]
    stop: float = 0.0  # probability of the stop token right after it, once read

    def next_bytes(self) -> np.ndarray:
        """The probability of the text beginning so and going on with each byte, [256]. It must have been read."""
        masses = np.zeros(256)
        for cursor in self.cursors:
            masses[cursor.trie.groups[0]] += cursor.masses()
        return masses

    def extend(self, byte: int, mass: float, least: float) -> Prefix:
        """The text with one more byte, `mass` being next_bytes()[byte]; sequences less likely than `least` are lost."""
        cursors, arrivals, lost = [], [], self.lost
        for cursor in self.cursors:
            trie = cursor.trie.children.get(byte)
            if trie is None:
                continue
            if trie.first < trie.end:
                cursors.append(Cursor(cursor.weight, cursor.reading, trie))
            if trie.token is not None:
                weight = cursor.weight * float(cursor.reading.probabilities[trie.token])
                if weight > least:
                    arrivals.append(Arrival(weight, cursor.reading, trie.token))
                else:
                    lost += weight
        return Prefix(mass, lost, cursors, arrivals)

    def given(self) -> Prefix:
        """The same, with probabilities given that the text begins so."""
        return Prefix(
            1.0,
            self.lost / self.mass,
            [Cursor(one.weight / self.mass, one.reading, one.trie) for one in self.cursors],
            [Arrival(one.weight / self.mass, one.reading, one.token) for one in self.arrivals],
        )


class Speller:
    """Spells with a model's tokens. `rows_read` counts the token sequences that the model has read."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        self._model = model
        self._stop_id = tokenizer.stop_id
        spelled = [number for number in range(tokenizer.size) if number not in tokenizer.specials.values()]
        spelled.sort(key=lambda number: spell(tokenizer, number))
        self._order = torch.tensor(spelled)  # byte order -> token number
        self._trie = Trie([spell(tokenizer, number) for number in spelled], 0, len(spelled), 0)
        self.rows_read = 0

    def begin(self, context: Sequence[int], state: Sequence[States] | None) -> Prefix:
        """The empty text after some tokens."""
        (reading,) = self._call(column(self._model, context), state)
        return Prefix(1.0, 0.0, [Cursor(1.0, reading, self._trie)], [], reading.stop)

    def read(self, prefixes: Iterable[Prefix]) -> None:
        """Let the model read the arrivals of some prefixes, many in one call."""
        waiting = [(prefix, arrival) for prefix in prefixes for arrival in prefix.arrivals]
        for first in range(0, len(waiting), ROWS):
            some = waiting[first : first + ROWS]
            readings = self._read_tokens([arrival for _, arrival in some])
            for (prefix, arrival), reading in zip(some, readings, strict=True):
                prefix.cursors.append(Cursor(arrival.weight, reading, self._trie))
                prefix.stop += arrival.weight * reading.stop
        for prefix, _ in waiting:
            prefix.arrivals = []

    def _read_tokens(self, arrivals: Sequence[Arrival]) -> list[Reading]:
        states = []
        for _, group in groupby(arrivals, key=lambda arrival: id(arrival.reading.states)):
            readings = [arrival.reading for arrival in group]
            states.append(select_rows(readings[0].states, torch.tensor([reading.row for reading in readings])))
        tokens = self._order[[arrival.token for arrival in arrivals]].unsqueeze(0)  # [1, B]
        return self._call(tokens.to(self._model.output.weight.device), join_rows(*states))

    def _call(self, tokens: torch.Tensor, state: Sequence[States] | None) -> list[Reading]:
        """Tokens [T, B] -> what comes after each row."""
        log_probs, states = self._model.next_log_probs(tokens, state)
        probabilities = log_probs.exp().cpu()  # [B, V]
        stops = [0.0] * len(probabilities) if self._stop_id is None else probabilities[:, self._stop_id].tolist()
        self.rows_read += len(stops)
        spelled = probabilities[:, self._order].numpy()  # [B, V] -> [B, S]
        return [Reading(row, stop, states, place) for place, (row, stop) in enumerate(zip(spelled, stops, strict=True))]


def spell(tokenizer: Tokenizer, number: int) -> bytes:
    """The bytes of UTF-8 that a token stands for."""
    if isinstance(tokenizer, Byte | BPE):
        return tokenizer.token_bytes(number)
    return tokenizer.token(number).encode()
