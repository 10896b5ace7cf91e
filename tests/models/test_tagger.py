"""The tagger and what it reads of words."""

from __future__ import annotations

from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recurra.data.word_forms import SHAPES, WordForms, WordVocabulary
from recurra.layers.crf import LinearChainCRF
from recurra.layers.recurrent import Recurrent
from recurra.models.tagger import IGNORED, Tagger
from recurra.models.word_features import CHARACTERS, WordFeatures

WORDS = ["the", "Cat", "sat", "on", "42", "mats", "unseen-before"]
LENGTHS = [5, 3, 1]


@pytest.fixture
def forms() -> WordForms:
    counts = dict.fromkeys(WORDS[:-1], 5)
    made = WordForms(WordVocabulary.learn(counts, affix_lengths=[1]))
    made.add(WORDS)
    return made


def batch(forms: WordForms, order: list[int] | None = None, steps: int = 5) -> Any:
    ids = np.random.default_rng(1).integers(1, len(forms), (5, 3))
    lengths = torch.tensor(LENGTHS)
    ids[np.arange(5)[:, None] >= lengths.numpy()] = 0
    ids = np.concatenate([ids, np.zeros((steps - 5, 3), int)])
    chosen = [0, 1, 2] if order is None else order
    return SimpleNamespace(steps={"word": torch.from_numpy(ids[:, chosen])}, lengths=lengths[chosen])


def features(forms: WordForms, characters: str, **options: Any) -> WordFeatures:
    torch.manual_seed(3)
    return WordFeatures(forms, 6, characters=characters, char_size=8, **options)


@pytest.mark.parametrize("characters", [*CHARACTERS, "none"])
def test_features_of_a_word_are_the_same_wherever_it_stands(characters: str, forms: WordForms) -> None:
    """In a batch of its own, word by word, is the truth."""
    layer = features(forms, characters)
    together = layer(batch(forms))
    assert together.shape == (5, 3, layer.output_size)
    for t, b in product(range(5), range(3)):
        alone = SimpleNamespace(steps={"word": batch(forms).steps["word"][t : t + 1, b : b + 1]})
        torch.testing.assert_close(layer(alone)[0, 0], together[t, b])


def test_convolution_by_hand(forms: WordForms) -> None:
    """relu(max over places of W [e(before), e(here), e(after)] + b), with zeros beside the word."""
    layer = features(forms, "cnn", shapes=False)
    inner: Any = layer.characters
    place = forms.forms.index("unseen-before")
    codes = forms.characters[place][: forms.sizes[place]]
    embedded = [torch.zeros(32), *inner.embedding.weight[codes.tolist()], torch.zeros(32)]
    each = [inner.filters(torch.cat(embedded[at : at + 3])) for at in range(len(codes))]
    found = inner(torch.from_numpy(forms.characters[[place]]), torch.from_numpy(forms.sizes[[place]]))
    torch.testing.assert_close(found[0], torch.stack(each).amax(0).relu())


def test_recurrent_characters_are_torchs(forms: WordForms) -> None:
    layer = features(forms, "lstm")
    inner: Any = layer.characters
    theirs = nn.LSTM(32, 4, bidirectional=True)
    weights = dict(inner.layer.named_parameters())
    state = {}
    for end in ("_l0", "_l0_reverse"):
        state |= {f"weight_ih{end}": weights[f"W_ih{end}"], f"weight_hh{end}": weights[f"W_hh{end}"]}
        state |= {f"bias_ih{end}": weights[f"b{end}"], f"bias_hh{end}": torch.zeros(16)}
    theirs.load_state_dict(state)
    place = forms.forms.index("Cat")
    size = int(forms.sizes[place])
    _, (h, _) = theirs(inner.embedding(torch.from_numpy(forms.characters[place][:size])).unsqueeze(1))
    found = inner(torch.from_numpy(forms.characters[[place]]), torch.tensor([size]))
    torch.testing.assert_close(found[0], torch.cat([h[0, 0], h[1, 0]]))


def test_a_table_that_grows(forms: WordForms) -> None:
    layer = features(forms, "cnn")
    layer(batch(forms))
    (place,) = forms.add(["newcomer"])
    assert layer(SimpleNamespace(steps={"word": torch.tensor([[int(place)]])})).isfinite().all()


def test_word_dropout_reads_words_as_unknown_ones(forms: WordForms) -> None:
    layer = features(forms, "none", shapes=False, word_dropout=0.5)
    ids = torch.full((50, 40), forms.forms.index("the"))
    read = layer.train()(SimpleNamespace(steps={"word": ids}))[..., :6]
    unknown, known = layer.embedding.weight[0], layer.embedding.weight[int(forms.words[forms.forms.index("the")])]
    dropped = (read == unknown).all(-1)
    assert ((read == known).all(-1) ^ dropped).all()
    assert 0.4 < dropped.float().mean() < 0.6
    assert (layer.eval()(SimpleNamespace(steps={"word": ids}))[..., :6] == known).all()


def test_sizes_of_features(forms: WordForms) -> None:
    affixes = 2 * 16
    assert features(forms, "none", shapes=False).output_size == 6 + affixes
    assert features(forms, "cnn", shapes=False).output_size == 6 + 8 + affixes
    assert features(forms, "lstm").output_size == 6 + 8 + len(SHAPES) + affixes


def tagger(forms: WordForms, crf: bool, dropout: float = 0.0) -> Tagger:
    torch.manual_seed(4)
    encoder = features(forms, "cnn")
    stack = Recurrent("gru", encoder.output_size, 5, bidirectional=True)
    chain = None
    if crf:
        chain = LinearChainCRF(3, forbidden=torch.eye(3).bool())
        nn.init.normal_(chain.transitions)
    return Tagger(encoder, stack, 3, dropout=dropout, crf=chain)


@torch.no_grad()
def all_paths(model: Tagger, emissions: Tensor, length: int) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of tags of one sentence, by enumeration."""
    scores = {}
    for path in product(range(3), repeat=length):
        score = sum(float(emissions[t, tag]) for t, tag in enumerate(path))
        if model.crf is not None:
            score += float(model.crf.start[path[0]] + model.crf.end[path[-1]])
            score += sum(float(model.crf.transitions[a, b]) for a, b in pairwise(path))
            if any(a == b for a, b in pairwise(path)):
                score = -np.inf
        scores[path] = score
    total = np.logaddexp.reduce(list(scores.values()))
    return {path: float(np.exp(score - total)) for path, score in scores.items()}


@pytest.mark.parametrize("crf", [False, True])
def test_loss_tags_and_probabilities_by_enumeration(crf: bool, forms: WordForms) -> None:
    model, given = tagger(forms, crf).eval().requires_grad_(False), batch(forms)
    emissions = model(given)
    best, marginals = model.best(emissions, given.lengths), model.marginals(emissions, given.lengths)
    paths, log_probs = model.k_best(emissions, given.lengths, 4)
    tags = torch.full((5, 3), IGNORED)
    expected = 0.0
    for b, length in enumerate(LENGTHS):
        truth = all_paths(model, emissions[:, b], length)
        ranked = sorted(truth, key=lambda path: -truth[path])
        assert tuple(best[:length, b].tolist()) == ranked[0]
        possible = [path for path in ranked if truth[path] > 0][:4]
        assert [tuple(path) for path in paths[: len(possible), :length, b].tolist()] == possible
        assert log_probs[: len(possible), b].exp().tolist() == pytest.approx([truth[path] for path in possible])
        assert (log_probs[len(possible) :, b] == -torch.inf).all()
        for t, tag in product(range(length), range(3)):
            one = sum(probability for path, probability in truth.items() if path[t] == tag)
            assert float(marginals[t, b, tag]) == pytest.approx(one, abs=1e-5)
        tags[:length, b] = torch.tensor(ranked[1])
        expected -= np.log(truth[ranked[1]])
    assert float(model.nats(given, tags)) == pytest.approx(expected, rel=1e-5)
    assert float(model.nats_of(emissions, tags, given.lengths)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_order_and_padding_change_nothing(crf: bool, forms: WordForms) -> None:
    model = tagger(forms, crf).eval()
    emissions = model(batch(forms))
    other = model(batch(forms, [2, 0, 1], steps=9))
    best = model.best(emissions, torch.tensor(LENGTHS))
    again = model.best(other, torch.tensor(LENGTHS)[[2, 0, 1]])
    for b, length in enumerate(LENGTHS):
        column = [2, 0, 1].index(b)
        torch.testing.assert_close(other[:length, column], emissions[:length, b])
        assert again[:length, column].tolist() == best[:length, b].tolist()


def test_dropout_is_only_for_training(forms: WordForms) -> None:
    model, given = tagger(forms, False, dropout=0.5), batch(forms)
    assert not torch.equal(model.train()(given), model(given))
    assert torch.equal(model.eval()(given), model(given))
