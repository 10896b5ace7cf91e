"""Finding the parts of the data, and what to say where they cannot be found."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data import find_splits
from recurra.data.splits import cut_file
from recurra.errors import ConfigError, DataError
from recurra.text import Span, read_chunks

LINES = "".join(f"line number {number}\n" for number in range(1000))


def read(span: Span | None) -> str:
    assert span is not None
    return "".join(read_chunks(span))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_one_file_is_cut_by_position_at_line_ends(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(pack(LINES.encode()))
    splits = find_splits(path)
    parts = [read(splits.train), read(splits.valid), read(splits.test)]
    assert "".join(parts) == LINES
    assert all(part.endswith("\n") for part in parts)
    for part, share in zip(parts, (0.9, 0.05, 0.05), strict=True):
        assert abs(len(part) - share * len(LINES)) <= len("line number 999\n")


@given(
    text=st.text(st.sampled_from("ab\né語🙂"), min_size=2, max_size=300),
    fractions=st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.3]), min_size=1, max_size=2),
)
def test_parts_are_whole_characters_and_together_the_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, fractions: list[float]
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.txt"
    path.write_bytes(text.encode())
    try:
        first, rest = cut_file(path, fractions)
    except DataError:
        assert len(text.encode()) * min(fraction for fraction in fractions if fraction) < 8
        return
    assert "".join(read(span) for span in [first, *rest] if span is not None) == text
    assert [span is not None for span in rest] == [fraction > 0 for fraction in fractions]


def test_no_part_for_a_fraction_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text(LINES)
    splits = find_splits(path, valid_frac=0.1, test_frac=0)
    assert splits.test is None
    assert read(splits.train) + read(splits.valid) == LINES
    splits = find_splits(path, valid_frac=0, test_frac=0)
    assert (splits.valid, splits.test) == (None, None)
    assert read(splits.train) == LINES


def test_files_of_their_own(tmp_path: Path) -> None:
    train, valid, test = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))
    for path in (train, valid, test):
        path.write_text(LINES)
    assert find_splits(train, valid, test) == find_splits(train, valid, test, 0, 0)
    splits = find_splits(train, valid, test)
    assert (splits.train, splits.valid, splits.test) == (Span(train), Span(valid), Span(test))
    splits = find_splits(train, valid)
    assert (splits.train, splits.valid, splits.test) == (Span(train), Span(valid), None)
    splits = find_splits(train, test=test)
    assert read(splits.train) + read(splits.valid) == LINES
    assert splits.test == Span(test)


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("ptb.train.txt.gz", "ptb.valid.txt.gz", "ptb.test.txt.gz"),
        ("wiki-train-v1.txt", "wiki-dev-v1.txt", "wiki-test-v1.txt"),
        ("Train1.txt", "val.txt", "TEST_2.txt"),
    ],
)
def test_a_folder(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name in (*names, "README.md", "contest.txt"):
        (tmp_path / name).write_text(LINES)
    splits = find_splits(tmp_path)
    assert (splits.train, splits.valid, splits.test) == tuple(Span(tmp_path / name) for name in names)
    own = find_splits(tmp_path, test=tmp_path / "contest.txt")
    assert own.test == Span(tmp_path / "contest.txt")


def test_a_folder_with_a_training_file_alone_is_cut(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(LINES)
    assert find_splits(tmp_path) == find_splits(tmp_path / "train.txt")


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(LINES)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none.txt", "{}/none.txt: expected a text file or a folder, got no such path; check the path"),
        (
            lambda p: written(p / "corpus.txt", b"text").with_name("corpsu.txt"),
            "{}/corpsu.txt: expected a text file or a folder, got no such path; did you mean {}/corpus.txt?",
        ),
        (lambda p: written(p / "a", b""), "{}/a: expected a text, got 0 characters; give a longer text"),
        (lambda p: written(p / "a", "語".encode()), "{}/a: expected a text, got 1 characters; give a longer text"),
        (
            lambda p: written(p / "a", b"caf\xe9"),
            "{}/a: expected UTF-8 text, got byte 0xe9 at byte offset 3; "
            "convert the file first, e.g. iconv -f latin1 -t utf-8",
        ),
        (
            lambda p: written(p / "a", b"ab"),
            "{}/a: expected a text long enough to cut into train, valid and test, got 2 bytes; "
            "give a longer text, or files of their own",
        ),
        (
            lambda p: folder(p / "d"),
            "{}/d: expected a file train*.txt or train*.txt.gz in the folder, got nothing; "
            "name one so, or give the file itself",
        ),
        (
            lambda p: folder(p / "d", "input.txt", "README.md", "training.txt"),
            "{}/d: expected a file train*.txt or train*.txt.gz in the folder, got README.md, input.txt, training.txt; "
            "name one so, or give the file itself",
        ),
        (
            lambda p: folder(p / "d", "train.txt", "valid.txt", "dev.txt"),
            "{}/d: expected one valid file, got dev.txt, valid.txt; leave one, or give the files themselves",
        ),
        (lambda p: pipe(p / "a"), "{}/a: expected a text file, got a pipe or device; give a file"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError) as error:
        find_splits(make(tmp_path))
    assert str(error.value) == message.replace("{}", str(tmp_path))


def test_other_files_are_checked_too(tmp_path: Path) -> None:
    corpus = written(tmp_path / "corpus.txt", LINES.encode())
    with pytest.raises(DataError, match="got no such path"):
        find_splits(corpus, valid=tmp_path / "none.txt")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: expected a text file, got a folder; give a file")):
        find_splits(corpus, test=tmp_path)


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0.2), (1.0, 0.0)])
def test_fractions_that_leave_nothing(tmp_path: Path, valid: float, test: float) -> None:
    with pytest.raises(ConfigError, match=r"expected at least 0 and less than 1 together, got .*; lower them"):
        find_splits(tmp_path, valid_frac=valid, test_frac=test)
