"""A trained classifier: evaluate and predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.config import listed, quoted
from recurra.data import Examples, has_examples, load_examples
from recurra.data.signals import format_of
from recurra.data.texts import STDIN, Layout, check_told, format_by_name, name_of, read_labelled
from recurra.errors import ConfigError, DataError
from recurra.inspection.contributions import Explanation, as_page, as_text
from recurra.models.classifier import LinearClassifier
from recurra.tasks.classify.data import TARGET, Fitted, encode
from recurra.tasks.classify.explain import explain
from recurra.tasks.classify.measure import decide, measure, probabilities
from recurra.tasks.classify.network import build
from recurra.tasks.classify.options import ClassifyConfig, ClassifyPrediction
from recurra.tasks.classify.predictions import WRITERS, Prediction
from recurra.tasks.classify.scoring import score
from recurra.tasks.classify.sources import SOURCES, Series, Source, Texts
from recurra.tasks.run import PREDICTION_ROWS, Run
from recurra.training.memory import enough_memory

BLOCK = 1024  # texts predicted at a time: only their predictions are kept


class ClassifyRun(Run[ClassifyConfig, Fitted, Any]):
    """A trained classifier.

    Example:
        >>> run = recurra.load("runs/classify-reviews")  # doctest: +SKIP
        >>> run.predict(["a lovely film"])[0].label  # doctest: +SKIP
        'positive'
    """

    options = ClassifyConfig

    @staticmethod
    def load_fitted(folder: Path) -> Fitted:
        return Fitted.load(folder)

    @staticmethod
    def build(config: ClassifyConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Any:
        return build(config, fitted, device)

    def plans(self) -> list[dict[str, Any]]:
        if isinstance(self.model, LinearClassifier):
            raise ConfigError(f"{self.folder}: an n-gram model has no recurrent layers, and so no plan")
        return super().plans()

    def evaluate(self, path: Path | str | None = None, *, batch_size: int | None = None) -> dict[str, float]:
        """Accuracy, F1 and loss on labelled examples in a file, laid out as the training data; None for the test part.

        Raises: DataError for a file that cannot be used, or where there is no test part.
        """
        if path is not None:
            source = SOURCES[self.fitted.input.kind].read(Path(path), self.config)
            source = source.renamed(self.config.renamed_labels())
            if not len(source):
                raise DataError(f"{path}: expected examples, got none; give a file with texts and labels")
            examples = encode(source, self.fitted, self.config.multilabel)
        else:
            data = self.folder / "data"
            parts = load_examples(data) if has_examples(data) else {}
            if "test" not in parts:
                raise DataError(f"{self.folder}: has no test part in its data folder; give a file to evaluate on")
            examples = parts["test"]
        scores = self.scores(examples, batch_size)
        metrics = measure(scores, np.asarray(examples.items[TARGET]), self.threshold)
        return {**metrics, "examples": len(examples)}

    def scores(self, examples: Examples, batch_size: int | None = None) -> np.ndarray:
        """The scores of each class, float64 [N, C]."""
        with enough_memory(self.device, "lower --batch-size"):
            return score(self.model, examples, len(self.fitted.classes), batch_size or PREDICTION_ROWS)

    @property
    def threshold(self) -> float:
        """The probability from which on a label is given, where there may be several."""
        return float(self.model.threshold)

    def predict(
        self, source: Path | str | Sequence[Any], *, threshold: float | None = None, **options: Any
    ) -> list[Prediction]:
        """The class, or the labels, of texts or of the examples in a file.

        Args:
            source: a list of texts or, for a model of signals, of arrays [T, I], NaN where a value is missing; or the
                path of a file, whose labels, if any, are not read.
            threshold: give the labels at least so probable; None for what was chosen on validation data.
            options: fields of `recurra.tasks.classify.ClassifyPrediction`: input_format, text, header, separator,
                label_column.

        Raises: DataError for a file that cannot be used, ConfigError for options that have no effect.
        """
        chosen = ClassifyPrediction.make(threshold=threshold, **options)
        given = source if isinstance(source, Path | str) else list(source)
        return [one for block in self._blocks(given, chosen) for one in self._predict(block, chosen)]

    def explain(self, source: Path | str | Sequence[str], **options: Any) -> list[Explanation]:
        """What each token of each text contributes to the most probable class (see `inspection.contributions`)."""
        given = source if isinstance(source, Path | str) else list(source)
        return [
            one for block in self._blocks(given, ClassifyPrediction.make(**options)) for one in explain(self, block)
        ]

    def write_predictions(self, source: Path, options: ClassifyPrediction) -> Iterator[str]:
        """A line per example, in the order of the file; with `explain` its tokens and their contributions instead."""
        if options.html is not None and options.html.exists():
            raise ConfigError(f"{options.html}: is there already; remove it or give another --html")
        signals = SOURCES[self.fitted.input.kind] is Series
        writer = WRITERS[options.format](self.config.multilabel, self.config.multilabel_separator, signals)
        explanations: list[Explanation] = []
        head = "" if options.explain else writer.head(self.fitted.classes)
        for block in self._blocks(source, options):
            if options.explain or options.html:
                found = explain(self, block)
                explanations += found if options.html else ()
            if options.explain:
                yield "\n".join(map(as_text, found)) + "\n"
            else:
                yield head + "".join(map(writer.line, self._predict(block, options)))
                head = ""
        yield head
        if options.html is not None:
            try:
                options.html.write_text("".join(as_page(explanations)), encoding="utf-8")
            except OSError as error:
                raise ConfigError(f"{options.html}: cannot be written ({error.strerror}); give another") from None

    def _predict(self, source: Source, options: ClassifyPrediction) -> list[Prediction]:
        multilabel, classes = self.config.multilabel, np.array(self.fitted.classes, object)
        if options.threshold is not None and not multilabel:
            raise ConfigError("threshold has no effect: the model gives one label to each example; leave it out")
        rows = probabilities(self.scores(source.encode(self.fitted.input)), multilabel)
        given = decide(rows, multilabel, options.threshold or self.threshold)
        found = []
        for number, row in enumerate(rows):
            names = classes[np.flatnonzero(given[number])] if multilabel else classes[[given[number]]]
            by_name = dict(zip(self.fitted.classes, row.tolist(), strict=True))
            ranked = tuple(sorted(names, key=lambda name: -by_name[name]))
            name = source.signals.ids[number] if isinstance(source, Series) else None
            found.append(Prediction(ranked, by_name, source.whole(number), name))
        return found

    def _blocks(self, source: Path | str | list[str], options: ClassifyPrediction) -> Iterator[Source]:
        """The examples, some at a time, without labels."""
        if isinstance(source, list):
            texts = source
            if SOURCES[self.fitted.input.kind] is not Texts:
                yield Series.of_arrays(source, self.fitted.input)
                return
            for number, text in enumerate(texts, start=1):
                if not isinstance(text, str):
                    raise DataError(f"text {number}: expected text, got {quoted(text)}; give a list of str")
            for first in range(0, len(texts), BLOCK):
                block = texts[first : first + BLOCK]
                yield Texts(block, [()] * len(block), [(Path("text"), first + n + 1) for n in range(len(block))])
        elif SOURCES[self.fitted.input.kind] is Series:
            for name in ("input_format", "text", "header", "separator"):
                if name in options.model_fields_set:
                    raise ConfigError(f"{name} has no effect on signals, only on texts; leave it out")
            column = self.config.label_column if options.label_column is None else options.label_column
            config = self.config.model_copy(update={"label_column": column})
            series = Series.read(Path(source), config, labelled=False)
            if options.label_column is None and format_of(Path(source), config.layout()) == "table":
                self._check_labels(series)
            yield series
        else:
            if options.label_column is not None:
                raise ConfigError("label_column has no effect on texts, only on rows of numbers; leave it out")
            records = read_labelled(Path(source), self._layout(Path(source), options))
            first_block = list(islice(records, BLOCK))
            if not first_block:
                raise DataError(f"{name_of(Path(source))}: expected texts, got none; give one per line, or a table")
            yield Texts.of(first_block)
            while found := list(islice(records, BLOCK)):
                yield Texts.of(found)

    def _check_labels(self, series: Series) -> None:
        """Refuse rows of numbers in which a value stands where training had the label.

        Raises: DataError for what is no class of the model.
        """
        known = {*self.fitted.classes, *self.config.renamed_labels()}
        column = self.config.label_column
        for number, name in enumerate(series.signals.labels or ()):
            if name not in known:
                raise DataError(
                    f"{series.place(number)}: expected a class of the model ({listed(self.fitted.classes)}) as label "
                    f"({column}), got {quoted(name)}; where rows have no labels give --label-column none, where they "
                    f"have others --label-column {column}"
                )

    def _layout(self, path: Path, options: ClassifyPrediction) -> Layout:
        config = self.config
        named = options.input_format
        found = named if named != "auto" else "lines" if path == STDIN else format_by_name(path) or "lines"
        check_told(path, found, [name for name in ("text", "header", "separator") if name in options.model_fields_set])
        return Layout(
            format=found,
            text=options.text or config.text,
            label=None,
            header=config.header if options.header is None else options.header,
            separator=options.separator or config.separator,
        )
