"""`--help` of every verb: fast, without torch, every option named; and the page made from it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from recurra import __version__
from recurra.cli.docs import command_line_page
from recurra.config import GenerationOptions, StackOptions
from recurra.tasks import TASKS

VERBS = [
    "", "train", "train lm", "train classify", "train tag", "train forecast", "check tag", "evaluate", "predict",
    "generate", "score", "complete", "summary", "bench", "doctor",
]  # fmt: skip
SLOWEST = 2.0
"""Seconds. The aim is 0.3 on an idle machine, where torch alone takes longer to import than this allows."""


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_fast_and_brings_neither_torch_nor_numpy(verb):
    code = (
        "import sys; from recurra.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(code or next((f'{name} loaded' for name in ('torch', 'numpy') if name in sys.modules), 0))"
    )
    command = [sys.executable, "-c", code, *verb.split(), "--help"]
    times = []
    for _ in range(3):  # the best of three: other processes may hold the machine
        start = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        times.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("Usage: recurra")
        if times[-1] < SLOWEST:
            break
    assert min(times) < SLOWEST


@pytest.mark.parametrize(
    ("verb", "config"),
    [
        *((f"{verb} {task.name}", task.options) for task in TASKS.values() for verb in ("train", "check")),
        *(("predict", task.prediction) for task in TASKS.values() if task.prediction),
        *(("evaluate", task.evaluation) for task in TASKS.values() if task.evaluation),
        ("generate", GenerationOptions),
        ("summary", StackOptions),
    ],
)
def test_help_names_every_option(verb, config, recurra_command):
    shown = recurra_command(*verb.split(), "--help").out
    for name in config.model_fields:
        assert name == "data" or f"--{name.replace('_', '-')} " in shown


def test_version(recurra_command):
    assert recurra_command("--version").out == f"{__version__}\n"


def test_no_verb_shows_the_help(recurra_command):
    result = recurra_command()
    assert result.code == 0
    assert result.out.startswith("Usage: recurra COMMAND")


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "command-line.md"
    assert page.read_text(encoding="utf-8") == command_line_page(), "run `make docs`"
