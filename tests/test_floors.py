"""Imports point down only (docs/design: floors)."""

from __future__ import annotations

import ast
from pathlib import Path

import recurra

ROOT = Path(recurra.__file__).parent
FLOORS = {
    "errors": 1, "config": 1, "equations": 2, "cells": 3, "backends": 4, "nn": 5, "layers": 5, "text": 5, "data": 5,
    "metrics": 5, "models": 6, "decoding": 6, "training": 7, "tasks": 8, "inspection": 8, "benchmark": 8, "doctor": 8,
    "cli": 9, "server": 9,
}  # fmt: skip
APART = {
    "layers": {"text", "data"}, "nn": {"text", "data"}, "text": {"layers", "nn", "data"}, "data": {"layers", "nn"},
    "metrics": {"layers", "nn"},
}  # fmt: skip
NO_TORCH = ("errors", "config", "equations", "cells", "text", "data", "metrics")


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Dotted names that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name != "__init__.py"]


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in modules()} <= set(FLOORS)


def test_imports_point_down() -> None:
    wrong = []
    for path in modules():
        part = part_of(path)
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            words = name.split(".")
            if words[0] != "recurra" or len(words) < 2 or words[1] not in FLOORS or words[1] == part:
                continue
            if FLOORS[words[1]] > FLOORS[part] or words[1] in APART.get(part, ()):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_lower_floors_know_no_torch() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in modules()
        if part_of(path) in NO_TORCH and any(n.split(".")[0] == "torch" for n in imported(ast.parse(path.read_text())))
    ]
    assert not wrong


def test_files_stay_small() -> None:
    """About 300 lines; a longer file is two things."""
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 400}
    assert not long
