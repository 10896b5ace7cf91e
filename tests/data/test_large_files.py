"""A file larger than memory may be: peak memory and speed, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Learns a vocabulary, encodes the file and takes some batches; prints bytes of peak memory above the imports and
# megabytes per second of encoding.
PROGRAM = """
import json, re, sys, time
from pathlib import Path
from types import SimpleNamespace
from recurra.data import TokenStream, encode_file
from recurra.text import train_tokenizer
import tokenizers
def peak():  # not getrusage, whose maximum begins with that of the process that started this one
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
path, unit = Path(sys.argv[1]), sys.argv[2]
imports = peak()
options = SimpleNamespace(unit=unit, split="punctuation", lowercase=False, number_token=False, min_count=1,
                          vocabulary_size=None, mode="stream")
begin = time.perf_counter()
tokenizer = train_tokenizer(options, path)
learned = time.perf_counter()
encoded = encode_file(path, tokenizer, path.with_suffix("." + unit))
seconds = time.perf_counter() - learned
for number, chunk in zip(range(200), TokenStream(encoded.tokens, 32, 64)):
    pass
print(json.dumps({"memory": peak() - imports, "speed": path.stat().st_size / 1e6 / seconds, "tokens":
                  len(encoded.tokens), "characters": encoded.characters, "learning": learned - begin}))
"""


def write_text(path: Path, megabytes: int) -> None:
    """Lines of words drawn by Zipf's law from 50,000 made-up ones, a few of them not ASCII."""
    random = np.random.default_rng(7)
    letters = np.array(list("etaoinshrdlucmfwypvbgkéü語"))
    words = np.array(["".join(random.choice(letters, random.integers(1, 11))) for _ in range(50_000)])
    share = 1 / np.arange(1, len(words) + 1)
    with open(path, "w", encoding="utf-8", newline="") as file:
        while file.tell() < megabytes * 1_000_000:
            lines = random.choice(words, (10_000, 12), p=share / share.sum())
            file.write("".join(" ".join(line) + ".\n" for line in lines.tolist()))


def measure(path: Path, unit: str) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), unit],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(result.stdout)


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@pytest.mark.parametrize(("unit", "megabytes"), [("char", 20), ("byte", 20), ("bpe", 4)])
def test_memory_does_not_follow_the_size_of_the_file(tmp_path: Path, unit: str, megabytes: int) -> None:
    """Some 50 MB above the imports for characters, and for pairs some 130 MB, mostly for learning them."""
    write_text(tmp_path / "text.txt", megabytes)
    assert measure(tmp_path / "text.txt", unit)["memory"] < (250e6 if unit == "bpe" else 100e6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_300_megabytes_in_less_than_1_gigabyte(tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt", 300)
    for unit in ("char", "bpe"):
        measured = measure(tmp_path / "text.txt", unit)
        print(unit, measured)
        assert measured["memory"] < 1e9
        if unit == "char":
            assert measured["speed"] >= 10
