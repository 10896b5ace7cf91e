"""Scores of sentences, against stepping one sentence at a time, token by token."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from small_models import random_model

from recurra.decoding import score
from recurra.errors import DataError
from recurra.layers import softmax
from recurra.models.language_model import LanguageModel
from recurra.text import Character

TEXTS = ["ab", "", "abba ba", "b", "a" * 33, "b a?", "ab"]
TOKENIZER = Character("\nab ")


def step(model: LanguageModel, ids: list[int], start: list[int]) -> list[float]:
    """The log-probability of each token after the start and all tokens before it, one at a time."""
    state = None
    for token in start:
        log_probs, state = model.next_log_probs(torch.tensor([[token]]), state)
    found = []
    for token in ids:
        found.append(log_probs[0, token].item())
        log_probs, state = model.next_log_probs(torch.tensor([[token]]), state)
    return found


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("start", [[0], [1, 2, 0]])
@pytest.mark.parametrize("end", [[], [0], [3, 0]])
def test_scores_are_those_of_stepping(cell: str, start: list[int], end: list[int]) -> None:
    model = random_model(TOKENIZER.size, 4, cell=cell)
    for found in score(model, TOKENIZER, TEXTS, start=start, end=end):
        ids = [*TOKENIZER.encode(found.text).tolist(), *end]
        assert found.tokens == tuple(TOKENIZER.token(token) for token in ids)
        assert found.log_probs == pytest.approx(step(model, ids, start), abs=1e-12)
        assert found.log_prob == pytest.approx(sum(found.log_probs))


def test_the_texts_keep_their_order() -> None:
    model = random_model(TOKENIZER.size, 4)
    assert [found.text for found in score(model, TOKENIZER, TEXTS, start=[0])] == TEXTS
    assert score(model, TOKENIZER, [], start=[0]) == []
    assert score(model, TOKENIZER, [""], start=[0])[0].log_prob == 0


@pytest.mark.parametrize("backend", ["", "reference"])
def test_scores_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    if backend:
        monkeypatch.setenv("RECURRA_BACKEND", backend)
    model = random_model(TOKENIZER.size, 4)
    scoring = import_module("recurra.decoding.score")  # the module, where the package has the function
    alone = [score(model, TOKENIZER, [text], start=[0])[0].log_probs for text in TEXTS]
    for batch, logits in ((64, 1 << 23), (2, 1), (3, 40)):
        monkeypatch.setattr(scoring, "BATCH", batch)
        monkeypatch.setattr(softmax, "LOGITS", logits)
        for found, wanted in zip(score(model, TOKENIZER, TEXTS, start=[0]), alone, strict=True):
            assert found.log_probs == pytest.approx(wanted, abs=1e-12)


def test_scores_from_a_state() -> None:
    model = random_model(TOKENIZER.size, 4, cell="lstm")
    _, state = model.next_log_probs(torch.tensor([[1], [2]]), None)
    for start in ([0], [3, 0]):
        found = score(model, TOKENIZER, TEXTS, start=start, state=state)
        whole = score(model, TOKENIZER, TEXTS, start=[1, 2, *start])
        for one, other in zip(found, whole, strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-12)


def test_all_sentences_of_one_length_sum_to_one() -> None:
    model = random_model(TOKENIZER.size, 4)
    letters = "\nab "
    texts = [a + b + c for a in letters for b in letters for c in letters]
    known = sum(torch.tensor(found.log_prob).exp() for found in score(model, TOKENIZER, texts, start=[0]))
    unknown = [a + b + c for a in letters + "?" for b in letters + "?" for c in letters + "?" if "?" in a + b + c]
    rest = sum(torch.tensor(found.log_prob).exp() for found in score(model, TOKENIZER, unknown, start=[0]))
    assert float(known + rest) == pytest.approx(1.0, abs=1e-5)


def test_without_a_start() -> None:
    with pytest.raises(DataError) as caught:
        score(random_model(TOKENIZER.size, 4), TOKENIZER, ["a"], start=[])
    assert str(caught.value) == "start: expected at least one token to predict the first from, got none; give one"
