"""Recipes are complete configurations: each says what it reproduces and how it is run, and its options are known."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from recurra.tasks import TASKS

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    comment = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    commands = [shlex.split(line[1:]) for line in comment if line[1:].strip().startswith("recurra train ")]
    assert len(commands) >= 1
    for words in commands:
        assert ["--config", f"examples/recipes/{path.name}"] == words[(at := words.index("--config")) : at + 2]
        assert words[2] in TASKS
    options = TASKS[commands[0][2]].options
    options.from_yaml(path)
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) <= {*options.model_fields, "task", "format_version"}
    assert re.search(r"\d", comment[0] + comment[1]), "says what was published"
    assert f"({path.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8"), "is in the README's table"


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 2
