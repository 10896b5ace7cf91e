"""The options of a classifier. Imports no torch: `--help` is made from this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config import LARGEST, WIDEST, Config, DataOptions, StackOptions, TrainingOptions, check_needs
from recurra.errors import ConfigError
from recurra.tasks.inputs.signal_options import SignalOptions

OF_NETWORK = (
    "unit", "split", "number_token", "vocabulary_size", "max_length", "embedding_dim", "bidirectional", "pooling",
)  # fmt: skip
OF_RUN = ("seed", "deterministic", "dtype", "device", "threads", "output_dir", "overwrite")
"""Options of a network that an n-gram model has no use for, and those of training that it has."""

Format = Literal["auto", "csv", "tsv", "jsonl", "fasttext", "label-first", "trees", "folder"]


class ExampleOptions(Config):
    """Where the text and the label of an example are, and how examples are split."""

    title: ClassVar[str] = "Examples"

    input: Literal["auto", "text", "signal"] = Field("auto", description="What is classified; auto: by the file.")
    format: Format = Field("auto", description="Layout of files of texts; auto: by name or first line.")
    text: str = Field("text", description="Column (key) of the text, by name, or number from 1 (-1: the last).")
    label: str = Field("label", description="Column (key) of the label, by name, or number from 1 (-1: the last).")
    header: bool | None = Field(
        None, description="Whether a table's first row has names; unset: unless both columns are numbers."
    )
    separator: str | None = Field(
        None, min_length=1, description="What parts columns, or a label from its text; unset: as the format has it."
    )
    label_separator: str | None = Field(
        None, min_length=1, description="Of each label only what stands before this counts: ':' of DESC:manner."
    )
    label_map: list[str] = Field(
        [], description="Other names for labels, as old=new; old= leaves its examples out: 0=bad 1= 2=good."
    )
    multilabel_separator: str = Field(",", min_length=1, description="What parts labels where there may be several.")
    phrases: bool = Field(False, description="Train on every phrase of the trees, not on their sentences only.")
    valid_count: int | None = Field(None, ge=1, le=LARGEST, description="Examples for validation; not with valid_frac.")
    test_count: int | None = Field(None, ge=1, le=LARGEST, description="Examples for the test; not with test_frac.")
    split_seed: int = Field(1, ge=0, lt=2**63, description="Seed of the split, in which every class has its share.")

    @model_validator(mode="after")
    def _check_examples(self) -> Self:
        self.renamed_labels()
        if self.phrases and self.format not in ("auto", "trees"):
            raise ConfigError(f"phrases has no effect with format={self.format}; it needs format=trees")
        for part in ("valid", "test"):
            if getattr(self, f"{part}_count") is None:
                continue
            for name in (part, f"{part}_frac"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ConfigError(f"{part}_count has no effect with {name}; leave one of them out")
        return self

    def renamed_labels(self) -> dict[str, str]:
        """`label_map` as a dict. Raises: ConfigError."""
        pairs = [re.split("=", pair, maxsplit=1) for pair in self.label_map]
        for pair in pairs:
            if len(pair) != 2:
                raise ConfigError(f"label_map: expected old=new, got {pair[0]!r}")
        return {old.strip(): new.strip() for old, new in pairs}


class TokenOptions(Config):
    """How text is normalised and becomes tokens."""

    title: ClassVar[str] = "Text"

    unit: Literal["word", "char", "bpe", "byte"] = Field("word", description="What a token is.")
    split: Literal["punctuation", "space"] = Field(
        "punctuation", description="Where words end: at punctuation and space, or at space only."
    )
    lowercase: bool = Field(False, description="Turn the text to lower case.")
    punctuation: Literal["keep", "drop"] = Field("keep", description="Keep or drop what is no letter and no digit.")
    abbreviations: str | None = Field(
        None, min_length=1, description="Write out 'english' ones (don't), or those of a file: SHORT, tab, LONG."
    )
    stop_words: str | None = Field(
        None, min_length=1, description="Leave out 'english' function words, or those of a file, one per line."
    )
    stem: str | None = Field(None, min_length=1, description="Cut words to their Snowball stems: english, german ...")
    number_token: bool = Field(False, description="Replace every number by the one word [number].")
    min_count: int = Field(1, ge=1, description="Rarer tokens become [UNK]; rarer n-grams are left out.")
    vocabulary_size: int | None = Field(
        None, ge=4, description="Keep this many tokens, the most frequent (for bpe: learn this many; 8000 if unset)."
    )
    max_length: int | None = Field(None, ge=1, le=LARGEST, description="Read this many tokens of a text; unset: all.")

    @model_validator(mode="after")
    def _check_tokens(self) -> Self:
        words, learned = ("unit", ("word",)), ("unit", ("char", "word", "bpe"))
        needs = {"split": words, "number_token": words, "min_count": learned, "vocabulary_size": learned}
        check_needs(self, needs)
        return self


class ClassifierOptions(Config):
    """What stands before and after the recurrent layers."""

    title: ClassVar[str] = "Classifier"

    model: Literal["network", "ngram"] = Field(
        "network", description="A recurrent network, or n-gram features with a linear model (needs scikit-learn)."
    )
    multilabel: bool = Field(False, description="An example may have several labels, or none.")
    embedding_dim: int = Field(100, ge=1, le=WIDEST, description="Width of the embedding of a token.")
    bidirectional: bool = Field(True, description="Read from both ends.")
    pooling: Literal["last", "mean", "max", "attention"] = Field(
        "last", description="Summary of a sequence: the last state of each direction, or that of all steps."
    )
    ngrams: int = Field(2, ge=1, le=10, description="n-gram model: longest n-gram of words.")
    char_ngrams: int = Field(0, ge=0, le=20, description="n-gram model: longest n-gram of characters, from 2; 0: none.")


class ObjectiveOptions(Config):
    """What is learned, and what counts as best."""

    title: ClassVar[str] = "Objective"

    vectors: Path | None = Field(None, description="Pretrained word vectors: a text file of word2vec or GloVe.")
    freeze_embedding: bool = Field(False, description="Leave the embedding as it is.")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="Chance that a token is read as [UNK] in training.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")
    class_weights: list[str] | None = Field(
        None, min_length=1, description="Weight of a class in the loss: balanced, or name=weight ..."
    )
    metric: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", description="What decides which model is best, on the validation data."
    )
    baseline: Literal["auto", "ngram", "none"] = Field(
        "auto", description="Report an n-gram model beside the network; auto: where scikit-learn is installed."
    )

    @model_validator(mode="after")
    def _check_objective(self) -> Self:
        self.weights_by_class()
        return self

    def weights_by_class(self) -> dict[str, float]:
        """The weights that `class_weights` states, by name. Raises: ConfigError."""
        found: dict[str, float] = {}
        for pair in [] if self.class_weights in (None, ["balanced"]) else self.class_weights or []:
            name, equals, number = pair.rpartition("=")
            try:
                found[name] = float(number)
            except ValueError:
                equals = ""
            if not equals or not 0 < found[name] < float("inf"):
                raise ConfigError(f"class_weights: expected `balanced`, or name=weight above 0, got {pair!r}")
        return found


class ClassifyConfig(
    DataOptions, ExampleOptions, TokenOptions, SignalOptions, ClassifierOptions, ObjectiveOptions, StackOptions,
    TrainingOptions,
):  # fmt: skip
    """Every option of a classifier; `recurra train classify` has one flag for each.

    Example:
        >>> ClassifyConfig.make(cell="gru", pooling="max").num_layers
        1
    """

    task: ClassVar[str] = "classify"
    of_model: ClassVar[tuple[str, ...]] = ("Text", "Signals", "Classifier", "Network")
    unit_name: ClassVar[str] = "example"

    valid_frac: float = Field(0.1, ge=0, lt=1, description="Share of the data for validation.")
    test_frac: float = Field(0.1, ge=0, lt=1, description="Share of the data for the test.")
    hidden_size: int = Field(128, ge=1, le=WIDEST, description="Units in each layer.")
    num_layers: int = Field(1, ge=1, le=200, description="Recurrent layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout between layers, at input and output.")

    @model_validator(mode="after")
    def _check_classifier(self) -> Self:
        check_needs(self, {"vectors": ("unit", ("word",))})
        self._check_effects()
        if not self.multilabel and self.multilabel_separator != ",":
            raise ConfigError("multilabel_separator has no effect without multilabel; leave it out, or set multilabel")
        if self.vectors is not None and self.embedding_dim != type(self).model_fields["embedding_dim"].default:
            raise ConfigError("embedding_dim has no effect with vectors, which have a width of their own; leave it out")
        if self.vectors is not None and self.init_from is not None:
            raise ConfigError("vectors has no effect with init_from, whose embedding is taken; leave it out")
        if self.multilabel:
            for name in ("class_weights", "label_smoothing"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ConfigError(f"{name} has no effect with multilabel; leave it out")
        return self

    def _check_effects(self) -> None:
        """Refuse options that the model has no use for."""
        if self.model == "ngram":
            groups = self.groups()
            network = {*groups["Network"], *groups["Training"], *groups["Objective"], *OF_NETWORK}
            needless = sorted(network - {"class_weights", "baseline", *OF_RUN})
        else:
            needless = ["ngrams", "char_ngrams"] if self.baseline == "none" else []
        for name in needless:
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                raise ConfigError(
                    f"{name} has no effect with model={self.model}, baseline={self.baseline}; leave it out"
                )


class ClassifyPrediction(Config):
    """How the examples to classify are read, and what is written of each."""

    title: ClassVar[str] = "Classes"

    input_format: Literal["auto", "lines", "csv", "tsv", "jsonl", "fasttext", "label-first", "trees", "folder"] = Field(
        "auto", description="Layout of the texts; auto: by name, else a text per line."
    )
    text: str | None = Field(None, description="Column (key) of the text; unset: as in training.")
    header: bool | None = Field(None, description="Whether a table's first row has names; unset: as in training.")
    separator: str | None = Field(None, min_length=1, description="What parts columns; unset: as in training.")
    label_column: int | Literal["first", "last", "none"] | None = Field(
        None, description="Of signals in rows of numbers: the column of labels to pass over; unset: as in training."
    )
    format: Literal["tsv", "csv", "jsonl"] = Field(
        "tsv", description="Of classes: a line per example between tabs, a table, or a JSON object per example."
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Give the labels at least so probable (multilabel); unset: as chosen in training."
    )
    explain: bool = Field(False, description="Show what each token contributes: gradient times input.")
    html: Path | None = Field(None, description="Write the contributions to this file, as a page.")

    @model_validator(mode="after")
    def _check_prediction(self) -> Self:
        for name in ("format", "threshold"):
            if self.explain and name in self.model_fields_set and getattr(self, name) is not None:
                raise ConfigError(f"{name} has no effect with explain, which shows contributions; leave one out")
        return self
