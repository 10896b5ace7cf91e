"""Running text as sentences and words."""

from __future__ import annotations

import pytest

from recurra.text.segment import divide_sentences, divide_words

WORDS = [
    ("I don't, can't; won't.", "I do n't , ca n't ; wo n't ."),
    ("It's Bob's; we're, I’m, they'll", "It 's Bob 's ; we 're , I ’m , they 'll"),
    ("rock'n'roll O'Neil e-mail AT&T", "rock'n'roll O'Neil e-mail AT&T"),
    ("See https://x.org/a?b=1, or www.y.com.", "See https://x.org/a?b=1 , or www.y.com ."),
    ("mail a.b@c.org!", "mail a.b@c.org !"),
    ("@bob #fun :-) ;D <3", "@bob #fun :-) ;D <3"),
    ("$3.50 1,000 10:30 21st 50%", "$ 3.50 1,000 10:30 21st 50 %"),
    ("the U.S. and Mr. Doe, e.g. here", "the U.S. and Mr. Doe , e.g. here"),
    ("What?!... \"Yes\" (no)", 'What ? ! ... " Yes " ( no )'),
    ("Ωμέγα naïve 数字", "Ωμέγα naïve 数字"),
    ("", ""),
    (" \t ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WORDS)
def test_words(text: str, words: str) -> None:
    found = divide_words(text)
    assert [token.text for token in found] == words.split()
    assert all(text[token.start : token.stop] == token.text for token in found)


def test_no_character_is_lost() -> None:
    text = "".join(map(chr, range(33, 0x2100))) + " 😀\u200b\ud7ff"
    found = divide_words(text)
    assert "".join(token.text for token in found) == "".join(text.split())


SENTENCES = [
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
    ("J. Doe of the U.S. army paid 3.50 on Jan. 5. It was e.g. bread.",
     ["J. Doe of the U.S. army paid 3.50 on Jan. 5.", "It was e.g. bread."]),
    ("well... yes. 5 more", ["well... yes.", "5 more"]),
    ("no end", ["no end"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentences"), SENTENCES)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[one[0].start : one[-1].stop] for one in divide_sentences(text)] == sentences
