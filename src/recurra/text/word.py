"""One token per word and punctuation mark."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from recurra.errors import ConfigError, DataError
from recurra.text.decoders import JoiningDecoder
from recurra.text.tokenizer import NUMBER, START, STOP, UNKNOWN, Tokenizer, pieces, sentence_tokens, strings

NEWLINE = "\n"
_JOINING = frozenset({"Mn", "Mc", "Me", "Cf"})
_NUMBER = r"\d+(?:[.,]\d+)*"
# Marks that lean on the word before them, on the word after them, or on both, when words are joined again.
_CLOSING = frozenset(".,;:!?%)]}»”…。，、；：！？）］」』")
_OPENING = frozenset("([{«“$£€#@（［「『")
_LINKING = frozenset("'’-‐/_&\\")


class Word(Tokenizer):
    """The words of a text by frequency, then [UNK] for all others.

    `split="punctuation"`: a word is a run of letters, digits and combining marks, and every other character but
    white space is a word of its own. `split="space"`: a word is what stands between white space. In stream mode
    the line end is a token too. With a number token, digits with points and commas between them are [number].

    Decoding puts a space between words, except beside a line end and, for `split="punctuation"`, where a mark
    leans on its neighbour. Lost are: which white space stood where, carriage returns, the case if `lowercase`,
    the value of a [number], and what is [UNK].

        >>> words = Word(["the", "cat", ",", "sat", "."])
        >>> words.encode("the cat, the dog.").tolist()
        [0, 1, 2, 0, 5, 4]
        >>> words.decode([0, 1, 2, 0, 5, 4])
        'the cat, the [UNK].'
    """

    unit: ClassVar[str] = "word"

    def __init__(
        self,
        words: Sequence[str],
        specials: dict[str, int] | None = None,
        *,
        first: int = 0,
        split: str = "punctuation",
        lowercase: bool = False,
        keep_punctuation: bool = True,
    ) -> None:
        """Number `words` from `first` on; `specials` are numbered as given, or [UNK] alone after the words."""
        after = first + len(words)
        specials = {UNKNOWN: after} if specials is None else specials
        numbers = [*range(first, after), *specials.values()]
        super().__init__(max(numbers) + 1, specials)
        if len(set(numbers)) != len(numbers) or min(numbers) < 0:
            raise ConfigError(
                f"expected numbers of their own for special tokens, beside words {first} to {after - 1}, "
                f"got {specials}; renumber them"
            )
        if len(set(words)) != len(words):
            raise ConfigError("expected different words, got one twice; mend the list")
        self.words, self.first = list(words), first
        self.split, self.lowercase, self.keep_punctuation = split, lowercase, keep_punctuation
        self._numbers = {word: number for number, word in enumerate(words, first)}
        self._unknown, self._number = self.specials[UNKNOWN], self.specials.get(NUMBER)
        self._pattern = _pattern(split, self.start_id is None, self._number is not None, keep_punctuation)

    @classmethod
    def given(cls, words: Sequence[str], *, start: int, stop: int, other: int, first: int = 1) -> Self:
        """A fixed vocabulary of words by rank, lower-cased and without punctuation, for sentences.

        >>> words = Word.given(["an", "apple"], start=3, stop=4, other=5)
        >>> words.encode_sentences(["An apple, please!"])[0].tolist()
        [3, 1, 2, 5, 4]
        """
        specials = {UNKNOWN: other, START: start, STOP: stop}
        tokenizer = cls(words, specials, first=first, lowercase=True, keep_punctuation=False)
        for word in words:
            if tokenizer.divide(word) != [word]:
                raise ConfigError(f"expected one lower-case word without punctuation, got {word!r}; mend the list")
        return tokenizer

    @classmethod
    def train(cls, chunks: Iterable[str], options: Any, sentences: bool) -> Self:
        pattern = _pattern(options.split, not sentences, options.number_token, True)
        counts: Counter[str] = Counter()
        for piece in pieces(chunks):
            counts.update(pattern.findall(piece.lower() if options.lowercase else piece))
        if options.number_token:
            counts = Counter({word: count for word, count in counts.items() if not _is_number(word)})
        newline = [] if sentences else [NEWLINE]  # always known: it is where generation starts
        counts.pop(NEWLINE, None)
        extra = 1 + options.number_token + 2 * sentences
        limit = None if options.vocabulary_size is None else options.vocabulary_size - extra - len(newline)
        frequent = [word for word in counts if counts[word] >= options.min_count]
        if not frequent:
            raise DataError(
                f"expected words seen min_count={options.min_count} times, got none; "
                "give a longer text or lower min_count"
            )
        common = sorted(frequent, key=lambda word: (-counts[word], word))
        words = newline + common[:limit]
        known = len(words)
        specials = {UNKNOWN: known} | ({NUMBER: known + 1} if options.number_token else {})
        specials |= sentence_tokens(sentences, known + len(specials))
        return cls(words, specials, split=options.split, lowercase=options.lowercase)

    @property
    def excluded_ids(self) -> tuple[int, ...]:
        """Tokens that are never generated: unknown, start, and numbers that stand for nothing."""
        used = {*range(self.first, self.first + len(self.words)), *self.specials.values()}
        unused = set(range(self.size)) - used
        return tuple(sorted({*super().excluded_ids, *unused}))

    def divide(self, text: str) -> list[str]:
        """The words of a text, before they are looked up."""
        return self._pattern.findall(text.lower() if self.lowercase else text)

    def encode_pieces(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array([self._number_of(word) for word in self.divide(text)], np.int64) for text in texts]

    def _number_of(self, word: str) -> int:
        if self._number is not None and _is_number(word):
            return self._number
        return self._numbers.get(word, self._unknown)

    def token(self, token_id: int) -> str:
        if token_id in self._names:
            return self._names[token_id]
        rank = token_id - self.first
        return self.words[rank] if 0 <= rank < len(self.words) else "[unused]"

    def stream_decoder(self) -> JoiningDecoder:
        return JoiningDecoder(self, _space_between_words if self.split == "space" else _space_around_marks)

    def fields(self) -> dict[str, Any]:
        return {
            "words": self.words,
            "specials": self.specials,
            "first": self.first,
            "split": self.split,
            "lowercase": self.lowercase,
            "keep_punctuation": self.keep_punctuation,
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        return cls(
            strings(fields, "words"),
            {str(name): int(number) for name, number in fields["specials"].items()},
            first=int(fields["first"]),
            split=fields["split"],
            lowercase=bool(fields["lowercase"]),
            keep_punctuation=bool(fields["keep_punctuation"]),
        )


def _space_between_words(left: str, right: str) -> str:
    return "" if NEWLINE in (left, right) else " "


def _space_around_marks(left: str, right: str) -> str:
    if right in _CLOSING or left in _OPENING or left in _LINKING or right in _LINKING:
        return ""
    return _space_between_words(left, right)


def _is_number(word: str) -> bool:
    return re.fullmatch(_NUMBER, word) is not None


def is_word_character(character: str) -> bool:
    """Words are made of letters, digits, combining marks (Unicode M) and invisible joiners (Cf)."""
    return character.isalnum() or unicodedata.category(character) in _JOINING


@cache
def _joiners() -> str:
    """Combining marks and invisible joiners (Unicode M and Cf), as ranges inside a character class."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in _JOINING:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


@cache
def _pattern(split: str, newline: bool, numbers: bool, keep_punctuation: bool) -> re.Pattern[str]:
    """The regular expression that finds the words of a text."""
    joiners = _joiners()
    splits = {
        "space": [r"\S+"],
        "punctuation": [
            rf"{_NUMBER}(?![^\W_]|[{joiners}])" if numbers else "",  # all of a run of letters and digits, or none
            rf"(?:[^\W_]+|[{joiners}]+)+",
            r"\S" if keep_punctuation else "",  # the alternatives before it have left nothing else
        ],
    }
    if split not in splits:
        raise ConfigError(f"split: expected {' or '.join(splits)}, got {split!r}")
    return re.compile("|".join(filter(None, [NEWLINE if newline else "", *splits[split]])))
