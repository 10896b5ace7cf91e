"""Events as they are shown: lines, a live display, JSON; the unit is always named."""

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from recurra.cli.display import describe, show, show_live
from recurra.tasks.training import Measure
from recurra.training.events import (
    DataSummary,
    Evaluated,
    Finished,
    ModelSummary,
    Resumed,
    Saved,
    Step,
    Stopped,
)

CHARACTERS, WORDS = Measure("character", usual="bits"), Measure("word", usual="perplexity")
STEP = Step(
    step=1200, epoch=2, fraction=0.25, loss=math.log(8), learning_rate=0.002, grad_norm=1.5,
    clipped_share=0.1, tokens_per_second=12345.6, seconds=60.0, eta_seconds=125.0,
)  # fmt: skip
EVENTS = [
    DataSummary({"characters": 1234567, "example": "To be\n\x1b[2J", "unknown": 0.0}),
    ModelSummary({"weights": 1000, "backend": "reference [the only one]"}),
    Resumed(step=1150, epoch=2, notes=("a note",)),
    STEP,
    Evaluated(1200, 2, {"bits_per_character": 2.5}, best=2.5, improved=True, sample="O [b]Romeo\x07\nO"),
    Evaluated(1300, 2, {"bits_per_character": 2.75}, best=2.5, improved=False, sample=None),
    Saved(Path("runs/x/checkpoints/step-00001300"), 1300),
    Stopped("interrupted"),
    Finished({"valid": {"bits_per_character": 2.5}, "test": {"bits_per_character": 12.25}}, 3725.0, Path("runs/x")),
]
LINES = """\
data
  characters  1,234,567
  example     To be\\n\\x1b[2J
  unknown     0.0000
model
  weights  1,000
  backend  reference [the only one]
resumed at step 1,150 of epoch 2
a note
step 1,200  epoch 2 (25%)  loss 2.0794 nats per character  3.0000 bits per character  learning rate 0.002  \
gradient norm 1.5 (10% clipped)  12,346 characters/s  2:05 left
evaluated at step 1,200: bits per character 2.5000 (the best so far)
  | O [b]Romeo\\x07
  | O
evaluated at step 1,300: bits per character 2.7500 (best so far 2.5000)
saved step 1,300 in runs/x/checkpoints/step-00001300
stopped: interrupted
finished in 1:02:05
                       valid     test
  bits per character  2.5000  12.2500
model: runs/x
"""


def test_plain_lines(capsys):
    show(EVENTS, CHARACTERS)
    assert capsys.readouterr().out == LINES


def test_no_control_characters_in_any_description():
    for event in EVENTS:
        assert all(one.isprintable() or one == "\n" for one in describe(event, CHARACTERS))


def test_json_one_object_per_event(capsys):
    show([*EVENTS, Evaluated(1, 1, {"perplexity per word": math.inf}, 0.0, False, None)], CHARACTERS, as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in objects][:4] == ["datasummary", "modelsummary", "resumed", "step"]
    assert objects[3]["loss"] == STEP.loss
    assert objects[-1]["metrics"] == {"perplexity per word": None}


@pytest.mark.parametrize(
    ("measure", "shown"),
    [
        (Measure("character", usual="bits"), "3.0000 bits per character"),
        (Measure("word", usual="perplexity"), "perplexity 8.00 per word"),
        (Measure("step", "absolute error"), "loss 2.0794 absolute error per step"),
    ],
)
def test_the_unit_is_named(measure, shown):
    assert shown in describe(STEP, measure)


def test_live_display_keeps_everything_but_the_steps():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, highlight=False, markup=False, emoji=False)
    show_live(EVENTS, CHARACTERS, console)
    shown = screen.getvalue()
    for line in LINES.splitlines():
        if not line.startswith(("step", "saved")):
            assert line in shown
    assert "2.0794 nats per character" in shown
    assert "2:05 left" in shown


def test_a_terminal_gets_the_live_display(monkeypatch):
    called = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("recurra.cli.display.show_live", lambda *given: called.append(given))
    monkeypatch.setenv("TERM", "xterm")
    show(EVENTS, WORDS)
    assert called[0][1] == WORDS
    monkeypatch.setenv("TERM", "dumb")
    show([], WORDS)
    assert len(called) == 1


def test_it_is_said_whether_a_signal_ended_training():
    assert not show([Stopped("no improvement in 2 evaluations")], WORDS)
    assert show([Stopped("SIGINT", interrupted=True)], WORDS)


def test_long_lines_of_a_sample_are_wrapped():
    event = Evaluated(1, 1, {}, 0.0, False, sample="a" * 80 + " b\n\nc")
    assert describe(event, WORDS).splitlines()[1:] == [f"  | {'a' * 76}", "  | aaaa b", "  | ", "  | c"]


def test_an_error_while_training_leaves_the_terminal_in_order():
    def events():
        yield STEP
        raise ValueError("the loss is nan")

    screen = io.StringIO()
    with pytest.raises(ValueError, match="the loss is nan"):
        show_live(events(), CHARACTERS, Console(file=screen, force_terminal=True, width=100))
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")  # the cursor is back
