"""The options of a tagger. Imports no torch: `--help` is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from recurra.config import LARGEST, WIDEST, Config, DataOptions, StackOptions, TrainingOptions, check_needs
from recurra.errors import ConfigError
from recurra.tasks.inputs.signal_options import NoiseOptions, ValueOptions

SchemeName = Literal["bio", "iob1", "bioes", "bilou"]


class ColumnOptions(Config):
    """Which columns of a CoNLL file are read, and what its tags mean."""

    title: ClassVar[str] = "Columns"

    column: int | str | None = Field(
        None, description="Of the tags: number from 1, or from the end, -1, or name in CoNLL-U; unset: -1, or upos."
    )
    word_column: int | str | None = Field(None, description="Of the words; unset: 1, or form in CoNLL-U.")
    scheme: SchemeName | None = Field(
        None, description="Convert tags of spans to this scheme for training; unset: as they are."
    )
    repair: bool = Field(False, description="Read broken tags of spans as conlleval does, in place of refusing them.")


class WordOptions(Config):
    """What the model sees of a word."""

    title: ClassVar[str] = "Words"

    embedding_dim: int = Field(100, ge=1, le=WIDEST, description="Width of the word embedding.")
    vectors: Path | None = Field(
        None, description="Word vectors to start from, a text file of word2vec or GloVe as wide as embedding_dim."
    )
    lowercase: bool = Field(False, description="Look words up in lower case; characters and shape stay.")
    min_count: int = Field(1, ge=1, description="Rarer words are unknown.")
    vocabulary_size: int | None = Field(None, ge=1, description="Know this many words, the most frequent.")
    word_dropout: float = Field(0.1, ge=0, lt=1, description="Chance that a word of the training is read as unknown.")
    char_features: Literal["lstm", "cnn", "none"] = Field("cnn", description="How a word's characters are read.")
    char_size: int = Field(64, ge=2, le=WIDEST, description="Width of what is read from characters.")
    shape_features: bool = Field(True, description="Read case, digits and punctuation of each word.")
    affixes: list[int] | None = Field(
        None, min_length=1, max_length=8, description="Lengths of word beginnings and endings to embed: 2 3."
    )

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        check_needs(self, {"char_size": ("char_features", ("lstm", "cnn"))})
        if any(not 1 <= length <= 8 for length in self.affixes or ()):
            raise ConfigError(f"affixes: each must be from 1 to 8 characters, got {self.affixes}")
        if self.affixes is not None and len(set(self.affixes)) < len(self.affixes):
            raise ConfigError(f"affixes: expected different lengths, got {self.affixes}; leave one out")
        return self


class TaggerOptions(Config):
    """What stands around the recurrent layers."""

    title: ClassVar[str] = "Tagger"

    bidirectional: bool = Field(True, description="Read sentences in both directions.")
    output_layer: Literal["softmax", "crf"] | None = Field(
        None, description="A tag by itself, or sequences of tags by a linear-chain CRF; unset: crf for tags of spans."
    )


class ValidationOptions(Config):
    """How the best model is chosen."""

    title: ClassVar[str] = "Validation"

    monitor: Literal["accuracy", "span_f1", "nats_per_token", "mse", "rank_correlation"] | None = Field(
        None,
        description="What decides which model is best; unset: span_f1 for tags of spans, mse for numbers, accuracy.",
    )


class TagPrediction(Config):
    """How a tagger's predictions are read and written."""

    title: ClassVar[str] = "Tagging"

    input_format: Literal["text", "conll"] | None = Field(
        None, description="Raw text, or a word per line; unset: by the file's name (.conll, .conllu: words)."
    )
    format: Literal["conll", "jsonl", "csv"] | None = Field(
        None,
        description="A line per word, a JSON object per sequence, or a row per step of signals; unset: conll, or jsonl "
        "of signals.",
    )
    rank: bool = Field(False, description="Of signals with numbers: the steps of each series, the highest first.")
    k_best: int = Field(1, ge=1, le=1000, description="So many of the likeliest sequences of tags (format jsonl).")

    @model_validator(mode="after")
    def _check_prediction(self) -> Self:
        check_needs(self, {"k_best": ("format", ("jsonl",))})
        return self


class TagConfig(
    DataOptions,
    ColumnOptions,
    WordOptions,
    ValueOptions,
    NoiseOptions,
    TaggerOptions,
    StackOptions,
    ValidationOptions,
    TrainingOptions,
):
    """Every option of a tagger; `recurra train tag` has one flag for each.

    Example:
        >>> TagConfig.make(column="upos", hidden_size=128).num_layers
        1
    """

    task: ClassVar[str] = "tag"
    of_model: ClassVar[tuple[str, ...]] = ("Columns", "Words", "Signals", "Tagger", "Network")
    unit_name: ClassVar[str] = "token"

    hidden_size: int = Field(200, ge=1, le=WIDEST, description="Units in each layer and direction.")
    num_layers: int = Field(1, ge=1, le=200, description="Recurrent layers.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Dropout between layers, at input and output.")
    epochs: int = Field(10, ge=1, le=LARGEST, description="Passes over the data.")
