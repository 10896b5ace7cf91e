"""Stand-ins for a trained model and for a run: the command line is tested apart from what it calls."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recurra
from recurra.cli.main import main
from recurra.decoding import Completions
from recurra.tasks.lm import LMConfig
from recurra.tasks.training import Measure


@dataclass
class Command:
    """What a run of the command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def recurra_command(capsys):
    def run(*words):
        capsys.readouterr()
        code = main(words)
        return Command(code, *capsys.readouterr())

    return run


@dataclass
class TrainedStandIn:
    """Records the calls and gives fixed answers."""

    config: LMConfig = field(default_factory=LMConfig.make)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    texts: tuple[str, ...] = ("lo world",)

    def evaluate(self, path, *, batch_size=None, weights=None):
        self.calls.append(("evaluate", (path, batch_size, weights)))
        return {"bits per character": 2.5, "tokens": 12345}

    def score(self, sentences, end=True):
        self.calls.append(("score", (sentences, end)))
        return [
            SimpleNamespace(text=one, log_prob=-1.5 * len(one), tokens=list(one), log_probs=[-1.5] * len(one))
            for one in sentences
        ]

    def complete(self, prompt, k):
        self.calls.append(("complete", (prompt, k)))
        return Completions((("apple", 0.5), ("pear", 0.25))[:k])

    def generate(self, prompt=None, *, on_text=None, **options):
        self.calls.append(("generate", (prompt, options)))
        if on_text is not None:
            for character in self.texts[0]:
                on_text(character)
        return [self.texts[0]] * options["n"]

    def summary(self):
        return {
            "layers": [{"name": "embedding", "weights": 20, "arithmetic": "10 × 2"}],
            "weights": 20,
        }


@pytest.fixture
def trained(monkeypatch):
    run = TrainedStandIn()

    def load(folder, device):
        run.calls.append(("load", folder))
        return run

    monkeypatch.setitem(vars(recurra), "load", load)
    return run


@pytest.fixture
def started(monkeypatch):
    """Takes the place of `tasks.start`; what it was given, and the events it will yield."""
    import recurra.tasks

    record = SimpleNamespace(events=[], given=None)

    def start(task, config):
        record.given = SimpleNamespace(task=task, config=config, data=config.data)
        return training()

    def resume(task, folder, data=None):
        record.given = SimpleNamespace(task=task, resume=folder, data=data)
        return training()

    def training():
        return SimpleNamespace(
            events=lambda: iter(record.events), measure=Measure("word"), folder=SimpleNamespace(path=Path("runs/x"))
        )

    monkeypatch.setattr(recurra.tasks, "start", start)
    monkeypatch.setattr(recurra.tasks, "resume", resume)
    return record
