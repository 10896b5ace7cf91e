"""Tokenizers: characters, words, bytes and byte pairs, learned from files of any size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, DataError, FolderError
from recurra.text.bpe import BPE
from recurra.text.byte import Byte
from recurra.text.character import Character
from recurra.text.files import Span, read_chunks, read_lines
from recurra.text.merges import learn_merges
from recurra.text.tokenizer import FORMAT, FORMAT_VERSION, StreamDecoder, Tokenizer
from recurra.text.word import Word

__all__ = [
    "BPE",
    "Byte",
    "Character",
    "Span",
    "StreamDecoder",
    "Tokenizer",
    "Word",
    "learn_merges",
    "load_tokenizer",
    "read_chunks",
    "read_lines",
    "train_tokenizer",
]

TOKENIZERS: dict[str, type[Tokenizer]] = {kind.unit: kind for kind in (Character, Word, BPE, Byte)}

# Options that say something about some units only, with the value that says nothing.
_UNITS_OF_OPTION = {
    "split": ("punctuation", ("word",)),
    "lowercase": (False, ("word",)),
    "number_token": (False, ("word",)),
    "min_count": (1, ("char", "word", "bpe")),
    "vocabulary_size": (None, ("char", "word", "bpe")),
}


def train_tokenizer(options: Any, source: Path | Span | Iterable[str]) -> Tokenizer:
    """Build the tokenizer that `options` ask for from a file, a part of one, or text in chunks.

    `options` is any object with the attributes unit, split, lowercase, number_token, min_count,
    vocabulary_size and mode, as `recurra.config.TextOptions`. The source is read once, in a stream.
    Raises: ConfigError for options that do not go together, DataError for a text that cannot be read.
    """
    if options.unit not in TOKENIZERS:
        raise ConfigError(f"unit: expected one of {', '.join(TOKENIZERS)}, got {options.unit!r}")
    sentences = options.mode == "sentences"
    _check_options(options, sentences)
    if isinstance(source, str):
        raise DataError("expected a Path or a list of texts to learn the vocabulary from, got one str; wrap it")
    chunks = read_chunks(source) if isinstance(source, Path | Span) else source
    return TOKENIZERS[options.unit].train(chunks, options, sentences)


def _check_options(options: Any, sentences: bool) -> None:
    for name, (silent, units) in _UNITS_OF_OPTION.items():
        value = getattr(options, name)
        if value != silent and options.unit not in units:
            raise ConfigError(
                f"{name}={value}: goes with unit={' or '.join(units)}, got unit={options.unit}; leave it out"
            )
    fewest = (256 if options.unit == "bpe" else 4) + 2 * sentences
    if options.vocabulary_size is not None and options.vocabulary_size < fewest:
        raise ConfigError(
            f"vocabulary_size: expected at least {fewest} for unit={options.unit}, "
            f"got {options.vocabulary_size}; raise it"
        )


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer that `Tokenizer.save` wrote.

    Raises: FolderError for a missing, truncated or foreign file.
    """
    try:
        fields = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); give a model folder") from None
    except ValueError:
        raise FolderError(f"{path}: expected JSON, got a truncated or foreign file; restore it") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise FolderError(f"{path}: expected a tokenizer of recurra, got foreign JSON; give a model folder")
    if fields.get("format_version") != FORMAT_VERSION:
        raise FolderError(
            f"{path}: expected format_version {FORMAT_VERSION}, got {fields.get('format_version')!r}; "
            "use the version of recurra that wrote it"
        )
    try:
        return TOKENIZERS[fields["unit"]].from_fields(fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{path}: expected a whole tokenizer, got a damaged one ({error}); restore it") from None
