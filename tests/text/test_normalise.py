"""Normalisation, step by step and saved."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snowballstemmer

from recurra.errors import ConfigError, DataError
from recurra.text.english import ABBREVIATIONS, STOP_WORDS
from recurra.text.normalise import Normalisation

WORD_LISTS = ("abbreviations", "stop_words", "stem")
NOTHING: dict[str, Any] = {
    "lowercase": False, "punctuation": "keep", "abbreviations": None, "stop_words": None, "stem": None,
}  # fmt: skip


def from_options(**options: Any) -> Normalisation:
    return Normalisation.from_options(SimpleNamespace(**{**NOTHING, **options}))


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, " As  it is,\n ok ", " As  it is,\n ok "),
        ({"lowercase": True}, "ÀB c", "àb c"),
        ({"punctuation": "drop"}, "Well, it's_so -- über!", "Well it s so über"),
        ({"abbreviations": "english"}, "I don't; they’re e.g. Mr. X", "I do not; they are for example mister X"),
        ({"abbreviations": "english"}, "it do n't , they 're", "it do not , they are"),
        ({"abbreviations": "english"}, "Can't, CANNOT, cant", "can not, can not, cant"),
        ({"stop_words": "english"}, "The film is not for the weak", "film not weak"),
        ({"stop_words": "english"}, "You've it's THE", "You've it's"),
        ({"stem": "english"}, "Running dogs' happiness, 3", "Run dog' happi, 3"),
        ({"stem": "german", "lowercase": True}, "Häuser", "haus"),
        (
            {"lowercase": True, "punctuation": "drop", **dict.fromkeys(WORD_LISTS, "english")},
            "They weren't running, were they?",
            "not run",
        ),
    ],
)  # fmt: skip
def test_texts(options: dict[str, Any], text: str, expected: str) -> None:
    normalisation = from_options(**options)
    assert normalisation(text) == expected
    assert Normalisation(**normalisation.fields())(text) == expected


def test_files(tmp_path: Path) -> None:
    (tmp_path / "short.tsv").write_text("approx.\tapproximately\n\nw/o\twithout\n")
    (tmp_path / "stop.txt").write_text("foo\n\nBar\n")
    normalisation = from_options(abbreviations=str(tmp_path / "short.tsv"), stop_words=str(tmp_path / "stop.txt"))
    assert normalisation("FOO approx. bar W/O food") == "approximately without food"


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "short.tsv").write_text("a\tb\nno tab\n")
    with pytest.raises(DataError, match=r"short.tsv:2: expected SHORT, a tab and LONG, got 'no tab'; mend it"):
        from_options(abbreviations=str(tmp_path / "short.tsv"))
    (tmp_path / "stop.txt").write_text("a\ntwo words\n")
    with pytest.raises(DataError, match=r"stop.txt: expected one word per line, got 'two words' as word 2; mend it"):
        from_options(stop_words=str(tmp_path / "stop.txt"))
    with pytest.raises(DataError, match=r"none.txt: cannot be read"):
        from_options(stop_words=str(tmp_path / "none.txt"))


def test_an_unknown_language() -> None:
    with pytest.raises(ConfigError, match=r"stem: expected a language of .*, got 'englisch'; did you mean 'english'\?"):
        from_options(stem="englisch")


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "snowballstemmer", None)
    with pytest.raises(ConfigError, match=r"stem=english: needs snowballstemmer; pip install 'recurra\[stem\]'"):
        Normalisation(stem="english")


def test_stems_are_the_library_s() -> None:
    stem = snowballstemmer.stemmer("english").stemWord
    words = ["generously", "relational", "hopping", "skies", "dying"]
    assert Normalisation(stem="english")(" ".join(words)) == " ".join(map(stem, words))


def test_negations_stay() -> None:
    assert not {"no", "not", "nor", "never", "n't"} & set(STOP_WORDS)
    assert all(long == long.lower() and long for long in ABBREVIATIONS.values())
