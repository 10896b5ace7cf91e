"""A trained model that reads signals step by step: evaluate, predict, write what it finds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.data import Examples, has_examples
from recurra.data.signals import Signals, from_arrays, read_signals
from recurra.errors import ConfigError, DataError
from recurra.metrics.regression import regression_metrics
from recurra.models.step_regressor import StepRegressor
from recurra.tasks.examples import each_batch
from recurra.tasks.network import recurrent_stack
from recurra.tasks.run import PREDICTION_ROWS, Run
from recurra.tasks.tag.data import Fitted as TagFitted
from recurra.tasks.tag.options import TagConfig, TagPrediction
from recurra.tasks.tag.run import TagRun
from recurra.tasks.tag.signals import NUMBER, Fitted, encode, load
from recurra.tasks.tag.tagging import measure, tag_examples
from recurra.training.memory import enough_memory

Record = dict[str, Any]


class SignalTagRun(Run[TagConfig, Fitted, Any]):
    """A trained model that gives each step of a signal a class or a number.

    Example:
        >>> run = recurra.load("runs/tag-frames")  # doctest: +SKIP
        >>> run.predict([video], rank=True)[0]["ranking"][0]  # doctest: +SKIP
        {'step': 311, 'score': 0.92}
    """

    options = TagConfig

    @staticmethod
    def load_fitted(folder: Path) -> Fitted:
        return Fitted.load(folder)

    @staticmethod
    def build(config: TagConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Any:
        if fitted.classes:
            return TagRun.build(config, tags_of(fitted), device)
        with torch.device(device):
            encoder = fitted.input.encoder(config)
            stack = recurrent_stack(config, encoder.output_size, bidirectional=config.bidirectional)
            return StepRegressor(encoder, stack, dropout=config.dropout)

    def evaluate(self, path: Path | str | None = None, *, batch_size: int | None = None) -> dict[str, float]:
        """Compare with the targets of the steps in a file; None for the test data of the training.

        Returns: accuracy and nats per step for classes; for numbers what `regression_metrics` gives; the steps.

        Raises: DataError for a file that cannot be used, or where there is no test data.
        """
        if path is not None:
            examples = encode(read_signals(Path(path)), self.fitted)
        else:
            data = self.folder / "data"
            parts = load(data).parts if has_examples(data) else {}
            if "test" not in parts:
                raise DataError(f"{self.folder}: has no test data in its data folder; give a file to evaluate on")
            examples = parts["test"]
        with enough_memory(self.device, "lower --batch-size"):
            return measure_steps(self.model, self.fitted, examples, batch_size or PREDICTION_ROWS)

    def predict(self, source: Path | str | Sequence[np.ndarray], *, rank: bool = False) -> list[Record]:
        """What each step is given.

        Args:
            source: an `.npz` file of signals, or arrays [T, I], NaN where a value is missing.
            rank: for numbers, the steps of each series from the highest to the lowest, as `ranking`.

        Returns: for each series its `id`, and for each step, counted from 0, `tags` and `confidence`, or `scores`.

        Raises: DataError for signals that cannot be used, ConfigError for a ranking of classes.
        """
        if isinstance(source, str | Path):
            signals = read_signals(Path(source))
        else:
            signals = from_arrays(source, self.fitted.input.channels)
        return self._records(signals, rank)

    def write_predictions(self, source: Path, options: TagPrediction) -> Iterator[str]:
        if options.format not in (None, "jsonl", "csv") or options.k_best > 1 or options.input_format is not None:
            raise ConfigError(
                "a tagger of signals writes --format jsonl or csv, one prediction per step of an .npz file"
            )
        records = self._records(read_signals(source), options.rank)
        yield from as_table(records) if options.format == "csv" else map(as_json, records)

    def _records(self, signals: Signals, rank: bool) -> list[Record]:
        if rank and self.fitted.classes:
            raise ConfigError(f"rank has no effect: {self.folder} gives steps classes, not numbers; leave it out")
        examples = encode(signals, self.fitted, targets=False)
        parts = [slice(*bounds) for bounds in zip(examples.bounds[:-1], examples.bounds[1:], strict=True)]
        with enough_memory(self.device, "give shorter series"):
            if not self.fitted.classes:
                scores = number_steps(self.model, self.fitted, examples)
                written = ranking if rank else lambda one: {"scores": [round_off(score) for score in one]}
                return [{"id": name, **written(scores[part])} for name, part in zip(signals.ids, parts, strict=True)]
            found = tag_examples(self.model, examples, PREDICTION_ROWS, confidence=True)
        assert found.confidence is not None
        return [
            {
                "id": name,
                "tags": [self.fitted.classes[place] for place in found.tags[part].tolist()],
                "confidence": [round(sure, 4) for sure in found.confidence[part].tolist()],
            }
            for name, part in zip(signals.ids, parts, strict=True)
        ]


def tags_of(fitted: Fitted) -> TagFitted:
    """What the tagger of words would know: classes are tags that mark no spans."""
    return TagFitted(fitted.input, list(fitted.classes))


@torch.no_grad()
def number_steps(
    model: StepRegressor, fitted: Fitted, examples: Examples, batch_size: int = PREDICTION_ROWS
) -> np.ndarray:
    """The number of each step, in the units of the training data, float64 [sum T]."""
    numbers = np.zeros(int(examples.lengths.sum()))
    for batch in each_batch(examples, batch_size, model.output.weight.device):
        given = model(batch).double().cpu().numpy()
        for column, (place, length) in enumerate(zip(batch.places, batch.lengths.tolist(), strict=True)):
            begin = examples.bounds[place]
            numbers[begin : begin + length] = given[:length, column]
    return numbers * fitted.deviation + fitted.mean


def measure_steps(
    model: Any, fitted: Fitted, examples: Examples, batch_size: int = PREDICTION_ROWS
) -> dict[str, float]:
    """How good the classes or numbers of all steps are, and how many there are."""
    if not fitted.classes:
        targets = np.asarray(examples.steps[NUMBER], np.float64) * fitted.deviation + fitted.mean
        found = number_steps(model, fitted, examples, batch_size)
        return {**regression_metrics(targets, found, examples.bounds), "steps": len(targets)}
    metrics = measure(tags_of(fitted), examples, tag_examples(model, examples, batch_size))
    return {name.replace("token", "step"): value for name, value in metrics.items()}


def ranking(scores: np.ndarray) -> Record:
    """The steps of a series, the highest number first; of equals the earlier."""
    order = np.argsort(-scores, kind="stable").tolist()
    return {"ranking": [{"step": step, "score": round_off(scores[step])} for step in order]}


def round_off(number: float) -> float:
    """To the digits that float32 has."""
    return float(f"{number:.7g}")


def as_json(record: Record) -> str:
    """One line of JSON."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def as_table(records: Sequence[Record]) -> Iterator[str]:
    """A header and a row per step, as CSV; a ranking's rows in its order, their ranks from 1."""
    for number, record in enumerate(records):
        if "ranking" in record:
            steps = [(one["step"], one["score"]) for one in record["ranking"]]
            rows: list[Any] = [(record["id"], rank, *one) for rank, one in enumerate(steps, 1)]
            head: tuple[str, ...] = ("id", "rank", "step", "score")
        elif "scores" in record:
            rows, head = [(record["id"], *one) for one in enumerate(record["scores"])], ("id", "step", "score")
        else:
            both = zip(record["tags"], record["confidence"], strict=True)
            rows = [(record["id"], step, *one) for step, one in enumerate(both)]
            head = ("id", "step", "tag", "confidence")
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(rows if number else [head, *rows])
        yield file.getvalue()
