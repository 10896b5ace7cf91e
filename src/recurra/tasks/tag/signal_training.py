"""Training a model that gives each step of a signal a class or a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data import Examples
from recurra.errors import ConfigError
from recurra.tasks.card import About
from recurra.tasks.examples import ExamplesJob, TensorBatch
from recurra.tasks.network import recurrent_stack
from recurra.tasks.run import PREDICTION_ROWS
from recurra.tasks.tag.data import TAG
from recurra.tasks.tag.options import TagConfig
from recurra.tasks.tag.signal_report import write_report
from recurra.tasks.tag.signal_run import SignalTagRun, measure_steps, number_steps
from recurra.tasks.tag.signals import NUMBER, Data, Fitted, prepare
from recurra.tasks.tag.tagging import PADDING, tag_examples
from recurra.tasks.training import DATA, Measure, Results, Training
from recurra.training import Job

SHOWN, SAMPLE = 12, 6  # classes shown, and steps of a series
MONITORS = {False: {"mse": False, "rank_correlation": True}, True: {"accuracy": True, "nats_per_step": False}}
"""What may decide which model is best, for numbers and for classes (the first where nothing is said), and whether more
of it is better."""


class SignalTagTraining(Training[TagConfig, Fitted, Data]):
    """One training of a tagger of signals."""

    run_type = SignalTagRun

    @classmethod
    def prepare(cls, config: TagConfig, folder: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
        found, data = prepare(config, folder, folder / DATA, fitted)
        if not found.classes and config.output_layer is not None:
            raise ConfigError(f"output_layer has no effect: {config.data} has numbers, not classes; leave it out")
        chosen, known = config.monitor, MONITORS[bool(found.classes)]
        if chosen is not None and chosen.replace("token", "step") not in known:
            kind = "classes" if found.classes else "numbers"
            raise ConfigError(f"monitor={chosen}: targets that are {kind} have {', '.join(known)}; choose one of them")
        return found, data

    @classmethod
    def check_network(cls, config: TagConfig) -> None:
        with torch.device("meta"):
            recurrent_stack(config, 8, bidirectional=config.bidirectional)

    @property
    def measure(self) -> Measure:
        return Measure("step") if self.fitted.classes else Measure("step", "squared error")

    def make_job(self) -> Job:
        known = MONITORS[bool(self.fitted.classes)]
        monitor = (self.config.monitor or next(iter(known))).replace("token", "step")
        part = "valid" if "valid" in self.data.parts else "train"
        return ExamplesJob(
            self.config, self.model, self.data.parts["train"], self._loss, lambda: self._measure(part),
            monitor=monitor, maximize=known[monitor], part=part, sample=self._sample, padding=PADDING,
        )  # fmt: skip

    def _loss(self, batch: TensorBatch) -> tuple[Tensor, int]:
        """Negative log-likelihood of classes, or squared errors of numbers in deviations of the training part."""
        count = int(batch.lengths.sum())
        if self.fitted.classes:
            return self.model.nats(batch, batch.steps[TAG].long()), count
        given = self.model(batch)  # [T, B]
        real = torch.arange(len(given), device=given.device).unsqueeze(1) < batch.lengths.to(given.device)
        return (given - batch.steps[NUMBER])[real].square().sum(), count

    def _measure(self, part: str) -> dict[str, float]:
        metrics = measure_steps(self.model, self.fitted, self.data.parts[part])
        return {name: value for name, value in metrics.items() if name != "steps"}

    def data_facts(self) -> dict[str, Any]:
        fitted = self.fitted
        facts: dict[str, Any] = {"data": str(self.config.data)}
        for name, part in self.data.parts.items():
            lengths = np.asarray(part.lengths)
            facts[name] = (
                f"{len(part):,} series of {lengths.min():,} to {lengths.max():,} steps, {lengths.sum():,} in all"
            )
        shown = ", ".join(fitted.classes[:SHOWN]) + (", ..." if len(fitted.classes) > SHOWN else "")
        numbers = f"numbers, {fitted.mean:.4g} on average, deviation {fitted.deviation:.4g}"
        facts["targets"] = f"{len(fitted.classes)} classes ({shown})" if fitted.classes else numbers
        train = self.data.parts["train"]
        return {**facts, **fitted.input.facts(), "example": self._targets(train.take([0]))}

    def results(self, run: SignalTagRun) -> Results:
        return {"test": run.evaluate()} if "test" in self.data.parts else {}

    def write_report(self, run: SignalTagRun, results: Results) -> None:
        name = next(name for name in ("test", "valid", "train") if name in self.data.parts)
        part = self.data.parts[name]
        if self.fitted.classes:
            tagged = tag_examples(run.model, part, PREDICTION_ROWS, confidence=True)
            write_report(self.folder.path / "report", name, self.fitted, part, self.data.ids[name], tagged)
        else:
            numbers = number_steps(run.model, self.fitted, part)
            write_report(self.folder.path / "report", name, self.fitted, part, self.data.ids[name], numbers)

    def card(self, run: SignalTagRun) -> About:
        fitted = self.fitted
        what = f"one of {len(fitted.classes)} classes ({', '.join(fitted.classes)})" if fitted.classes else "a number"
        rank = [] if fitted.classes else [f"predict {run.folder} FILE.npz --rank"]
        return About(
            f"It gives each step of a signal {what}. Channels: {', '.join(fitted.input.channels)}. `FILE.npz` has "
            "`values [sum T, I]` and `lengths [N]`, to evaluate also `targets [sum T]`. Tables of how good it is are "
            "in `report/`.",
            [f"predict {run.folder} FILE.npz", *rank, f"evaluate {run.folder} FILE.npz"],
            'run.predict("FILE.npz")',
        )

    def _targets(self, one: Examples) -> str:
        """The first targets of a series, as the data has them."""
        fitted = self.fitted
        if fitted.classes:
            return " ".join(fitted.classes[place] for place in one.steps[TAG][:SAMPLE].tolist())
        return " ".join(
            f"{number * fitted.deviation + fitted.mean:.4g}" for number in one.steps[NUMBER][:SAMPLE].tolist()
        )

    def _sample(self) -> str:
        """The beginning of a series: its targets, and what the model gives."""
        part = self.data.parts.get("valid", self.data.parts["train"])
        one = part.take([int(np.argmax(np.minimum(part.lengths, SAMPLE)))])
        if self.fitted.classes:
            given = tag_examples(self.model, one, 1).tags[:SAMPLE].tolist()
            shown = [self.fitted.classes[place] for place in given]
        else:
            shown = [f"{number:.4g}" for number in number_steps(self.model, self.fitted, one)[:SAMPLE]]
        return f"{self._targets(one)} -> {' '.join(shown)}"
