"""Training a tagger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data import Examples
from recurra.errors import ConfigError, DataError
from recurra.tasks.card import About
from recurra.tasks.examples import ExamplesJob, TensorBatch
from recurra.tasks.inputs.words import WORD, WordsInput
from recurra.tasks.network import recurrent_stack
from recurra.tasks.run import PREDICTION_ROWS
from recurra.tasks.tag.data import TAG, Fitted, faults, learn_tags, prepare, read_parts
from recurra.tasks.tag.options import TagConfig
from recurra.tasks.tag.report import write_report
from recurra.tasks.tag.run import TagRun
from recurra.tasks.tag.tagging import PADDING, measure, tag_examples
from recurra.tasks.training import DATA, Problem, Results, Training
from recurra.training import Job

SHOWN = 12  # tokens of the example shown


class TagTraining(Training[TagConfig, Fitted, dict[str, Examples]]):
    """One training of a tagger."""

    run_type = TagRun

    @classmethod
    def prepare(cls, config: TagConfig, folder: Path, fitted: Fitted | None) -> tuple[Fitted, dict[str, Examples]]:
        return prepare(config, folder, folder / DATA, fitted)

    @classmethod
    def check_network(cls, config: TagConfig) -> None:
        with torch.device("meta"):  # of the stack alone: a whole model's embeddings make torch import its compiler
            recurrent_stack(config, 8, bidirectional=config.bidirectional)

    @classmethod
    def problems(cls, config: TagConfig) -> list[Problem]:
        """Every tag that breaks the scheme or is missing from the training part; or why the data cannot be read."""
        try:
            texts = read_parts(config)
            tags, _, source = learn_tags(texts["train"], config)
        except DataError as error:
            assert config.data is not None
            return [Problem(config.data, None, str(error))]
        return [
            Problem(text.path, line, what)
            for text in texts.values()
            for line, what in sorted(faults(text, tags, source, config.repair))
        ]

    def make_job(self) -> Job:
        part = "valid" if "valid" in self.data else "train"
        known = [*(["span_f1"] if self.fitted.scheme is not None else []), "accuracy", "nats_per_token"]
        monitor = self.config.monitor or known[0]
        if monitor not in known:
            raise ConfigError(f"monitor={monitor}: expected one of {', '.join(known)} for these tags")
        return ExamplesJob(
            self.config, self.model, self.data["train"], self._loss, lambda: self._measure(self.data[part]),
            monitor=monitor, maximize=monitor != "nats_per_token", part=part, sample=self._sample, padding=PADDING,
        )  # fmt: skip

    def data_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"data": str(self.config.data)}
        for name, part in self.data.items():
            facts[name] = f"{len(part.lengths):,} sentences, {int(part.lengths.sum()):,} tokens{self._unknown(part)}"
        tags = self.fitted.tags
        shown = ", ".join(tags[:SHOWN]) + (", ..." if len(tags) > SHOWN else "")
        facts["tags"] = f"{len(tags)} ({shown})"
        if self.fitted.scheme is not None:
            source = "" if self.fitted.source == self.fitted.scheme else f", from {self.fitted.source}"
            facts["scheme"] = f"{self.fitted.scheme}{source}"
        return {**facts, **self.fitted.input.facts(), "example": self._written(self.data["train"], 0)}

    def results(self, run: TagRun) -> Results:
        return {"test": run.evaluate()} if "test" in self.data else {}

    def write_report(self, run: TagRun, results: Results) -> None:
        parts = run.parts()
        name = next(name for name in ("test", "valid", "train") if name in parts)
        found = tag_examples(run.model, parts[name], PREDICTION_ROWS, confidence=True)
        write_report(self.folder.path / "report", name, run.fitted, parts[name], found)

    def card(self, run: TagRun) -> About:
        fitted = self.fitted
        spans = f", which mark spans in the scheme {fitted.source}" if fitted.scheme is not None else ""
        return About(
            f"A tagger of {len(fitted.tags)} tags{spans}: {', '.join(fitted.tags)}. Tables of how good it is, by tag, "
            "and its most confident errors are in `report/`.",
            [
                f"predict {run.folder} FILE.txt",
                f"predict {run.folder} FILE.conll --format jsonl",
                f"evaluate {run.folder} FILE.conll",
            ],
            'run.predict([["She", "runs", "."]])',
        )

    def _loss(self, batch: TensorBatch) -> tuple[Tensor, int]:
        return self.model.nats(batch, batch.steps[TAG].long()), int(batch.lengths.sum())

    def _measure(self, part: Examples) -> dict[str, float]:
        metrics = measure(self.fitted, part, tag_examples(self.model, part, PREDICTION_ROWS))
        return {name: value for name, value in metrics.items() if name != "tokens"}

    def _sample(self) -> str | None:
        part = self.data.get("valid", self.data["train"])
        longest = int(np.argmax(np.minimum(part.lengths, SHOWN)))
        one = part.take([longest])
        return self._written(one, 0, tag_examples(self.model, one, 1).tags)

    def _unknown(self, part: Examples) -> str:
        if not isinstance(self.fitted.input, WordsInput):
            return ""
        words = self.fitted.input.forms.words[np.asarray(part.steps[WORD])]
        return f", {float((words == 0).mean()):.2%} unknown words"

    def _written(self, part: Examples, place: int, tags: np.ndarray | None = None) -> str:
        """The beginning of a sentence as `word/tag`."""
        steps = part.steps_of(place)
        assert isinstance(self.fitted.input, WordsInput)
        forms = self.fitted.input.forms.forms
        chosen = (steps[TAG] if tags is None else tags)[:SHOWN]
        return " ".join(f"{forms[w]}/{self.fitted.tags[t]}" for w, t in zip(steps[WORD][:SHOWN], chosen, strict=True))
