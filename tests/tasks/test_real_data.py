"""Real corpora: counts that the field has published, and a model that learns."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_data import real_data
from stories import train

from recurra.tasks.lm.data import prepare
from recurra.tasks.lm.options import LMConfig

# Tokens with one end of line each, and different words: Mikolov's PTB as in Zaremba et al. 2014; Merity et al. 2016.
CORPORA = [
    ("ptb", 10_000, {"train": 929_589, "valid": 73_760, "test": 82_430}),
    ("wikitext2", 33_278, {"train": 2_088_628, "valid": 217_646, "test": 245_569}),
]


@pytest.mark.parametrize(("name", "vocabulary", "tokens"), CORPORA)
def test_published_counts(name: str, vocabulary: int, tokens: dict[str, int], tmp_path: Path) -> None:
    config = LMConfig.make(data=real_data(name), unit="word", split="space")
    text = prepare(config, tmp_path)
    assert {part: len(encoded.tokens) for part, encoded in text.parts.items() if encoded} == tokens
    # [UNK] of our own never occurs: the corpora spell theirs out as a word, <unk>
    assert text.tokenizer.size - 1 == vocabulary
    assert all(part.unknown == 0 for part in text.parts.values() if part)


def test_special_tokens_in_a_corpus_are_words(tmp_path: Path) -> None:
    config = LMConfig.make(data=real_data("ptb"), unit="word", split="space")
    tokenizer = prepare(config, tmp_path).tokenizer
    ids = tokenizer.encode("the <unk> of N [UNK]").tolist()
    assert [number == tokenizer.unknown_id for number in ids] == [False, False, False, False, True]


@pytest.mark.slow
def test_tiny_shakespeare_in_two_epochs(tmp_path: Path) -> None:
    """Far below what counting pairs of characters gives: 2.48 nats (its README)."""
    run = train(real_data("tinyshakespeare") / "input.txt", tmp_path / "run", hidden_size=128, batch_size=32, bptt=64,
                epochs=2, learning_rate=4e-3)  # fmt: skip
    assert run.evaluate()["nats_per_character"] < 2.0
