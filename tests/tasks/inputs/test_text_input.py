"""The input of texts: saved and loaded, and refused where its files are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recurra.errors import FolderError
from recurra.tasks.inputs import load_input
from recurra.tasks.inputs.ngrams import NgramInput
from recurra.tasks.inputs.text import TextInput

TEXTS = ["The cat sat, the dog ran.", "Don't run 12 miles!", "la la la"]
OPTIONS: dict[str, Any] = {
    "unit": "word", "split": "punctuation", "lowercase": False, "punctuation": "keep", "abbreviations": None,
    "stop_words": None, "stem": None, "number_token": False, "min_count": 1, "vocabulary_size": None,
    "max_length": None, "ngrams": 2, "char_ngrams": 0,
}  # fmt: skip


def fit(**options: Any) -> TextInput:
    return TextInput.fit(TEXTS, SimpleNamespace(**{**OPTIONS, **options}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unit": "char"},
        {"unit": "byte"},
        {"unit": "bpe", "vocabulary_size": 300},
        {"lowercase": True, "stem": "english", "abbreviations": "english", "punctuation": "drop"},
        {"stop_words": "english"},
        {"number_token": True, "min_count": 2, "max_length": 3},
    ],
)  # fmt: skip
def test_saved_and_loaded(tmp_path: Path, options: dict[str, Any]) -> None:
    fitted = fit(**options)
    fitted.save(tmp_path)
    again = load_input(tmp_path)
    texts = [*TEXTS, "unseen 😀 words, don't they run?", "", "the"]
    assert isinstance(again, TextInput)
    ours, theirs = fitted.encode(texts), again.encode(texts)
    np.testing.assert_array_equal(ours.lengths, theirs.lengths)
    np.testing.assert_array_equal(ours.steps["tokens"], theirs.steps["tokens"])
    assert ours.lengths.min() >= 1
    assert ours.lengths.max() <= (options.get("max_length") or 10**9)


def test_words_outside_the_vocabulary_are_counted_and_shown() -> None:
    fitted = fit()
    encoded = fitted.encode(["the zebra sat"])
    assert fitted.unknown_rate(encoded) == pytest.approx(1 / 3)
    assert fitted.tokens(encoded.steps) == ["the", "[UNK]", "sat"]
    assert fitted.tokens(encoded.steps, "the zebra sat") == ["the", "zebra", "sat"]
    assert fitted.tokens(fitted.encode([""]).steps, "") == ["[STOP]"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:40], "expected JSON, got a truncated or foreign file; restore it"),
        (lambda text: "{}", "expected an input of recurra, got foreign JSON; give a model folder"),
        (lambda text: text.replace('"kind": "text"', '"kind": "smell"'), "expected an input of recurra, got foreign"),
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "expected format_version 1, got 2;"),
        (lambda text: text.replace('"words"', '"wards"'), "expected a whole input, got a damaged one"),
        (lambda text: text.replace('"text"', '"ngrams"'), "expected a whole input, got a damaged one"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Any, message: str) -> None:
    fit().save(tmp_path)
    file = tmp_path / "input.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(FolderError, match=f"input.json: {message}"):
        load_input(tmp_path)


def test_damaged_arrays(tmp_path: Path) -> None:
    NgramInput.fit(TEXTS, SimpleNamespace(**OPTIONS)).save(tmp_path)
    (tmp_path / "input.safetensors").write_bytes(b"short")
    with pytest.raises(FolderError, match=r"input.safetensors: truncated or not a safetensors file \(.*\); restore it"):
        load_input(tmp_path)
    with pytest.raises(FolderError, match=r"input.json: cannot be read \(No such file or directory\)"):
        load_input(tmp_path / "none")


def test_what_is_saved_is_plain(tmp_path: Path) -> None:
    fit(stop_words="english").save(tmp_path)
    fields = json.loads((tmp_path / "input.json").read_text())
    assert fields["kind"] == "text"
    assert "the" in fields["normalisation"]["stop_words"]
