"""Training a classifier."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from recurra.data import Examples
from recurra.errors import ConfigError, DataError
from recurra.metrics.classification import best_threshold
from recurra.models.classifier import LinearClassifier
from recurra.models.weights import count_weights
from recurra.tasks.card import About
from recurra.tasks.classify.data import TARGET, Data, Fitted, prepare
from recurra.tasks.classify.linear import check_library, fit_linear
from recurra.tasks.classify.measure import NATS, measure, probabilities
from recurra.tasks.classify.options import ClassifyConfig
from recurra.tasks.classify.parts import read_parts
from recurra.tasks.classify.report import describe_classes, write_report
from recurra.tasks.classify.run import ClassifyRun
from recurra.tasks.classify.scoring import score
from recurra.tasks.examples import ExamplesJob, TensorBatch
from recurra.tasks.inputs.text import TextInput
from recurra.tasks.network import recurrent_stack
from recurra.tasks.training import Problem, Results, Training
from recurra.training import Event, Finished, Job

BASELINE = "n-grams"


class ClassifyTraining(Training[ClassifyConfig, Fitted, Data]):
    """One training of a classifier."""

    run_type = ClassifyRun

    @classmethod
    def prepare(cls, config: ClassifyConfig, folder: Path, fitted: Fitted | None) -> tuple[Fitted, Data]:
        return prepare(config, folder, fitted)

    @classmethod
    def check_network(cls, config: ClassifyConfig) -> None:
        if config.model == "ngram" or config.baseline == "ngram":
            check_library()
        with torch.device("meta"):
            recurrent_stack(config, 8, bidirectional=config.bidirectional)

    @classmethod
    def problems(cls, config: ClassifyConfig) -> list[Problem]:
        """Every record that cannot be used; where all can, what else is wrong with the data."""
        found: list[Problem] = []
        try:
            read_parts(config, None, lambda path, line, what: found.append(Problem(path, line, what)))
        except (DataError, ConfigError):
            if not found:
                return super().problems(config)
        return found or super().problems(config)

    def make_job(self) -> Job:
        config, parts = self.config, self.data.parts
        if self.data.vectors is not None:
            start_from_vectors(self.model.encoder.embedding.weight, self.data.vectors)
        self.weights = class_weights(config, self.fitted, parts["train"])
        return ExamplesJob(
            config,
            self.model,
            parts["train"],
            self._loss,
            self._evaluate,
            monitor=NATS if config.metric == "loss" else config.metric,
            maximize=config.metric != "loss",
            part=self._measured,
        )

    @property
    def _measured(self) -> str:
        return "valid" if "valid" in self.data.parts else "train"

    def _loss(self, batch: TensorBatch) -> tuple[Tensor, int]:
        targets, scores = batch.items[TARGET], self.model(batch)
        if targets.dim() == 2:
            return binary_cross_entropy_with_logits(scores, targets.to(scores), reduction="sum"), len(scores)
        weights = None if self.weights is None else torch.from_numpy(self.weights).to(scores)
        smoothing = self.config.label_smoothing
        return cross_entropy(scores, targets, weights, reduction="sum", label_smoothing=smoothing), len(scores)

    def _evaluate(self) -> dict[str, float]:
        """Metrics on the validation part; where there may be several labels the threshold is chosen on it first."""
        examples = self.data.parts[self._measured]
        scores, targets = score(self.model, examples, len(self.fitted.classes)), np.asarray(examples.items[TARGET])
        if targets.ndim == 2:
            self.model.threshold.fill_(best_threshold(targets, probabilities(scores, True)))
        return measure(scores, targets, float(self.model.threshold))

    def data_facts(self) -> dict[str, Any]:
        config, fitted, parts = self.config, self.fitted, self.data.parts
        facts = {"data": "this run's folder" if config.data is None else str(config.data)}
        facts |= {name: part_facts(fitted.input, part) for name, part in parts.items()}
        facts |= fitted.input.facts() | dict(self.data.notes)
        facts["classes"] = describe_classes(fitted.classes, parts["train"].items[TARGET])
        if isinstance(fitted.input, TextInput):
            example = fitted.input.tokens(parts["train"].steps_of(0))
            facts["example"] = " ".join(example[:20])
        return facts

    def fit(self) -> Iterator[Event]:
        return self._fit_at_once() if isinstance(self.model, LinearClassifier) else super().fit()

    def _fit_at_once(self) -> Iterator[Event]:
        """The n-gram model has no steps."""
        begin = time.monotonic()
        with self.folder.locked():
            fit_linear(self.model, self.data.parts, self.weights)
            found = self._evaluate()
            self.folder.write_model(self.model.state_dict())
        yield Finished({self._measured: found}, time.monotonic() - begin, self.folder.path)

    def model_facts(self) -> dict[str, Any]:
        if not isinstance(self.model, LinearClassifier):
            return super().model_facts()
        weights = count_weights(self.model)["weights"]
        return {"model": "logistic regression on n-grams", "weights": weights, "folder": str(self.folder.path)}

    def results(self, run: ClassifyRun) -> Results:
        parts, classes = self.data.parts, len(self.fitted.classes)
        found = {"test": measure_part(run.model, parts["test"], classes)} if "test" in parts else {}
        part = "test" if "test" in parts else self._measured
        if self.data.ngrams and part != "train":
            features = 1 + max(int(one.steps["features"].max(initial=0)) for one in self.data.ngrams.values())
            baseline = LinearClassifier(features, classes)
            fit_linear(baseline, self.data.ngrams, self.weights)
            found[f"{part} {BASELINE}"] = measure_part(baseline, self.data.ngrams[part], classes)
        return found

    def write_report(self, run: ClassifyRun, results: Results) -> None:
        part = "test" if "test" in self.data.parts else self._measured
        examples = self.data.parts[part]
        scores = run.scores(examples)
        write_report(
            self.folder.path / "report", part, results, self.fitted.classes, scores, np.asarray(examples.items[TARGET]),
            run.threshold, self.data.shown.get(part, []),
        )  # fmt: skip

    def card(self, run: ClassifyRun) -> About:
        signals = run.fitted.input.kind == "signal"
        classes = ", ".join(run.fitted.classes[:20]) + (", ..." if len(run.fitted.classes) > 20 else "")
        return About(
            f"A classifier of {'signals' if signals else 'texts'}: {classes}. See [the report](report/report.md).",
            [f"predict {run.folder} FILE", f"evaluate {run.folder} FILE"],
            "run.predict(PATH)" if signals else 'run.predict(["a text"])',
        )


def measure_part(model: Any, examples: Examples, classes: int) -> dict[str, float]:
    """The metrics of a model on encoded examples, and how many there are."""
    metrics = measure(score(model, examples, classes), np.asarray(examples.items[TARGET]), float(model.threshold))
    return {**metrics, "examples": len(examples)}


def class_weights(config: ClassifyConfig, fitted: Fitted, train: Examples) -> np.ndarray | None:
    """The weight of each class in the loss, [C]; "balanced" is N / (C n_c), so that each counts the same."""
    if config.class_weights is None:
        return None
    if config.class_weights == ["balanced"]:
        counts = np.bincount(train.items[TARGET], minlength=len(fitted.classes))
        return len(train) / (len(counts) * np.maximum(counts, 1))
    stated = config.weights_by_class()
    return np.array([stated.get(name, 1.0) for name in fitted.classes])


@torch.no_grad()
def start_from_vectors(embedding: Tensor, vectors: np.ndarray) -> None:
    """Copy the vectors that there are into an embedding [V, E]; the others keep their chance, at the same scale."""
    known = ~np.isnan(vectors).any(1)
    embedding *= float(vectors[known].std()) / float(embedding.std())
    embedding[torch.from_numpy(known)] = torch.from_numpy(vectors[known]).to(embedding)


def part_facts(fitted: Any, examples: Examples) -> str:
    """Counts and lengths of a part, for people."""
    lengths = np.asarray(examples.lengths)
    parts = [
        f"{len(examples):,} examples of {lengths.min():,} to {lengths.max():,} steps, {lengths.mean():.1f} on average"
    ]
    if isinstance(fitted, TextInput):
        parts.append(f"{fitted.unknown_rate(examples):.2%} unknown")
    return ", ".join(parts)
