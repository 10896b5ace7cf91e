"""Reading in a stream and writing aside."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.text import Span, files, read_chunks, read_lines
from recurra.text.files import written_aside

TEXT = "a\r\nbé\n\n語🙂\x00\rend"


@pytest.fixture(params=[1, 2, 3, 7, 1 << 20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(files, "CHUNK", request.param)
    return request.param


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_comes_as_it_stands(tmp_path: Path, chunk: int, pack: type[bytes]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(pack(TEXT.encode()))
    assert "".join(read_chunks(path)) == TEXT
    assert list(read_lines(path)) == ["a", "bé", "", "語🙂\x00\rend"]
    assert "".join(read_chunks(Span(path, 3, 6))) == TEXT.encode()[3:6].decode()
    assert "".join(read_chunks(Span(path, 7))) == TEXT.encode()[7:].decode()


@given(text=st.text())
def test_lines_are_those_between_line_feeds(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(text.encode())
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    assert list(read_lines(path)) == (lines if not text.endswith("\n") and text else lines[:-1])


@pytest.mark.parametrize(
    ("content", "byte", "offset"),
    [
        (b"\xff", "ff", 0),
        (b"abc\xe9 d", "e9", 3),
        ("語".encode() + b"\x80", "80", 3),
        (b"12345678" + "語".encode()[:2], "e8", 8),
        (b"\xf0\x9f\x99(", "f0", 0),
        (b"ok\xed\xa0\x80", "ed", 2),
        ("text".encode("utf-16"), "ff", 0),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_that_are_not_utf8(
    tmp_path: Path, chunk: int, content: bytes, byte: str, offset: int, pack: type[bytes]
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(pack(content))
    with pytest.raises(DataError) as error:
        list(read_chunks(path))
    encoding = "utf-16" if content.startswith(b"\xff\xfe") and chunk > 1 else "latin1"
    assert str(error.value) == (
        f"{path}: expected UTF-8 text, got byte 0x{byte} at byte offset {offset}; "
        f"convert the file first, e.g. iconv -f {encoding} -t utf-8"
    )


def test_the_offset_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789\xff")
    with pytest.raises(DataError, match="at byte offset 10;"):
        list(read_chunks(Span(path, 4)))


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:20] + b"???" + packed[23:]])
def test_damaged_gzip(tmp_path: Path, damage: type[bytes]) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(97, 123)) * 40)))
    with pytest.raises(DataError, match=r"a.txt.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"):
        list(read_chunks(path))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\); check path and rights"):
        list(read_chunks(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        list(read_chunks(tmp_path))


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 5)
    monkeypatch.setattr(files, "CHUNK", 4)
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n" + "x" * 50)
    with pytest.raises(DataError) as error:
        list(read_lines(path))
    assert str(error.value) == (
        f"{path}:3: expected one sentence per line, got a line of more than 5 characters; use mode=stream"
    )


def test_written_aside_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    def interrupted() -> None:
        with written_aside(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with written_aside(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
