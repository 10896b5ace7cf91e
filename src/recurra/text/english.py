"""English words for normalising texts: function words, and contractions with what they stand for."""

from __future__ import annotations

_FUNCTION_WORDS = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves one oneself
who whom whose which what
am is are was were be been being do does did doing done have has had having
can could may might must shall should will would
and or but if then else than as so because while although though since until unless whether
of in on at by for from to into onto upon with within about above below over under between among through during
before after against toward towards across along around near off out up down
here there when where why how again once also too just very only own same such each every any all both some other
's 're 've 'll 'd 'm
"""
STOP_WORDS = tuple(_FUNCTION_WORDS.split())
"""Words that say little of a text's topic. Negations (no, not, nor, never) are none of them."""

_NOT = "are could did does do had has have is might must need should was were would"
_JOINED = {
    "'re": ("are", "you we they who there"),
    "'ve": ("have", "i you we they who could should would might must"),
    "'ll": ("will", "i you he she it we they who there that"),
    "'m": ("am", "i"),
}

ABBREVIATIONS = {
    **{f"{verb}n't": f"{verb} not" for verb in _NOT.split()},
    **{f"{word}{end}": f"{word} {full}" for end, (full, words) in _JOINED.items() for word in words.split()},
    **{end: full for end, (full, _) in _JOINED.items()},
    "n't": "not",
    "can't": "can not",
    "ca n't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "wo n't": "will not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "gonna": "going to",
    "wanna": "want to",
    "gotta": "got to",
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "and so on",
    "vs.": "versus",
    "mr.": "mister",
    "mrs.": "missis",
    "dr.": "doctor",
    "st.": "saint",
}
"""Contractions, also where a tokenizer has cut them off (do n't, they 're), and what they stand for; 's and 'd, which
stand for several things, stay as they are."""
