"""Files as arrays of tokens on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recurra.data import Encoded, encode_file, summarise
from recurra.data.encode import token_type
from recurra.errors import DataError
from recurra.text import BPE, Byte, Character, Span, Tokenizer, Word

TEXT = "The cat sat.\r\n\nThe 語 sat\n  \nend"
TOKENIZERS = [Byte(), Character("Thecats ."), Word(["The", "cat", "\n"]), BPE.learn([TEXT * 5], 270)]
SENTENCES = [Byte(True), Character("Thecats .", True), BPE.learn([TEXT * 5], 270, sentences=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_bytes(TEXT.encode())
    return tmp_path / "text.txt"


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.unit)
def test_a_stream(path: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    encoded = encode_file(path, tokenizer, tmp_path / "out")
    ids = tokenizer.encode(TEXT)
    assert encoded.tokens.tolist() == ids.tolist()
    assert isinstance(encoded.tokens, np.memmap)
    assert (encoded.characters, encoded.lines) == (len(TEXT), 5)
    assert encoded.unknown == tokenizer.count_unknown(ids)


@pytest.mark.parametrize("tokenizer", SENTENCES, ids=lambda tokenizer: tokenizer.unit)
def test_sentences(path: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    encoded = encode_file(path, tokenizer, tmp_path / "out")
    lines = ["The cat sat.", "The 語 sat", "end"]
    ids = np.concatenate(tokenizer.encode_sentences(lines))
    assert encoded.tokens.tolist() == ids.tolist()
    assert (encoded.characters, encoded.lines) == (sum(map(len, lines)), 3)
    assert encoded.unknown == tokenizer.count_unknown(ids)


def test_many_batches_equal_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.text.tokenizer.PIECE", 50)
    monkeypatch.setattr("recurra.data.encode.PIECES", 2)
    monkeypatch.setattr("recurra.text.files.CHUNK", 33)
    text = TEXT * 30
    (tmp_path / "text.txt").write_bytes(text.encode())
    for tokenizer in TOKENIZERS:
        encoded = encode_file(tmp_path / "text.txt", tokenizer, tmp_path / "out")
        assert encoded.tokens.tolist() == tokenizer.encode(text).tolist()
        assert (encoded.characters, encoded.lines) == (len(text), 121)


def test_parts_of_a_file_are_its_text(path: Path, tmp_path: Path) -> None:
    parts = [encode_file(Span(path, a, b), Byte(), tmp_path / f"{a}") for a, b in ((0, 15), (15, 27), (27, None))]
    assert b"".join(part.tokens.tobytes() for part in parts) == TEXT.encode()
    assert sum(part.characters for part in parts) == len(TEXT)


@pytest.mark.parametrize(
    ("size", "kind"),
    [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "int32")],
)
def test_the_smallest_type_is_taken(size: int, kind: str) -> None:
    assert token_type(size) == np.dtype(kind)
    assert np.iinfo(token_type(size)).max >= size - 1


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"x" * (3 << 20) + b"\xff")
    with pytest.raises(DataError, match=f"got byte 0xff at byte offset {3 << 20}"):
        encode_file(tmp_path / "text.txt", Byte(), tmp_path / "out")
    (tmp_path / "blank.txt").write_bytes(b" \n\n")
    with pytest.raises(DataError, match=r"blank.txt: expected a text, got no tokens; give a longer text"):
        encode_file(tmp_path / "blank.txt", SENTENCES[0], tmp_path / "out")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["blank.txt", "text.txt"]


ENCODE = """
import resource, sys
from pathlib import Path
from recurra.data import encode_file
from recurra.errors import DataError
from recurra.text import Byte
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
print("begin", flush=True)
try:
    encode_file(Path(sys.argv[1]), Byte(), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENCODE, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the same error of the same call."""
    (tmp_path / "text.txt").write_bytes(b"x" * (3 << 20))
    (tmp_path / "out").write_bytes(b"old")
    with start(tmp_path / "text.txt", tmp_path / "out", "limit") as process:
        said = process.communicate()[0].splitlines()
    assert said == ["begin", f"{tmp_path / 'out'}: cannot be written (File too large); free some space"]
    assert (tmp_path / "out").read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "text.txt"]


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, delay: float) -> None:
    (tmp_path / "text.txt").write_bytes(b"x" * (30 << 20))
    (tmp_path / "out").write_bytes(b"old")
    with start(tmp_path / "text.txt", tmp_path / "out") as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "out").stat().st_size in (3, 30 << 20)
    encoded = encode_file(tmp_path / "text.txt", Byte(), tmp_path / "out")  # and nothing is in the way of the next
    assert len(encoded.tokens) == 30 << 20
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "text.txt"]


def test_a_summary(path: Path, tmp_path: Path) -> None:
    tokenizer = Character("Thecats .\n")
    train = encode_file(path, tokenizer, tmp_path / "out")
    valid = Encoded(train.tokens[:4], 4, 0, 1)
    text = TEXT.replace("\r", "[UNK]").replace("語", "[UNK]").replace("nd", "[UNK][UNK]")
    assert summarise({"train": train, "valid": valid, "test": None}, tokenizer) == {
        "unit": "char",
        "vocabulary": 11,
        "parts": {
            "train": {"tokens": len(TEXT), "characters": len(TEXT), "lines": 5, "unknown_rate": 4 / len(TEXT)},
            "valid": {"tokens": 4, "characters": 4, "lines": 1, "unknown_rate": 0.0},
        },
        "example": text,
    }


def test_the_example_of_a_summary_is_the_first_sentence(path: Path, tmp_path: Path) -> None:
    train = encode_file(path, SENTENCES[0], tmp_path / "out")
    assert summarise({"train": train}, SENTENCES[0])["example"] == "The cat sat."
