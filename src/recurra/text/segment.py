"""Running text as sentences and words, each with its place in the text, much as treebanks divide it."""

from __future__ import annotations

import re
from typing import NamedTuple

_ABBREVIATIONS = (
    "Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Gen|Col|Sgt|Lt|Capt|Gov|Sen|Rep|Rev|Hon|Inc|Ltd|Co|Corp|vs|etc|cf|"
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|e[.]g|i[.]e|a[.]m|p[.]m"
)
_WORD = re.compile(
    rf"""
    (?:https?://|www\.)\S*[\w/]                          # addresses, without the marks behind them
    | [\w.+-]+@\w[\w-]*(?:\.\w[\w-]*)+                   # electronic mail
    | [@\#]\w+                                           # names and topics of social networks
    | [:;=8][-'^]?[)(\]\[DPpOo/\\|*](?!\w) | <3          # faces
    | (?:{_ABBREVIATIONS})\.(?=\s|,|$)
    | (?:[^\W\d_]\.){{2,}} | (?-i:[A-Z])\.(?=\s+(?-i:[A-Z]))  # U.S. and the J. of J. Doe
    | \d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?(?!\w)          # numbers, dates, times
    | [^\W_]\w*?(?=n['’]t\b) | n['’]t\b                  # do n't
    | ['’](?:s|m|re|ve|ll|d)\b                           # 's 'm 're
    | \w+(?:[-.&](?=\w)\w+|['’](?!(?:s|m|re|ve|ll|d|t)\b)\w+)*
    | ([^\w\s])\1*                                       # a mark, or several of the same
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENDING = re.compile(r"[.!?…]+")
_CLOSING = frozenset("\"'”’)]}»")


class Token(NamedTuple):
    """A word or mark, and the characters of the text that it is: from `start` to before `stop`."""

    text: str
    start: int
    stop: int


def divide_words(text: str) -> list[Token]:
    """The words and marks of a text; English contractions are two words, as in treebanks.

    >>> [token.text for token in divide_words("Mr. Doe didn't pay $3.50 (at www.x.org).")]
    ['Mr.', 'Doe', 'did', "n't", 'pay', '$', '3.50', '(', 'at', 'www.x.org', ')', '.']
    """
    return [Token(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


def divide_sentences(text: str) -> list[list[Token]]:
    """The sentences of a line of text, as words.

    A sentence ends at full stops, question and exclamation marks with any closing quotes and brackets, where white
    space follows and what comes next does not begin with a small letter.

    >>> [[token.text for token in one] for one in divide_sentences("So? He said: 'No.' the end.")]
    [['So', '?'], ['He', 'said', ':', "'", 'No', '.', "'", 'the', 'end', '.']]
    """
    tokens = divide_words(text)
    sentences: list[list[Token]] = []
    begun, ended = 0, False
    for place, token in enumerate(tokens):
        apart = place > 0 and tokens[place - 1].stop < token.start
        if ended and apart and not token.text[0].islower():
            sentences.append(tokens[begun:place])
            begun, ended = place, False
        ended = _ENDING.fullmatch(token.text) is not None or (ended and not apart and token.text in _CLOSING)
    return [*sentences, tokens[begun:]] if tokens else []
