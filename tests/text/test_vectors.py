"""Word vectors from text files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from recurra.errors import DataError
from recurra.text.vectors import read_vectors

GLOVE = "the 1 2 3\ncat 4.5 -5 6e-1\n. . 7 8 9\nthe 0 0 0\ndog 1 1 1\n"


@pytest.mark.parametrize("head", ["", "5 3\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_words_that_are_wanted(tmp_path: Path, head: str, pack: type[bytes]) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(pack((head + GLOVE).encode()))
    vectors = read_vectors(path, ["Cat", "the", "cat", ". .", "unseen"])
    assert vectors.words == ["Cat", "the", "cat", ". ."]
    rows = [[4.5, -5, 0.6], [1, 2, 3], [4.5, -5, 0.6], [7, 8, 9]]
    np.testing.assert_array_equal(vectors.array, np.array(rows, np.float32))
    assert vectors.dim == 3
    assert vectors.coverage == "4 of 5 words (80.0%), 1 of them in lower case only"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1 2\nb 1\n", r":2: expected a word and 2 numbers, got 'b 1'; give vectors of word2vec or GloVe as text"),
        ("lonely\n", r":1: expected a word and its numbers, got 'lonely'; .*"),
        ("a 1 2\ncat 1 x\n", r":2: expected 2 numbers, got another word \(.*\); mend it"),
        ("a 1 2\ncat 1 nan\n", r":2: expected finite numbers, got NaN or infinity; mend it"),
        ("a 1 2\n", r": expected vectors of some of 1 words, got none of them; give another file"),
        ("", r": expected vectors of some of 1 words, got none of them; give another file"),
    ],
)
def test_malformed(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        read_vectors(path, ["cat"])
    assert re.fullmatch(re.escape(str(path)) + message, str(error.value)), error.value
