"""Best-first search for the likeliest words over a model of characters, bytes or byte pairs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import count

from recurra.decoding.spelling import Prefix, Speller
from recurra.text.word import is_word_character

NEGLIGIBLE = 1e-9  # a token sequence this unlikely is not followed: thousands would not show in four decimals
TOLERANCE = 1e-6  # of a word's probability may be undecided, over how a character goes on that may end it
WIDTH = 32  # beginnings extended in one call of the model: rows up to here are almost free


@dataclass(frozen=True)
class Completions:
    """The likeliest words, each with its probability, likeliest first.

    `exact`: these are the likeliest words there are. If not, the search reached its limit: others may be as likely.
    `error`: by how much a probability may be too low; they are never too high.
    """

    words: tuple[tuple[str, float], ...]
    exact: bool = True
    error: float = 0.0


class Kind(Enum):
    """What the last bytes of a text are."""

    LETTER = "part of a word"
    BOUNDARY = "a character that is in no word"
    INCOMPLETE = "the beginning of a character"
    INVALID = "not UTF-8"


@cache
def classify(ending: bytes) -> Kind:
    """What the bytes after the last whole character are."""
    try:
        return Kind.LETTER if is_word_character(ending.decode()) else Kind.BOUNDARY
    except UnicodeDecodeError as error:
        return Kind.INCOMPLETE if error.reason == "unexpected end of data" else Kind.INVALID


class Branch:
    """A beginning of a word, `word`, and perhaps of its next character, `ending`; opened when the search gets there.

    `mass` is its probability, `before` the text without its last byte.
    """

    def __init__(self, before: Prefix, byte: int, mass: float, word: bytes, ending: bytes) -> None:
        self._before, self._byte = before, byte
        self.mass, self.word, self.ending = mass, word, ending
        self.bound = mass + before.lost  # no word that begins so is likelier
        self.opened = False
        self.lost = 0.0  # how much of the mass is not followed, once opened
        self.boundary = 0.0  # probability of a boundary character next, once opened
        self.incomplete: list[Branch] = []  # by the first bytes of a character next, once opened

    def open(self) -> Prefix:
        """The text with its last byte, not read yet."""
        prefix = self._before.extend(self._byte, self.mass, NEGLIGIBLE)
        self.opened, self.lost = True, prefix.lost - self._before.lost
        return prefix


class Ending:
    """A whole word: how likely it ends here, as far as it is known."""

    def __init__(self, word: bytes, probability: float, undecided: list[Branch], lost: float) -> None:
        self.word, self.probability, self.lost = word, probability, lost
        self.undecided = undecided  # the character that each begins may be a boundary or a letter

    @property
    def undecided_mass(self) -> float:
        return sum(branch.mass for branch in self.undecided)

    @property
    def error(self) -> float:
        """By how much the probability may be too low."""
        return self.undecided_mass + self.lost

    @property
    def bound(self) -> float:
        return self.probability + self.error

    def settle(self) -> None:
        """Take in what the undecided branches that are opened have become."""
        opened = [branch for branch in self.undecided if branch.opened]
        self.probability += sum(branch.boundary for branch in opened)
        self.lost += sum(branch.lost for branch in opened)
        self.undecided = [branch for branch in self.undecided if not branch.opened]
        self.undecided += [branch for one in opened for branch in one.incomplete]


class WordSearch:
    """The k likeliest words among all texts, taken in order of the greatest probability they can still have.

    The bound of a beginning is the probability of the text beginning so, which no word in it exceeds: a word that
    comes first with its own probability is the likeliest of all left.
    """

    def __init__(self, speller: Speller, limit: int) -> None:
        self._speller, self._limit = speller, limit
        self._heap: list[tuple[float, int, Branch | Ending]] = []
        self._order = count()  # of equal bounds, the one found first

    def run(self, prefix: Prefix, begun: str, k: int) -> Completions:
        """The k likeliest words that go on from `begun`, the end of a text whose `prefix` has been read."""
        self._grow(prefix, begun.encode(), b"")
        found: list[Ending] = []
        while self._heap and len(found) < k and self._speller.rows_read < self._limit:
            first = self._take()
            if isinstance(first, Branch):
                self._open([first, *self._take_branches()])
            elif first.undecided_mass <= TOLERANCE:
                found.append(first)
            else:
                self._open(heapq.nlargest(WIDTH, first.undecided, key=lambda branch: branch.mass))
                first.settle()
                self._add(first)
        exact = len(found) == k or not self._heap
        if not exact:
            endings = [entry for _, _, entry in self._heap if isinstance(entry, Ending)]
            found += sorted(endings, key=lambda ending: -ending.probability)[: k - len(found)]
        words = sorted(((one.word.decode(), one.probability) for one in found), key=lambda pair: (-pair[1], pair[0]))
        return Completions(tuple(words), exact, max((one.error for one in found), default=0.0))

    def _add(self, entry: Branch | Ending) -> None:
        heapq.heappush(self._heap, (-entry.bound, next(self._order), entry))

    def _take(self) -> Branch | Ending:
        return heapq.heappop(self._heap)[2]

    def _take_branches(self) -> list[Branch]:
        """The next ones too, up to the next word: they will mostly be needed, and share a call of the model."""
        branches: list[Branch] = []
        while self._heap and len(branches) < WIDTH - 1:
            entry = self._heap[0][2]
            if not isinstance(entry, Branch):
                break
            branches.append(entry)
            self._take()
        return branches

    def _open(self, branches: Sequence[Branch]) -> None:
        """Go one byte further on from some branches, those not opened before."""
        closed = [branch for branch in branches if not branch.opened]
        prefixes = [branch.open() for branch in closed]
        self._speller.read(prefixes)
        for branch, prefix in zip(closed, prefixes, strict=True):
            branch.boundary, branch.incomplete = self._grow(prefix, branch.word, branch.ending)

    def _grow(self, prefix: Prefix, word: bytes, ending: bytes) -> tuple[float, list[Branch]]:
        """Add all ways to go on by a byte, and the word if one may end here.

        Returns the probability of a boundary next, and the branches that only begin a character.
        """
        boundary, incomplete = 0.0, []
        masses = prefix.next_bytes()
        for byte in masses.nonzero()[0].tolist():
            last = ending + bytes([byte])
            kind, mass = classify(last), float(masses[byte])
            if kind is Kind.BOUNDARY:
                boundary += mass
            elif kind is Kind.LETTER:
                self._add(Branch(prefix, byte, mass, word + last, b""))
            elif kind is Kind.INCOMPLETE:
                incomplete.append(Branch(prefix, byte, mass, word, last))
                self._add(incomplete[-1])
        if word and not ending:
            self._add(Ending(word, boundary + prefix.stop, incomplete, prefix.lost))
        return boundary, incomplete
