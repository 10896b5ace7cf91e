"""Contributions of tokens against numeric derivatives, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
import torch
from torch import Tensor

from recurra.inspection.contributions import Explanation, as_page, as_text, contributions
from recurra.layers.recurrent import Recurrent
from recurra.models.classifier import Classifier, TokenEmbedding


@dataclass
class Batch:
    steps: dict[str, Tensor]
    lengths: Tensor


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(3)
    encoder = TokenEmbedding(9, 4, dtype=torch.float64)
    stack = Recurrent("lstm", 4, 5, bidirectional=True, dtype=torch.float64)
    return Classifier(encoder, stack, 3, pooling="attention").eval()


def test_they_are_derivatives_along_each_token(model: Classifier) -> None:
    """How fast the score grows when a token's vector grows in proportion to itself."""
    batch = Batch({"tokens": torch.randint(9, (6, 2))}, torch.tensor([6, 3]))
    classes = torch.tensor([2, 0])
    with torch.no_grad():  # as when predicting
        found = contributions(model, batch, classes)
        x = model.encoder(batch)

        def above(scaled: Tensor) -> Tensor:
            scores = model.scores(scaled, batch.lengths)
            return scores[torch.arange(2), classes] - scores.mean(1)

        for step in range(6):
            changed = []
            for factor in (1 + 1e-5, 1 - 1e-5):
                scaled = x.clone()
                scaled[step] *= factor
                changed.append(above(scaled))
            torch.testing.assert_close(found[step], (changed[0] - changed[1]) / 2e-5, rtol=1e-6, atol=1e-9)
    assert (found[3:, 1] == 0).all()


ONE = Explanation("a<b>", 0.75, ["good", "<script>", "&", "bad"], [0.5, -1.0, 0.0, 0.25])


def test_as_text() -> None:
    assert as_text(ONE) == (
        "a<b>  0.7500\n"
        "  good      +0.5000  ++++++++++\n"
        "  <script>  -1.0000  --------------------\n"
        "  &         +0.0000\n"
        "  bad       +0.2500  +++++\n"
    )
    assert as_text(Explanation("a", 1.0, [], [])) == "a  1.0000\n"


def test_as_a_page_what_users_wrote_is_text() -> None:
    texts, tags = [], []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    page = "".join(as_page([ONE, ONE]))
    Reader().feed(page)
    assert tags.count("script") == 0
    assert [text for text in texts if text in ONE.tokens] == [*ONE.tokens] * 2
    assert texts.count("a<b>") == 2
