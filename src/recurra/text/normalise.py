"""Making texts more alike before they are cut into tokens: case, punctuation, abbreviations, stop words, stems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from recurra.config import nearest
from recurra.errors import ConfigError, DataError
from recurra.text.english import ABBREVIATIONS, STOP_WORDS
from recurra.text.files import read_lines

WORD = re.compile(r"\w+(?:['’]\w+)*|['’]\w+")
_MARK = re.compile(r"[^\w\s]|_")
_SPACE = re.compile(r"\s+")
ENGLISH = "english"


class Normalisation:
    """What is done to every text, in this order: abbreviations, lower case, stop words, stems, punctuation.

    Args:
        lowercase: turn it to lower case.
        drop_punctuation: put a space in place of whatever is no letter, digit or white space.
        abbreviations: what to write for each; case does not matter, and ' stands for ’ too.
        stop_words: words to leave out, whatever their case.
        stem: language of the Snowball stemmer (Porter 1980, 2001) that words are cut down by; None for none.

    Example:
        >>> Normalisation(lowercase=True, stop_words=["the"], abbreviations={"isn't": "is not"})("The end isn't near.")
        'end is not near.'
    """

    def __init__(
        self,
        *,
        lowercase: bool = False,
        drop_punctuation: bool = False,
        abbreviations: Mapping[str, str] | None = None,
        stop_words: Iterable[str] = (),
        stem: str | None = None,
    ) -> None:
        self.lowercase, self.drop_punctuation = lowercase, drop_punctuation
        self.abbreviations = {_plain(short): long for short, long in (abbreviations or {}).items()}
        self.stop_words = sorted({_plain(word) for word in stop_words})
        self.stem = stem
        self._stops = frozenset(self.stop_words)
        self._stemmed = None if stem is None else lru_cache(1 << 16)(_stemmer(stem))

    def __call__(self, text: str) -> str:
        """The text as the model knows it; perhaps empty."""
        if self.abbreviations:
            text = self._abbreviation.sub(lambda found: self.abbreviations[_plain(found[0])], text)
        if self.lowercase:
            text = text.lower()
        if self._stops or self._stemmed:
            text = WORD.sub(self._word, text)
        if self.drop_punctuation:
            text = _MARK.sub(" ", text)
        return _SPACE.sub(" ", text).strip() if self._stops or self.drop_punctuation else text

    def _word(self, found: re.Match[str]) -> str:
        if _plain(found[0]) in self._stops:
            return ""
        return self._stemmed(found[0]) if self._stemmed else found[0]

    @cached_property
    def _abbreviation(self) -> re.Pattern[str]:
        """Any of them, the longest first, not inside a word."""
        longest = sorted(self.abbreviations, key=lambda short: (-len(short), short))
        choices = "|".join(re.escape(short).replace("'", "['’]") for short in longest)
        return re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE)

    def fields(self) -> dict[str, Any]:
        """What the constructor takes, as JSON."""
        return {
            "lowercase": self.lowercase,
            "drop_punctuation": self.drop_punctuation,
            "abbreviations": self.abbreviations,
            "stop_words": self.stop_words,
            "stem": self.stem,
        }

    @classmethod
    def from_options(cls, options: Any) -> Self:
        """What options ask for: lowercase, punctuation ("keep" or "drop"), abbreviations and stop_words ("english", a
        file, or None), stem.

        Raises: ConfigError for an unknown language or a missing library, DataError for a file with file and line.
        """
        return cls(
            lowercase=options.lowercase,
            drop_punctuation=options.punctuation == "drop",
            abbreviations=_read_abbreviations(options.abbreviations),
            stop_words=_read_stop_words(options.stop_words),
            stem=options.stem,
        )


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")


def _read_abbreviations(source: str | None) -> Mapping[str, str]:
    """`english`, or a file with a line for each: what is short, a tab, what to write."""
    if source is None or source == ENGLISH:
        return ABBREVIATIONS if source else {}
    found = {}
    for number, line in enumerate(read_lines(Path(source)), start=1):
        short, *long = line.split("\t")
        if line.strip() and (len(long) != 1 or not short.strip()):
            raise DataError(f"{source}:{number}: expected SHORT, a tab and LONG, got {line[:40]!r}; mend it")
        if line.strip():
            found[short.strip()] = long[0].strip()
    return found


def _read_stop_words(source: str | None) -> Iterable[str]:
    """`english`, or a file with a word in each line."""
    if source is None or source == ENGLISH:
        return STOP_WORDS if source else ()
    words = [line.strip() for line in read_lines(Path(source)) if line.strip()]
    for number, word in enumerate(words, start=1):
        if not WORD.fullmatch(word):
            raise DataError(f"{source}: expected one word per line, got {word!r} as word {number}; mend it")
    return words


def _stemmer(language: str) -> Callable[[str], str]:
    try:
        snowballstemmer = import_module("snowballstemmer")
    except ModuleNotFoundError:
        raise ConfigError(f"stem={language}: needs snowballstemmer; pip install 'recurra[stem]'") from None
    known = snowballstemmer.algorithms()
    if language not in known:
        raise ConfigError(
            f"stem: expected a language of {', '.join(known)}, got {language!r}{nearest(language, known)}"
        )
    stem: Callable[[str], str] = snowballstemmer.stemmer(language).stemWord
    return stem
