"""Splitting into words and joining them again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import ConfigError
from recurra.text import Word, train_tokenizer

RANKS = {"an": 48, "apple": 927, "is": 24, "good": 121, "for": 7, "you": 26}


def thousand_words() -> list[str]:
    """A vocabulary of 1000 words by rank in which the lecture's words hold the lecture's ranks."""
    words = [f"word{rank}" for rank in range(1, 1001)]
    for word, rank in RANKS.items():
        words[rank - 1] = word
    return words


def test_the_lecture_example() -> None:
    tokenizer = Word.given(thousand_words(), start=1001, stop=1002, other=1003)
    sentences = ["An apple is good for you.", "Der Apfel schmeckt gut!"]
    assert [ids.tolist() for ids in tokenizer.encode_sentences(sentences)] == [
        [1001, 48, 927, 24, 121, 7, 26, 1002],
        [1001, 1003, 1003, 1003, 1003, 1002],
    ]
    assert tokenizer.size == 1004
    assert tokenizer.excluded_ids == (0, 1001, 1003)
    assert tokenizer.decode([1001, 48, 927, 24, 121, 7, 26, 1002]) == "an apple is good for you"


@pytest.mark.parametrize(
    ("words", "numbers", "message"),
    [
        (["an", "Apple"], (3, 4, 5), "expected one lower-case word without punctuation, got 'Apple'"),
        (["an", "don't"], (3, 4, 5), 'expected one lower-case word without punctuation, got "don\'t"'),
        (["an", "an"], (3, 4, 5), "expected different words, got one twice"),
        (["an", "apple"], (2, 4, 5), "expected numbers of their own for special tokens, beside words 1 to 2"),
        (["an", "apple"], (3, 3, 5), "expected numbers of their own for special tokens, beside words 1 to 2"),
        (["an", "apple"], (3, 4, -1), "expected numbers of their own for special tokens, beside words 1 to 2"),
    ],
)
def test_given_vocabularies_that_cannot_be(words: list[str], numbers: tuple[int, int, int], message: str) -> None:
    start, stop, other = numbers
    with pytest.raises(ConfigError) as error:
        Word.given(words, start=start, stop=stop, other=other)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "text", "words"),
    [
        ({}, "Don't stop, e.g. here.", ["Don", "'", "t", "stop", ",", "e", ".", "g", ".", "here", "."]),
        ({}, "a\r\nb  c\n", ["a", "\n", "b", "c", "\n"]),
        ({"mode": "sentences"}, "a\nb", ["a", "b"]),
        ({}, "snake_case x=3.14", ["snake", "_", "case", "x", "=", "3", ".", "14"]),
        ({}, "हिन्दी e\u0301te\u0301 ❤", ["हिन्दी", "e\u0301te\u0301", "❤"]),
        ({}, "漢字。仮名", ["漢字", "。", "仮名"]),
        ({"lowercase": True}, "The CAT", ["the", "cat"]),
        ({"split": "space"}, "Don't  stop,\nhere.", ["Don't", "stop,", "\n", "here."]),
        ({"number_token": True}, "3.14, 1,000 2nd x9 7", ["[number]", ",", "[number]", "2nd", "x9", "[number]"]),
        ({"number_token": True, "split": "space"}, "3.14 7% 1,000", ["[number]", "7%", "[number]"]),
    ],
)
def test_splitting(options: object, changes: dict[str, object], text: str, words: list[str]) -> None:
    tokenizer = train_tokenizer(options("word", **changes), [text])
    tokens = [tokenizer.token(number) for number in tokenizer.encode(text)]
    assert tokens == words


def test_rare_words_are_unknown(options: object) -> None:
    text = "a a a b b c\n"
    limited = train_tokenizer(options("word", vocabulary_size=4), [text])
    frequent = train_tokenizer(options("word", min_count=2), [text])
    for tokenizer in (limited, frequent):
        assert [tokenizer.token(number) for number in tokenizer.encode(text)] == [*"aaabb", "[UNK]", "\n"]
        assert tokenizer.count_unknown(tokenizer.encode(text)) == 1


def test_the_line_end_is_known_even_if_never_seen(options: object) -> None:
    tokenizer = train_tokenizer(options("word"), ["one line"])
    assert tokenizer.count_unknown(tokenizer.encode("\n")) == 0


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world (again)! It's 5% off.",
        "First line.\nSecond: a well-known one; done?\n",
        "It costs $5 [sic].",
        "「漢字」。",
    ],
)
def test_joining_reads_well(options: object, text: str) -> None:
    tokenizer = train_tokenizer(options("word"), [text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_joining_words_split_by_space(options: object) -> None:
    text = "no , it was n't\n<unk> N years .\n"
    tokenizer = train_tokenizer(options("word", split="space"), [text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(deadline=None, max_examples=100)
@given(text=st.text(), lowercase=st.booleans(), split=st.sampled_from(["punctuation", "space"]))
def test_joined_words_split_into_the_same_words(options: object, text: str, lowercase: bool, split: str) -> None:
    tokenizer = train_tokenizer(options("word", lowercase=lowercase, split=split), [text, " a"])
    ids = tokenizer.encode(text)
    assert tokenizer.count_unknown(ids) == 0
    assert tokenizer.encode(tokenizer.decode(ids)).tolist() == ids.tolist()
