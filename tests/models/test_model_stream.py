"""Streams of language models: the model token by token, and what is drawn from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.config import GenerationOptions
from recurra.decoding import Sampler
from recurra.errors import ConfigError, DataError, RecurraError, ShapeError
from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel

pytestmark = pytest.mark.usefixtures("native")

V = 11
WRAPPERS: list[dict[str, Any]] = [
    {}, {"skip": True}, {"residual": True}, {"dilation": [1, 2]}, {"zoneout": 0.2, "dropout": 0.5}, {"sizes": [5, 9]},
]  # fmt: skip


def make(
    embedding: int = 6, cell: str = "lstm", dtype: torch.dtype = torch.float64, tie: bool = False, **options: Any
) -> LanguageModel:
    torch.manual_seed(3)
    layers = {} if "sizes" in options else {"hidden_size": 6, "num_layers": 2}
    stack = Recurrent(cell, embedding or V, **layers, **options, init_range=0.9, dtype=dtype)
    model = LanguageModel(V, stack, embedding_dim=embedding, tie_weights=tie, dropout=0.3)
    with torch.no_grad():
        model.output.weight.mul_(6)
    return model


def distributions(model: LanguageModel, tokens: Sequence[Sequence[int]]) -> Tensor:
    """[B, T] -> log-probabilities [B, V] of the next token, from the beginning."""
    return model.eval().next_log_probs(torch.tensor(tokens).T, None)[0]


@pytest.mark.parametrize("options", WRAPPERS, ids=str)
@pytest.mark.parametrize("embedding", [0, 6])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_a_stream_is_the_model(options: dict[str, Any], embedding: int, dtype: torch.dtype, bound: float) -> None:
    model = make(embedding, dtype=dtype, **options)
    tokens = torch.randint(V, (3, 8))
    stream = model.stream(3)
    for end in range(1, 9):
        found = stream.step(tokens[:, end - 1])
        torch.testing.assert_close(found, distributions(model, tokens[:, :end].tolist()), rtol=0, atol=bound)
    _, state = model(tokens.T, None)
    torch.testing.assert_close(stream.state, [dict(each) for each in state], rtol=0, atol=bound)


@pytest.mark.parametrize("cell", ["rnn", "gru", "min_gru", "sru"])
@pytest.mark.parametrize("embedding", [0, 6])
def test_greedy_is_the_likeliest_each_time(cell: str, embedding: int) -> None:
    """With the table of the first layer's input and without, tied weights too."""
    model = make(embedding, cell, tie=embedding == 6)
    prompts = [[1, 2], [5, 3]]
    found = model.stream(2).generate(40, prompt=torch.tensor(prompts), greedy=True)
    for row, prompt in enumerate(prompts):
        text = list(prompt)
        for _ in range(40):
            text.append(int(distributions(model, [text]).argmax()))
        assert found[row].tolist() == text[2:]
    stream = model.stream(2)
    stream.read(torch.tensor(prompts))
    one_by_one = torch.cat([stream.generate(1, greedy=True) for _ in range(40)], 1)  # too few for a table
    assert torch.equal(one_by_one, found)


def test_rows_do_not_depend_on_each_other() -> None:
    """Row r of a batch is row r of any other batch with the same seed."""
    model = make(dtype=torch.float32)
    whole = model.stream(9).generate(50, prompt=[1], seed=5)
    assert len({tuple(row) for row in whole.tolist()}) == 9
    for batch in (1, 2, 5):
        assert torch.equal(model.stream(batch).generate(50, prompt=[1], seed=5), whole[:batch])
    assert not torch.equal(model.stream(9).generate(50, prompt=[1], seed=6), whole)
    assert not torch.equal(model.stream(9).generate(50, prompt=[1]), model.stream(9).generate(50, prompt=[1]))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.6},
    {"temperature": 2.5},
    {"top_k": 3},
    {"top_k": V + 5},
    {"top_p": 0.5},
    {"top_p": 1.0},
    {"top_p": 1e-9},
    {"top_k": 4, "top_p": 0.7, "temperature": 1.7},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("excluded", [[], [0, 7]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_distribution_is_the_samplers(options: dict[str, Any], excluded: list[int], dtype: torch.dtype) -> None:
    """20,000 draws of one token against what decoding/sample.py says: chi-square, and none where it has nothing."""
    model = make(dtype=dtype)
    draws = 20000
    found = model.stream(draws).generate(1, prompt=[4, 2], seed=1, excluded=excluded, **options).flatten()
    sampler = Sampler(GenerationOptions.make(**options), excluded)
    exact = sampler.probabilities(distributions(model, [[4, 2]]))[0]
    assert_drawn_from(torch.bincount(found, minlength=V), exact)


def test_the_distribution_of_texts_is_the_products() -> None:
    """Texts of 3 tokens, against the probability of each of the 3^3, enumerated."""
    model = make(dtype=torch.float32)
    kept, draws = [1, 3, 8], 30000
    excluded = [token for token in range(V) if token not in kept]
    found = model.stream(draws).generate(3, prompt=[0], seed=2, excluded=excluded)
    counts, exact = [], []
    for text in itertools.product(kept, repeat=3):
        counts.append(int((found == torch.tensor(text)).all(1).sum()))
        logs = 0.0
        for end in range(3):
            left = distributions(model, [[0, *text[:end]]])[0, kept].log_softmax(0)
            logs += float(left[kept.index(text[end])])
        exact.append(math.exp(logs))
    assert_drawn_from(torch.tensor(counts), torch.tensor(exact, dtype=torch.float64))


def assert_drawn_from(counts: Tensor, exact: Tensor) -> None:
    """Chi-square over what is expected at least 5 times (the rest together), below its mean plus 5 deviations."""
    draws = int(counts.sum())
    assert not counts[exact == 0].any()
    expected = exact * draws
    many = expected >= 5
    statistic = float(((counts - expected)[many] ** 2 / expected[many]).sum())
    freedom = max(int(many.sum()) - 1, 1)
    assert statistic <= freedom + 5 * math.sqrt(2 * freedom)
    rest = float(expected[~many].sum())
    assert abs(float(counts[~many].sum()) - rest) <= 5 * math.sqrt(rest) + 1


def test_a_large_vocabulary() -> None:
    """Several blocks of tokens, of which the last is not whole: the mean of what is drawn is right."""
    size = 1003
    torch.manual_seed(0)
    model = LanguageModel(size, Recurrent("gru", 4, 5), embedding_dim=4)
    exact = distributions(model, [[2]])[0].double().exp()
    found = model.stream(20000).generate(1, prompt=[2], seed=1).flatten().double()
    mean = float((exact * torch.arange(size)).sum())
    deviation = math.sqrt(float((exact * (torch.arange(size) - mean) ** 2).sum()) / 20000)
    assert abs(float(found.mean()) - mean) < 5 * deviation
    assert found.max() > size - 64


def test_generating_goes_on() -> None:
    """All tokens are read: the next one can be told, and the state is the model's."""
    model = make()
    stream = model.stream(2)
    tokens = stream.generate(7, prompt=[1], seed=1)
    whole = torch.cat([torch.ones(2, 1, dtype=torch.int64), tokens], 1)
    _, state = model.eval()(whole.T, None)
    torch.testing.assert_close(stream.state, [dict(each) for each in state], rtol=0, atol=1e-12)
    found = stream.step([3, 4])
    torch.testing.assert_close(found, distributions(model, [[*whole[0].tolist(), 3], [*whole[1].tolist(), 4]]))


def test_the_stop_token() -> None:
    model = make()
    with torch.no_grad():
        model.output.bias[2] += 3
    free = model.stream(6).generate(60, prompt=[1], seed=3)
    found = model.stream(6).generate(60, prompt=[1], seed=3, stop=2)
    ends = [row.index(2) if 2 in row else 60 for row in free.tolist()]
    assert found.shape[1] == min(60, max(ends) + 1)
    for row, end in enumerate(ends):
        assert torch.equal(found[row, : end + 1], free[row, : end + 1][: found.shape[1]])
        assert (found[row, end:] == 2).all()


def test_pieces_are_the_whole_and_rows_may_leave() -> None:
    model = make()
    whole = model.stream(4).generate(20, prompt=[1], seed=3)
    stream, found, left = model.stream(4), [[], [], [], []], [0, 1, 2, 3]
    for piece in stream.write(20, 6, prompt=[1], seed=3):
        for row, tokens in zip(left, piece.tolist(), strict=True):
            found[row] += tokens
        if len(left) > 1:
            stream.leave(0)
            left.pop(0)
    assert [len(row) for row in found] == [6, 12, 18, 20]
    for row, tokens in enumerate(found):
        assert tokens == whole[row, : len(tokens)].tolist()


def test_sequences_that_join_must_read_before_they_write() -> None:
    stream = make().stream()
    stream.step([1])
    stream.generate(2)
    stream.join(state=stream.state)
    with pytest.raises(DataError) as caught:
        stream.generate(1)
    assert str(caught.value) == "generate: expected tokens that every sequence has read, got none; give prompt=..."
    assert stream.generate(3, prompt=[2]).shape == (2, 3)


@pytest.mark.parametrize("weights", [None, "bf16", "int8"])
@pytest.mark.parametrize("name", ["embedding.weight", "stack.W_ih_l0", "stack.b_l1", "output.weight", "output.bias"])
def test_weights_that_change_while_it_writes(weights: str | None, name: str) -> None:
    """Between two pieces: the table of the first layer's input goes with them."""
    model = make(dtype=torch.float32)
    stream, other = model.stream(3, weights), model.stream(3, weights)
    pieces = stream.write(30, 10, prompt=[1], seed=1)
    first = next(pieces)
    other.generate(10, prompt=[1], seed=1)
    with torch.no_grad():
        dict(model.named_parameters())[name].add_(torch.randn_like(dict(model.named_parameters())[name]))
    torch.testing.assert_close(stream.state, other.state, rtol=0, atol=0)
    second = next(pieces)
    fresh = model.stream(3, weights)
    fresh.read(torch.cat([torch.ones(3, 1, dtype=torch.int64), first, second], 1))  # the same weights all the way...
    assert not torch.equal(fresh.state[0]["h"], stream.state[0]["h"]) or name.startswith(("output", "stack.b_l1"))
    fresh = model.stream(3, weights)
    fresh.state = other.state
    fresh.read(second)
    torch.testing.assert_close(stream.state, fresh.state, rtol=0, atol=1e-5)  # ... and from where they changed


@pytest.mark.parametrize(("weights", "bound"), [("bf16", 0.05), ("int8", 0.05)])
def test_rounded_weights(weights: str, bound: float) -> None:
    """Log-probabilities stay near those of float32, and differ."""
    torch.manual_seed(0)
    model = LanguageModel(50, Recurrent("lstm", 64, 64, 2), embedding_dim=64)
    tokens = torch.randint(50, (20, 4))
    exact, rounded = model.stream(4), model.stream(4, weights)
    error = max(float((exact.step(each) - rounded.step(each)).abs().max()) for each in tokens)
    assert 1e-5 < error < bound


def test_what_is_not_finite() -> None:
    model = make()
    with torch.no_grad():
        model.output.bias[3] = torch.nan
    for options in ({}, {"top_k": 2}, {"top_p": 0.5}):
        with pytest.raises(DataError) as caught:
            model.stream().generate(3, prompt=[1], **options)
        assert str(caught.value) == "generate: the model's output is not finite; nothing can be drawn from it"


def test_probabilities_of_zero() -> None:
    """Biases so low that all but one token have probability 0."""
    model = make(dtype=torch.float32)
    with torch.no_grad():
        model.output.bias.fill_(-1e9)
        model.output.bias[7] = 0
    for options in ({}, {"top_k": 3}, {"top_p": 0.99}, {"temperature": 1e-30}, {"temperature": 1e30, "top_k": 1}):
        assert (model.stream(3).generate(20, prompt=[1], **options) == 7).all()


BAD: list[tuple[Callable[[Any], Any], type[RecurraError], str]] = [
    (lambda s: s.step([0, 11]), ShapeError, "tokens: expected numbers from 0 to 10, got 11"),
    (lambda s: s.step(torch.tensor([-1, 3])), ShapeError, "tokens: expected numbers from 0 to 10, got -1"),
    (lambda s: s.step([0]), ShapeError, "tokens: expected [2], got [1]"),
    (lambda s: s.step([0.5, 1.0]), ShapeError, "tokens: expected whole numbers, got torch.float32"),
    (lambda s: s.step("ab"), ShapeError, "tokens: expected whole numbers, got 'ab'"),
    (lambda s: s.read([[1], [2], [3]]), ShapeError, "tokens: expected [T] or [2, T], got [3, 1]"),
    (lambda s: s.generate(3, prompt=[99]), ShapeError, "tokens: expected numbers from 0 to 10, got 99"),
    (lambda s: s.generate(3, stop=11), ConfigError, "stop: expected tokens from 0 to 10, got 11"),
    (lambda s: s.generate(3, excluded=[-1]), ConfigError, "excluded: expected tokens from 0 to 10, got -1"),
    (lambda s: s.generate(3, excluded=range(11)), ConfigError, "excluded: expected a token that is left, got all"),
    (lambda s: s.generate(0), ConfigError, "length: must be greater than or equal to 1, got 0"),
    (lambda s: s.generate(3, temperature=0), ConfigError, "temperature: must be greater than 0, got 0"),
    (lambda s: s.generate(3, top_p=1.5), ConfigError, "top_p: must be less than or equal to 1, got 1.5"),
    (
        lambda s: s.generate(3, greedy=True, seed=1),
        ConfigError,
        "seed has no effect with greedy; leave one of them out",
    ),
]


@pytest.mark.parametrize(("act", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input(act: Callable[[Any], Any], error: type[RecurraError], message: str) -> None:
    stream = make().stream(2)
    stream.step([1, 2])
    before = stream.state
    with pytest.raises(error) as caught:
        act(stream)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    torch.testing.assert_close(stream.state, before, rtol=0, atol=0)
