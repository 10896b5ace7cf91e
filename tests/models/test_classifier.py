"""Summaries of sequences against a loop over sequences, and classifiers that padding does not change."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from recurra.layers.recurrent import Recurrent
from recurra.models.classifier import Classifier, LinearClassifier, TokenEmbedding
from recurra.models.pooling import POOLINGS, AttentionPooling

LENGTHS = torch.tensor([7, 1, 4])


@dataclass
class Batch:
    steps: dict[str, Tensor]
    lengths: Tensor


def stack(**options: object) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent("gru", 5, 6, dtype=torch.float64, **options)  # type: ignore[arg-type]


def by_hand(name: str, pooling: torch.nn.Module, output: Tensor, halves: list[tuple[int, bool]]) -> Tensor:
    """The summary of one sequence, [T, F] -> [F]; halves: width and direction of each run of units."""
    if name == "mean":
        return output.mean(0)
    if name == "max":
        return output.max(0).values
    if name == "attention":
        assert isinstance(pooling, AttentionPooling)
        scores = torch.stack([pooling.score(torch.tanh(pooling.hidden(step)))[0] for step in output])
        weights = scores.exp() / scores.exp().sum()
        return sum(weight * step for weight, step in zip(weights, output, strict=True))  # type: ignore[return-value]
    parts, first = [], 0
    for width, backward in halves:
        parts.append(output[0 if backward else -1, first : first + width])
        first += width
    return torch.cat(parts)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize(
    ("options", "halves"),
    [
        ({}, [(6, False)]),
        ({"bidirectional": True}, [(6, False), (6, True)]),
        ({"bidirectional": True, "num_layers": 2}, [(6, False), (6, True)]),
        ({"bidirectional": True, "num_layers": 2, "skip": True}, [(6, False), (6, True)] * 2),
    ],
)
def test_summaries(name: str, options: dict[str, object], halves: list[tuple[int, bool]]) -> None:
    layers = stack(**options)
    pooling = POOLINGS[name](layers).double()
    output, _ = layers(torch.randn(7, 3, 5, dtype=torch.float64), None, LENGTHS)
    found = pooling(output, LENGTHS)
    assert found.shape == (3, layers.output_size)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[row], by_hand(name, pooling, output[:length, row], halves))


def test_the_last_states_are_those_of_the_cells() -> None:
    layers = stack(bidirectional=True)
    output, state = layers(torch.randn(7, 3, 5, dtype=torch.float64), None, LENGTHS)
    joined = torch.cat([state[0]["h"], state[1]["h"]], -1)
    torch.testing.assert_close(POOLINGS["last"](layers)(output, LENGTHS), joined)


@pytest.mark.parametrize("name", POOLINGS)
def test_padding_changes_no_score_and_no_gradient(name: str) -> None:
    torch.manual_seed(0)
    encoder = TokenEmbedding(20, 5, dtype=torch.float64)
    model = Classifier(encoder, stack(bidirectional=True), 3, pooling=name).eval()
    texts = [torch.randint(20, (length,)) for length in LENGTHS.tolist()]

    def scores(steps: int, padding: int, rows: list[int]) -> Tensor:
        tokens = torch.full((steps, len(rows)), padding)
        for column, row in enumerate(rows):
            tokens[: len(texts[row]), column] = texts[row]
        return model(Batch({"tokens": tokens}, LENGTHS[rows]))

    together = scores(7, 0, [0, 1, 2])
    torch.testing.assert_close(scores(12, 9, [2, 0, 1])[[1, 2, 0]], together)
    for row in range(3):
        torch.testing.assert_close(scores(len(texts[row]), 0, [row])[0], together[row])
    parameters = list(model.parameters())
    once = torch.autograd.grad(together.square().sum(), parameters)
    again = torch.autograd.grad(scores(12, 9, [0, 1, 2]).square().sum(), parameters)
    torch.testing.assert_close(again, once)


def test_words_are_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = TokenEmbedding(20, 5, word_dropout=0.25, unknown=3)
    batch = Batch({"tokens": torch.full((100, 100), 7, dtype=torch.int32)}, torch.full((100,), 100))
    dropped = (encoder(batch) == encoder.embedding.weight[3]).all(-1).double().mean()
    assert abs(dropped - 0.25) < 0.02
    torch.testing.assert_close(encoder.eval()(batch)[0, 0], encoder.embedding.weight[7])


def test_the_linear_model_adds_up() -> None:
    torch.manual_seed(0)
    model = LinearClassifier(6, 2, torch.float64)
    torch.nn.init.normal_(model.weights.weight)
    values = torch.tensor([[0.5, 2.0], [1.5, 0.0]], dtype=torch.float64)  # the second text has one feature
    batch = Batch({"features": torch.tensor([[1, 4], [5, 0]]), "values": values}, torch.tensor([2, 1]))
    dense = torch.tensor([[0, 0.5, 0, 0, 0, 1.5], [0, 0, 0, 0, 2.0, 0]], dtype=torch.float64)
    torch.testing.assert_close(model(batch), dense @ model.weights.weight + model.bias)
