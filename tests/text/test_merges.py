from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from recurra.text import learn_merges
from recurra.text.merges import apply_merge

LECTURE = {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def test_the_lecture_example() -> None:
    counts = {(*word, "</w>"): count for word, count in LECTURE.items()}
    assert learn_merges(counts, 5) == [("e", "s"), ("es", "t"), ("est", "</w>"), ("l", "o"), ("lo", "w")]


def test_stops_when_every_word_is_one_symbol() -> None:
    assert learn_merges({"ab": 1}, 9) == [("a", "b")]
    assert learn_merges({}, 9) == []


def test_overlapping_pairs_join_from_the_left() -> None:
    assert apply_merge("aaaaa", ("a", "a")) == ["aa", "aa", "a"]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 9), max_size=6))
def test_each_merge_is_the_most_frequent_pair(counts: dict[str, int]) -> None:
    words = {word: list(word) for word in counts}
    for merge in learn_merges(counts, 4):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for n in range(len(symbols) - 1):
                pairs[symbols[n], symbols[n + 1]] += counts[word]
        assert pairs[merge] == max(pairs.values())
        words = {word: apply_merge(symbols, merge) for word, symbols in words.items()}
    assert all("".join(symbols) == word for word, symbols in words.items())
