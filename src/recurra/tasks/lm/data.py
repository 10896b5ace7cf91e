"""The text of a language model as tokens in the run folder: made once, mapped into memory, never held whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from recurra.data import Encoded, Splits, encode_file, find_splits
from recurra.data.encode import token_type
from recurra.data.splits import check_text, existing
from recurra.errors import ConfigError, DataError
from recurra.tasks.lm.options import LMConfig
from recurra.text import Tokenizer, train_tokenizer
from recurra.text.files import written_aside

Part = Encoded
COUNTS = "counts.json"


@dataclass(frozen=True)
class Text:
    """Training, validation and test text, and the tokenizer that made them."""

    tokenizer: Tokenizer
    train: Part
    valid: Part
    test: Part | None

    @property
    def parts(self) -> dict[str, Part | None]:
        return {"train": self.train, "valid": self.valid, "test": self.test}


def prepare(config: LMConfig, folder: Path, tokenizer: Tokenizer | None = None) -> Text:
    """Encode the data of `config` into `folder`, or take what an earlier run put there.

    Args:
        config: where the text is and what its tokens are.
        folder: for the arrays; made if it is not there.
        tokenizer: one that exists already (a resumed or fine-tuned model's); None to learn it from the training text.

    Raises: DataError for a text that cannot be used, ConfigError where nothing is left to validate on.
    """
    if tokenizer is not None and is_prepared(folder):
        return _read(folder, tokenizer)
    assert config.data is not None
    splits = find_splits(config.data, config.valid, config.test, config.valid_frac, config.test_frac)
    _check_fractions(config, splits)
    if splits.valid is None:
        raise ConfigError("valid_frac=0: training needs a validation text to choose the best model; give --valid FILE")
    tokenizer = tokenizer or train_tokenizer(config, splits.train)
    folder.mkdir(parents=True, exist_ok=True)
    spans = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    parts = {
        name: encode_file(span, tokenizer, folder / f"{name}.tokens")
        for name, span in spans.items()
        if span is not None
    }
    _write_counts(folder, parts)
    return Text(tokenizer, parts["train"], parts["valid"], parts.get("test"))


def _check_fractions(config: LMConfig, splits: Splits) -> None:
    """Refuse a fraction where nothing is cut from the training text by it."""
    for name, part in (("valid", splits.valid), ("test", splits.test)):
        fraction, default = getattr(config, f"{name}_frac"), LMConfig.model_fields[f"{name}_frac"].default
        if fraction not in (0, default) and (part is None or part.path != splits.train.path):
            found = "there is a file for validation and none for the test" if part is None else f"{part.path} is there"
            raise ConfigError(f"{name}_frac={fraction} has no effect: {found}; leave it out")


def is_prepared(folder: Path) -> bool:
    """Whether `prepare` has been there."""
    return (folder / COUNTS).is_file()


@contextmanager
def encoded(path: Path, tokenizer: Tokenizer) -> Iterator[Part]:
    """One text file as tokens, in a temporary place. Raises: DataError."""
    with TemporaryDirectory(prefix="recurra-") as folder:
        yield encode_file(check_text(existing(path)), tokenizer, Path(folder) / "tokens")


def _write_counts(folder: Path, parts: Mapping[str, Part]) -> None:
    counts = {
        name: {**{field.name: getattr(part, field.name) for field in fields(part)}, "tokens": len(part.tokens)}
        for name, part in parts.items()
    }
    try:
        with written_aside(folder / COUNTS) as file:
            file.write(json.dumps(counts, indent=2).encode())
    except OSError as error:
        raise DataError(f"{folder / COUNTS}: cannot be written ({error.strerror}); free some space") from None


def _read(folder: Path, tokenizer: Tokenizer) -> Text:
    try:
        counts = json.loads((folder / COUNTS).read_bytes())
        parts: dict[str, Part] = {}
        for name, count in counts.items():
            tokens = np.memmap(folder / f"{name}.tokens", token_type(tokenizer.size), "r")
            if len(tokens) != count.pop("tokens"):
                raise ValueError(f"{name}.tokens has {len(tokens)} tokens")
            if not 0 <= tokens.min() <= tokens.max() < tokenizer.size:
                raise ValueError(f"{name}.tokens has unknown tokens")
            parts[name] = Part(tokens, **count)
        return Text(tokenizer, parts["train"], parts["valid"], parts.get("test"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: damaged ({reason}); delete this folder, and the text is encoded anew") from None
