"""Recipes are complete configurations: each says what it reproduces and how it is run, and its options are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.tasks.lm.options import LMConfig

RECIPES = sorted((Path(__file__).parents[1] / "examples" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"--config examples/recipes/{path.name}" in text.partition("unit:")[0]
    known = set(LMConfig.from_yaml(path).model_dump())
    assert {line.partition(":")[0] for line in text.splitlines() if line and line[0] != "#"} <= known


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 2
