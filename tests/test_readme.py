"""What the README says works: its commands and its Python are run, in order, in an empty folder with a small text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from recurra.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
TEXT = "Once upon a time the apple and the pear were in a salad.\nThe pair of them were good friends.\n" * 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "corpus.txt").write_text(TEXT)
    (tmp_path / "other.txt").write_text(TEXT[:2000])
    (tmp_path / "new.txt").write_text("a lovely film\nBob left Rome.\n")
    reviews = [("a lovely film", "good"), ("a dull film", "bad"), ("dull and long", "bad"), ("lovely and long", "good")]
    rows = [f"{text} {n},{label}" for n in range(25) for text, label in reviews]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows, ""]))
    sentence = "Bob B-PER\nleft O\nNew B-LOC\nYork I-LOC\n. O\n\n"
    (tmp_path / "train.conll").write_text(sentence * 100)
    hours = [f"2024-01-{1 + n // 24:02} {n % 24:02}:00:00,{n % 24 + n / 50}" for n in range(600)]
    (tmp_path / "series.csv").write_text("\n".join(["ds,y", *hours, ""]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    lines = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
    inline = re.findall(r"`(recurra [^`]*)`", README)
    return [line for line in [*lines, *inline] if line.startswith("recurra ")]


def test_every_command_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = 0
    for command in commands():
        words = shlex.split(command)[1:]
        if any(word.isupper() for word in words):  # a pattern, such as FOLDER
            assert main([*[word for word in words if word.islower()], "--help"]) == 0, command
            continue
        if words[0] == "train" and "--resume" not in words:
            words += ["--max-steps", "2", "--hidden-size", "8"]
        assert main(words) == 0, f"{command}: {capsys.readouterr().err}"
        ran += 1
    assert ran >= 8


def test_every_python_block_runs(folder: Path) -> None:
    blocks = [block for kind, block in BLOCKS if kind == "python"]
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        path = folder / f"block_{number}.py"  # a file of its own, so that errors in a cell can name its lines
        path.write_text(block.replace("hidden_size=256", "hidden_size=16, epochs=1"))
        exec(compile(block.replace("hidden_size=256", "hidden_size=16, epochs=1"), str(path), "exec"), {})


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_table_of_cells_is_whole() -> None:
    from recurra.cells import CELLS

    table = README[README.index("## Cells") : README.index("## Python")]
    assert {name for name in CELLS if f"`{name}`" not in table} == set()
