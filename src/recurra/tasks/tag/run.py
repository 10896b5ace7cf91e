"""A trained tagger: evaluate, tag, write what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from recurra.config import quoted
from recurra.data import Examples, has_examples
from recurra.data.tag_schemes import SCHEMES, transitions
from recurra.errors import ConfigError, DataError
from recurra.layers.crf import LinearChainCRF
from recurra.models.tagger import Tagger
from recurra.tasks.network import recurrent_stack
from recurra.tasks.run import PREDICTION_ROWS, Run
from recurra.tasks.tag.data import Fitted, check_tags, encode, prepare, read_text
from recurra.tasks.tag.options import TagConfig, TagPrediction
from recurra.tasks.tag.prediction import as_conll, as_json, from_words, predictions, read_sentences
from recurra.tasks.tag.tagging import measure, tag_examples
from recurra.training.memory import enough_memory


class TagRun(Run[TagConfig, Fitted, Tagger]):
    """A trained tagger.

    Example:
        >>> run = recurra.load("runs/tag-train")  # doctest: +SKIP
        >>> run.predict([["She", "runs"]])[0]["tags"]  # doctest: +SKIP
        ['PRON', 'VERB']
    """

    options = TagConfig

    @staticmethod
    def load_fitted(folder: Path) -> Fitted:
        return Fitted.load(folder)

    @staticmethod
    def build(config: TagConfig, fitted: Fitted, device: torch.device | str = "cpu") -> Tagger:
        with torch.device(device):
            encoder: Any = fitted.input.encoder(config)
            stack = recurrent_stack(config, encoder.output_size, bidirectional=config.bidirectional)
            output = config.output_layer or ("softmax" if fitted.scheme is None else "crf")
            model = Tagger(
                encoder, stack, len(fitted.tags), dropout=config.dropout, drop_input=fitted.input.kind == "words",
                crf=_crf(config, fitted) if output == "crf" else None,
            )  # fmt: skip
        return model

    def evaluate(self, path: Path | str | None = None, *, batch_size: int | None = None) -> dict[str, float]:
        """Tag the words of a file and compare with its tags.

        Args:
            path: a file with the columns of the training data; None for the test data of the training.
            batch_size: sentences side by side: for speed.

        Returns: accuracy, for tags of spans precision, recall and F1 as conlleval counts them, nats per token, tokens.

        Raises: DataError for a file that cannot be read, or where there is no test data.
        """
        if path is not None:
            text = read_text(Path(path), self.config)
            check_tags(text, self.fitted, self.config.repair)
            examples = encode(text, self.fitted)
        elif "test" in (parts := self.parts()):
            examples = parts["test"]
        else:
            raise DataError(f"{self.folder}: has no test data in its data folder; give a file to evaluate on")
        with enough_memory(self.device, "lower --batch-size"):
            found = tag_examples(self.model, examples, batch_size or PREDICTION_ROWS)
        return measure(self.fitted, examples, found)

    def parts(self) -> dict[str, Examples]:
        """The data of its training, by part; none where they were deleted. Raises: DataError where they are damaged."""
        if not has_examples(self.folder / "data"):
            return {}
        _, parts = prepare(self.config, self.folder, self.folder / "data", self.fitted)
        return parts

    def predict(self, sentences: Sequence[Sequence[str]], k_best: int = 1) -> list[dict[str, Any]]:
        """Tag sentences, each a list of words.

        Returns: for each its text, tokens, tags, the confidence of each tag, for tags of spans the spans, and with
        k_best > 1 the likeliest sequences of tags.

        Raises: ConfigError for a k_best below 1, or where a sentence is no list; DataError where a word is no text,
        or empty.
        """
        TagPrediction.make(k_best=k_best, format="jsonl")
        given = map(from_words, [_checked(sentence) for sentence in sentences])
        return [{**record, "tags": record["tags"][:]} for record in predictions(self, given, PREDICTION_ROWS, k_best)]

    def write_predictions(self, source: Path, options: TagPrediction) -> Iterator[str]:
        if options.format == "csv" or options.rank:
            raise ConfigError("format csv and rank go with signals, not with words; leave them out")
        sentences = read_sentences(source, options.input_format, self.config.word_column)
        written = as_json if options.format == "jsonl" else as_conll
        with enough_memory(self.device, "give shorter sentences"):
            yield from map(written, predictions(self, sentences, PREDICTION_ROWS, options.k_best))


def _checked(sentence: Any) -> list[str]:
    """The words of a sentence given to `TagRun.predict`."""
    if isinstance(sentence, str) or not isinstance(sentence, Iterable):
        raise ConfigError(f"predict: expected a list of words, got {quoted(sentence)}; split it")
    words = list(sentence)
    for word in words:
        if not isinstance(word, str):
            raise DataError(f"predict: expected words, got {quoted(word)}; give a list of str")
    if not words or not all(words):
        raise DataError("predict: expected words, got an empty sentence or word; leave it out")
    return words


def _crf(config: TagConfig, fitted: Fitted) -> LinearChainCRF:
    """Without the transitions that the tags' scheme forbids."""
    masks = {}
    if fitted.scheme is not None:
        allowed = transitions(SCHEMES[fitted.scheme], fitted.tags)
        names = ("forbidden", "forbidden_start", "forbidden_end")
        masks = {name: torch.from_numpy(~one) for name, one in zip(names, allowed, strict=True)}
    crf = LinearChainCRF(len(fitted.tags), **masks, backend=config.backend)
    return crf.to(getattr(torch, config.dtype))
