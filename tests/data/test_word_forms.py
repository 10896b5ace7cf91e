"""What is seen of words: numbers, characters, shapes, beginnings and endings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recurra.data.word_forms import LONGEST, SHAPES, UNKNOWN, WordForms, WordVocabulary
from recurra.errors import DataError

COUNTS = {"the": 5, "The": 2, "running": 1, "walking": 1, "talking": 1, "making": 1, "being": 1, "x": 1}


def test_vocabulary_by_frequency() -> None:
    known = WordVocabulary.learn(COUNTS, min_count=2)
    assert known.words == ["the", "The"]
    assert WordVocabulary.learn(COUNTS, vocabulary_size=1).words == ["the"]
    assert WordVocabulary.learn(COUNTS, min_count=2, lowercase=True).words == ["the"]
    with pytest.raises(DataError, match=r"^expected words seen min_count=9 times, got none; "):
        WordVocabulary.learn(COUNTS, min_count=9)


def test_affixes_that_several_words_have() -> None:
    known = WordVocabulary.learn(COUNTS, affix_lengths=[2, 3])
    assert (known.beginnings, known.endings) == ([], ["ing", "ng"])
    forms = WordForms(known)
    (place,) = forms.add(["sing"])
    assert forms.affixes[place].tolist() == [0, 0, 2, 1]
    (whole,) = forms.add(["ing"])  # a word of that length has no such ending, for nothing is before it
    assert forms.affixes[whole].tolist() == [0, 0, 2, 0]


def test_forms_grow_and_keep_their_numbers() -> None:
    forms = WordForms(WordVocabulary.learn(COUNTS, min_count=2))
    assert forms.forms == [""]
    first = forms.add(["the", "new", "the"])
    assert first.tolist() == [1, 2, 1]
    assert forms.add(["newer", "new"]).tolist() == [3, 2]
    assert forms.words.tolist() == [UNKNOWN, 1, UNKNOWN, UNKNOWN]
    assert all(len(getattr(forms, name)) == 4 for name in ("words", "characters", "sizes", "shapes", "affixes"))


def test_characters_of_long_words_are_its_ends() -> None:
    forms = WordForms(WordVocabulary.learn({"abcz": 1}))
    (place, long) = forms.add(["abz", "a" + "b" * 99 + "z"])
    letters = forms.vocabulary.characters
    assert [letters[code - 1] for code in forms.characters[place][: forms.sizes[place]]] == ["\x02", *"abz", "\x03"]
    assert forms.sizes[long] == LONGEST + 2
    spelled = "".join(letters[code - 1] for code in forms.characters[long])
    assert spelled == "\x02a" + "b" * (LONGEST - 2) + "z\x03"
    (strange,) = forms.add(["é"])
    assert forms.characters[strange][:3].tolist() == [letters.index("\x02") + 1, UNKNOWN, letters.index("\x03") + 1]


ASKED = {
    "the": {"lower", "letters"},
    "The": {"capital", "letters"},
    "IBM": {"upper", "capital", "later capital", "letters"},
    "iPhone": {"later capital", "letters"},
    "2017": {"digits", "a digit"},
    "B2": {"upper", "capital", "a digit"},
    "...": {"a mark", "marks"},
    "well-known": {"lower", "a mark", "hyphen"},
    "n't": {"lower", "a mark", "apostrophe"},
    "@Bob": {"capital", "later capital", "a mark", "at"} - {"capital"},
    "#x": {"lower", "a mark", "hash"},
    "http://x": {"lower", "a mark", "address"},
    "I": {"upper", "capital", "letters", "one character"},
}


@pytest.mark.parametrize("word", ASKED)
def test_shapes(word: str) -> None:
    forms = WordForms(WordVocabulary(["x"], ["x"]))
    (place,) = forms.add([word])
    assert {name for (name, _), yes in zip(SHAPES, forms.shapes[place], strict=True) if yes} == ASKED[word]


def test_vocabulary_through_json() -> None:
    known = WordVocabulary.learn(COUNTS, lowercase=True, affix_lengths=[3])
    again = WordVocabulary.from_fields(json.loads(json.dumps(known.fields())))
    assert again == known
    words = ["the", "THE", "ending"]
    one, other = WordForms(known), WordForms(again)
    assert np.array_equal(one.add(words), other.add(words))
    assert np.array_equal(one.affixes, other.affixes)
