"""What is seen of a word besides its place in the text: its number, characters, shape, beginnings and endings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from recurra.errors import DataError

UNKNOWN = 0
"""The number of what is not in a vocabulary."""

LONGEST = 32
"""Characters of a word that are seen: of a longer one, the first and the last 16."""

AFFIX_MIN_COUNT = 5
"""Different words that must have a beginning or ending for it to be known."""

BEGIN, END = "\x02", "\x03"
"""Stand before the first and after the last character."""

SHAPES = (
    ("lower", str.islower),
    ("upper", str.isupper),
    ("capital", lambda word: word[:1].isupper()),
    ("later capital", lambda word: any(map(str.isupper, word[1:]))),
    ("letters", str.isalpha),
    ("digits", str.isdigit),
    ("a digit", lambda word: any(map(str.isdigit, word))),
    ("a mark", lambda word: any(not character.isalnum() for character in word)),
    ("marks", lambda word: not any(map(str.isalnum, word))),
    ("hyphen", lambda word: "-" in word[1:-1]),
    ("apostrophe", lambda word: "'" in word or "\u2019" in word),
    ("at", lambda word: word.startswith("@")),
    ("hash", lambda word: word.startswith("#")),
    ("address", lambda word: "://" in word or word.startswith("www.")),
    ("one character", lambda word: len(word) == 1),
)
"""What is asked of a word's shape: name and question."""


@dataclass(frozen=True)
class WordVocabulary:
    """The words, characters, beginnings and endings that were seen in training; each is numbered from 1.

    lowercase: words are looked up in lower case (characters and shape are always those of the word as it stands).
    """

    words: list[str]
    characters: list[str]
    beginnings: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    affix_lengths: tuple[int, ...] = ()
    lowercase: bool = False

    @classmethod
    def learn(
        cls,
        counts: Mapping[str, int],
        *,
        min_count: int = 1,
        vocabulary_size: int | None = None,
        lowercase: bool = False,
        affix_lengths: Sequence[int] = (),
    ) -> Self:
        """From how often each word form occurs. Raises: DataError where no word is frequent enough."""
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        beginnings: Counter[str] = Counter()
        endings: Counter[str] = Counter()
        for form, count in counts.items():
            words[form.lower() if lowercase else form] += count
            characters.update(form)
            for length in affix_lengths:
                if len(form) > length:  # weighed by forms, not by tokens: rare words are those that need them
                    beginnings[form[:length]] += 1
                    endings[form[-length:]] += 1
        known = _ranked(words, min_count)[:vocabulary_size]
        if not known:
            raise DataError(
                f"expected words seen min_count={min_count} times, got none; give more text or lower min_count"
            )
        return cls(
            known, [BEGIN, END, *_ranked(characters, 1)], _ranked(beginnings, AFFIX_MIN_COUNT),
            _ranked(endings, AFFIX_MIN_COUNT), tuple(affix_lengths), lowercase,
        )  # fmt: skip

    def fields(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "affix_lengths": list(self.affix_lengths)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse; KeyError, TypeError or ValueError where the fields are damaged."""
        lists = {name: [str(one) for one in fields[name]] for name in ("words", "characters", "beginnings", "endings")}
        lengths = tuple(int(length) for length in fields["affix_lengths"])
        return cls(**lists, affix_lengths=lengths, lowercase=bool(fields["lowercase"]))


def _ranked(counts: Counter[str], least: int) -> list[str]:
    """Those counted at least so often, the most frequent first."""
    return sorted((one for one, count in counts.items() if count >= least), key=lambda one: (-counts[one], one))


class WordForms:
    """Word forms met so far and what a network reads of each, as arrays with a row per form; it grows as text is read.

    So a batch holds one number for each token, and what costs time for each form is done once per batch. The first form
    is the empty word, which stands where sentences are padded.

    Attributes, F forms: words int32 [F], numbers in the vocabulary; characters int32 [F, LONGEST + 2] with BEGIN and
    END, 0 behind; sizes int32 [F], how many these are; shapes float32 [F, len(SHAPES)], 0 or 1; affixes int32
    [F, 2 * lengths], the numbers of beginnings and endings.
    """

    def __init__(self, vocabulary: WordVocabulary) -> None:
        self.vocabulary = vocabulary
        self.forms: list[str] = []
        self._places: dict[str, int] = {}
        self._words, self._characters = _numbers(vocabulary.words), _numbers(vocabulary.characters)
        self._beginnings, self._endings = _numbers(vocabulary.beginnings), _numbers(vocabulary.endings)
        self.words, self.sizes = np.empty(0, np.int32), np.empty(0, np.int32)
        self.characters = np.empty((0, LONGEST + 2), np.int32)
        self.shapes = np.empty((0, len(SHAPES)), np.float32)
        self.affixes = np.empty((0, 2 * len(vocabulary.affix_lengths)), np.int32)
        self.add([""])

    def __len__(self) -> int:
        return len(self.forms)

    def add(self, words: Sequence[str]) -> np.ndarray:
        """The form of each word, int32; forms not met before are added."""
        new = list(dict.fromkeys(word for word in words if word not in self._places))
        if new:
            self._places.update(zip(new, range(len(self.forms), len(self.forms) + len(new)), strict=True))
            self.forms += new
            lower = self.vocabulary.lowercase
            numbers = [self._words.get(word.lower() if lower else word, UNKNOWN) for word in new]
            spelled = [self._spell(word) for word in new]
            characters = np.zeros((len(new), LONGEST + 2), np.int32)
            for row, codes in zip(characters, spelled, strict=True):
                row[: len(codes)] = codes
            self.words = np.concatenate([self.words, np.array(numbers, np.int32)])
            self.sizes = np.concatenate([self.sizes, np.array([len(codes) for codes in spelled], np.int32)])
            self.characters = np.concatenate([self.characters, characters])
            shapes = np.array([[ask(word) for _, ask in SHAPES] for word in new], np.float32)
            self.shapes = np.concatenate([self.shapes, shapes])
            affixes = np.array([self._affixes(word) for word in new], np.int32).reshape(len(new), -1)
            self.affixes = np.concatenate([self.affixes, affixes])
        return np.array([self._places[word] for word in words], np.int32)

    def _spell(self, word: str) -> list[int]:
        seen = word if len(word) <= LONGEST else word[: LONGEST // 2] + word[-LONGEST // 2 :]
        return [self._characters.get(character, UNKNOWN) for character in (BEGIN, *seen, END)]

    def _affixes(self, word: str) -> list[int]:
        lengths = [length if len(word) > length else 0 for length in self.vocabulary.affix_lengths]
        return [
            *(self._beginnings.get(word[:length], UNKNOWN) for length in lengths),
            *(self._endings.get(word[-length:] if length else "", UNKNOWN) for length in lengths),
        ]


def _numbers(values: Sequence[str]) -> dict[str, int]:
    return {value: number for number, value in enumerate(values, 1)}
