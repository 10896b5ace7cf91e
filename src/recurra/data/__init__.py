"""Data sets: finding the files, encoding them on disk, and batches of them."""

from recurra.data.encode import Encoded, encode_file
from recurra.data.examples import (
    ExampleBatch,
    ExampleBatches,
    Examples,
    has_examples,
    load_examples,
    save_examples,
)
from recurra.data.sentences import SentenceBatch, Sentences, sliding_windows
from recurra.data.splits import Splits, find_splits
from recurra.data.stream import IGNORED, Chunk, EvaluationStream, TokenStream, check_window
from recurra.data.summary import summarise

__all__ = [
    "IGNORED",
    "Chunk",
    "Encoded",
    "EvaluationStream",
    "ExampleBatch",
    "ExampleBatches",
    "Examples",
    "SentenceBatch",
    "Sentences",
    "Splits",
    "TokenStream",
    "check_window",
    "encode_file",
    "find_splits",
    "has_examples",
    "load_examples",
    "save_examples",
    "sliding_windows",
    "summarise",
]
